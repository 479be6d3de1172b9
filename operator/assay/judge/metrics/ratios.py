"""Accuracy, precision, recall and F-beta: ratios of rows in the confusion matrix.

One formula for all that look at a class k, with weights u of its true and v of its predicted rows:
``m_k = (u + v) TP_k / (u true_k + v predicted_k)``. Precision is (u, v) = (0, 1), recall (1, 0),
F1 (1, 1), F-beta (beta^2, 1).
"""

import functools
from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.metrics.binary_ratio import AccuracyComponent, BinaryRatio
from assay.judge.metrics.class_ratio import ClassRatio
from assay.judge.metrics.metric import Floats, Metric, NoValue, Reading
from assay.judge.metrics.positive import counted_class
from assay.judge.metrics.tables import confusion_table, flat
from assay.judge.verdict import Average, MetricSpec


class Accuracy(Metric):
    """The share of correct rows, as scikit-learn's ``accuracy_score``."""

    def __init__(self, name: str = "accuracy") -> None:
        self.name = name

    @override
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        return (confusion_table(arms).reading(AccuracyComponent(self.name), _correct),)


class Ratio(Metric):
    """Precision, recall or F-beta, as scikit-learn's ``fbeta_score`` and its kin.

    Binary is the ratio of the positive class, Macro and Weighted are means over the classes.
    """

    def __init__(self, spec: MetricSpec, name: str, true: float, predicted: float) -> None:
        binary = spec.average is Average.BINARY
        self.name = name if binary else f"{spec.average.value.lower()} {name}"
        self._spec = spec
        self._weights = true, predicted
        self._binary = BinaryRatio(self.name, true, predicted)

    @override
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        if self._spec.average is Average.BINARY:
            place = arms[0].labels.index(counted_class(arms, self._spec.positive_label))
            table = confusion_table(arms)
            return (table.reading(self._binary, lambda cells: collapsed(cells, place)),)
        table = confusion_table(arms)
        truly, predicted = table.cells.sum(axis=(0, 2)), table.cells.sum(axis=(0, 1))
        kept = np.nonzero(truly + predicted > 0.0)[0]
        if kept.size == 0:
            raise NoValue(
                reasons.METRIC_UNDEFINED,
                f"{self.name} has no value: no predictions have been compared with labels",
            )
        # A class that was predicted and never true has no recall, but makes errors of others' rows.
        counts = self._weights[0] * truly + self._weights[1] * (truly + predicted)
        used = tuple(int(place) for place in np.nonzero(counts[kept] > 0.0)[0])
        several = ClassRatio(
            self.name,
            *self._weights,
            labels=tuple(arms[0].labels[place] for place in kept),
            used=used,
            weighted=self._spec.average is Average.WEIGHTED,
        )
        return (
            table.reading(several, lambda cells: flat(cells[..., kept[:, None], kept[None, :]])),
        )


def ratio(spec: MetricSpec, name: str, true: float, predicted: float) -> Metric:
    """Make the metric; averaged over all rows (Micro) each of them is accuracy.

    With one label and one prediction per row, every false positive of a class is another's false
    negative.
    """
    if spec.average is Average.MICRO:
        return Accuracy(f"micro {name}")
    return Ratio(spec, name, true, predicted)


def collapsed(matrix: Floats, place: int) -> Floats:
    """Collapse confusion matrices (..., K, K) to the class at `place` against all others.

    Cells (..., 4): true negatives, false positives, false negatives, true positives.
    """
    cells: Floats = flat(matrix) @ _membership(matrix.shape[-1], place)
    return cells


@functools.lru_cache(maxsize=256)
def _membership(size: int, place: int) -> Floats:
    """To which of the four cells a true and a predicted class belong, (size^2, 4)."""
    own = np.arange(size) == place
    cells: Floats = np.eye(4)[(2 * own[:, None] + own).ravel()]
    cells.setflags(write=False)
    return cells


def _correct(matrix: Floats) -> Floats:
    hits = np.trace(matrix, axis1=-2, axis2=-1)
    return np.stack([hits, matrix.sum(axis=(-2, -1)) - hits], axis=-1)
