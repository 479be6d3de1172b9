"""The e-process: evidence against a null that stays valid at every look.

Cumulative estimates have the covariance ``Cov(t1, t2) = Var(t2)``, so ``S = dist / var`` behaves
like Brownian motion with drift `dist` in information time ``I = 1 / var``. Mixing its likelihood
ratio over a normal prior N(m, s^2) cut to (0, inf) gives a non-negative supermartingale under the
null ``dist <= 0``: by Ville's inequality it ever reaches 1/alpha with probability at most alpha.

Shapes: arrays (...) throughout, one entry per look.

References: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence
sequences (2021); Howard et al., Time-uniform, nonparametric, nonasymptotic confidence sequences
(2021); Robbins, Statistical methods related to the law of the iterated logarithm (1970).
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx

Values = npt.NDArray[np.float64]

SHARP = 0.8
"""Weight of the mixture component tuned to the margin, in the rollback test."""

WIDE = 6.0
"""Scale of its other component in margins: it finds a collapse 2.4 to 3.4 times sooner."""

_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_STEPS = 100
_FAR = -5.0


class Test:
    """A mixture of e-processes against ``dist <= 0``, or several tests side by side.

    Parameters
    ----------
    tests
        For each test the (weight, mean, scale) of its normal priors on (0, inf), mean and scale in
        margins; a mean of 0 is the half-normal mixture. Weights of a test sum to 1. With several
        tests the first axis of all arguments and results is the test.
    """

    def __init__(self, *tests: tuple[tuple[float, float, float], ...]) -> None:
        size = max(len(test) for test in tests)
        padded = [(*test, *((0.0, 1.0, 1.0),) * (size - len(test))) for test in tests]
        table = np.array(padded).transpose(1, 0, 2)  # (components, tests, 3)
        if len(tests) == 1:
            table = table[:, 0]
        weight, mean, scale = (table[..., column] for column in range(3))
        self._standard, self._scale = mean / scale, scale
        with np.errstate(divide="ignore"):
            self._offset = np.log(weight) - _log_mills(self._standard)
        if len(tests) == 1:
            columns = (self._offset, self._standard, self._scale)
            self._floats = list(zip(*(each.tolist() for each in columns), strict=True))

    def log_e(self, dist: Values, var: Values, margin: Values | float) -> Values:
        """Log e-value of a distance from the null, its variance > 0 and the margin > 0.

        An infinite variance means no information and gives 0.
        """
        return _sum_of_exponentials(self._parts(dist, var, margin))

    def critical_distance(self, var: float, margin: float, limit: float) -> float:
        """Find the `dist` at which the log e-value of one test at one look reaches `limit`.

        That is half of the display band. By Newton's method: the log e-value is convex and
        increasing in the distance, so from the second step on the iterates fall towards the root.
        In plain floats, because a verdict waits for it and arrays of one number are slow.
        """
        dist = math.sqrt((2.0 * limit + 1.6) * var)
        for _ in range(_STEPS):
            log_e, slope = -math.inf, 0.0
            for offset, standard, scale in self._floats:
                part, steep = _component(dist, var, scale * margin, standard)
                total = float(np.logaddexp(log_e, offset + part))
                slope = slope * math.exp(log_e - total) + steep * math.exp(offset + part - total)
                log_e = total
            step = (log_e - limit) / slope
            dist -= step
            # Convergence is quadratic: after a step of 1e-6 the error is of the order of 1e-12.
            if abs(step) <= 1e-6 * dist:
                return dist
        msg = f"no root of the test for variance {var}, margin {margin}, limit {limit}"
        raise ArithmeticError(msg)

    def _parts(self, dist: Values, var: Values, margin: Values | float) -> Values:
        """Return the weighted log e-values of the components on a new first axis.

        Written so that nothing cancels: with ``u`` the posterior mean in its own standard
        deviations, the quadratic terms of the textbook form are ``u^2/2 - (mean/scale)^2/2``.
        """
        shape = self._scale.shape + (1,) * (np.ndim(dist) + 1 - self._scale.ndim)
        scale = self._scale.reshape(shape) * margin
        information = scale / var
        spread = 1.0 + information * scale
        u = (self._standard.reshape(shape) + information * dist) / np.sqrt(spread)
        parts: Values = self._offset.reshape(shape) + _log_mills(u) - 0.5 * np.log(spread)
        return parts


def _component(dist: float, var: float, scale: float, standard: float) -> tuple[float, float]:
    """Return what a component adds to its offset, and the derivative of that along `dist`."""
    information = scale / var
    spread = 1.0 + information * scale
    root = math.sqrt(spread)
    u = (standard + information * dist) / root
    mills = float(_log_mills(np.asarray(u))) if u < _FAR else _near_log_mills(u)
    # The derivative of ln Phi(u) + u^2/2 is u + phi(u)/Phi(u).
    slope = (u + _DENSITY * math.exp(-mills)) * information / root
    return mills - 0.5 * math.log(spread), slope


def _near_log_mills(u: float) -> float:
    return 0.5 * u * u + math.log(0.5 * math.erfc(-u * _SQRT_HALF))


def _sum_of_exponentials(parts: Values) -> Values:
    """Add e-values given by their logarithms along the first axis."""
    result: Values = parts[0] if len(parts) == 1 else np.logaddexp(parts[0], parts[1])
    return result


def _log_mills(u: Values) -> Values:
    """``u^2/2 + ln Phi(u)``, without overflow or cancellation at either end."""
    half = 0.5 * erfcx(np.abs(u) * _SQRT_HALF)
    with np.errstate(divide="ignore"):
        above = 0.5 * u * u + np.log1p(-half * np.exp(-0.5 * u * u))
        result: Values = np.where(u < 0.0, np.log(half), above)
        return result


_PROMOTE = ((1.0, 1.0, 0.5),)
_ROLLBACK = ((SHARP, 1.0, 0.5), (1.0 - SHARP, 0.0, WIDE))

PROMOTE = Test(_PROMOTE)
"""`dist` is the difference minus its null."""

ROLLBACK = Test(_ROLLBACK)
"""`dist` is the null minus the difference."""

BOTH = Test(_PROMOTE, _ROLLBACK)
"""The two side by side."""
