"""Finite-sample e-values for metrics that follow from the success rate of a Bernoulli stream.

Binary F1 does: among the rows that are truly or predicted positive, ``TP`` of ``TP + FP + FN``
succeed with probability ``J = F1 / (2 - F1)``. Universal inference compares the Jeffreys mixture
of both streams with the best explanation that the null has: valid at every sample size and every
look, 3.5 to 4 times slower than the asymptotic test, so it serves as a second net.

Where the kinds of error count differently (F-beta, costs) the rate only bounds the metric. Then the
null is widened to all rates that are compatible with it, which keeps the e-value valid.

Shapes: arrays (...) throughout, one entry per look.

Reference: Wasserman, Ramdas, Balakrishnan, Universal inference (2020).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

Values = npt.NDArray[np.float64]

Stream = tuple[Values, Values]
"""Successes and trials. Fractions occur when strata are standardised."""

_POINTS = 65
_ROUNDS = 4
_GRID = np.arange(_POINTS) / (_POINTS - 1)
_LOG_PI = math.log(math.pi)


@dataclass(frozen=True)
class Link:
    """How the success probability p of a stream bounds a metric's goodness (larger is better).

    The goodness lies between a lowest and a highest increasing function of p, which are the same
    where all errors count alike.

    Attributes
    ----------
    worst, best
        From p to the goodness when all errors are of the heaviest, and of the lightest kind.
    of_worst, of_best
        Their inverses; values outside of the range give 0 or 1.
    span
        Lowest and highest goodness.
    """

    worst: Callable[[Values], Values]
    best: Callable[[Values], Values]
    of_worst: Callable[[Values], Values]
    of_best: Callable[[Values], Values]
    span: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def exact(cls, value: Callable[[Values], Values], chance: Callable[[Values], Values]) -> "Link":
        """Make the link of a metric in [0, 1] that p determines, from the function and its inverse."""
        return cls(value, value, chance, chance)


def log_e_worse(
    canary: Stream, stable: Stream, link: Link, shift: float, least: float = -math.inf
) -> Values:
    """Log e-value against ``canary >= stable - shift`` in goodness; 0 without trials.

    Where a bound shows that it does not reach `least`, the bound (below `least`) stands for it.
    """
    border = _Border(link.of_best, link.of_worst, link.worst, link.span, shift)
    holds = link.best(_rate(*canary)) >= link.worst(_rate(*stable)) - shift
    return _log_e(canary, stable, holds, border, least)


def log_e_not_worse(
    canary: Stream, stable: Stream, link: Link, shift: float, least: float = -math.inf
) -> Values:
    """Log e-value against ``canary <= stable - shift`` in goodness; as `log_e_worse`."""
    border = _Border(link.of_worst, link.of_best, link.best, link.span, shift)
    holds = link.worst(_rate(*canary)) <= link.best(_rate(*stable)) - shift
    return _log_e(canary, stable, holds, border, least)


def log_e_below(canary: Stream, link: Link, floor: float) -> Values:
    """Log e-value against ``canary >= floor`` in goodness for one stream; 0 while it measures above."""
    hits, rows = canary
    limit = link.of_best(np.asarray(floor, dtype=np.float64))
    log_e = _mixture(canary) - _log_likelihood(canary, limit)
    return np.where((rows > 0.0) & (_rate(hits, rows) < limit), log_e, 0.0)


@dataclass(frozen=True)
class _Border:
    """The edge of a null: canary's and stable's success probabilities that are just compatible."""

    of_canary: Callable[[Values], Values]
    of_stable: Callable[[Values], Values]
    goodness: Callable[[Values], Values]
    span: tuple[float, float]
    shift: float

    def at(self, points: Values) -> tuple[Values, Values]:
        """Return the pair at points in [0, 1] along the edge."""
        low, high = self.span[0] + self.shift, self.span[1]
        goodness = low + (high - low) * points
        return self.of_canary(goodness - self.shift), self.of_stable(goodness)

    def nearest(self, rate: Values) -> tuple[Values, Values]:
        """Return the pair in which stable has the success probability that it shows."""
        goodness = np.maximum(self.goodness(rate), self.span[0] + self.shift)
        goodness = np.minimum(goodness, self.span[1])
        return self.of_canary(goodness - self.shift), self.of_stable(goodness)


def _log_e(
    canary: Stream,
    stable: Stream,
    holds: npt.NDArray[np.bool_],
    border: _Border,
    least: float,
) -> Values:
    of_stable = _rate(*stable)
    mixture = _mixture(canary) + _mixture(stable)
    # Any point of the null bounds what the null explains from below.
    some = border.nearest(of_stable)
    explained = _log_likelihood(canary, some[0]) + _log_likelihood(stable, some[1])
    if holds.any():
        free = _log_likelihood(canary, _rate(*canary)) + _log_likelihood(stable, of_stable)
        explained = np.where(holds, free, explained)
    # The likelihood is concave and, where the null does not hold, its peak is outside: the best
    # point of the null is on its border.
    search = ~holds & (mixture - explained >= least)
    if search.any():
        explained = np.asarray(explained)
        of_arms = np.array([*canary, *stable])[:, search]
        explained[search] = _maximum((of_arms[0], of_arms[1]), (of_arms[2], of_arms[3]), border)
    log_e = mixture - explained
    return np.where((canary[1] > 0.0) & (stable[1] > 0.0), log_e, 0.0)


def _rate(hits: Values, rows: Values) -> Values:
    rate: Values = hits / np.maximum(rows, 1e-300)
    return rate


def _mixture(stream: Stream) -> Values:
    """Log marginal likelihood under Jeffreys' prior Beta(1/2, 1/2)."""
    hits, rows = stream
    result: Values = betaln(hits + 0.5, rows - hits + 0.5) - _LOG_PI
    return result


def _log_likelihood(stream: Stream, rate: Values) -> Values:
    """Log likelihood of each rate; rates of 0 and 1 are moved by less than matters."""
    hits, rows = stream
    inner = np.minimum(np.maximum(rate, 1e-300), 1.0 - 1e-16)
    result: Values = hits * np.log(inner) + (rows - hits) * np.log1p(-inner)
    return result


def _maximum(canary: Stream, stable: Stream, border: _Border) -> Values:
    """Largest likelihood along the border, which has one hill, by a grid refined in rounds."""
    shape = np.shape(canary[0])
    low, high = np.zeros(shape), np.ones(shape)
    canary = canary[0][..., None], canary[1][..., None]
    stable = stable[0][..., None], stable[1][..., None]
    best = np.full(shape, -np.inf)
    for _ in range(_ROUNDS):
        points = low[..., None] + (high - low)[..., None] * _GRID
        of_canary, of_stable = border.at(points)
        values = _log_likelihood(canary, of_canary) + _log_likelihood(stable, of_stable)
        top = np.argmax(values, axis=-1)[..., None]
        best = np.maximum(best, np.take_along_axis(values, top, -1)[..., 0])
        low = np.take_along_axis(points, np.maximum(top - 1, 0), -1)[..., 0]
        high = np.take_along_axis(points, np.minimum(top + 1, _POINTS - 1), -1)[..., 0]
    return best
