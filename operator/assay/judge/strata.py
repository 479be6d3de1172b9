"""Standardisation: one comparison out of many strata, without Simpson's paradox.

Each arm's cell shares are averaged over the strata with the same weights (a stratum's part of all
labelled rows), so a difference in traffic between member clusters or rollout steps cannot look
like a difference between revisions. Variances follow by the delta method per stratum.

Shapes: R looks, H strata, C cells, G groups. What a cell is, the metric says. A stratum without
rows in one of the arms takes no part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.judge.looks import Part

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SMALLEST_STRATUM = 30.0
"""Rows that both arms of a stratum need for a variance of their own."""


@dataclass(frozen=True, eq=False)
class Standardised:
    """Both arms over the same strata; the first axis is the arm, stable then canary.

    Attributes
    ----------
    weights
        Of the strata, (R, H).
    cells, squares
        Labelled rows per stratum and cell, or sums of weights, and sums of squared weights,
        (2, R, H, C). The same array where rows are not weighted.
    rows
        Their sums over the cells, (2, R, H).
    sizes
        Rows that would know as much without weights, (2, R, H).
    shares
        Standardised cell shares, (2, R, C), summing to 1; NaN where no stratum has rows of both.
    smooth
        The same with the metric's pseudo-counts added: where gradients are taken.
    effective
        Standardised counts, (2, R, C): `shares` times the number of rows that would know as much
        if they came from one stratum. Equal to the counts when there is one.
    groups
        As in `ArmCells`, (2, R, G, H, C'), or `None`.
    pseudo
        The pseudo-counts, (C,).
    """

    weights: Floats
    cells: Floats
    squares: Floats
    rows: Floats
    sizes: Floats
    shares: Floats
    smooth: Floats
    effective: Floats
    groups: Floats | None
    pseudo: Floats


def standardise(part: Part) -> Standardised:
    """Standardise both arms of a part; small strata find their neighbour by its component."""
    component = part.component
    cells, squares, groups = part.cells, part.squares, part.groups
    pseudo = component.pseudo(cells.shape[-1])
    rows = cells.sum(axis=-1)
    smaller = np.minimum(rows[0], rows[1])
    both = smaller > 0.0
    totals = np.where(both, rows[0] + rows[1], 0.0)
    if both.shape[1] > 1:
        thin = np.where(both, smaller, np.inf).min(axis=1) < SMALLEST_STRATUM
        merging = np.nonzero(thin & (both.sum(axis=1) > 1))[0]
        if merging.size:
            cells, squares, groups, totals = _merged(part, totals, both, merging)
            rows = cells.sum(axis=-1)
    sizes = rows
    if squares is None:
        squares = cells
    else:
        sizes = _over(rows * rows, squares.sum(axis=-1))
    weights = totals / totals.sum(axis=1, keepdims=True)
    per_row = _over(weights, rows)
    shares = (per_row[..., None, :] @ cells)[..., 0, :]
    known = 1.0 / (weights * _over(weights, sizes)).sum(axis=-1, keepdims=True)
    return Standardised(
        weights=weights,
        cells=cells,
        squares=squares,
        rows=rows,
        sizes=sizes,
        shares=shares,
        smooth=shares + (per_row * weights).sum(axis=-1, keepdims=True) * pseudo,
        # Counts of a single stratum stay what they are, to the last bit.
        effective=cells[:, :, 0] if cells.shape[2] == 1 and squares is cells else shares * known,
        groups=groups,
        pseudo=pseudo,
    )


def variances(
    both: Standardised,
    gradient: Floats,
    components: tuple[slice, ...],
    floors: Floats,
    least: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Variance of the canary's metric, and of stable's, as specified and as credible.

    Parameters
    ----------
    gradient
        Influence of one row by cell, (2, R, C), at the arms' smooth shares.
    components
        Cells that are floored together: one slice for F1, two (positives, negatives) for AUC.
    floors
        Factors k, (F, R): per component and stratum the canary's mean square influence is at least
        k times stable's (a lucky canary sample must not also look precise).
    least
        Smallest credible mean square influence per component, (2, R, components); `None` for no
        such limit.

    Returns
    -------
    canary, stable
        Shapes (2, F, R) and (2, R): first as specified, then no smaller than `least` makes it.
    """
    pieces = _pieces(both, gradient, components)
    square = pieces.square[None]  # (1 or 2, arm, R, H, components)
    if least is not None:
        square = np.concatenate([square, np.maximum(square, least[None, :, :, None, :])])
    of_stable = pieces.variance(square[:, 0], 0)
    floored = np.maximum(
        square[:, None, 1], floors[:, :, None, None] * square[:, None, 0]
    )  # (1 or 2, F, R, H, components)
    of_canary = pieces.variance(floored, 1)
    if least is None:
        return np.concatenate([of_canary, of_canary]), np.concatenate([of_stable, of_stable])
    return of_canary, of_stable


def residuals(both: Standardised, gradient: Floats) -> Floats:
    """Return what each group of rows moves the difference by, (R, G): canary's part less stable's.

    The sum of their squares is the variance of the difference when groups are independent and the
    rows within them are not (statistics 2g). `both` is standardised on the groups' own cells.
    """
    if both.groups is None:
        raise AssertionError("asked for groups that are not there")
    per_row = _over(both.weights, both.rows)
    mean = _over((both.cells @ gradient[..., None])[..., 0], both.rows)
    moved = np.einsum("arghc,arc->argh", both.groups, gradient)
    moved -= mean[:, :, None, :] * both.groups.sum(axis=-1)
    each = (moved * per_row[:, :, None, :]).sum(axis=-1)
    difference: Floats = each[1] - each[0]
    return difference


@dataclass(frozen=True, eq=False)
class _Pieces:
    """What the variances of both arms are made of.

    `square` (2, R, H, components) is the mean square influence of a component's rows, the influence
    times the component's overall share so that the two arms' values compare like with like; `mass`
    carries the inverse and the component's share of the stratum. `shift` (2, R, H) is the squared
    mean influence, `per_row` (2, R, H) the squared weight of one row times the rows.
    """

    mass: Floats
    square: Floats
    shift: Floats
    per_row: Floats

    def variance(self, square: Floats, arm: int) -> Floats:
        """Variance (..., R) of one arm for mean squares (..., R, H, components)."""
        spread = np.maximum(0.0, (self.mass[arm] * square).sum(axis=-1) - self.shift[arm])
        result: Floats = (self.per_row[arm] * spread).sum(axis=-1)
        return result


def _pieces(both: Standardised, gradient: Floats, components: tuple[slice, ...]) -> _Pieces:
    """Sum shares, squares and influence over the cells of each stratum.

    A stratum's shares are shrunk by one pseudo-row towards the arm's standardised ones, which
    keeps empty cells from looking certain and changes nothing when there is one stratum. The sums
    are linear in the shares, so the (R, H, C) shares themselves are never made.
    """
    parts = len(components)
    squares = gradient * gradient
    overall = _sums(both.smooth, gradient, squares, components)[..., None, :]
    found = _sums(both.squares, gradient[..., None, :], squares[..., None, :], components)
    pseudo = (
        overall
        + both.weights[..., None]
        * (
            _sums(np.broadcast_to(both.pseudo, gradient.shape), gradient, squares, components)[
                ..., None, :
            ]
        )
    )
    weighted = both.squares is not both.cells
    heavy = both.squares.sum(axis=-1) if weighted else both.rows
    found = (found + pseudo) / (heavy + 1.0)[..., None]
    total = found[..., :parts].sum(axis=-1)
    held = found[..., :parts] / total[..., None]
    share = overall[..., :parts] / overall[..., :parts].sum(axis=-1, keepdims=True)
    moment = mean = found[..., -1]
    if weighted:
        first = np.vecdot(both.cells, gradient[..., None, :])
        mean = (first + pseudo[..., -1]) / (both.rows + 1.0)
    squared = share * share
    return _Pieces(
        mass=held / squared,
        square=found[..., parts:-1] * squared / held,
        shift=(2.0 * mean * moment - mean * mean) / total,
        per_row=_over(both.weights * both.weights, both.sizes),
    )


def _sums(
    table: Floats, gradient: Floats, squares: Floats, components: tuple[slice, ...]
) -> Floats:
    """Sum counts, counts times squared influence (of each component), counts times influence.

    From a table (..., C) to (..., 2 components + 1).
    """
    parts = len(components)
    shape = np.broadcast_shapes(table.shape, gradient.shape)[:-1]
    sums = np.empty((*shape, 2 * parts + 1))
    for index, cells in enumerate(components):
        table[..., cells].sum(axis=-1, out=sums[..., index])
        np.vecdot(table[..., cells], squares[..., cells], out=sums[..., parts + index])
    np.vecdot(table, gradient, out=sums[..., -1])
    return sums


def _over(numerator: Floats, rows: Floats) -> Floats:
    """Divide by rows; where there are none the result is 0."""
    return np.divide(numerator, rows, out=np.zeros(rows.shape), where=rows > 0.0)


def _merged(
    part: Part, totals: Floats, both: Bools, looks: npt.NDArray[np.intp]
) -> tuple[Floats, Floats | None, Floats | None, Floats]:
    """Merge the small strata of some looks; a group's place is that of its first stratum.

    Merging is linear in the counts, so it applies to squares and groups of rows alike.
    """
    cells, totals = part.cells.copy(), totals.copy()
    squares = None if part.squares is None else part.squares.copy()
    groups = None if part.groups is None else part.groups.copy()
    for look in looks:
        mixes, totals[look] = _mixes(part, totals[look], np.nonzero(both[look])[0], int(look))
        cells[:, look] = mixes @ cells[:, look]
        if squares is not None:
            squares[:, look] = (mixes * mixes) @ squares[:, look]
        if groups is not None:
            groups[:, look] = mixes[:, None] @ groups[:, look]
    return cells, squares, groups, totals


def _mixes(
    part: Part, totals: Floats, places: npt.NDArray[np.intp], look: int
) -> tuple[Floats, Floats]:
    """Return how strata are mixed in each arm, (2, H, H), and the rows of the merged ones, (H,)."""
    stable, canary = part.cells[:, look]
    mixes = np.zeros((2, len(totals), len(totals)))
    merged = np.zeros(len(totals))
    for group in _groups(stable[places], canary[places], part.component.value):
        members = places[group]
        merged[members[0]] = totals[members].sum()
        mixes[:, members[0], members] = _mixture(stable[members], canary[members])
    return mixes, merged


def _groups(stable: Floats, canary: Floats, value: Callable[[Floats], Floats]) -> list[list[int]]:
    """Join strata of fewer than 30 rows in an arm with the one of nearest stable metric.

    The smallest first, until all are large enough or one is left.
    """
    groups = [[index] for index in range(len(stable))]
    mixed = [(stable[index], canary[index]) for index in range(len(stable))]
    while len(groups) > 1:
        sizes = [min(float(arms[0].sum()), float(arms[1].sum())) for arms in mixed]
        small = int(np.argmin(sizes))
        if sizes[small] >= SMALLEST_STRATUM:
            break
        values = value(np.array([arms[0] for arms in mixed]))
        gaps = np.abs(values - values[small])
        gaps[np.isnan(gaps)] = np.inf
        others = [index for index in range(len(groups)) if index != small]
        near = min(others, key=lambda index: float(gaps[index]))
        groups[near] = sorted(groups[near] + groups[small])
        factors = _mixture(stable[groups[near]], canary[groups[near]])
        mixed[near] = (factors[0] @ stable[groups[near]], factors[1] @ canary[groups[near]])
        del groups[small], mixed[small]
    return groups


def _mixture(stable: Floats, canary: Floats) -> tuple[Floats, Floats]:
    """Factors (H,) that give both arms of several strata (H, C) one mixture of conditions.

    Both are mixed with the weights n_s n_c / (n_s + n_c) (Mantel and Haenszel), never by adding raw
    counts: a step with 10 000 rows of stable and 10 of the canary would otherwise compare one
    step's stable with another step's canary. The mixed counts are as many as they know.
    """
    rows = stable.sum(axis=-1), canary.sum(axis=-1)
    mixture = rows[0] * rows[1] / (rows[0] + rows[1])
    mixture = mixture / mixture.sum()
    stable_row, canary_row = (mixture / each for each in rows)
    return (
        stable_row / float((mixture * stable_row).sum()),
        canary_row / float((mixture * canary_row).sum()),
    )
