"""Finite-sample e-values for metrics that follow from the success rate of a Bernoulli stream.

Binary F1 does: among the rows that are truly or predicted positive, ``TP`` of ``TP + FP + FN``
succeed with probability ``J = F1 / (2 - F1)``. Universal inference compares the Jeffreys mixture
of both streams with the best explanation that the null has: valid at every sample size and every
look, 3.5 to 4 times slower than the asymptotic test, so it serves as a second net.

Where the kinds of error count differently (F-beta, costs), or rows stand for others that were not
labelled, the rate only bounds the metric. Then the null is widened to all rates that are compatible
with it, which keeps the e-value valid.

Streams of the same rows (shadow traffic) depend on each other and their likelihoods do not multiply.
The mean of two e-values is one whatever their dependence is, so half the larger one is.

Shapes: arrays (...) throughout, one entry per look.

Reference: Wasserman, Ramdas, Balakrishnan, Universal inference (2020).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Values = npt.NDArray[np.float64]

Stream = tuple[Values, Values]
"""Successes and trials. Fractions occur when strata are standardised."""

_POINTS = 65
_ROUNDS = 6
_GRID = np.arange(_POINTS) / (_POINTS - 1)
_LOG_PI = math.log(math.pi)
_LOG_TWO = math.log(2.0)


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

    def weighted(self, heaviest: float) -> "Link":
        """Return the link of the rate among labelled rows that stand for 1 to `heaviest` rows each.

        With r of them successes, and an error standing for k times as many rows as a success, the
        rate among all rows is ``r / (r + k (1 - r))``, k from ``1 / heaviest`` to `heaviest`.
        """

        def of_all(rate: Values, errors: float) -> Values:
            result: Values = rate / (rate + errors * (1.0 - rate))
            return result

        return Link(
            worst=lambda rate: self.worst(of_all(rate, heaviest)),
            best=lambda rate: self.best(of_all(rate, 1.0 / heaviest)),
            of_worst=lambda goodness: of_all(self.of_worst(goodness), 1.0 / heaviest),
            of_best=lambda goodness: of_all(self.of_best(goodness), heaviest),
            span=self.span,
        )


def log_e_worse(
    canary: Stream,
    stable: Stream,
    link: Link,
    shift: float,
    least: float = -math.inf,
    *,
    same_rows: bool = False,
) -> Values:
    """Log e-value against ``canary >= stable - shift`` in goodness; 0 without trials.

    Where a bound shows that it does not reach `least`, the bound (below `least`) stands for it.
    With `same_rows` the streams may depend on each other.
    """
    border = _Border(link.of_best, link.of_worst, link.worst, link.span, shift)
    holds = link.best(_rate(*canary)) >= link.worst(_rate(*stable)) - shift
    return _log_e(canary, stable, holds, border, least, same_rows=same_rows)


def log_e_not_worse(
    canary: Stream,
    stable: Stream,
    link: Link,
    shift: float,
    least: float = -math.inf,
    *,
    same_rows: bool = False,
) -> Values:
    """Log e-value against ``canary <= stable - shift`` in goodness; as `log_e_worse`."""
    border = _Border(link.of_worst, link.of_best, link.best, link.span, shift)
    holds = link.worst(_rate(*canary)) <= link.best(_rate(*stable)) - shift
    return _log_e(canary, stable, holds, border, least, same_rows=same_rows)


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
    *,
    same_rows: bool,
) -> Values:
    joined = _smaller if same_rows else _product
    arms = np.array([(*each, _mixture(each)) for each in (canary, stable)])
    of_stable = _rate(*stable)
    # Any point of the null bounds what the null explains from below.
    explained = joined(*_explained(arms, border.nearest(of_stable)))
    if holds.any():
        free = joined(*_explained(arms, (_rate(*canary), of_stable)))
        explained = np.where(holds, free, explained)
    # Each arm is explained the worse the further a point is from the rate that it shows and, where
    # the null does not hold, these are outside: the best point of the null is on its border.
    search = ~holds & (-explained >= least)
    if search.any():
        explained = np.asarray(explained)
        explained[search] = _maximum(arms[..., search], border, joined)
    return np.where((canary[1] > 0.0) & (stable[1] > 0.0), -explained, 0.0)


_Joined = Callable[[Values, Values], Values]
"""From the logarithms of both arms' inverse e-values to that of the e-value of both."""


def _product(canary: Values, stable: Values) -> Values:
    """Join independent arms."""
    return canary + stable


def _smaller(canary: Values, stable: Values) -> Values:
    """Join dependent arms."""
    result: Values = np.minimum(canary, stable) + _LOG_TWO
    return result


def _explained(arms: Values, rates: tuple[Values, Values]) -> tuple[Values, Values]:
    """Log likelihood ratio of success rates to the mixture, of the canary and of stable.

    `arms` (2, 3, ...) has hits, rows and mixture.
    """
    (hits, rows, mixture), (won, tried, mixed) = arms
    return (
        _log_likelihood((hits, rows), rates[0]) - mixture,
        _log_likelihood((won, tried), rates[1]) - mixed,
    )


def _rate(hits: Values, rows: Values) -> Values:
    rate: Values = hits / np.maximum(rows, 1e-300)
    return rate


def _mixture(stream: Stream) -> Values:
    """Log marginal likelihood under Jeffreys' prior Beta(1/2, 1/2)."""
    hits, rows = stream
    result: Values = scipy.special.betaln(hits + 0.5, rows - hits + 0.5) - _LOG_PI
    return result


def _log_likelihood(stream: Stream, rate: Values) -> Values:
    """Log likelihood of each rate; rates of 0 and 1 are moved by less than matters."""
    hits, rows = stream
    inner = np.minimum(np.maximum(rate, 1e-300), 1.0 - 1e-16)
    result: Values = hits * np.log(inner) + (rows - hits) * np.log1p(-inner)
    return result


def _maximum(arms: Values, border: _Border, joined: _Joined) -> Values:
    """Best explanation along the border, which has one hill, by a grid refined in rounds."""
    shape = arms.shape[2:]
    low, high = np.zeros(shape), np.ones(shape)
    best = np.full(shape, -np.inf)
    for _ in range(_ROUNDS):
        points = low[..., None] + (high - low)[..., None] * _GRID
        values = joined(*_explained(arms[..., None], border.at(points)))
        top = np.argmax(values, axis=-1)[..., None]
        best = np.maximum(best, np.take_along_axis(values, top, -1)[..., 0])
        low = np.take_along_axis(points, np.maximum(top - 1, 0), -1)[..., 0]
        high = np.take_along_axis(points, np.minimum(top + 1, _POINTS - 1), -1)[..., 0]
    return best
