"""How much information a decision needs, in units of 1 / d^2: what simulated trials took.

Source: statistics.md 2.0, 2c and 4.
"""

import functools
import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from assay.judge import eprocess
from assay.judge.planner.question import Baseline, PlanError
from assay.judge.planner.unit_variance import unit_variance
from assay.judge.verdict import Average, MetricSpec

POWERS = (0.5, 0.8, 0.9, 0.95)
"""Chances of having been promoted that a plan gives labels for; the limits of interpolation."""

ALPHAS = (0.01, 0.025, 0.05, 0.1)
"""Error chances of the table; the limits of interpolation."""

_KAPPA = (
    (8.4, 14.6, 18.6, 22.1),
    (6.7, 12.1, 15.7, 19.5),
    (5.4, 10.2, 13.4, 16.7),
    (3.9, 8.2, 11.3, 14.5),
)
"""Information needed in 1 / d^2, by `ALPHAS` and `POWERS`."""

_SLACK = 1.08
"""What variance smoothing and burn-in add to the ideal problem."""

_ROLLBACK = ((1.0, 5.75), (2.0, 1.85), (3.0, 0.95), (5.0, 0.37), (10.0, 0.11), (20.0, 0.037))
"""(loss beyond the null in margins, median information at rollback in 1 / d^2), for alpha .05."""

_PAIRED = {"F1": ((1.0, 2.0), (2.0, 3.6), (10.0, 8.0), (1.0 / 0.03, 14.5)),
           "ROCAUC": ((1.0, 2.0), (2.0, 3.5), (10.0, 15.0), (1.0 / 0.03, 49.0))}  # fmt: skip
"""(1 / (1 - score correlation), variance of a 50/50 split over that of pairs), statistics.md 2c."""

_LARGEST_CORRELATION = 0.97


def kappa(alpha: float, power: float) -> float:
    """Information in 1 / d^2 at which a canary at the expected difference d is promoted.

    Between the table's entries: linear in ln(alpha), and the root linear in the normal quantile of
    the power, which is exact for a fixed sample. Raises `PlanError` outside of the table.
    """
    if not ALPHAS[0] - 1e-9 <= alpha <= ALPHAS[-1] + 1e-9:
        known = f"{1.0 - ALPHAS[-1]:g} and {1.0 - ALPHAS[0]:g}"
        problem = f"{1.0 - alpha:g} is not between {known}, where the planner is known to be right"
        raise PlanError("confidence", problem)
    if not POWERS[0] <= power <= POWERS[-1]:
        raise PlanError("power", f"{power:g} is not between {POWERS[0]:g} and {POWERS[-1]:g}")
    columns = [
        np.interp(math.log(alpha), np.log(ALPHAS), each) for each in zip(*_KAPPA, strict=True)
    ]
    root = float(np.interp(ndtri(power), ndtri(POWERS), np.sqrt(columns)))
    return root * root


def promotion_need(alpha: float, power: float, gap: float) -> float:
    """Information in 1 / d^2 at which that share of the trials has promoted.

    `gap` > 0 is the distance of the expected difference from the null, in margins. Raises
    `PlanError` outside of the table.
    """
    return _SLACK * kappa(alpha, power) / math.pow(gap, 2.0 if gap < 1.0 else 1.55)


def rollback_need(gap: float, alpha: float) -> float:
    """Information in 1 / d^2 at which half of the canaries `gap` margins beyond the null are found.

    Between the constants: linear on logarithmic axes. Below 1 as 1 / gap^2; beyond 20 as at 20, which
    is on the safe side. Other error chances than .05 scale them by the information at which the
    expected path itself reaches the limit: within 10 % (loss d) and 6 % (2d and more) of 3000
    simulated paths for error chances from .1 to .00625.
    """
    points, values = zip(*_ROLLBACK, strict=True)
    middle = math.exp(float(np.interp(math.log(gap), np.log(points), np.log(values))))
    scale = _expected_crossing(gap, alpha) / _expected_crossing(gap, ALPHAS[2])
    return middle * max(1.0, 1.0 / (gap * gap)) * scale


def paired_variance(spec: MetricSpec, baseline: Baseline, correlation: float) -> float:
    """V_d of rows that both versions predict, from the correlation of their scores (0 to .97).

    Between the table's entries linear in 1 / (1 - correlation) for AUC, in its root for F1.
    """
    if spec.type not in _PAIRED or spec.average is not Average.BINARY:
        known = " and ".join(_PAIRED)
        raise PlanError("paired.correlation", f"is known for binary {known}; give paired.variance")
    if not 0.0 <= correlation <= _LARGEST_CORRELATION:
        problem = f"{correlation:g} is not between 0 and {_LARGEST_CORRELATION}"
        raise PlanError("paired.correlation", problem)
    points, ratios = zip(*_PAIRED[spec.type], strict=True)
    power = 0.5 if spec.type == "F1" else 1.0
    place = (1.0 - correlation) ** -power
    ratio = float(np.interp(place, np.power(points, power), ratios))
    return 4.0 * unit_variance(spec, baseline) / ratio


@functools.lru_cache(maxsize=256)
def _expected_crossing(gap: float, alpha: float) -> float:
    """Information at which a path without noise reaches the rollback limit; its alpha share is .8."""
    limit = math.log(1.0 / (0.8 * alpha))

    def short(log_information: float) -> float:
        var = np.asarray(math.exp(-log_information))
        return eprocess.ROLLBACK.log_e(np.asarray(gap), var, 1.0).item() - limit

    return math.exp(float(brentq(short, -20.0, 20.0, xtol=1e-9)))
