"""What the judge needs to know of a metric: its cells, its value, its gradient, its guards.

A metric turns an arm's counts into a vector of cells and is a smooth function of their shares. All
else (strata, variances, tests, messages) is common to every metric.
"""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.exact import Link, Stream

Floats = npt.NDArray[np.float64]


class NoValue(Exception):  # noqa: N818 - not an error: the metric holds, and says why
    """The counts do not have what the metric needs.

    Attributes
    ----------
    reason
        A constant of `assay.judge.reasons`.
    message
        For people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Guards:
    """Which asymptotic tests may decide, given how much of what matters was seen.

    Attributes
    ----------
    promote, rollback
        Whether that test is past its burn-in.
    missing
        What the first of them that is not still needs, in words; empty when both are.
    near_perfect
        Whether an arm has too few errors for the asymptotic test although it has seen enough:
        then the exact test may promote.
    """

    promote: bool
    rollback: bool
    missing: str = ""
    near_perfect: bool = False


class Metric(abc.ABC):
    """A metric of cell shares. Stateless. C cells; cells and shares are float arrays (C,)."""

    name: str
    """In messages, e.g. ``F1``."""

    @abc.abstractmethod
    def cells(self, arms: Sequence[ArmCounts], positive: str) -> Floats:
        """Cell counts (arms, C). Raises `NoValue` when an arm lacks what the metric counts."""

    def positive(self, arm: ArmCounts, asked: str | None) -> str:
        """Return the positive class. Raises `NoValue` when nothing says which it is.

        In this order: the one asked for, the only one whose scores are counted (ledgers count
        those of the positive class), the second of two labels as in scikit-learn.
        """
        if asked is not None:
            return asked
        if len(arm.scores) == 1:
            return next(iter(arm.scores))
        if len(arm.labels) == 2:
            return arm.labels[1]
        raise NoValue(
            reasons.POSITIVE_LABEL_UNKNOWN,
            f"which class is positive is not said, the classes seen are {list(arm.labels)}",
        )

    @abc.abstractmethod
    def value(self, cells: Floats) -> float | None:
        """Compute the metric of counts or shares, or `None` where it is not defined."""

    @abc.abstractmethod
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        """Why `value` is `None` for these counts of `arm` (a word for the message)."""

    @abc.abstractmethod
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        """Influence of one row by cell: the derivative of the metric along each cell's share.

        `effective` are the counts that the shares stand for, for small-sample corrections.
        """

    @abc.abstractmethod
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        """Burn-in, from effective counts."""

    def pseudo(self, size: int) -> Floats:
        """Return counts (C,) to add in variances, so that an empty cell does not look certain."""
        return np.zeros(size)

    def components(self, size: int) -> tuple[slice, ...]:
        """Return the groups of cells whose variance is floored together."""
        return (slice(0, size),)

    def least_square(self, effective: Floats) -> Floats | None:
        """Smallest credible mean square influence per component; `None` for no such limit."""
        del effective
        return None

    def spread(self, value: float) -> float:
        """How the variance of one row goes with the metric's value, up to a factor."""
        return value * (1.0 - value)

    def stream(self, effective: Floats) -> Stream | None:
        """Successes and trials when the metric is a function of one success rate."""
        del effective
        return None

    def link(self) -> Link | None:
        """Return that function, for metrics with a `stream`."""
        return None

    def half_width(self, shares: Floats) -> float:
        """Hard bound of what the cells hide of the metric's value."""
        del shares
        return 0.0

    def resolution(self, shares: Floats) -> float:
        """Credible bound of the same, see the metric; 0 when cells hide nothing."""
        del shares
        return 0.0
