"""How simulated trials ended, and what that amounts to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrivals import Ints
from .model import Floats

OPEN, PROMOTED, ROLLED_BACK, INCONCLUSIVE = range(4)
"""Ends. Inconclusive is a rollback too: there was no verdict within maxSeconds."""

ENDS = ("open", "promoted", "rolledBack", "inconclusive")
"""Their names, by code. Open are only trials of a simulation that was stopped."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The ends of R trials of one canary.

    Attributes
    ----------
    end
        Index into `ENDS`, (R,).
    seconds
        From the start of the trial to its end, (R,).
    labels
        Labelled rows of both versions by then, (R,).
    exposed
        Requests that the canary answered by then, (R,).
    steps
        Seconds that each step lasted, NaN for those that were not reached; (R, steps).
    """

    end: Ints
    seconds: Floats
    labels: Floats
    exposed: Floats
    steps: Floats

    @classmethod
    def joined(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """Return all trials of several simulations of the same canary."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("end", "seconds", "labels", "exposed", "steps")
            )
        )

    def share(self, *ends: int) -> float:
        """Return the share of the trials that ended so."""
        return float(np.isin(self.end, ends).mean())

    def decided_by(self, seconds: Floats, *ends: int) -> Floats:
        """Return the share of the trials that had ended so by each moment, (moments,)."""
        times = np.sort(self.seconds[np.isin(self.end, ends)])
        shares: Floats = np.searchsorted(times, seconds, side="right") / len(self.end)
        return shares

    def step_seconds(self) -> Floats:
        """Return the median time in each step among trials that reached it; NaN where none did."""
        reached = [column[np.isfinite(column)] for column in self.steps.T]
        return np.array([np.median(each) if each.size else np.nan for each in reached])


@dataclass(frozen=True)
class Spread:
    """Median and 90th percentile of what trials took until they ended."""

    median: float
    p90: float

    @classmethod
    def of(cls, numbers: Floats) -> "Spread | None":
        """Return them; `None` of no numbers. Both are numbers that occurred."""
        if not numbers.size:
            return None
        median, p90 = np.quantile(numbers, (0.5, 0.9), method="inverted_cdf")
        return cls(float(median), float(p90))
