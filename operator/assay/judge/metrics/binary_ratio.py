"""Ratios of the rows that matter to one class, and accuracy: Bernoulli trials all of them.

A row that is truly or predicted positive succeeds with probability J = TP / (TP + FP + FN), and
F1 = 2 J / (1 + J). Hence the closed form Var(F1) = 4ab(a+b)/(2a+b)^4 with a = TP, b = FP + FN, in
which a + 1 and b + 1 stand for small counts, and exact inference at any sample size. F-beta with
another beta lies between two such functions of J, reached when all errors are of the one or of the
other kind.
"""

import abc
import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from typing_extensions import override

from assay.judge import reasons
from assay.judge.exact import Link, Stream
from assay.judge.metrics.burn_in import ERRORS, SUCCESSES, TRIALS, at_least, enough, rows
from assay.judge.metrics.metric import SPREAD_RANGE, Component, Floats, Guards, NoValue, within

_CORRECT = np.array([1.0, 0.0])


class _Trials(Component):
    """A metric of the successes among the rows that matter to it."""

    name: str

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """What rows matter, after their number."""

    @property
    @abc.abstractmethod
    def success(self) -> str:
        """What successes are called."""

    @abc.abstractmethod
    def trials(self, cells: Floats) -> tuple[Floats, Floats]:
        """Successes and errors (...) of counts (..., C)."""

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        return NoValue(
            reasons.METRIC_UNDEFINED,
            f"{self.name} of the {arm} has no value: among {rows(float(cells.sum()))} labelled "
            f"rows there are no {self.words}",
        )

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        (hits, errors), (won, lost) = self.trials(stable), self.trials(canary)
        seen = at_least(hits + errors, TRIALS) & at_least(won + lost, TRIALS)
        in_force = seen & at_least(hits, SUCCESSES)
        enough_errors = at_least(errors, ERRORS) & at_least(lost, ERRORS)
        return Guards(
            promote=in_force & enough_errors & at_least(won, SUCCESSES),
            rollback=in_force,
            near_perfect=in_force & ~enough_errors,
        )

    @override
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        (hits, errors), (won, lost) = (
            (float(each) for each in self.trials(cells)) for cells in (stable, canary)
        )
        for arm, trials in (("stable", hits + errors), ("the canary", won + lost)):
            if not enough(trials, TRIALS):
                words = f"{arm} has {rows(trials)} {self.words}, {TRIALS} are needed"
                return reasons.BURN_IN, words
        for arm, count in (("stable", hits), ("the canary", won)):
            if not enough(count, SUCCESSES):
                words = f"{arm} has {rows(count)} {self.success}, {SUCCESSES} are needed"
                return reasons.BURN_IN, words
        if not enough(min(errors, lost), ERRORS):
            return reasons.BURN_IN, (
                f"{rows(errors)} and {rows(lost)} errors (stable, canary) are fewer than {ERRORS}"
            )
        return "", ""

    @override
    def stream(self, effective: Floats) -> Stream:
        hits, errors = self.trials(effective)
        return hits, hits + errors


@dataclass(frozen=True)
class AccuracyComponent(_Trials):
    """The share of correct rows. Cells: correct, wrong."""

    name: str = "accuracy"

    @property
    @override
    def words(self) -> str:
        return "labelled rows"

    @property
    @override
    def success(self) -> str:
        return "correct rows"

    @override
    def trials(self, cells: Floats) -> tuple[Floats, Floats]:
        return cells[..., 0][()], cells[..., 1][()]

    @override
    def value(self, cells: Floats) -> Floats:
        result: Floats = cells[..., 0] / cells.sum(axis=-1)
        return result

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        total = shares.sum(axis=-1, keepdims=True)
        result: Floats = (_CORRECT - shares[..., :1] / total) / total
        return result

    @override
    def pseudo(self, size: int) -> Floats:
        return np.ones(size)

    @override
    def link(self) -> Link:
        return _SAME


@dataclass(frozen=True)
class BinaryRatio(_Trials):
    """The ratio of one class. Cells: true negatives, false positives, false negatives, true positives.

    Attributes
    ----------
    true, predicted
        Weights u and v of the class's true and predicted rows.
    """

    name: str
    true: float
    predicted: float

    @property
    @override
    def words(self) -> str:
        if not self.true:
            return "rows that were predicted positive"
        return "rows that are positive" + (" or predicted so" if self.predicted else "")

    @property
    @override
    def success(self) -> str:
        return "true positives"

    @override
    def trials(self, cells: Floats) -> tuple[Floats, Floats]:
        of_predicted, of_true = cells[..., 1][()], cells[..., 2][()]
        errors = of_predicted * float(self.predicted > 0.0) + of_true * float(self.true > 0.0)
        return cells[..., 3][()], errors

    @override
    def value(self, cells: Floats) -> Floats:
        result: Floats = self._both * cells[..., 3] / np.vecdot(cells, self._weights)
        return result

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        per_error = 1.0 / np.vecdot(shares, self._weights)
        value = self._both * shares[..., 3] * per_error
        result: Floats = (self._gain - value[..., None] * self._weights) * per_error[..., None]
        return result

    @override
    def pseudo(self, size: int) -> Floats:
        """One success and one error, of the kinds that count as much as they count."""
        return self._pseudo

    @override
    def spread(self, value: Floats) -> Floats:
        return ratio_spread(value, balanced=self._balanced)

    @override
    def link(self) -> Link:
        if not self._balanced:
            return _SAME
        return between(max(self.true, self.predicted) / self._both)

    @property
    def _balanced(self) -> bool:
        return self.true > 0.0 and self.predicted > 0.0

    @property
    def _both(self) -> float:
        return self.true + self.predicted

    # What follows are factors of the four cells.

    @cached_property
    def _weights(self) -> Floats:
        """Make the denominator, ``u true + v predicted`` rows."""
        return np.array([0.0, self.predicted, self.true, self._both])

    @cached_property
    def _pseudo(self) -> Floats:
        return self._weights / self._both

    @cached_property
    def _gain(self) -> Floats:
        """Make the numerator."""
        return np.array([0.0, 0.0, 0.0, self._both])


@functools.lru_cache(maxsize=64)
def between(heavy: float) -> Link:
    """Link the success rate J with F-beta, whose errors weigh `heavy` or ``1 - heavy``.

    ``F = J / (J + w (1 - J))``, w the mean weight of the errors that were made.
    """
    light = 1.0 - heavy

    def value(weight: float, rate: Floats) -> Floats:
        result: Floats = rate / (rate + weight * (1.0 - rate))
        return result

    def chance(weight: float, goodness: Floats) -> Floats:
        inside = within(goodness, 0.0, 1.0)
        result: Floats = weight * inside / (1.0 - inside + weight * inside)
        return result

    return Link(
        worst=lambda rate: value(heavy, rate),
        best=lambda rate: value(light, rate),
        of_worst=lambda goodness: chance(heavy, goodness),
        of_best=lambda goodness: chance(light, goodness),
    )


def ratio_spread(value: Floats, *, balanced: bool) -> Floats:
    """How the variance of a row goes with a rate, or with one balanced between two (F-beta)."""
    inside = within(value, *SPREAD_RANGE)
    result: Floats = inside * (1.0 - inside)
    return result * (2.0 - inside) if balanced else result


_SAME = Link.exact(value=lambda rate: rate, chance=lambda value: within(value, 0.0, 1.0))
