"""Standardisation: one comparison out of many strata, without Simpson's paradox.

Each arm's cell shares are averaged over the strata with the same weights (a stratum's part of all
labelled rows), so a difference in traffic between member clusters or rollout steps cannot look
like a difference between revisions. Variances follow by the delta method per stratum.

Shapes: H strata, C cells. What a cell is, the metric says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMALLEST_STRATUM = 30.0
"""Rows that both arms of a stratum need for a variance of their own."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One revision, standardised.

    Attributes
    ----------
    cells
        Labelled rows per stratum and cell, (H, C).
    rows
        Labelled rows per stratum, (H,).
    shares
        Standardised cell shares, (C,), summing to 1.
    smooth
        The same with the metric's pseudo-counts added: where gradients are taken.
    effective
        Standardised counts, (C,): `shares` times the number of rows that would know as much if
        they came from one stratum. Equal to the counts when there is one.
    """

    cells: Floats
    rows: Floats
    shares: Floats
    smooth: Floats
    effective: Floats


@dataclass(frozen=True, eq=False)
class Standardised:
    """Both arms over the same strata with the weights `weights` (H,)."""

    weights: Floats
    stable: Arm
    canary: Arm
    pseudo: Floats


def standardise(
    stable: Floats,
    canary: Floats,
    pseudo: Floats,
    value: Callable[[Floats], float | None],
) -> Standardised | None:
    """Standardise cell counts (H, C) of two arms; `None` when no stratum has rows of both.

    Parameters
    ----------
    pseudo
        Counts (C,) that the metric adds to its cells in variances and gradients.
    value
        The metric of cell counts or shares (C,), by which small strata find their neighbour.
    """
    both = (stable.sum(axis=1) > 0.0) & (canary.sum(axis=1) > 0.0)
    if not both.any():
        return None
    if not both.all():
        stable, canary = stable[both], canary[both]
    totals = stable.sum(axis=1) + canary.sum(axis=1)
    if len(totals) > 1 and _smallest(stable, canary).min() < SMALLEST_STRATUM:
        stable, canary, totals = _merge_small(stable, canary, totals, value)
    weights = totals / totals.sum()
    return Standardised(
        weights, _arm(stable, weights, pseudo), _arm(canary, weights, pseudo), pseudo
    )


def variances(
    both: Standardised,
    gradients: tuple[Floats, Floats],
    components: tuple[slice, ...],
    floors: tuple[float, ...],
    least: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Variance of the canary's metric, and of stable's, as specified and as credible.

    Parameters
    ----------
    gradients
        Influence of one row by cell, (C,), for stable and canary, at their smooth shares.
    components
        Cells that are floored together: one slice for F1, two (positives, negatives) for AUC.
    floors
        Factors k: per component and stratum the canary's mean square influence is at least k
        times stable's (a lucky canary sample must not also look precise).
    least
        Smallest credible mean square influence per component, (components,), for stable and
        canary; `None` for no such limit.

    Returns
    -------
    canary, stable
        Shapes (2, floors) and (2,): first as specified, then no smaller than `least` makes it.
    """
    stable = _pieces(both.stable, both, gradients[0], components)
    canary = _pieces(both.canary, both, gradients[1], components)
    nothing = np.zeros(len(components))
    least = least or (nothing, nothing)
    of_canary, of_stable = np.empty((2, len(floors))), np.empty(2)
    for row, (stable_least, canary_least) in enumerate(((nothing, nothing), least)):
        base = np.maximum(stable.square, stable_least[:, None])
        own = np.maximum(canary.square, canary_least[:, None])
        of_stable[row] = stable.variance(base)
        for column, factor in enumerate(floors):
            of_canary[row, column] = canary.variance(np.maximum(own, factor * base))
    return of_canary, of_stable


@dataclass(frozen=True, eq=False)
class _Pieces:
    """What the variance of one arm is made of.

    `square` is the mean square influence of a component's rows (components, H), the influence
    times the component's overall share so that the two arms' values compare like with like; `mass`
    carries the inverse and the component's share of the stratum. `shift` (H,) is the squared mean
    influence, `per_row` (H,) the squared weight of one row times the rows.
    """

    mass: Floats
    square: Floats
    shift: Floats
    per_row: Floats

    def variance(self, square: Floats) -> float:
        spread = np.maximum(0.0, (self.mass * square).sum(axis=0) - self.shift)
        return float(self.per_row @ spread)


def _pieces(
    arm: Arm, both: Standardised, gradient: Floats, components: tuple[slice, ...]
) -> _Pieces:
    """Sum shares, squares and influence over the cells of each stratum.

    A stratum's shares are shrunk by one pseudo-row towards the arm's standardised ones, which
    keeps empty cells from looking certain and changes nothing when there is one stratum. The sums
    are linear in the shares, so the (H, C) shares themselves are never made.
    """
    parts = len(components)
    sums = np.zeros((len(gradient), 2 * parts + 1))
    squares = gradient * gradient
    for index, cells in enumerate(components):
        sums[cells, index] = 1.0
        sums[cells, parts + index] = squares[cells]
    sums[:, -1] = gradient
    overall = arm.smooth @ sums
    found = arm.cells @ sums + np.outer(both.weights, both.pseudo @ sums) + overall
    found /= arm.rows[:, None] + 1.0
    held = found[:, :parts].T
    total = held.sum(axis=0)
    held = held / total
    share = (overall[:parts] / overall[:parts].sum())[:, None]
    return _Pieces(
        mass=held / share**2,
        square=found[:, parts:-1].T * share**2 / held,
        shift=found[:, -1] ** 2 / total,
        per_row=both.weights**2 / arm.rows,
    )


def _arm(cells: Floats, weights: Floats, pseudo: Floats) -> Arm:
    rows = cells.sum(axis=1)
    per_row = weights / rows
    shares = per_row @ cells
    return Arm(
        cells=cells,
        rows=rows,
        shares=shares,
        smooth=shares + (per_row @ weights) * pseudo,
        effective=cells[0] if len(rows) == 1 else shares / float((weights * per_row).sum()),
    )


def _smallest(stable: Floats, canary: Floats) -> Floats:
    smallest: Floats = np.minimum(stable.sum(axis=1), canary.sum(axis=1))
    return smallest


def _merge_small(
    stable: Floats, canary: Floats, totals: Floats, value: Callable[[Floats], float | None]
) -> tuple[Floats, Floats, Floats]:
    """Merge strata of fewer than 30 rows in an arm with the one of nearest stable metric.

    The smallest first, until all are large enough or one is left. A group's arms are both mixed
    with the weights n_s n_c / (n_s + n_c) (Mantel and Haenszel), never by adding raw counts: a
    step with 10 000 rows of stable and 10 of the canary would otherwise compare one step's stable
    with another step's canary.
    """
    groups = [[index] for index in range(len(totals))]
    mixed = [(stable[index], canary[index]) for index in range(len(totals))]
    while len(groups) > 1:
        sizes = [min(float(arms[0].sum()), float(arms[1].sum())) for arms in mixed]
        small = int(np.argmin(sizes))
        if sizes[small] >= SMALLEST_STRATUM:
            break
        values = [value(arms[0]) for arms in mixed]
        others = [index for index in range(len(groups)) if index != small]
        near = min(others, key=lambda index: _gap(values[small], values[index]))
        groups[near] = sorted(groups[near] + groups[small])
        mixed[near] = _mix(stable[groups[near]], canary[groups[near]])
        del groups[small], mixed[small]
    return (
        np.array([arms[0] for arms in mixed]),
        np.array([arms[1] for arms in mixed]),
        np.array([totals[group].sum() for group in groups]),
    )


def _gap(first: float | None, second: float | None) -> float:
    return float("inf") if first is None or second is None else abs(first - second)


def _mix(stable: Floats, canary: Floats) -> tuple[Floats, Floats]:
    """Give both arms of several strata (H, C) one mixture: counts (C,), as many as it knows."""
    rows = stable.sum(axis=1), canary.sum(axis=1)
    mixture = rows[0] * rows[1] / (rows[0] + rows[1])
    mixture = mixture / mixture.sum()
    stable_row, canary_row = (mixture / each for each in rows)
    return (
        stable_row @ stable / float((mixture * stable_row).sum()),
        canary_row @ canary / float((mixture * canary_row).sum()),
    )
