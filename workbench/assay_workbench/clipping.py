"""Outliers: numbers are moved to limits that are learned from the training rows.

The limits are learned inside the pipeline, in each fold anew. scikit-learn has no such step, but its
`MinMaxScaler` clips to limits once it has them. So a `Clipper` is one that learns other limits than the
extremes, and in the artifact it is a plain `MinMaxScaler`: the server needs no type of ours.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import MinMaxScaler
from typing_extensions import override

from assay_workbench.recipe import OutlierPolicy, Outliers

_OWN = ("policy", "lower", "upper", "reach")


class Clipper(MinMaxScaler):  # type: ignore[misc]
    """Clip numbers to limits, and bring these to 0 and 1. Missing values stay missing.

    Parameters
    ----------
    policy, lower, upper, reach
        As `recipe.Outliers` has them.
    """

    def __init__(
        self,
        policy: str = OutlierPolicy.QUANTILES,
        lower: float = 0.01,
        upper: float = 0.99,
        reach: float = 1.5,
    ) -> None:
        super().__init__(clip=True)
        self.policy = policy
        self.lower = lower
        self.upper = upper
        self.reach = reach

    @override
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the limits of columns, X of shape (n, d)."""
        super().fit(X, y)
        low, high = limits(np.asarray(X, dtype=np.float64), self.policy, self)
        self.data_min_, self.data_max_, self.data_range_ = low, high, high - low
        width = np.where(self.data_range_ > 0.0, self.data_range_, 1.0)
        self.scale_ = 1.0 / width
        self.min_ = -low * self.scale_
        return self

    def to_plain(self) -> None:
        """Become the `MinMaxScaler` with the same limits, in place."""
        for name in _OWN:
            delattr(self, name)
        # No new object: a ColumnTransformer holds this one in several places.
        self.__class__ = MinMaxScaler


def limits(
    values: NDArray[np.float64], policy: str, settings: "Outliers | Clipper"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper limit of each column, shape (d,); of one without values 0."""
    known = values.copy()
    known[:, np.isnan(values).all(axis=0)] = 0.0
    if policy == OutlierPolicy.QUANTILES:
        low, high = np.nanquantile(known, [settings.lower, settings.upper], axis=0)
    else:
        first, third = np.nanquantile(known, [0.25, 0.75], axis=0)
        reach = settings.reach * (third - first)
        # A limit beyond the extremes would move them, and say nothing.
        low = np.maximum(first - reach, np.nanmin(known, axis=0))
        high = np.minimum(third + reach, np.nanmax(known, axis=0))
    return low, high
