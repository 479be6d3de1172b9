"""``ModelDeployment.status``: what the operator observed and decided."""

import datetime
import enum
from typing import Annotated

import pydantic

from .analysis import Mode
from .conditions import Condition
from .fields import Decimals, Digest, Fraction, Model, Name, Revision, Text, Timestamp, User, Word
from .model_deployment import ModelFormat, Rollout, StickyBy, Traffic, TrafficMode
from .request import RolloutId, Why

Reasoned = Annotated[str, pydantic.Field(max_length=64)]


GUARDS = 100
"""What status admits of guards and members; the worst are kept."""


def _int32(description: str) -> int:
    field: int = pydantic.Field(
        0, description=description, ge=0, json_schema_extra={"format": "int32"}
    )
    return field


class Verdict(enum.StrEnum):
    """What the evidence says."""

    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    HOLD = "Hold"


class Stage(enum.StrEnum):
    """Where a rollout is (design: the one transition table in assay.rollout.transitions)."""

    STARTING = "Starting"
    TRIAL = "Trial"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    DONE = "Done"


class RevisionRef(Model):
    """One revision by the names that people and machines know it by."""

    revision: Revision
    version: Word
    digest: Digest
    threshold: Fraction | None = None
    format: ModelFormat | None = pydantic.Field(
        None, description="How the artifact is stored; Skops when left out."
    )


class StepRecord(Model):
    """A step that was taken."""

    weight: int = _int32("Percent of the requests for the canary.")
    started_at: Timestamp
    shown_at: Timestamp | None = pydantic.Field(
        None,
        description="When every member had the pods for its weight and a route that shows it, for the first time; minSeconds count from here.",
    )
    by: User | None = pydantic.Field(None, description="Who took it, if it was a person.")
    approved_by: User | None = pydantic.Field(None, description="Who ended the pause.")


_STEPS = 64
"""Steps of a trial and of those that it continues."""

Steps = Annotated[
    tuple[StepRecord, ...],
    pydantic.Field(max_length=_STEPS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]


class Trials(Model):
    """Trials whose evidence a retry goes on with."""

    rollouts: tuple[RolloutId, ...] = pydantic.Field(
        description="Their ids, oldest first.",
        min_length=1,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    stable: Revision = pydantic.Field(description="The revision that they compared with.")
    started_at: Timestamp = pydantic.Field(description="When the first of them started.")


class RejectedTrials(Trials):
    """The same, with the steps that they took."""

    steps: Steps


class RejectedRevision(Model):
    """A revision that lost. It is not tried again until its hash changes, or somebody asks for it."""

    revision: Revision
    version: Word
    reason: Reasoned
    message: Text = ""
    at: Timestamp
    trials: RejectedTrials | None = pydantic.Field(
        None, description="What a retry goes on with; nothing when it never had traffic."
    )
    generation: int | None = pydantic.Field(
        None,
        description="Only set when the pods never became ready: then a new generation of the spec may try again.",
        json_schema_extra={"format": "int64"},
    )


class RetiredRevision(Model):
    """A revision that takes no traffic any more and whose pods stay until `until`."""

    revision: Revision
    until: Timestamp


class DecisionRecord(Model):
    """How a rollout was decided; written before anything is done (rollback: after)."""

    verdict: Verdict
    reason: Reasoned
    message: Text = ""
    at: Timestamp
    by: User | None = pydantic.Field(None, description="Who decided, if it was a person.")
    request_reason: Why | None = pydantic.Field(None, description="Why, in their words.")


class Pausing(Model):
    """A rollout that somebody holds by hand."""

    by: User
    reason: Why = ""
    at: Timestamp


class WaveRecord(Model):
    """A wave of members that was started."""

    index: int = _int32("Its place among the waves; the members that are in none come last.")
    name: Annotated[str, pydantic.Field(max_length=253)]
    started_at: Timestamp
    ready: int = _int32("How many of its members had the canary ready at most.")
    progressed_at: Timestamp = pydantic.Field(
        description="When one more of its members got ready, or they stopped serving the canary; the deadline counts from here."
    )
    arrived_at: Timestamp | None = pydantic.Field(
        None, description="When all of them were ready for the first time."
    )
    serving_since: Timestamp | None = pydantic.Field(
        None, description="Since when all of them serve the canary without a break."
    )
    next_approved_by: User | None = pydantic.Field(
        None, description="Who approved the wave after it, if that waits for a person."
    )


class Undo(Model):
    """A rollout without a trial: back to a revision that was stable before."""

    revision: Revision = pydantic.Field(description="The one that it takes the place of.")
    by: User
    reason: Why = ""


class RolloutStatus(Model):
    """The trial of one canary, or the first start of a deployment."""

    id: RolloutId
    stage: Stage
    step: int = _int32("Index of the current step.")
    started_at: Timestamp
    settings: Rollout = pydantic.Field(
        description="The spec's rollout section as it was when the rollout started."
    )
    sticky_by: StickyBy | None = pydantic.Field(
        None, description="The spec's traffic.stickyBy as it was when the rollout started."
    )
    traffic: Traffic | None = pydantic.Field(
        None,
        description="The spec's traffic section as it was when the rollout started; its mode stays until the rollout is over.",
    )
    steps: Steps = ()
    continues: Trials | None = pydantic.Field(
        None, description="Earlier trials of the canary whose evidence and steps count on."
    )
    waves: tuple[WaveRecord, ...] = pydantic.Field(
        (),
        description="The waves of members that were started, the present one last.",
        max_length=17,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    latched: DecisionRecord | None = pydantic.Field(
        None,
        description="The verdict Promote that the first wave got. The later waves follow; a rollback still ends it.",
    )
    undo: Undo | None = pydantic.Field(
        None, description="Set if the canary was stable before and takes all traffic when ready."
    )
    paused: Pausing | None = pydantic.Field(None, description="Set while somebody holds it.")
    held_since: Timestamp | None = pydantic.Field(
        None, description="Since when it waits for a person; no deadline runs meanwhile."
    )
    held_seconds: int = _int32("How long it waited for a person before that.")
    released_at: Timestamp | None = pydantic.Field(
        None, description="When it last went on after a person."
    )
    decision: DecisionRecord | None = None

    @property
    def by_pods(self) -> bool:
        """Whether the numbers of pods make the canary's share (mode Replicas), not a gateway."""
        return self.traffic is not None and self.traffic.mode is TrafficMode.REPLICAS

    @property
    def stratum(self) -> str:
        """Value of the assay-stratum header in the present step; a retry counts its steps on."""
        return f"{self.id}/{len(self.steps) - 1}"

    @property
    def earlier(self) -> tuple[str, ...]:
        """Ids of the rollouts whose counts are this one's evidence, too."""
        return self.continues.rollouts if self.continues else ()

    @property
    def evidence_since(self) -> datetime.datetime:
        """When the first of them started."""
        return self.continues.started_at if self.continues else self.started_at


class AnalysisStatus(Model):
    """What one metric says now; numbers are strings as everywhere in the API."""

    metric: Name
    mode: Mode | None = pydantic.Field(
        None, description="DryRun: shown only, it decides nothing. Decide when left out."
    )
    stable: Decimals | None = None
    canary: Decimals | None = None
    difference: Decimals | None = None
    lower: Decimals | None = None
    upper: Decimals | None = None
    log_e_promote: Decimals | None = None
    log_e_rollback: Decimals | None = None
    labels_stable: int = _int32("Labels of stable.")
    labels_canary: int = _int32("Labels of the canary.")
    verdict: Verdict
    reason: Reasoned
    message: Text = ""


class GuardStatus(Model):
    """What one guard says of one member now."""

    name: Name
    member: Name
    mode: Mode | None = pydantic.Field(
        None, description="DryRun: shown only, it decides nothing. Decide when left out."
    )
    value: Decimals | None = None
    limit: Annotated[str, pydantic.Field(max_length=32)] = pydantic.Field(
        description='What the value must keep to, for instance "<= 0.2".'
    )
    requests: int = pydantic.Field(
        0,
        description="Requests that the canary took there in this rollout, answered or failed.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )
    reason: Reasoned
    since: Timestamp | None = pydantic.Field(
        None,
        description="Since when the value is beyond its limit, without the time in which there was none.",
    )
    silent_since: Timestamp | None = pydantic.Field(
        None, description="Since when a value that was beyond its limit is missing."
    )
    message: Text = ""


class StratumRecord(Model):
    """What servers count predictions under from a moment on (mode Replicas); told ahead of it."""

    stratum: Annotated[str, pydantic.Field(max_length=32)]
    since: Timestamp


class ClusterStatus(Model):
    """What one member runs."""

    name: Name
    reachable: bool
    revision: Revision | None = pydantic.Field(None, description="Revision that serves as stable.")
    weight: int = _int32(
        "Percent of the requests for the canary; less than the step's while the member has too few ready pods for that. After a promotion: what the new version goes on with until it has all its pods."
    )
    ready: int = _int32("Pods of stable and canary that are ready.")
    desired: int = _int32("Pods of stable and canary that should be.")
    replicas: int | None = pydantic.Field(
        None,
        ge=0,
        description="Pods per revision that placement gives it, at most as many with serving.autoscaling; in a member that is being left, what it gave last.",
        json_schema_extra={"format": "int32"},
    )
    held_replicas: int | None = pydantic.Field(
        None,
        ge=0,
        description="With serving.autoscaling, or traffic.mode Replicas: pods that stable keeps there until the rollout is over, as many as it had when the canary got its first traffic.",
        json_schema_extra={"format": "int32"},
    )
    message: Text = ""
    ledger_store: Annotated[str, pydantic.Field(max_length=64)] | None = pydantic.Field(
        None,
        description="Identity of the ledger's volume, once its evidence was read in the present rollout.",
    )
    unreachable_since: Timestamp | None = None
    wave: int | None = pydantic.Field(
        None,
        description="Index of the wave with which the canary came here; none while it has not.",
        ge=0,
        json_schema_extra={"format": "int32"},
    )
    share: int | None = pydantic.Field(
        None,
        ge=0,
        le=100,
        description="With traffic.mode Replicas: percent of the requests that the canary gets there, by the pods that are ready.",
        json_schema_extra={"format": "int32"},
    )
    strata: (
        Annotated[tuple[StratumRecord, ...], pydantic.Field(min_length=1, max_length=2)] | None
    ) = pydantic.Field(
        None,
        description="With traffic.mode Replicas: what servers there count predictions under, and what they have been told of ahead. Idle when left out.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    applied: Annotated[str, pydantic.Field(max_length=64)] | None = pydantic.Field(
        None,
        description="Digest of what the operator applied there last: one that starts again writes nothing where it is so still.",
    )


class PodTime(Model):
    """How long pods ran in a member, all of them added up."""

    name: Name
    seconds: int = pydantic.Field(ge=0, json_schema_extra={"format": "int64"})


class HistoryEntry(Model):
    """One finished rollout."""

    id: RolloutId
    version: Word
    revision: Revision
    digest: Digest | None = None
    threshold: Fraction | None = None
    format: ModelFormat | None = None
    verdict: Verdict
    reason: Reasoned
    message: Text = ""
    started_at: Timestamp
    at: Timestamp
    by: User | None = pydantic.Field(None, description="Who decided, if it was a person.")
    request_reason: Why | None = pydantic.Field(None, description="Why, in their words.")
    trial_pods: tuple[PodTime, ...] | None = pydantic.Field(
        None,
        max_length=500,
        description="By member, how long pods ran for the rollout beside those that serve anyway, its scaleDownDelaySeconds included. Left out if it tried nothing, and in entries behind those with a thousand members in all.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class RequestResult(enum.StrEnum):
    """What became of a request."""

    DONE = "Done"
    REFUSED = "Refused"


class RequestRecord(Model):
    """The last request that a person made by the annotation assay.dev/request."""

    id: Annotated[str, pydantic.Field(max_length=64)]
    verb: Reasoned = ""
    rollout_id: Annotated[str, pydantic.Field(max_length=10)] = ""
    by: Annotated[str, pydantic.Field(max_length=256)] = ""
    reason: Why = ""
    at: Timestamp
    result: RequestResult
    message: Text = ""


class ModelDeploymentStatus(Model):
    """What the operator observed and decided. There is no phase: conditions are observations."""

    observed_generation: int = pydantic.Field(0, ge=0, json_schema_extra={"format": "int64"})
    conditions: tuple[Condition, ...] = pydantic.Field(
        (),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    stable: RevisionRef | None = None
    canary: RevisionRef | None = None
    rollout: RolloutStatus | None = None
    last_request: RequestRecord | None = pydantic.Field(
        None, description="What became of the last request of a person."
    )
    rejected_revisions: tuple[RejectedRevision, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    retired_revisions: tuple[RetiredRevision, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    analysis: tuple[AnalysisStatus, ...] = pydantic.Field(
        (),
        max_length=8,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["metric"],
        },
    )
    guards: tuple[GuardStatus, ...] = pydantic.Field(
        (),
        max_length=GUARDS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "member"],
        },
    )
    clusters: tuple[ClusterStatus, ...] = pydantic.Field(
        (),
        max_length=500,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    share: int | None = pydantic.Field(
        None,
        ge=0,
        le=100,
        description="With traffic.mode Replicas: percent of the requests that the canary gets over all members, by the pods that are ready.",
        json_schema_extra={"format": "int32"},
    )
    history: tuple[HistoryEntry, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
