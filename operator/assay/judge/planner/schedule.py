"""The steps of a planned trial, counted in labelled rows instead of seconds.

A step lasts at least `min_seconds`, and until every metric is past its burn-in as far as labels have
come back; the last one waits for the verdict. Strata are by step and by the time of the request, so
rows are counted from the requests, and labels are `label_age` later.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A share of the traffic for the canary, in (0, 1), for at least some seconds."""

    share: float
    min_seconds: float = 0.0


@dataclass(frozen=True)
class Segment:
    """One step.

    Attributes
    ----------
    start, end
        Labelled rows of both arms before it and at its end; the last one ends at infinity.
    canary, stable
        Shares of the rows that each version predicts; both 1 with shadow traffic.
    canary_before, stable_before
        Rows that each version had at `start`.
    min_seconds
        As asked.
    """

    start: float
    end: float
    canary: float
    stable: float
    canary_before: float
    stable_before: float
    min_seconds: float

    def rows_until(self, rows: tuple[float, float]) -> float:
        """Rows of both arms when (canary, stable) have that many; `start` if they had before."""
        more = (
            (rows[0] - self.canary_before) / self.canary,
            (rows[1] - self.stable_before) / self.stable,
        )
        return self.start + max(0.0, *more)


def schedule(
    steps: Sequence[Step],
    label_rate: float,
    label_age: float,
    burn_ins: Sequence[tuple[float, float]],
) -> tuple[Segment, ...]:
    """Lay out the steps of a trial.

    Parameters
    ----------
    steps
        In order; none stands for shadow traffic, which both versions predict.
    label_rate
        Labelled rows per second over both arms.
    label_age
        Seconds from a request to its label.
    burn_ins
        Rows of (canary, stable) that each metric needs before a step may end.
    """
    if not steps:
        return (Segment(0.0, math.inf, 1.0, 1.0, 0.0, 0.0, 0.0),)
    segments: list[Segment] = []
    rows = canary = stable = 0.0
    for place, step in enumerate(steps):
        shares = step.share, 1.0 - step.share
        segment = Segment(rows, math.inf, *shares, canary, stable, step.min_seconds)
        if place < len(steps) - 1:
            known = max(segment.rows_until(each) for each in burn_ins)
            seen = known + label_age * label_rate if known > rows else rows
            end = max(rows + step.min_seconds * label_rate, seen)
            segment = Segment(rows, end, *shares, canary, stable, step.min_seconds)
            canary += (end - rows) * shares[0]
            stable += (end - rows) * shares[1]
            rows = end
        segments.append(segment)
    return tuple(segments)
