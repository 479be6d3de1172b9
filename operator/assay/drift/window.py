"""What servers counted in a span of time, by feature and bin of the drift reference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DAY_SECONDS = 86_400
EARLIER_DAYS = (1, 2, 7)
"""How many days ago the same hours are looked at: a week ago, because a Monday is like a Monday."""

LEAST_SPAN_SECONDS = 60
"""A shorter present is a few scrapes, and mostly chance."""

_PARTS = (144, 72, 36, 18, 9, 4.5, 2.25, 1)


def spans(period: int) -> tuple[int, ...]:
    """Return lengths of the present in seconds; the shortest that holds enough rows is looked at.

    `period` is what the day is otherwise: the time after which traffic repeats itself, in seconds.
    """
    found = (round(period / part) for part in _PARTS)
    return tuple(span for span in found if span >= LEAST_SPAN_SECONDS) or (period,)


SPANS = spans(DAY_SECONDS)
"""Those of a day: ten minutes to a day."""

WANTED_ROWS = 2_000
"""Enough to find a shift of half a standard deviation, with room."""


@dataclass(frozen=True)
class Window:
    """Rows of one span.

    Attributes
    ----------
    counts
        Rows by feature and bin. Of the reference: training rows.
    rows
        Rows that were looked at. Where servers sample it is less than the counts add up to, and it
        is what says how much chance there is in them.
    """

    counts: Mapping[str, Mapping[str, float]]
    rows: float


@dataclass(frozen=True)
class Sight:
    """What one member's servers counted. A span that was not watched from its start is None.

    Attributes
    ----------
    day
        The last 24 hours, or whatever the period is.
    present
        The last span that is looked at.
    earlier
        The same hours of the days (periods) before, in the order of `EARLIER_DAYS`.
    """

    day: Window | None = None
    present: Window | None = None
    earlier: tuple[Window | None, ...] = (None,) * len(EARLIER_DAYS)


class Layout:
    """Which feature and bin is where in arrays of counts, shape (features, bins).

    The bins are those of the reference; features that have fewer are filled up with bins that
    nothing falls into.
    """

    def __init__(self, reference: Window) -> None:
        self.features = tuple(sorted(reference.counts))
        self._bins = [tuple(reference.counts[feature]) for feature in self.features]
        self.shape = (len(self.features), max(map(len, self._bins), default=0))

    def counts(self, window: Window) -> Values:
        """Return the counts of a window; what the reference does not know is left out."""
        array = np.zeros(self.shape)
        for line, feature, bins in zip(array, self.features, self._bins, strict=True):
            if (own := window.counts.get(feature)) is not None:
                line[: len(bins)] = [own.get(name, 0.0) for name in bins]
        return array


def fitting_span(rows: float, seconds: float, period: int = DAY_SECONDS) -> int:
    """Return the span to look at next, if `rows` came in the last `seconds`."""
    found = spans(period)
    for span in found:
        if rows * span >= WANTED_ROWS * seconds:
            return span
    return found[-1]
