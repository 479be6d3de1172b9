"""The mean of a ratio over classes: macro and weighted precision, recall and F-beta.

Its gradient keeps what classes share (a row that leaves one class enters another), so the variance
is that of the mean itself and no bound of it.
"""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from assay.judge import reasons
from assay.judge.metrics.binary_ratio import ratio_spread
from assay.judge.metrics.burn_in import SUCCESSES, TRIALS, at_least, enough, rows
from assay.judge.metrics.metric import Bools, Component, Floats, Guards, NoValue
from assay.judge.metrics.tables import flat


@dataclass(frozen=True)
class ClassRatio(Component):
    """The mean ratio over classes. Cells: the K x K confusion matrix, row by row.

    A class that only one arm has seen has no value in the other: then neither has the mean.

    Attributes
    ----------
    true, predicted
        Weights u and v of a class's true and predicted rows.
    labels
        The K classes.
    used
        Places of those that the mean is over: where the ratio can have a value in some arm.
    weighted
        Whether classes count by their rows.
    """

    name: str
    true: float
    predicted: float
    labels: tuple[str, ...]
    used: tuple[int, ...]
    weighted: bool

    @override
    def value(self, cells: Floats) -> Floats:
        hits, truly, denominator = self._sums(self._matrix(cells))
        ratios = (self.true + self.predicted) * hits / denominator
        if self.weighted:
            # A class without rows has no say, whether or not its ratio has a value.
            parts = np.where(truly > 0.0, truly * ratios, 0.0)
            result: Floats = parts.sum(axis=-1) / truly.sum(axis=-1)
            return result
        mean: Floats = ratios.mean(axis=-1)
        return mean

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        matrix = self._matrix(shares)
        hits, truly, denominator = self._sums(matrix)
        both = self.true + self.predicted
        ratios = both * hits / denominator
        # What one unit of a class's ratio is worth in the mean.
        total = shares.sum(axis=-1, keepdims=True)
        worth = truly / total if self.weighted else np.full_like(truly, 1.0 / len(self.used))
        per_row = worth / denominator
        of_row = -self.true * ratios * per_row
        if self.weighted:
            of_row += (ratios - (worth * ratios).sum(axis=-1, keepdims=True)) / total
        result = np.zeros_like(matrix)
        places = np.array(self.used)
        result[..., places, :] += of_row[..., :, None]
        result[..., :, places] -= (self.predicted * ratios * per_row)[..., None, :]
        result[..., places, places] += both * per_row
        return flat(result)

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        """Ask every class for ten correct rows in each arm.

        To go back it is also enough that the canary had the rows: a canary that never finds a class
        would otherwise be held for ever.
        """
        correct, _ = self._seen(stable)
        found, relevant = self._seen(canary)
        base, caught = at_least(correct, SUCCESSES), at_least(found, SUCCESSES)
        had = caught | at_least(relevant, TRIALS)
        rollback: Bools = np.logical_and.reduce(base & had, axis=-1)
        promote: Bools = np.logical_and.reduce(base & caught, axis=-1)
        return Guards(promote, rollback, np.zeros_like(promote))

    @override
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        for arm, cells in (("stable", stable), ("the canary", canary)):
            correct, _ = self._seen(cells)
            rarest = int(np.argmin(correct))
            if not enough(correct[rarest], SUCCESSES):
                return reasons.RARE_CLASS, (
                    f"{arm} has {rows(float(correct[rarest]))} correct rows of class "
                    f"{self.labels[self.used[rarest]]!r}, {SUCCESSES} are needed"
                )
        return "", ""

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        _, _, denominator = self._sums(self._matrix(cells))
        if cells.sum() > 0.0:
            rare = self.labels[self.used[int(np.argmin(denominator))]]
            return NoValue(
                reasons.RARE_CLASS,
                f"{self.name} of the {arm} has no value: it has none for class {rare!r} yet",
            )
        return NoValue(
            reasons.METRIC_UNDEFINED,
            f"{self.name} of the {arm} has no value: no predictions have been compared with labels",
        )

    @override
    def pseudo(self, size: int) -> Floats:
        """One row per class, half of it correct and half of it spread over the errors."""
        classes = len(self.labels)
        result = np.zeros((classes, classes))
        places = np.array(self.used)
        result[places] = 0.5 / max(1, classes - 1)
        result[places, places] = 0.5
        return result.ravel()

    @override
    def spread(self, value: Floats) -> Floats:
        return ratio_spread(value, balanced=self.true > 0.0 and self.predicted > 0.0)

    def _matrix(self, cells: Floats) -> Floats:
        return cells.reshape(*cells.shape[:-1], len(self.labels), len(self.labels))

    def _sums(self, matrix: Floats) -> tuple[Floats, Floats, Floats]:
        """Return true positives, true rows and the denominator of the used classes, (..., used)."""
        places = list(self.used)
        hits = np.diagonal(matrix, axis1=-2, axis2=-1)[..., places]
        truly = matrix.sum(axis=-1)[..., places]
        return hits, truly, self.true * truly + self.predicted * matrix.sum(axis=-2)[..., places]

    def _seen(self, cells: Floats) -> tuple[Floats, Floats]:
        """Return correct rows, and rows that are of the class or predicted so, (..., used)."""
        matrix = self._matrix(cells)
        places = list(self.used)
        hits = np.diagonal(matrix, axis1=-2, axis2=-1)[..., places]
        around = (matrix.sum(axis=-1) + matrix.sum(axis=-2))[..., places]
        return hits, around - hits
