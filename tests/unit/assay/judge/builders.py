"""Short ways to say what was counted."""

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram

LABELS = ("0", "1")


def confusion(tp: int, fp: int, fn: int, tn: int, served: int = 0) -> ArmCounts:
    """An arm in the order in which statistics papers write it."""
    return ArmCounts.counted(LABELS, np.array([[tn, fp], [fn, tp]]), served=served)


def scores(positive: object, negative: object, served: int = 0) -> ArmCounts:
    """An arm of which only the scores of class 1 were counted."""
    histogram = ScoreHistogram(np.array(positive), np.array(negative))
    return ArmCounts.counted(LABELS, None, {"1": histogram}, served)


def evidence(canary: ArmCounts, stable: ArmCounts, weight: float | None = None) -> Evidence:
    """One stratum."""
    return Evidence((Stratum("east/0", stable, canary, weight),))
