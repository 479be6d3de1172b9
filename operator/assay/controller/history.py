"""Earlier moments of a trial, read again from the members' Prometheus a few at a time.

All of it can be read again: after a restart the operator catches up within some looks, judges
nothing until then, and then has the same moments as before. What could not be read is tried again
at the next look.
"""

import asyncio
import datetime
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from assay.api.deployment_status import RolloutStatus
from assay.evidence import EvidenceUnavailable, MemberEvidence, errors
from assay.evidence.moments import (
    COARSENING,
    SETTLED_SECONDS,
    WINDOW_MARGIN_SECONDS,
    Built,
    known_of_all,
    wanted,
)
from assay.evidence.prometheus import Trial
from assay.members.member import Member

from .hub import Key

MOMENTS_PER_LOOK = 4
"""Missing moments of one member that one look reads once all were read: holes, mostly one new one."""

PATIENCE_SECONDS = 3.0
"""Of one look with all of them; as long as it waits for a member's present counts. A member is asked
for one moment after the other: a restarted operator causes no storm of queries."""

CATCH_UP_LOOKS = 20
"""After so many looks a member's moments are judged as they are: some may never be readable."""

_TRY_AGAIN = {errors.PROMETHEUS_UNREACHABLE, errors.WARNINGS_IN_REPLY}
"""Everything else that Prometheus says of a moment of the past it will always say."""

log = logging.getLogger(__name__)


@dataclass
class History:
    """What is known of earlier moments of one rollout.

    Attributes
    ----------
    rollout
        Its id.
    moments
        Those that the last look wanted, in seconds since the rollout began, ascending.
    members
        What each member said of them, scores coarser; `None` where its Prometheus has nothing.
    built
        The same as the judge wants it.
    caught_up
        Members of which all moments were read once. What is missing of them later is a gap that
        anybody may have; before that it is what a restarted operator does not know yet.
    tries
        Looks that were not enough to read all moments of a member.
    """

    rollout: str = ""
    moments: tuple[int, ...] = ()
    members: dict[str, dict[int, MemberEvidence | None]] = field(default_factory=dict)
    built: Built = field(default_factory=dict)
    caught_up: set[str] = field(default_factory=set)
    tries: Counter[str] = field(default_factory=Counter)

    async def read(
        self,
        key: Key,
        rollout: RolloutStatus | None,
        members: Iterable[Member],
        now: datetime.datetime,
        label_age_seconds: int = 0,
    ) -> None:
        """Read some moments that are missing, newest first, of all members at the same time."""
        if rollout is None or rollout.id != self.rollout:
            self.members, self.built = {}, {}
            self.caught_up, self.tries = set(), Counter()
        self.rollout = "" if rollout is None else rollout.id
        if rollout is None:
            return
        elapsed = (now - rollout.evidence_since).total_seconds() - SETTLED_SECONDS
        self.moments = wanted(elapsed, rollout.settings.analysis.interval_seconds)
        for name, found in self.members.items():
            self.members[name] = {at: found[at] for at in self.moments if at in found}
        trial = Trial(*key, rollout.id, label_age_seconds, rollout.earlier)
        await asyncio.gather(
            *(self._read(trial, rollout, member) for member in members if member.state.reachable)
        )

    def state(self) -> object:
        """Return a value that differs whenever what is judged of the past may."""
        return frozenset(self.caught_up), {
            name: (tuple(found), self.missing(name) > 0) for name, found in self.members.items()
        }

    def missing(self, name: str) -> int:
        """Return how many moments of a member a restarted operator has to read yet."""
        found = self.members.get(name, {})
        return 0 if name in self.caught_up else sum(at not in found for at in self.moments)

    def known_of_all(
        self, present: Mapping[str, MemberEvidence]
    ) -> dict[int, Mapping[str, MemberEvidence]]:
        """Return the moments at which every member of `present` is known, or was not there yet."""
        return known_of_all(self.moments, self.members, present)

    async def _read(self, trial: Trial, rollout: RolloutStatus, member: Member) -> None:
        found = self.members.setdefault(member.name, {})
        missing = [moment for moment in reversed(self.moments) if moment not in found]
        if member.name in self.caught_up:
            missing = missing[:MOMENTS_PER_LOOK]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for moment in missing:
                    found[moment] = await _at(trial, rollout, member, moment)
            self.caught_up.add(member.name)
        except (EvidenceUnavailable, TimeoutError) as error:
            log.debug("member %s: a moment of the past was not read: %s", member.name, error)
            self.tries[member.name] += 1
            if self.tries[member.name] == CATCH_UP_LOOKS and member.name not in self.caught_up:
                log.warning("member %s: earlier moments cannot be read: %s", member.name, error)
                self.caught_up.add(member.name)


def trial_window(rollout: RolloutStatus, now: datetime.datetime) -> float:
    """Return how many seconds back from `now` hold everything that was served in the rollout."""
    return (now - rollout.started_at).total_seconds() + WINDOW_MARGIN_SECONDS


async def _at(
    trial: Trial, rollout: RolloutStatus, member: Member, moment: int
) -> MemberEvidence | None:
    """Return what a member said at one moment; raise `EvidenceUnavailable` if it may say it yet."""
    at = rollout.evidence_since.timestamp() + moment
    window = moment + WINDOW_MARGIN_SECONDS
    try:
        said = await member.evidence(trial, window, at)
    except EvidenceUnavailable as error:
        if error.reason in _TRY_AGAIN:
            raise
        return None
    return said.coarser(COARSENING)
