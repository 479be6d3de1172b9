"""How far two histograms are apart, and how much of that chance alone makes.

The population stability index is the sum over bins of ``(p - q) ln(p / q)`` with the shares p and q
of the two. When both are samples of n and m rows of one distribution it is, but for small terms,
chi-square of (bins - 1) degrees of freedom times ``1 / n + 1 / m``: it is the sum of both
Kullback-Leibler divergences, each half of a likelihood ratio statistic.

References: Yurdakul, Naranjo, Statistical properties of the population stability index (2020).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Values = npt.NDArray[np.float64]

_PRIOR = 0.5
# Of each bin: a bin that is empty on one side would else make the index infinite.


@dataclass(frozen=True)
class Distance:
    """How far features are apart, shape (F,) each.

    Attributes
    ----------
    psi
        Population stability index.
    by_chance
        What it is expected to be without any difference.
    unlikely
        What it exceeds with the probability that was asked for, without any difference.
    """

    psi: Values
    by_chance: Values
    unlikely: Values


def shares(counts: Values) -> Values:
    """Return shares by bin, shape (F, B) as `counts`; bins that nothing is in get a little."""
    smooth = counts + _PRIOR
    result: Values = smooth / smooth.sum(axis=1, keepdims=True)
    return result


def distance(
    p: Values, q: Values, rows: tuple[float, float], used: Values, alpha: float
) -> Distance:
    """Compare histograms feature by feature.

    Parameters
    ----------
    p, q
        Shares by bin, shape (F, B), positive.
    rows
        How many rows either is an estimate from.
    used
        Bins by feature that hold rows on either side, shape (F,).
    alpha
        The probability for `unlikely`.
    """
    index: Values = np.sum((p - q) * np.log(p / q), axis=1)
    freedom = np.maximum(used - 1.0, 1.0)
    scale = 1.0 / rows[0] + 1.0 / rows[1]
    return Distance(index, freedom * scale, scipy.special.chdtri(freedom, alpha) * scale)
