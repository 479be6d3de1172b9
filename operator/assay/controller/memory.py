"""What the operator remembers of one ModelDeployment between two looks.

After a restart it is read again from the hub, the members and Prometheus. What cannot be read then
are the counts of a member that is away: until it is back nothing is judged (`observe`).
"""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.api.deployment_status import GuardStatus, ModelDeploymentStatus, Verdict
from assay.evidence import MemberEvidence
from assay.placement import Plan
from assay.rollout import Event, only_numbers_differ
from assay.rollout.observation import Signals

from .history import History
from .hub import Deployment
from .reading import Reading
from .rest import Rest

NUMBERS_SECONDS = 30.0
"""Numbers alone are not written to status more often than this."""


@dataclass
class Memory:
    """One ModelDeployment, as long as it is the same object.

    Attributes
    ----------
    last
        As it was read last; used while the hub does not answer.
    news
        What the hub's watch has shown since the last look.
    unchanged
        Whether `last`, with what we wrote since, is still what the hub holds as far as is known.
    version
        The resourceVersion that our own last write made.
    templates
        Stored pod templates by revision; None until they were read.
    keys
        Content of keys.json; None until it was read or made. Never logged.
    asked
        Members whose keys are in `keys`.
    latched
        A rollback that was acted on and that the hub does not know yet.
    unsaid
        Events whose transition is not written yet.
    failures
        What members answered to the last plan, by member.
    trial, evidence
        What each member said last in the rollout with this id.
    history
        What the members' Prometheus said of earlier moments of the rollout.
    guards, guards_of
        What the guards of the rollout with that id said last: status may be written later.
    placed
        What the last plan was made of, and the plan: it is not made again while nothing differs.
    attempts
        Looks in a row after which something had to be tried again.
    held_back
        Whether the hub lacks numbers that this look decided, or what was applied in it.
    rest
        What the last look left, if nothing is to be done until something changes.
    said
        What the members' Prometheus said in this look, once they were asked.
    signals
        Drift and decay of stable as `drift.Drifts` saw it last; None: not yet.
    """

    last: Deployment | None = None
    news: dict[str, Any] | None = field(default=None, repr=False)
    unchanged: bool = False
    version: str = ""
    templates: dict[str, dict[str, Any]] | None = None
    keys: str | None = field(default=None, repr=False)
    asked: frozenset[str] = frozenset()
    latched: ModelDeploymentStatus | None = None
    unsaid: list[Event] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    trial: str = ""
    evidence: dict[str, MemberEvidence] = field(default_factory=dict)
    history: History = field(default_factory=History, repr=False)
    guards: tuple[GuardStatus, ...] = ()
    guards_of: str = ""
    placed: tuple[object, Plan] | None = field(default=None, repr=False)
    attempts: int = 0
    held_back: bool = False
    numbers_at: float = -NUMBERS_SECONDS
    rest: Rest | None = None
    said: Reading | None = field(default=None, repr=False)
    signals: Signals | None = field(default=None, repr=False)

    def take(self, item: Deployment) -> Deployment:
        """Remember what was read; return it with the rollback that the hub does not know yet."""
        if self.last is None or self.last.uid != item.uid:
            fresh = Memory()
            self.__dict__.update(fresh.__dict__)
        self.last = item
        if self.latched is None:
            return item
        ours, theirs = self.latched.rollout, item.status.rollout
        if ours is None or theirs is None or ours.id != theirs.id or rolled_back(item.status):
            self.latched = None
            return item
        return dataclasses.replace(item, status=self.latched)

    def held(self, item: Deployment) -> Deployment:
        """Remember that `item` has our finalizer now; return it."""
        if self.last and self.last.version != item.version:
            self.last = dataclasses.replace(
                self.last, version=item.version, finalizers=item.finalizers
            )
        return item

    def with_guards(self, item: Deployment) -> Deployment:
        """Return `item` with what its guards said last, whether or not the hub took it."""
        rollout = item.status.rollout
        if rollout is None or rollout.id != self.guards_of:
            return item
        status = item.status.model_copy(update={"guards": self.guards})
        return dataclasses.replace(item, status=status)

    def decided(self, status: ModelDeploymentStatus) -> None:
        """Remember what the guards say in the `status` that was decided."""
        self.guards_of = status.rollout.id if status.rollout else ""
        self.guards = status.guards

    def known(
        self, rollout: str, read: Mapping[str, MemberEvidence]
    ) -> Mapping[str, MemberEvidence]:
        """Remember what was `read` just now; return what each member said last in `rollout`."""
        before = self.evidence if self.trial == rollout else {}
        self.trial, self.evidence = rollout, {**before, **read}
        return self.evidence

    def worth_writing(self, old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> bool:
        """Return whether status should be written: transitions always, numbers now and then."""
        if old == new:
            return False
        if not only_numbers_differ(old, new):
            return True
        waits = time.monotonic() - self.numbers_at < NUMBERS_SECONDS
        self.held_back |= waits
        return not waits

    def wrote(self, version: str, status: ModelDeploymentStatus) -> None:
        """Note a successful write of status."""
        self.version = version
        self.numbers_at = time.monotonic()
        self.latched = None
        if self.last:
            self.last = dataclasses.replace(self.last, version=version, status=status)


def rolled_back(status: ModelDeploymentStatus) -> bool:
    """Return whether the rollout in `status` was decided against the canary."""
    decision = status.rollout.decision if status.rollout else None
    return decision is not None and decision.verdict is Verdict.ROLLBACK
