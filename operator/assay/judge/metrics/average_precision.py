"""Average precision, the area under the precision-recall curve, from score histograms.

Cells: positives per bin, then negatives per bin, ascending score. The positives of a bin stand among
half of the bin's negatives, and the sum over positives is an integral: a bin with p of P positives,
A positives above it and M negatives above or half of its own gives

    1/P * integral from A to A + p of a / (a + M) da = (p - M ln(1 + p / (A + M))) / P .

A function of the shares alone, therefore, which scikit-learn's sum is not: that counts every
positive as seen by itself, an excess that falls with the rows. For one order of the rows it is at
most (1/2 + ln(4P)/8) / P: precision is concave in a, so each term exceeds its integral by at most half
its step, which is at most 1 / (4i - 3) for the i-th positive. The same excess makes small samples look
better: at a true value of .162 (10 % positives) scikit-learn's mean over samples of 30 positives is
.190 and this one's .179; of 300 .168 and .166. So arms of different sizes compare better without it.

What bins hide. Precision is convex in the negatives above, so the value is nearer to that of the
worst order within bins than to that of the best: `half_width` is the distance to the best, and
bounds both. Hence ``|value - average_precision_score| <= half_width + (1/2 + ln(4P)/8) / P``.
Merging bins in pairs changes the value by three times the error that is left, as with AUC; the
larger change of the two ways to pair is the credible bound.

Reference: Boyd, Eng, Page, Area under the precision-recall curve (2013).
"""

import math
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from assay.judge.metrics.metric import Floats
from assay.judge.metrics.ranking import Ranked, Ranking, halves
from assay.judge.verdict import Average, MetricSpec, MultiClass

POSITIVES = 30
NEGATIVES = 20
"""What each arm needs."""

_NOTHING = 1e-200
"""Stands for no rows above, where a logarithm is multiplied by no negatives."""


@dataclass(frozen=True)
class Precision(Ranked):
    """Average precision of one class's score."""

    needs = (POSITIVES, NEGATIVES)

    @override
    def value(self, cells: Floats) -> Floats:
        return _value(*halves(cells), within=0.5)

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        """Influence through the row's own bin and through the precision of all bins below."""
        positives, negatives = halves(shares)
        above, over = _above(positives, 0.0), _above(negatives, 0.5)
        base = np.maximum(above + over, _NOTHING)
        full = np.maximum(above + positives + over, _NOTHING)
        by_above = over * positives / full / base
        by_over = by_above - np.log1p(positives / base)
        held = positives.sum(axis=-1)[..., None]
        result = np.empty_like(shares)
        middle = positives.shape[-1]
        value = self.value(shares)[..., None]
        result[..., :middle] = (1.0 - over / full + _below(by_above) - value) / held
        result[..., middle:] = (0.5 * by_over + _below(by_over)) / held
        return result

    @override
    def least_square(self, effective: Floats) -> Floats:
        """As if one more positive stood half-way, and one more negative above half the positives.

        The latter takes ln(2) / P off the value. A perfect ranking has no variance of its own.
        """
        positives, negatives = (np.maximum(1.0, half.sum(axis=-1)) for half in halves(effective))
        by_negative = math.log(2.0) ** 2 * negatives / positives**2
        return np.stack([0.25 / positives, by_negative], axis=-1)

    @override
    def half_width(self, shares: Floats) -> Floats:
        positives, negatives = halves(shares)
        best = _value(positives, negatives, within=0.0)
        result: Floats = np.maximum(0.0, best - _value(positives, negatives, within=0.5))
        return result

    @override
    def resolution(self, shares: Floats) -> Floats:
        bins = halves(shares)
        fine = self.value(shares)
        changes = [
            np.abs(_value(*(_paired(half, first) for half in bins), within=0.5) - fine)
            for first in (0, 1)
        ]
        return np.minimum(np.maximum(*changes), self.half_width(shares))


class AveragePrecision(Ranking):
    """Average precision, as scikit-learn's ``average_precision_score``."""

    def __init__(self, spec: MetricSpec) -> None:
        if spec.average is not Average.BINARY and spec.multi_class is MultiClass.ONE_VS_ONE:
            msg = f"multiClass: {spec.multi_class.value} is not known for {spec.type}"
            raise ValueError(msg)
        super().__init__(spec, "average precision", Precision)


def _value(positives: Floats, negatives: Floats, *, within: float) -> Floats:
    """Average precision when the part `within` of a bin's negatives is above its positives."""
    above, over = _above(positives, 0.0), _above(negatives, within)
    missed = np.vecdot(over, np.log1p(positives / np.maximum(above + over, _NOTHING)))
    held, rest = positives.sum(axis=-1), negatives.sum(axis=-1)
    result: Floats = 1.0 - missed / np.where(rest > 0.0, held, np.nan)
    return np.where(held > 0.0, result, np.nan)


def _above(rows: Floats, within: float) -> Floats:
    """Rows in the bins above each one, and a part of its own."""
    above: Floats = np.cumsum(rows[..., ::-1], axis=-1)[..., ::-1]
    return above - (1.0 - within) * rows


def _below(values: Floats) -> Floats:
    """Add up the bins below each one."""
    result: Floats = np.cumsum(values, axis=-1) - values
    return result


def _paired(rows: Floats, first: int) -> Floats:
    """Merge neighbouring bins in pairs, from the first bin or from the second."""
    bins = rows.shape[-1]
    padded = np.zeros((*rows.shape[:-1], (bins + first + 1) // 2, 2))
    padded.reshape(*rows.shape[:-1], -1)[..., first : first + bins] = rows
    result: Floats = padded[..., 0] + padded[..., 1]
    return result
