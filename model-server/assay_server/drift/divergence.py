"""How far two histograms on the same bins are apart: PSI and the Kolmogorov-Smirnov statistic.

Counts come in rows of `MAX_BINS` bins: values in increasing order from the left, bins that a feature
does not have hold nothing, the last bin is that of missing values. Counts of other processes can be
added up before they are compared.
"""

import numpy as np
from numpy.typing import NDArray

from assay_server.reference import MAX_BINS

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

MISSING = MAX_BINS - 1
# Shares below it count as it, as is usual for PSI: an empty bin would make it infinite.
LEAST_SHARE = 1e-4


def psi(served: Counts, trained: Counts) -> Floats:
    """Return the population stability index of each feature.

    It is the sum over bins of `(p - q) ln(p / q)` with the shares p and q of served and training
    rows. Without any drift its expected value is about (bins - 1) (1 / rows + 1 / training rows).

    Parameters
    ----------
    served, trained
        Rows by bin, shape (features, MAX_BINS).

    Returns
    -------
    Shape (features,); NaN where one side has no rows.
    """
    p = np.maximum(_shares(served), LEAST_SHARE)
    q = np.maximum(_shares(trained), LEAST_SHARE)
    total: Floats = np.sum((p - q) * np.log(p / q), axis=1)
    return total


def kolmogorov_smirnov(served: Counts, trained: Counts) -> tuple[Floats, Floats]:
    """Return bounds of the two-sample Kolmogorov-Smirnov statistic of each numeric feature.

    Both distribution functions are known exactly at the edges of bins, so the largest distance
    there is a lower bound of the statistic, and it is the statistic of the binned data. Between two
    edges either function may be anywhere between its values at both, which gives the upper bound.
    Missing values are left out.

    Parameters
    ----------
    served, trained
        Rows by bin, shape (features, MAX_BINS).

    Returns
    -------
    Lower and upper bounds, each of shape (features,); NaN where one side has no values.
    """
    p = np.cumsum(_shares(served[:, :MISSING]), axis=1)
    q = np.cumsum(_shares(trained[:, :MISSING]), axis=1)
    lower: Floats = np.abs(p - q).max(axis=1)
    start = np.zeros((len(p), 1))
    p_before, q_before = np.hstack([start, p[:, :-1]]), np.hstack([start, q[:, :-1]])
    upper: Floats = np.maximum(p - q_before, q - p_before).max(axis=1)
    return lower, np.minimum(upper, 1.0)


def _shares(counts: Counts) -> Floats:
    totals = counts.sum(axis=1, keepdims=True)
    shares: Floats = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares
