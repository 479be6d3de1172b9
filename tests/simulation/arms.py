"""Tiny counts that a metric reads its component from."""

import numpy as np

from assay.evidence.counts import ArmCounts
from assay.evidence.histogram import ScoreHistogram


def example(classes: int = 2, bins: int = 0) -> list[ArmCounts]:
    """One arm's counts with every cell filled; `bins` score bins of the last class."""
    labels = tuple(str(index) for index in range(classes))
    rows = np.arange(1, classes * classes + 1).reshape(classes, classes)
    ones = np.ones(bins, np.int64)
    scores = {labels[-1]: ScoreHistogram(ones, ones)} if bins else None
    return [ArmCounts.counted(labels, rows, scores)]
