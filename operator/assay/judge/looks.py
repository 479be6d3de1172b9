"""What is judged: the cells of both arms, for R looks at once.

One verdict is R = 1; a simulation judges the looks of many trials in one call, through the same
code. Shapes: R looks, H strata, C cells, G groups (user buckets or time batches). One look alone has no
axis R, for numpy's plain numbers are many times faster than arrays of one. What a verdict makes on
its way are named tuples: a frozen dataclass takes four times as long to make, and it makes thirty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from assay.judge.metrics.metric import Component, Floats


@dataclass(frozen=True, eq=False)
class ArmCells:
    """One revision.

    Attributes
    ----------
    cells
        Rows, or sums of inverse-probability weights, (R, H, C).
    squares
        Sums of squared weights, (R, H, C); `None` where rows are not weighted.
    groups
        Rows by group, (R, G, H, C'); C' may be a coarser grid. `None` where rows are independent.
    """

    cells: Floats
    squares: Floats | None = None
    groups: Floats | None = None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows that both arms answered, by the cell in which each arm counts them.

    Attributes
    ----------
    rows
        (R, C', C'): stable's cell, then the canary's; C' may be a coarser grid.
    pseudo
        (C', C'): counts to add in variances.
    """

    rows: Floats
    pseudo: Floats


class Part(NamedTuple):
    """One component of a metric, and what it is computed from.

    Attributes
    ----------
    component, weight
        The component, and its part in the metric.
    cells, squares, groups
        As in `ArmCells` with the arm, stable then canary, as a new first axis.
    timed
        Whether the groups are time batches, of which more will come.
    pairs
        Where both arms answered the same rows: how they go together.
    rows
        Labelled rows, as `cells`, where these are sums of weights; `None` where they are not known.
    heaviest
        What no weight of these rows exceeds.
    """

    component: Component
    weight: float
    cells: Floats
    squares: Floats | None = None
    groups: Floats | None = None
    timed: bool = False
    pairs: Pairs | None = None
    rows: Floats | None = None
    heaviest: float = 1.0

    @classmethod
    def of(cls, component: Component, weight: float, stable: ArmCells, canary: ArmCells) -> "Part":
        """Put two arms side by side."""
        return cls(
            component,
            weight,
            np.stack([stable.cells, canary.cells]),
            _pair(stable.squares, canary.squares),
            _pair(stable.groups, canary.groups),
        )


def _pair(stable: Floats | None, canary: Floats | None) -> Floats | None:
    return None if stable is None or canary is None else np.stack([stable, canary])


Parts = tuple[Part, ...]
"""A whole metric: the components whose weighted values add up to it."""


class Looks(NamedTuple):
    """R looks, by one metric.

    Attributes
    ----------
    parts
        Counts since the trial began.
    restarts
        Counts since J later moments, (R * J, H, C) with the J of one look side by side; empty when
        nothing is known of them. They find a canary that turned bad.
    restart_weights
        (R, J): part of the error chance that each restart may spend; 0 for one that is no start.
    members
        The strata of each member cluster alone; empty with fewer than two members.
    """

    parts: Parts
    restarts: Parts = ()
    restart_weights: Floats | None = None
    members: Mapping[str, Parts] = MappingProxyType({})
