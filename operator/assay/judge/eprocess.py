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

import functools
import math

import numpy as np
import numpy.typing as npt
import scipy

Values = npt.NDArray[np.float64]

SHARP = 0.8
"""Weight of the mixture component tuned to the margin, in the rollback test."""

WIDE = 6.0
"""Scale of its other component in margins: it finds a collapse 2.4 to 3.4 times sooner."""

_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_STEPS = 100
_FAR = -5.0
_LEAST_VARIANCE = 1e-100


class Test:
    """A mixture of e-processes against ``dist <= 0``.

    Parameters
    ----------
    components
        The (weight, mean, scale) of the normal priors on (0, inf), at most two, mean and scale in
        margins; a mean of 0 is the half-normal mixture. Weights sum to 1.
    """

    def __init__(self, *components: tuple[float, float, float]) -> None:
        weight, mean, scale = (np.array(column) for column in zip(*components, strict=True))
        self._weight, self._standard, self._scale = weight, mean / scale, scale

    # When they are asked for: scipy brings its parts at the first call, which takes longer than
    # all else that a command does that only reads a status.
    @functools.cached_property
    def _offset(self) -> Values:
        offset: Values = np.log(self._weight) - _log_mills(self._standard)
        return offset

    @functools.cached_property
    def _floats(self) -> list[tuple[float, float, float]]:
        columns = (self._offset, self._standard, self._scale)
        return list(zip(*(each.tolist() for each in columns), strict=True))

    def log_e(self, dist: Values, var: Values, margin: float) -> Values:
        """Log e-value of a distance from the null, its variance > 0 and the margin > 0.

        An infinite variance means no information and gives 0. The arguments have one shape. One
        look is done in plain floats, because a verdict waits for it and arrays of one number are
        slow.
        """
        if dist.size == 1:
            one, its_variance = dist.item(), var.item()
            if _LEAST_VARIANCE < its_variance < math.inf and math.isfinite(one):
                log_e = self._at(one, its_variance, margin)[0]
                result: Values = np.array(log_e).reshape(dist.shape)[()]
                return result
        shape = (-1,) + (1,) * dist.ndim
        with np.errstate(all="ignore"):
            parts = self._parts(dist, var, margin, shape)
            total: Values = parts[0] if len(parts) == 1 else np.logaddexp(parts[0], parts[1])
        return total

    def critical_distance(self, var: float, margin: float, limit: float) -> float:
        """Find the `dist` at which the log e-value of one look reaches `limit`.

        That is half of the display band. By Newton's method from where the nearest component alone
        nearly would be: the log e-value is convex and increasing in the
        distance, so from the second step on the iterates fall towards the root.
        """
        dist = min(self._nearly(part, var, margin, limit) for part in self._floats)
        for _ in range(_STEPS):
            log_e, slope = self._at(dist, var, margin)
            step = (log_e - limit) / slope
            dist -= step
            # Convergence is quadratic: after a step of 1e-6 the error is of the order of 1e-12.
            if abs(step) <= 1e-6 * dist:
                return dist
        msg = f"no root of the test for variance {var}, margin {margin}, limit {limit}"
        raise ArithmeticError(msg)

    @staticmethod
    def _nearly(part: tuple[float, float, float], var: float, margin: float, limit: float) -> float:
        """Return nearly the root of one component: ``ln Phi(u)`` is taken of where it would be 0."""
        offset, standard, scale = part
        information = scale * margin / var
        spread = 1.0 + information * scale * margin
        needed = 2.0 * (limit - offset) + math.log(spread)
        u = math.sqrt(max(needed, 1.0))
        u = math.sqrt(max(needed - 2.0 * math.log(0.5 * math.erfc(-u * _SQRT_HALF)), 1.0))
        return (u * math.sqrt(spread) - standard) / information

    def _parts(self, dist: Values, var: Values, margin: float, shape: tuple[int, ...]) -> Values:
        """Return the weighted log e-values of the components on a new first axis.

        Written so that nothing cancels: with ``u`` the posterior mean in its own standard
        deviations, the quadratic terms of the textbook form are ``u^2/2 - (mean/scale)^2/2``.
        """
        scale = self._scale.reshape(shape) * margin
        information = scale / var
        spread = 1.0 + information * scale
        u = (self._standard.reshape(shape) + information * dist) / np.sqrt(spread)
        parts: Values = self._offset.reshape(shape) + _log_mills(u) - 0.5 * np.log(spread)
        return parts

    def _at(self, dist: float, var: float, margin: float) -> tuple[float, float]:
        """Return the same of one look, added up, and its derivative along `dist`."""
        log_e, slope = -math.inf, 0.0
        for offset, standard, scale in self._floats:
            information = scale * margin / var
            spread = 1.0 + information * scale * margin
            root = math.sqrt(spread)
            u = (standard + information * dist) / root
            if u < _FAR:
                mills = math.log(0.5 * float(scipy.special.erfcx(-u * _SQRT_HALF)))
            else:
                mills = 0.5 * u * u + math.log(0.5 * math.erfc(-u * _SQRT_HALF))
            part = offset + mills - 0.5 * math.log(spread)
            # The derivative of ln Phi(u) + u^2/2 is u + phi(u)/Phi(u).
            steep = (u + _DENSITY * math.exp(-mills)) * information / root
            if log_e == -math.inf:
                log_e, slope = part, steep
                continue
            total = max(log_e, part) + math.log1p(math.exp(-abs(log_e - part)))
            slope = slope * math.exp(log_e - total) + steep * math.exp(part - total)
            log_e = total
        return log_e, slope


def _log_mills(u: Values) -> Values:
    """``u^2/2 + ln Phi(u)``, without overflow or cancellation at either end."""
    half = 0.5 * scipy.special.erfcx(np.abs(u) * _SQRT_HALF)
    with np.errstate(divide="ignore"):
        above = 0.5 * u * u + np.log1p(-half * np.exp(-0.5 * u * u))
        result: Values = np.where(u < 0.0, np.log(half), above)
        return result


PROMOTE = Test((1.0, 1.0, 0.5))
"""`dist` is the difference minus its null."""

ROLLBACK = Test((SHARP, 1.0, 0.5), (1.0 - SHARP, 0.0, WIDE))
"""`dist` is the null minus the difference."""
