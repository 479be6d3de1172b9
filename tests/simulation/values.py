"""Metrics of cell counts or shares (..., C), written anew: the oracle does not trust the judge.

Layouts: binary confusion cells are (tn, fp, fn, tp); score cells are the positives per bin, then
the negatives per bin; K x K confusion matrices are flattened by rows (true class first).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Floats = npt.NDArray[np.float64]
Value = Callable[[Floats], Floats]


def f1(cells: Floats) -> Floats:
    """Binary F1; NaN without any positive or predicted positive row."""
    return _ratio(2.0 * cells[..., 3], 2.0 * cells[..., 3] + cells[..., 1] + cells[..., 2])


def auc(cells: Floats) -> Floats:
    """ROC AUC, ties by half; NaN with one class only."""
    positive, negative = halves(cells)
    below = np.cumsum(negative, axis=-1) - 0.5 * negative
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    return _ratio((positive * below).sum(axis=-1), pairs)


def accuracy(cells: Floats) -> Floats:
    """Share of (correct, wrong) that is correct."""
    return _ratio(cells[..., 0], cells.sum(axis=-1))


def macro_f1(cells: Floats) -> Floats:
    """Mean F1 of the classes."""
    return _f1_by_class(_square(cells)).mean(axis=-1)


def weighted_f1(cells: Floats) -> Floats:
    """Mean F1 of the classes by their rows."""
    matrix = _square(cells)
    rows = matrix.sum(axis=-1)
    return (_f1_by_class(matrix) * rows).sum(axis=-1) / rows.sum(axis=-1)


def average_precision(cells: Floats) -> Floats:
    """Area under the precision-recall curve, the limit of average precision for many rows.

    A bin's positives stand among half of its negatives.
    """
    positive, negative = (half[..., ::-1] for half in halves(cells))
    above = np.cumsum(positive, axis=-1) - positive
    over = np.cumsum(negative, axis=-1) - 0.5 * negative
    missed = over * np.log1p(positive / np.maximum(above + over, 1e-300))
    return 1.0 - _ratio(missed.sum(axis=-1), positive.sum(axis=-1))


def binned_loss(loss: Value) -> Value:
    """Make the mean loss, taken as negative, of score cells uniform in log-odds on [-12, 12]."""

    def value(cells: Floats) -> Floats:
        bins = cells.shape[-1] // 2
        centres = (np.arange(bins) + 0.5) * (24.0 / bins) - 12.0
        losses = np.concatenate([loss(centres), loss(-centres)])
        return -(cells @ losses) / cells.sum(axis=-1)

    return value


log_loss = binned_loss(lambda odds: np.logaddexp(0.0, -odds))
brier = binned_loss(lambda odds: expit(-odds) ** 2)


def f1_variance(cells: Floats) -> Floats:
    """Delta-method variance of binary F1 of counts, without any correction."""
    hits, errors = cells[..., 3], cells[..., 1] + cells[..., 2]
    value = f1(cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (value * (1.0 - value)) ** 2 * (1.0 / hits + 1.0 / errors)


def auc_variance(cells: Floats) -> Floats:
    """DeLong's variance of AUC of counts, without any correction."""
    positive, negative = halves(cells)
    positives = positive.sum(axis=-1, keepdims=True)
    negatives = negative.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = (np.cumsum(negative, axis=-1) - 0.5 * negative) / negatives
        above = 1.0 - (np.cumsum(positive, axis=-1) - 0.5 * positive) / positives
        value = ((positive * below).sum(axis=-1) / positives[..., 0])[..., None]
        spread = (positive * (below - value) ** 2).sum(axis=-1)
        other = (negative * (above - value) ** 2).sum(axis=-1)
        positives, negatives = positives[..., 0], negatives[..., 0]
        return spread / (positives * (positives - 1.0)) + other / (negatives * (negatives - 1.0))


def halves(cells: Floats) -> tuple[Floats, Floats]:
    """Positives and negatives per bin."""
    middle = cells.shape[-1] // 2
    return cells[..., :middle], cells[..., middle:]


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0.0, above / below, np.nan)


def _square(cells: Floats) -> Floats:
    size = round(cells.shape[-1] ** 0.5)
    return cells.reshape(*cells.shape[:-1], size, size)


def _f1_by_class(matrix: Floats) -> Floats:
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    return _ratio(2.0 * hits, matrix.sum(axis=-1) + matrix.sum(axis=-2))
