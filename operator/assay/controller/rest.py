"""What a look that changed nothing leaves to the next ones, most of which need no more than that.

Theory of operation
-------------------
What a look depends on tells when it changes. The hub and the members do so by their watches, members
and ClusterProfiles by their state, placement by its reservations: each wakes the worker, who then
forgets the rest. Two things tell nothing. Prometheus is asked at every look of a trial, and what it
says is compared with what it said. Time is known before: a decision says for how long it holds, and
so do receipt keys, numbers that wait to be written, and what is looked at in members now and then.

So a look at a thousand trials in which nothing happens asks, compares, and sleeps again. Nothing is
left out because of it: whatever is not the same ends the rest, and the look goes on as any other.
"""

import datetime
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from .history import History
from .hub import Deployment
from .reading import Reading, read

REST_SECONDS = 3600.0
"""Everything is looked at this often although nothing seems to change."""


@dataclass(frozen=True)
class Rest:
    """A look that found everything as it should be, and wrote nothing.

    Attributes
    ----------
    item
        As the hub held it.
    said
        What the members' Prometheus said.
    pace
        Seconds between two questions to Prometheus; None: nothing is on trial.
    due
        When time alone may change something, or something in a member is to be looked at that is
        not watched (`time.monotonic`).
    """

    item: Deployment
    said: Reading
    pace: float | None
    due: float

    @classmethod
    def from_now(
        cls,
        item: Deployment,
        said: Reading,
        pace: float | None,
        holds_for: float | None,
        checks: Iterable[float],
    ) -> Self:
        """Return the rest that begins now; `holds_for` and `checks` are seconds."""
        holds_for = math.inf if holds_for is None else holds_for
        return cls(item, said, pace, time.monotonic() + min((REST_SECONDS, holds_for, *checks)))

    @property
    def over(self) -> bool:
        """Whether something is due."""
        return time.monotonic() >= self.due

    @property
    def seconds(self) -> float | None:
        """Until the next look, if nothing wakes before."""
        return sooner(self.pace, max(self.due - time.monotonic(), 0.0))

    async def asked(self, history: History, now: datetime.datetime) -> Reading:
        """Return what Prometheus says now; outside of a trial it is not asked."""
        said = self.said
        if said.rollout is None:
            return said
        return await read(self.item, said.rollout, history, said.chosen, said.leaving, now)


def sooner(*spans: float | None) -> float | None:
    """Return the shortest span; None if there is none."""
    return min((each for each in spans if each is not None), default=None)
