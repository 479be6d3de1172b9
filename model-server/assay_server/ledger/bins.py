"""The grid of score bins: the only place that knows it on the server's side.

Bins are uniform in log-odds on [-12, 12], the same for every revision, so that histograms of two
versions compare and sums over members merge. Scores of rare classes crowd near 0, where a grid
uniform in probability would put them all into one bin.
"""

import numpy as np
from numpy.typing import NDArray

BINS = 1024
RANGE = 12.0
_TINY = 1e-12


def bin_of(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin 0..1023 of each probability: `floor((ln(p/(1-p)) + 12) / 24 * 1024)`, clipped.

    Probabilities are clipped into [1e-12, 1 - 1e-12] first. They must be numbers, not NaN.
    """
    p = np.clip(probabilities, _TINY, 1.0 - _TINY)
    place = np.floor((np.log(p / (1.0 - p)) + RANGE) / (2.0 * RANGE) * BINS)
    return np.clip(place, 0, BINS - 1).astype(np.intp)
