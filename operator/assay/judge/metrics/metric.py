"""What the judge needs to know of a metric: its cells, its value, its gradient, its guards.

A `Metric` reads from an arm's counts one or more `Reading`s: vectors of cells, each with the
`Component` that makes a number of them. A component is a smooth function of the shares of C
exclusive cells. The metric's value is the weighted sum of its components' values: binary F1 has
one component, one-vs-rest AUC one per class. All else (strata, variances, tests, messages) is
common to every metric.

Shapes: every function here works on the last axis (C cells) and keeps the leading ones (...), so
that one call serves one verdict or a hundred thousand simulated ones.
"""

import abc
import functools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from assay.evidence.counts import ArmCounts
from assay.judge.exact import Link, Stream

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


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


class Guards(NamedTuple):
    """Which tests may decide, given how much of what matters was seen. Shapes (...).

    Attributes
    ----------
    promote, rollback
        Whether that asymptotic test is past its burn-in.
    near_perfect
        Whether an arm has too few errors for the asymptotic test although it has seen enough:
        then the exact test may promote.
    """

    promote: Bools
    rollback: Bools
    near_perfect: Bools

    def __and__(self, other: "Guards") -> "Guards":
        """Combine the guards of two components: all must be past."""
        return Guards(
            self.promote & other.promote,
            self.rollback & other.rollback,
            self.near_perfect | other.near_perfect,
        )


class Component(abc.ABC):
    """A smooth function of the shares of C exclusive cells. Stateless.

    Larger values need not be better; `Metric.higher_is_better` says which way is worse. What has no
    value is NaN: numpy's warnings of it are silenced where a verdict begins, and only there.
    """

    parts: ClassVar[int] = 1
    """The cells are so many blocks of equal size, and the variance of each is floored by itself."""

    @abc.abstractmethod
    def value(self, cells: Floats) -> Floats:
        """Value of counts or shares (..., C); NaN where it is not defined."""

    @abc.abstractmethod
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        """Influence of one row by cell (..., C): the derivative along each cell's share.

        `effective` (..., C) are the counts that the shares stand for, for small-sample corrections.
        """

    def value_and_gradient(
        self, shares: Floats, smooth: Floats, effective: Floats
    ) -> tuple[Floats, Floats]:
        """Value of `shares` and gradient at `smooth`; these are one without pseudo-counts."""
        return self.value(shares), self.gradient(smooth, effective)

    @abc.abstractmethod
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        """Burn-in, from effective counts (..., C)."""

    @abc.abstractmethod
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        """Reason and words for the first thing that `guards` still needs, of one pair (C,).

        ``("", "")`` when nothing is missing.
        """

    @abc.abstractmethod
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        """Why `value` is NaN for these counts (C,) of `arm` (a word for the message)."""

    def pseudo(self, size: int) -> Floats | None:
        """Return counts (C,) to add in variances, so that an empty cell does not look certain."""
        del size
        return None

    def least_square(self, effective: Floats) -> Floats | None:
        """Smallest credible mean square influence, (..., parts); `None` for no such limit."""
        del effective
        return None

    def spread(self, value: Floats) -> Floats:
        """How the variance of one row goes with the metric's value, up to a factor; positive."""
        inside = within(value, *SPREAD_RANGE)
        return inside * (1.0 - inside)

    def stream(self, effective: Floats) -> Stream | None:
        """Successes and trials when the metric is bounded by functions of one success rate."""
        del effective
        return None

    def link(self) -> Link | None:
        """Return those functions, for components with a `stream`."""
        return None

    def half_width(self, shares: Floats) -> Floats | None:
        """Hard bound of what the cells hide of the value: it is exact within -/+ this.

        `None` when cells hide nothing; `is_blind` is not asked then.
        """
        del shares
        return None

    def is_blind(self, shares: Floats, half_width: Floats) -> Bools:
        """Whether no credible bound is to be believed: too much hangs on what one cell hides."""
        del shares
        return half_width > HARD_WIDTH

    def resolution(self, shares: Floats) -> Floats | None:
        """Credible bound of the same, see the component; never above the hard one."""
        del shares
        return None


HARD_WIDTH = 0.05
"""Hard bound of what bins hide of one value above which no credible bound is believed."""

SPREAD_RANGE = (0.02, 0.995)
"""Metric values between which the variance's dependence on the value is trusted."""


def blocks(table: Floats, parts: int) -> Floats:
    """Split cells (..., C) into blocks of equal size, (..., parts, C / parts)."""
    return table[..., None, :] if parts == 1 else table.reshape(*table.shape[:-1], parts, -1)


def block_sums(table: Floats, parts: int) -> Floats:
    """Sum cells (..., C) by block, (..., parts): as a product with ones, which is quickest."""
    by_block = blocks(table, parts)
    result: Floats = np.vecdot(by_block, _ones(by_block.shape[-1]))
    return result


@functools.lru_cache(maxsize=64)
def _ones(size: int) -> Floats:
    ones = np.ones(size)
    ones.setflags(write=False)
    return ones


def anywhere(held: Bools) -> bool:
    """Whether something holds at one look or at any of several; numpy's own `any` of one is slow."""
    return bool(held if held.ndim == 0 else held.any())


def within(value: Floats, low: float, high: float) -> Floats:
    """Clip; numpy's own way to do so takes twice as long for one verdict."""
    result: Floats = np.minimum(np.maximum(value, low), high)
    return result


class Reading(NamedTuple):
    """The cells of one component, read from several arms' counts.

    Attributes
    ----------
    component
        Makes a number of them.
    weight
        Of that number in the metric.
    cells
        Rows, or sums of weights, (arms, C).
    squares
        Sums of squared weights, (arms, C); `None` where rows are not weighted.
    groups
        Rows by user bucket, (arms, G, C'); C' cells of a coarser grid, maybe. `None` where they
        are not known.
    rows
        Labelled rows where `cells` are sums of weights, (arms, C); `None` where they are not known.
    heaviest
        No weight that was seen is larger.
    """

    component: Component
    weight: float
    cells: Floats
    squares: Floats | None = None
    groups: Floats | None = None
    rows: Floats | None = None
    heaviest: float = 1.0


class Metric(abc.ABC):
    """A metric that can decide: how it is read from counts, and which way is worse."""

    name: str
    """In messages, e.g. ``F1``."""

    higher_is_better: bool = True

    largest: float = 1.0
    """The largest difference that two values can have, hence what margins are below."""

    @abc.abstractmethod
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        """Read the cells of `arms`, which all have the same labels and score grids.

        Raises `NoValue` when all of them lack what the metric counts. The classes of the reading
        follow from the arms together, so that all have the same cells.
        """
