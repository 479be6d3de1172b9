"""Quality without labels: rows counted by score and prediction, and what these counts amount to.

It is right while the relation of features and labels is that of the rows on which the scores were
calibrated: inputs may move (covariate shift). It cannot see that the same inputs come to mean
something else (concept drift): docs/drift.md shows both.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay_server import exposition
from assay_server.drift.divergence import Counts, Floats
from assay_server.quality import MAX_BINS, Quality

Indexes = NDArray[np.intp]

_F1 = "assay_estimated_f1"
_AUC = "assay_estimated_roc_auc"
_REFERENCE_F1 = "assay_reference_f1"
_REFERENCE_AUC = "assay_reference_roc_auc"
_ROWS = "assay_reference_labelled_rows"
_OUTCOMES = "assay_estimated_outcomes_total"
_CELLS = ("TruePositive", "FalsePositive", "FalseNegative", "TrueNegative")


class Figures(NamedTuple):
    """Estimated F1 and AUC; NaN where the rows say nothing of them."""

    f1: float
    roc_auc: float


class Estimate:
    """What served rows are worth by the calibration of their scores. K classes are watched.

    Parameters
    ----------
    quality
        From the drift reference.
    columns
        Where in the probabilities the scores of its classes are, which is also the index of the
        class among predictions.
    """

    def __init__(self, quality: Quality, columns: Sequence[int]) -> None:
        self.columns = list(columns)
        self.shape = (len(columns), 2, MAX_BINS)
        self._edges = [np.array(entry.edges) for entry in quality.classes]
        self._shares = np.zeros((len(columns), 1, MAX_BINS))
        for shares, entry in zip(self._shares, quality.classes, strict=True):
            shares[0, : len(entry.shares)] = entry.shares

    def count(self, probabilities: Floats, predicted: Indexes) -> Counts:
        """Return rows by class, whether it was predicted, and score bin, shape (K, 2, MAX_BINS).

        Parameters
        ----------
        probabilities
            Of all classes of the model, shape (n, classes).
        predicted
            Indexes of the predicted classes, shape (n,).
        """
        lines = [
            np.bincount(
                edges.searchsorted(probabilities[:, column], "left")
                + (predicted == column) * MAX_BINS,
                minlength=2 * MAX_BINS,
            )
            for edges, column in zip(self._edges, self.columns, strict=True)
        ]
        return np.array(lines, dtype=np.int64).reshape(self.shape)

    def figures(self, counts: Counts) -> Figures:
        """Return F1 and AUC of the rows in `counts`, means over the classes."""
        positives, negatives = counts * self._shares, counts * (1.0 - self._shares)
        true, false, missed = positives[:, 1], negatives[:, 1], positives[:, 0]
        right = 2.0 * true.sum(axis=1)
        f1 = _ratio(right, right + false.sum(axis=1) + missed.sum(axis=1))
        hits, others = positives.sum(axis=1), negatives.sum(axis=1)
        below = np.cumsum(others, axis=1) - others / 2.0
        pairs = hits.sum(axis=1) * others.sum(axis=1)
        return Figures(float(f1.mean()), float(_ratio((hits * below).sum(axis=1), pairs).mean()))

    def outcomes(self, counts: Counts) -> Floats:
        """Return expected rows by class and outcome, shape (K, 4), in the order of `_CELLS`."""
        # Sums of what only grows, none a difference: else rounding would make a counter fall.
        positives = (counts * self._shares).sum(axis=2)
        negatives = (counts * (1.0 - self._shares)).sum(axis=2)
        pairs = (positives[:, 1], negatives[:, 1], positives[:, 0], negatives[:, 0])
        cells: Floats = np.stack(pairs, axis=1)
        return cells


class Shown:
    """Estimates as text for Prometheus. The text of a series is made once.

    `boot` is a label of the counters: it tells processes apart.
    """

    def __init__(self, quality: Quality, labels: Mapping[str, str], boot: str) -> None:
        own = {**labels, "average": quality.average}
        self._f1, self._auc = exposition.series(_F1, own), exposition.series(_AUC, own)
        self._cells = [
            exposition.series(
                _OUTCOMES, {**labels, "boot": boot, "class": entry.of_class, "outcome": cell}
            )
            for entry in quality.classes
            for cell in _CELLS
        ]
        self._reference = "".join(
            exposition.gauges(name, help_text, {exposition.series(name, series): value})
            for name, help_text, series, value in (
                (_REFERENCE_F1, "F1 of the labelled rows of the reference.", own, quality.f1),
                (
                    _REFERENCE_AUC,
                    "Area under the ROC curve of the labelled rows of the reference.",
                    own,
                    quality.roc_auc,
                ),
                (_ROWS, "Labelled rows of the reference.", labels, quality.rows),
            )
        )

    def outcomes(self, cells: Floats) -> str:
        """Return the counters, and beside them the figures of the reference."""
        help_text = "Rows served by what they are expected to be, each class against the rest."
        values = dict(zip(self._cells, cells.ravel().tolist(), strict=True))
        return exposition.counters(_OUTCOMES, help_text, values) + self._reference

    def figures(self, figures: Figures) -> str:
        """Return the gauges, without those that nothing is known of."""
        return "".join(
            exposition.gauges(
                name, f"{what} of the last rows, estimated without labels.", {text: value}
            )
            for name, what, text, value in (
                (_F1, "F1", self._f1, figures.f1),
                (_AUC, "Area under the ROC curve", self._auc, figures.roc_auc),
            )
            if value == value  # noqa: PLR0124 - NaN
        )


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
