"""What one reconcile saw and what it decided: plain values in, plain values out."""

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.api.conditions import ConditionType
from assay.api.deployment_status import DecisionRecord, ModelDeploymentStatus
from assay.api.model_deployment import StickyBy
from assay.api.request import Request, Unreadable
from assay.judge import Judgement
from assay.placement import Plan

LEAD_SECONDS = 120
"""A kubelet takes up to a minute and a half to bring a changed Secret to its pods."""


@dataclass(frozen=True)
class PodsView:
    """The pods of one revision in one member.

    Attributes
    ----------
    desired, ready
        Number of pods asked for and ready.
    failure
        Why a pod cannot start, in its own words; None while nothing is wrong.
    rolling
        Whether they are being replaced by pods of another template (an override that changed).
    least
        The fewest that their HorizontalPodAutoscaler keeps; None: there is none, their number is
        fixed.
    unscaled
        Why their number does not follow the load although it should, for people.
    """

    desired: int
    ready: int
    failure: str | None = None
    rolling: bool = False
    least: int | None = None
    unscaled: str | None = None

    @property
    def needed(self) -> int:
        """How many must be ready: all that are asked for, unless more were asked for because of load."""
        return self.desired if self.least is None else self.least

    @property
    def is_ready(self) -> bool:
        """Whether as many as are needed are ready, and there is one.

        Those that come because load grows are not waited for: that happens at any time, and what is
        there serves.
        """
        return self.desired > 0 and self.ready >= self.needed


@dataclass(frozen=True)
class Announced:
    """A stratum that servers use from a moment on, of which they are told ahead."""

    stratum: str
    since: datetime.datetime


@dataclass(frozen=True)
class RouteView:
    """The HTTPRoute of one member, or its entry Service, as its API server holds it.

    Attributes
    ----------
    user_by
        What it tells servers of where a request names its user (`StickyBy.key`); None: nothing.
    strata
        Of an entry Service: what the servers behind it were told, the newest last; `stratum` is
        that one. Empty: idle.
    """

    stable: str
    canary_slot: str
    weight: int
    stratum: str
    user_by: str | None = None
    strata: tuple[Announced, ...] = ()


@dataclass(frozen=True)
class StickyView:
    """What the gateway of one member does to keep users.

    Attributes
    ----------
    by
        What it tells users apart by; None while it has taken no policy.
    problem
        Why it will take none as things are, for people.
    """

    by: StickyBy | None = None
    problem: str | None = None


@dataclass(frozen=True)
class RecordView:
    """What the record in a member says of a rollout (a rollback is recorded there first).

    Attributes
    ----------
    rollout
        The rollout's id.
    decision
        How it was decided; None while it is not.
    kept
        What the member remembers of the status, with no other cluster than itself; None if that
        cannot be read.
    judged
        Members whose counts were judged in this rollout.
    """

    rollout: str
    decision: DecisionRecord | None
    kept: ModelDeploymentStatus | None = None
    judged: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MemberView:
    """One member as it was seen just now.

    Attributes
    ----------
    reachable
        Whether its API server answers and accepts us, and our Lease is held there.
    reason, error
        Why not, as a condition reason and for people.
    revisions
        The pods by revision.
    route
        What divides the traffic there; None while nothing does.
    entry
        The entry Service, which is the route of mode Replicas; None while there is none.
    sticky
        What its gateway does to keep users.
    ledger_store
        Identity of the ledger's volume, from the evidence; None while that is not read.
    labels
        Of its ModelCluster; a wave is chosen by them.
    record
        The member's record; None while there is none or it was not read.
    replicas
        Pods per revision that placement gives it, the most of them if their number follows the
        load; 0 in a member that is being left.
    placed
        What placement gives it by now if it keeps other `replicas` until the rollout is over.
    applied
        Digest of what was applied there last; None while that is not known.
    floor
        The least pods per revision there; None: their number is fixed.
    """

    name: str
    reachable: bool
    reason: str = ""
    error: str = ""
    revisions: Mapping[str, PodsView] = field(default_factory=dict)
    route: RouteView | None = None
    entry: RouteView | None = None
    sticky: StickyView = StickyView()
    ledger_ready: bool = False
    ledger_store: str | None = None
    record: RecordView | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 0
    placed: int | None = None
    applied: str | None = None
    floor: int | None = None

    @property
    def wanted(self) -> int:
        """Pods per revision without which the member lacks some."""
        return self.replicas if self.floor is None else self.floor


@dataclass(frozen=True)
class EvidenceProblem:
    """Why a member's evidence cannot be read now (Prometheus unreachable, data stale, ...).

    A member that is away has one only if nobody remembers what it said in this trial.
    """

    member: str
    reason: str
    message: str


@dataclass(frozen=True)
class GuardReading:
    """What a member's Prometheus answered to a guard.

    Attributes
    ----------
    value
        None if it gave no number; `reason` and `message` say why.
    requests
        That the canary took there in this rollout, answered or failed.
    """

    guard: str
    member: str
    value: float | None
    requests: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Signal:
    """What one condition is to say.

    Attributes
    ----------
    detected
        None while nothing is known.
    data
        The numbers of the message, for programs.
    """

    detected: bool | None
    reason: str
    message: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Signals:
    """What is known of a revision that serves, beside all that is decided.

    Attributes
    ----------
    said
        By condition type; empty where the servers watch nothing.
    """

    revision: str
    said: Mapping[ConditionType, Signal] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """Everything that one reconcile knows besides spec and status.

    Attributes
    ----------
    revision
        Hash of the revision that the spec names (assay.render.revision).
    members
        The members that placement chose.
    leaving
        Those that it does not choose any more and that are not cleaned yet: no canary has traffic
        there, and nothing waits for them but the end of a rollback.
    guards
        What the guards of the trial read in the members that answer. None outside of a trial.
    invalid
        What is wrong with the spec and no schema can tell; empty while nothing is. No rollout
        begins with such a spec.
    judgement
        What the judge says of the trial that the status given to `decide` names, on the counts of
        all members that ever gave some in it: of those that cannot be asked now, the last. None
        outside of a trial, and while such counts are not known any more.
    request
        What a person asks by the annotation ``assay.dev/request``, taken already or not.
    plan
        How `members` were chosen, and what is in the way; None: not known.
    lead_seconds
        How long before it counts servers are told of a stratum (mode Replicas).
    signals
        Drift and decay of stable; None: nobody has asked yet.
    """

    revision: str
    members: tuple[MemberView, ...]
    judgement: Judgement | None = None
    evidence_problems: tuple[EvidenceProblem, ...] = ()
    leaving: tuple[MemberView, ...] = ()
    request: Request | Unreadable | None = None
    guards: tuple[GuardReading, ...] | None = None
    invalid: str = ""
    plan: Plan | None = None
    lead_seconds: int = LEAD_SECONDS
    signals: Signals | None = None


class Order(enum.Enum):
    """What comes first, the record or the act (design: write-ahead, and rollback first)."""

    RECORD_THEN_ACT = "record-then-act"
    """Status is written, with its resourceVersion, before any member changes."""
    ACT_THEN_RECORD = "act-then-record"
    """Members change at once; the record follows, on the hub if it answers, always in the members."""
    ANY = "any"
    """Nothing was decided (`analysis.decided`), so a crash in between loses nothing: members first, for
    somebody waits for what the spec says now, and nobody for what status says of it."""


@dataclass(frozen=True)
class Event:
    """A transition that an administrator should see as a Kubernetes Event.

    Attributes
    ----------
    topic
        Type of the CloudEvent that tells the same to other programs; empty: none does.
    """

    type: str
    reason: str
    message: str
    topic: str = ""


@dataclass(frozen=True)
class Decision:
    """The next status, in which order to make it true, and when to look again.

    Attributes
    ----------
    pace
        Seconds between two looks at evidence; None when nothing is judged.
    holds_for
        Seconds until time alone may change something; None when only news can. Until then the status
        that was decided, with the same observation, stays as it is, but for times in messages.
    """

    status: ModelDeploymentStatus
    order: Order
    events: tuple[Event, ...] = ()
    pace: float | None = None
    holds_for: float | None = None

    @property
    def wake_after(self) -> float | None:
        """Seconds until the next look although nothing changes; None when only a change matters."""
        spans = (self.pace, self.holds_for)
        return min((each for each in spans if each is not None), default=None)
