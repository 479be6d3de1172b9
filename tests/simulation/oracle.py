"""The oracle: a fixed-sample test that knows the true variance and looks once.

A one-sided z test at 5 %; what it needs is the yardstick of every waiting time here.
"""

import numpy as np
from scipy.stats import norm

from tests.simulation.values import Floats, Value

ALPHA = 0.05


def unit_variance(value: Value, shares: Floats) -> float:
    """Variance that one row brings to a metric of cell shares (C,), by the delta method."""
    step = 1e-6 * np.maximum(shares, 1e-9)
    moves = np.diag(step)
    gradient = (value(shares + moves) - value(shares - moves)) / (2.0 * step)
    gradient = np.where(shares > 0.0, gradient, 0.0)
    mean = float(shares @ gradient)
    return float(shares @ (gradient - mean) ** 2)


def labels_needed(
    value: Value, stable: Floats, canary: Floats, share: float, distance: float, power: float
) -> float:
    """Labelled rows of both arms that reject a null `distance` away with chance `power`."""
    spread = unit_variance(value, canary) / share + unit_variance(value, stable) / (1.0 - share)
    return float((norm.ppf(1.0 - ALPHA) + norm.ppf(power)) ** 2 * spread / distance**2)
