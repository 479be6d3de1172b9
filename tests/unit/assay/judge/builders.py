"""Short ways to say what was counted."""

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram

LABELS = ("0", "1")
CLASSES = ("a", "b", "c")
BINS = 1024


def confusion(tp: int, fp: int, fn: int, tn: int, served: int = 0) -> ArmCounts:
    """An arm in the order in which statistics papers write it."""
    return ArmCounts.counted(LABELS, np.array([[tn, fp], [fn, tp]]), served=served)


def scores(positive: object, negative: object, served: int = 0) -> ArmCounts:
    """An arm of which only the scores of class 1 were counted."""
    histogram = ScoreHistogram(np.array(positive), np.array(negative))
    return ArmCounts.counted(LABELS, None, {"1": histogram}, served)


def on_grid(odds, bins=BINS):
    """Bins of log-odds, as a ledger counts them."""
    return np.clip(((odds + 12) / 24 * bins).astype(int), 0, bins - 1)


def scores_by_class(truth, chances, classes=CLASSES) -> ArmCounts:
    """An arm of which only the scores were counted: `truth` are places in `classes`, `chances` (rows, K)."""
    bins = on_grid(np.log(chances / (1 - chances)))
    histograms = {
        name: ScoreHistogram.by_label(
            name,
            {
                other: np.bincount(bins[truth == index, place], minlength=BINS)
                for index, other in enumerate(classes)
            },
        )
        for place, name in enumerate(classes)
    }
    return ArmCounts.counted(classes, None, histograms)


def evidence(canary: ArmCounts, stable: ArmCounts, weight: float | None = None) -> Evidence:
    """One stratum."""
    return Evidence((Stratum("east/0", stable, canary, weight),))
