"""Metrics of the confusion matrix: accuracy, precision, recall and F1, and what mistakes cost.

The ratio of one class and its influence function are the judge's own (`assay.judge.metrics`); here
are the averages over classes, in scikit-learn's way: a ratio without a denominator counts as 0.

Influence: by how much a figure would change per unit of share of the rows in a cell, (K, K). The
variance of the figure over n rows is the variance of the rows' influence, divided by n.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.judge.metrics.binary_ratio import BinaryRatio
from assay.judge.metrics.ratios import collapsed
from assay.judge.verdict import Average
from assay_workbench import intervals
from assay_workbench.figure import Figure, Key
from assay_workbench.intervals import Interval

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Ratio(enum.StrEnum):
    """A ratio of one class; the weights of its true and predicted rows are in `_WEIGHTS`."""

    PRECISION = "Precision"
    RECALL = "Recall"
    F1 = "F1"


_WEIGHTS = {Ratio.PRECISION: (0.0, 1.0), Ratio.RECALL: (1.0, 0.0), Ratio.F1: (1.0, 1.0)}
_WITHOUT = {
    Ratio.PRECISION: "no row is predicted to be of the class",
    Ratio.RECALL: "no row is of the class",
    Ratio.F1: "no row is of the class or predicted so",
}


@dataclass(frozen=True, eq=False)
class Smooth:
    """A figure as a function of the confusion matrix: its value and its influence, (K, K)."""

    value: float
    influence: Floats

    def variance(self, shares: Floats, rows: float) -> float:
        """Variance over rows that fall into the cells by `shares` (K, K)."""
        mean = float((shares * self.influence).sum())
        return float((shares * (self.influence - mean) ** 2).sum()) / rows


def of_class(ratio: Ratio, matrix: Floats, place: int) -> Smooth:
    """Return the ratio of one class from counts or shares (K, K); NaN if it has none."""
    component = BinaryRatio(ratio.value, *_WEIGHTS[ratio])
    shares = matrix / matrix.sum()
    cells = collapsed(shares, place)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(component.value(cells))
        by_cell = component.gradient(cells, cells)
    own = (np.arange(len(matrix)) == place).astype(np.intp)
    return Smooth(value, by_cell[2 * own[:, None] + own])


def averaged(ratio: Ratio, matrix: Floats, average: Average) -> Smooth:
    """Return the mean over the classes that were seen or predicted, weighted by their rows or not."""
    size = len(matrix)
    shares = matrix / matrix.sum()
    true = shares.sum(axis=1)
    used = np.nonzero(true + shares.sum(axis=0) > 0.0)[0]
    each = [of_class(ratio, matrix, int(place)) for place in used]
    values = np.nan_to_num([one.value for one in each])
    gradients = np.array(
        [one.influence if one.value == one.value else np.zeros((size, size)) for one in each]
    )
    if average is Average.MACRO:
        return Smooth(float(values.mean()), gradients.mean(axis=0))
    weights = true[used]
    value = float(weights @ values)
    influence = np.tensordot(weights, gradients, axes=1)
    # A row of a class also makes the class's ratio weigh more.
    influence[used] += (values - value)[:, None]
    return Smooth(value, influence)


def accuracy(matrix: Floats) -> Smooth:
    """Return the share of correct rows."""
    correct = np.eye(len(matrix))
    value = float(np.trace(matrix) / matrix.sum())
    return Smooth(value, correct - value)


def mean_cost(matrix: Floats, costs: Floats) -> Smooth:
    """Return the mean cost of a row; `costs` (K, K) by true and predicted class."""
    value = float((matrix * costs).sum() / matrix.sum())
    return Smooth(value, costs - value)


def pair_of_costs(size: int, positive: int, false_positive: float, false_negative: float) -> Floats:
    """Return what mistakes of one class against all others cost, (K, K)."""
    costs = np.zeros((size, size))
    costs[:, positive] = false_positive
    costs[positive, :] = false_negative
    costs[positive, positive] = 0.0
    return costs


def difference_variance(
    model: Smooth, baseline: Smooth, outcomes: Counts, pseudo: float = 0.125
) -> float:
    """Variance of the difference of two models on the same rows.

    Parameters
    ----------
    outcomes
        Rows by true class, the model's and the baseline's prediction, (K, K, K).
    pseudo
        Rows added to each of them, as the judge does for pairs: models that never differed yet may
        still do so.
    """
    rows = outcomes + pseudo
    shares = rows / rows.sum()
    moved = model.influence[:, :, None] - baseline.influence[:, None, :]
    mean = float((shares * moved).sum())
    return float((shares * (moved - mean) ** 2).sum()) / float(outcomes.sum())


def smooth_figures(
    matrix: Counts, classes: tuple[str, ...], positive: int | None, costs: Floats | None
) -> dict[Key, Smooth]:
    """Return value and influence of every figure of a confusion matrix, by `Figure.key`."""
    counts = matrix.astype(np.float64)
    found: dict[Key, Smooth] = {("Accuracy", None, None, None): accuracy(counts)}
    for ratio in Ratio:
        for place, name in enumerate(classes):
            one = of_class(ratio, counts, place)
            found[ratio.value, None, name, None] = one
            if place == positive:
                found[ratio.value, Average.BINARY, name, None] = one
        found[ratio.value, Average.MICRO, None, None] = accuracy(counts)
        for average in (Average.MACRO, Average.WEIGHTED):
            found[ratio.value, average, None, None] = averaged(ratio, counts, average)
    if costs is not None:
        found["Cost", None, None, None] = mean_cost(counts, costs)
    return found


def figures(
    matrix: Counts,
    classes: tuple[str, ...],
    positive: int | None,
    costs: Floats | None,
    confidence: float,
) -> list[Figure]:
    """Return all figures of a confusion matrix, rows true classes, columns predicted ones."""
    counts = matrix.astype(np.float64)
    rows, true = float(counts.sum()), counts.sum(axis=1)
    rarest = float(true[true > 0.0].min())
    found = []
    for key, smooth in smooth_figures(matrix, classes, positive, costs).items():
        metric, average, of, _ = key
        if of is not None:
            place = classes.index(of)
            found.append(_of_class(Ratio(metric), counts, place, of, average, confidence))
            continue
        if metric == "Cost":
            variance = smooth.variance(counts / rows, rows)
            interval = intervals.normal(smooth.value, variance, confidence, least=0.0)
        elif average in {Average.MACRO, Average.WEIGHTED}:
            variance = smooth.variance(counts / rows, rows)
            interval = intervals.logit_interval(smooth.value, variance, rarest, confidence)
        else:
            interval = intervals.wilson(float(np.trace(counts)), rows, confidence)
        found.append(Figure(metric, smooth.value, interval, average))
    return found


def _of_class(
    ratio: Ratio,
    counts: Floats,
    place: int,
    name: str,
    average: Average | None,
    confidence: float,
) -> Figure:
    hits = float(counts[place, place])
    missed = float(counts[place].sum()) - hits
    alarms = float(counts[:, place].sum()) - hits
    errors = {Ratio.PRECISION: alarms, Ratio.RECALL: missed, Ratio.F1: alarms + missed}[ratio]
    if hits + errors == 0.0:
        return Figure(ratio.value, None, None, average, name, why=_WITHOUT[ratio])
    made = intervals.wilson_f1 if ratio is Ratio.F1 else _wilson
    value = of_class(ratio, counts, place).value
    return Figure(ratio.value, value, made(hits, errors, confidence), average, name)


def _wilson(hits: float, errors: float, confidence: float) -> Interval:
    return intervals.wilson(hits, hits + errors, confidence)
