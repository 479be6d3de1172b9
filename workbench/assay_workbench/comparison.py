"""Two models on the same rows: differences by pairs, and McNemar's test.

What is hard for one model is hard for the other too, so a difference is known far better than two
figures of separate rows would tell. Its variance is that of the rows' difference of influence, as in
the judge's `judge_pairs` (docs/statistics.md).

References: McNemar (1947), in its exact form; DeLong et al. (1988) for paired ROC curves.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from assay_workbench import confusion, intervals
from assay_workbench.figure import LOSSES, Figure, Key
from assay_workbench.intervals import Interval

Counts = NDArray[np.int64]


class Reading(enum.StrEnum):
    """What the interval of a difference says."""

    BETTER = "Better"
    WORSE = "Worse"
    UNDECIDED = "Undecided"
    """Zero is inside: no difference is shown, which does not show that there is none."""
    SAME = "Same"
    """No row tells the two apart by this figure."""


@dataclass(frozen=True)
class Difference:
    """One figure of the model less that of the baseline.

    Attributes
    ----------
    model, baseline
        The figures of both.
    interval
        Wider by `hidden` on both sides.
    hidden
        By how much score bins may have shifted the difference at the most; 0 where it is exact.
    """

    model: Figure
    baseline: Figure
    value: float
    interval: Interval
    hidden: float

    @property
    def reading(self) -> Reading:
        """What it says."""
        if self.interval.lower == self.interval.upper == 0.0:
            return Reading.SAME
        if self.interval.lower <= 0.0 <= self.interval.upper:
            return Reading.UNDECIDED
        better = (self.value > 0.0) != (self.model.metric in LOSSES)
        return Reading.BETTER if better else Reading.WORSE


@dataclass(frozen=True)
class McNemar:
    """Rows that only one of the models had right, and the exact two-sided p value."""

    only_model: int
    only_baseline: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """The model against the baseline."""

    differences: tuple[Difference, ...]
    mcnemar: McNemar


def mcnemar(outcomes: Counts) -> McNemar:
    """Test whether both models are right equally often; `outcomes` (K, K, K) as in `compare`."""
    classes = np.arange(len(outcomes))
    right = outcomes[classes, classes, :].sum()
    both = int(outcomes[classes, classes, classes].sum())
    only_model = int(right) - both
    only_baseline = int(outcomes[classes, :, classes].sum()) - both
    differ = only_model + only_baseline
    p = float(binomtest(only_model, differ).pvalue) if differ else 1.0
    return McNemar(only_model, only_baseline, p)


def compare(
    model: Sequence[Figure],
    baseline: Sequence[Figure],
    variances: Mapping[Key, float],
    outcomes: Counts,
    confidence: float,
) -> Comparison:
    """Compare the figures of two models.

    Parameters
    ----------
    variances
        Of the paired differences, by `Figure.key`; figures without one are not compared.
    outcomes
        Rows by true class, the model's and the baseline's prediction, (K, K, K).
    """
    known = {figure.key: figure for figure in baseline}
    found = []
    for figure in model:
        other = known.get(figure.key)
        variance = variances.get(figure.key)
        if variance is None or other is None or figure.value is None or other.value is None:
            continue
        value = figure.value - other.value
        hidden = figure.hidden + other.hidden
        interval = intervals.normal(value, variance, confidence)
        wide = Interval(interval.lower - hidden, interval.upper + hidden, interval.kind)
        found.append(Difference(figure, other, value, wide, hidden))
    return Comparison(tuple(found), mcnemar(outcomes))


def variances_by_outcome(
    outcomes: Counts,
    classes: tuple[str, ...],
    positive: int | None,
    costs: NDArray[np.float64] | None,
) -> dict[Key, float]:
    """Return the variances of the differences of all figures of the confusion matrices."""
    model, baseline = (
        confusion.smooth_figures(outcomes.sum(axis=axis), classes, positive, costs)
        for axis in (2, 1)
    )
    return {
        key: confusion.difference_variance(one, baseline[key], outcomes)
        for key, one in model.items()
        if np.isfinite(one.influence).all() and np.isfinite(baseline[key].influence).all()
    }
