"""What would happen at other decision thresholds, and which one costs least.

A class is predicted iff its score is at least the threshold, as the server does.

Reference: Elkan, The foundations of cost-sensitive learning (2001): with calibrated probabilities
the cheapest threshold is cost of a false positive / (that + cost of a false negative).
"""

import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from assay_workbench.errors import WorkbenchError
from assay_workbench.ranking import ScoreCells

Floats = NDArray[np.float64]

LISTED = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds of probabilities that a table shows."""

_DIGITS = 9
"""Of a threshold in a manifest."""


@dataclass(frozen=True)
class Costs:
    """What mistakes of the positive class cost, in any unit, per row; at least one above 0."""

    false_positive: float
    false_negative: float

    @property
    def calibrated_threshold(self) -> float:
        """The cheapest threshold for calibrated probabilities."""
        return self.false_positive / (self.false_positive + self.false_negative)


def costs_of(false_positive: float | None, false_negative: float | None) -> Costs | None:
    """Return the costs that options name; `None` for none. Raises `WorkbenchError` for half of them."""
    if false_positive is None and false_negative is None:
        return None
    if false_positive is None or false_negative is None:
        raise WorkbenchError("--cost-fp and --cost-fn go together: give both")
    if false_positive == false_negative == 0.0:
        raise WorkbenchError("--cost-fp and --cost-fn are both 0: then no mistake matters")
    return Costs(false_positive, false_negative)


@dataclass(frozen=True)
class Outcome:
    """Counts at one threshold, and what follows of them; `None` where there is no value."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def rows(self) -> int:
        """All rows."""
        return (
            self.true_positives + self.false_positives + self.false_negatives + self.true_negatives
        )

    @property
    def precision(self) -> float | None:
        """Share of the rows predicted positive that are."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the positive rows that are found."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both."""
        errors = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + errors)

    @property
    def alarms(self) -> float:
        """Share of the rows that are predicted positive."""
        return (self.true_positives + self.false_positives) / self.rows

    def cost(self, costs: Costs) -> float:
        """Mean cost of a row."""
        total = (
            costs.false_positive * self.false_positives
            + costs.false_negative * self.false_negatives
        )
        return total / self.rows


class Thresholds:
    """All thresholds of one class's score."""

    def __init__(self, cells: ScoreCells) -> None:
        self._starts = cells.grid.starts
        # One more place at the end: a threshold above every score.
        self._hits = np.append(np.cumsum(cells.positives[::-1])[::-1], 0.0)
        self._alarms = np.append(np.cumsum(cells.negatives[::-1])[::-1], 0.0)

    def at(self, threshold: float) -> Outcome:
        """Return what happens at a threshold: exact if it is the start of a cell, or scores are."""
        return self._outcome(int(np.searchsorted(self._starts, threshold)), threshold)

    def spread(self, count: int = 19) -> tuple[float, ...]:
        """Return thresholds between which about equally many rows lie, for scores of any range."""
        rows = (self._hits + self._alarms)[:-1]
        wanted = rows[0] * np.arange(count, 0, -1) / (count + 1)
        # The rows at or above a cell fall along the cells.
        places = np.unique(np.searchsorted(-rows, -wanted))
        starts = self._starts[np.minimum(places, self._starts.size - 1)]
        return tuple(np.unique(starts[np.isfinite(starts)]).tolist())

    def cheapest(self, costs: Costs) -> Outcome:
        """Return the threshold with the lowest cost; of several the highest.

        It is the shortest decimal that has the same predictions, for people and manifests.
        """
        place = self._cheapest(costs)
        return self._outcome(place, self._decimal(place))

    def best_f1(self) -> Outcome:
        """Return the threshold with the largest F1; of several the highest."""
        held, total = self._hits[0], self._hits + self._alarms
        ratios = 2.0 * self._hits / np.maximum(held + total, 1e-300)
        place = _last(ratios, float(ratios.max()))
        return self._outcome(place, self._decimal(place))

    def curve(self, costs: Costs) -> tuple[Floats, Floats]:
        """Return all thresholds and the mean cost of a row at each, ascending."""
        return np.append(self._starts, np.inf), self._costs(costs)

    def roc(self) -> tuple[Floats, Floats]:
        """Return false and true positive rates from the highest threshold to the lowest."""
        return (
            self._alarms[::-1] / max(self._alarms[0], 1.0),
            self._hits[::-1] / max(self._hits[0], 1.0),
        )

    def precision_recall(self) -> tuple[Floats, Floats]:
        """Return recall and precision from the highest threshold that predicts any row to the lowest."""
        hits, alarms = self._hits[:-1][::-1], self._alarms[:-1][::-1]
        some = hits + alarms > 0.0
        hits, alarms = hits[some], alarms[some]
        return hits / max(self._hits[0], 1.0), hits / (hits + alarms)

    def _costs(self, costs: Costs) -> Floats:
        rows = self._hits[0] + self._alarms[0]
        missed = self._hits[0] - self._hits
        result: Floats = (
            costs.false_positive * self._alarms + costs.false_negative * missed
        ) / rows
        return result

    def _cheapest(self, costs: Costs) -> int:
        all_costs = self._costs(costs)
        return _last(all_costs, float(all_costs.min()))

    def _outcome(self, place: int, threshold: float) -> Outcome:
        hits, alarms = self._hits[place], self._alarms[place]
        return Outcome(
            threshold,
            int(hits),
            int(alarms),
            int(self._hits[0] - hits),
            int(self._alarms[0] - alarms),
        )

    def _decimal(self, place: int) -> float:
        """Return the shortest decimal above the cell before and not above the start of this one."""
        if place == 0:  # all rows
            return min(0.0, math.floor(self._starts[0])) if np.isfinite(self._starts[0]) else 0.0
        low = float(self._starts[place - 1])
        if place == self._starts.size:  # none
            return shortest_decimal(low, 1.0 if 0.0 <= low < 1.0 else low + 0.01 * abs(low) + 1e-6)
        return shortest_decimal(low, float(self._starts[place]))


def shortest_decimal(low: float, high: float) -> float:
    """Return the shortest decimal in (low, high], the nearest to `high`; `high` if none is short."""
    if not np.isfinite(high):
        return high
    for digits in range(_DIGITS + 1):
        found = float(
            Decimal(repr(high)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR)
        )
        if found > low:
            return found
    return high


def _last(values: Floats, wanted: float) -> int:
    """Return the last place of a value, but for rounding."""
    return int(np.nonzero(np.isclose(values, wanted, rtol=1e-12, atol=1e-15))[0][-1])


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
