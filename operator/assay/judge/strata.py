"""Standardisation: one comparison out of many strata, without Simpson's paradox.

Each arm's cell shares are averaged over the strata with the same weights (a stratum's part of all
labelled rows), so a difference in traffic between member clusters or rollout steps cannot look
like a difference between revisions. Variances follow by the delta method per stratum.

Shapes: R looks, H strata, C cells, G groups. What a cell is, the metric says. A stratum without
rows in one of the arms takes no part.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assay.judge.looks import Part
from assay.judge.metrics.metric import block_sums, blocks

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SMALLEST_STRATUM = 30.0
"""Rows that both arms of a stratum need for a variance of their own."""

_NOTHING = 1e-300
"""Stands for no rows where these are divided by; what is divided is 0 then."""


class Standardised(NamedTuple):
    """Both arms over the same strata; the first axis is the arm, stable then canary.

    Attributes
    ----------
    weights
        Of the strata, (R, H).
    cells
        Labelled rows per stratum and cell, or sums of weights, (2, R, H, C).
    squares
        Sums of squared weights, likewise; `None` where rows are not weighted.
    held, rows
        Sums of `cells` over the cells of each of the component's parts, (2, R, H, parts), and over
        all, (2, R, H), never quite 0.
    per_row
        What one row of a stratum weighs, (2, R, H).
    precision
        What one pseudo-row of every stratum weighs, (2, R, 1).
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
        The pseudo-counts, (1, C), or `None`.
    """

    weights: Floats
    cells: Floats
    squares: Floats | None
    held: Floats
    rows: Floats
    per_row: Floats
    precision: Floats
    shares: Floats
    smooth: Floats
    effective: Floats
    groups: Floats | None
    pseudo: Floats | None


def standardise(part: Part) -> Standardised:
    """Standardise both arms of a part; small strata find their neighbour by its component."""
    cells, squares, groups = part.cells, part.squares, part.groups
    held = block_sums(cells, part.component.parts)
    rows = _total(held)
    totals = rows[0] + rows[1]
    if np.minimum.reduce(rows, axis=None) < SMALLEST_STRATUM:
        smaller = np.minimum(rows[0], rows[1])
        both = smaller > 0.0
        totals *= both
        thin = (both & (smaller < SMALLEST_STRATUM)).any(axis=-1)
        merging = thin & (both.sum(axis=-1) > 1)
        if merging.any():
            cells, squares, groups, totals = _merged(part, totals, both, merging)
            held = block_sums(cells, part.component.parts)
            rows = _total(held)
        rows = np.maximum(rows, _NOTHING)
    weights = totals / np.add.reduce(totals, axis=-1, keepdims=True)
    per_row = weights / rows
    precision = np.vecdot(per_row, weights)[..., None]
    alone = cells.shape[-2] == 1
    shares = per_row * cells[..., 0, :] if alone else np.vecmat(per_row, cells)
    if squares is not None:
        effective = shares / np.vecdot(per_row * per_row, squares.sum(axis=-1))[..., None]
    else:  # counts of a single stratum stay what they are, to the last bit
        effective = cells[..., 0, :] if alone else shares / precision
    pseudo = part.component.pseudo(cells.shape[-1])
    return Standardised(
        weights=weights,
        cells=cells,
        squares=squares,
        held=held,
        rows=rows,
        per_row=per_row,
        precision=precision,
        shares=shares,
        smooth=shares if pseudo is None else shares + precision * pseudo,
        effective=effective,
        groups=groups,
        pseudo=None if pseudo is None else pseudo[None],
    )


def variances(
    both: Standardised,
    gradient: Floats,
    floors: Floats,
    least: Floats | None = None,
) -> Floats:
    """Variances of both arms' metric, as specified and as credible.

    Parameters
    ----------
    gradient
        Influence of one row by cell, (2, R, C), at the arms' smooth shares.
    floors
        Factors k, (F, R): per part and stratum the canary's mean square influence is at least k
        times stable's (a lucky canary sample must not also look precise).
    least
        Smallest credible mean square influence per part, (2, R, parts); `None` for no such limit.

    Returns
    -------
    variances
        Shape (V, F, 2, R). V is 1, or 2 where some mean square is below `least`: as specified, then
        no smaller than that makes it.
    """
    pieces = _pieces(both, gradient)
    square = pieces.square[None]  # (V, arm, R, H, parts)
    if least is not None and (square < least[..., None, :]).any():
        square = np.concatenate([square, np.maximum(square, least[..., None, :])])
    of_canary = np.zeros((len(floors), *square.shape[1:-2], 1, 1))
    of_canary[:, 1] = floors[..., None, None]
    floored = np.maximum(square[:, None], of_canary * square[:, None, :1])
    return pieces.variance(floored)  # of (V, F, arm, R, H, parts)


def residuals(both: Standardised, gradient: Floats) -> Floats:
    """Return what each group of rows moves the difference by, (R, G): canary's part less stable's.

    The sum of their squares is the variance of the difference when groups are independent and the
    rows within them are not (statistics 2g). `both` is standardised on the groups' own cells.
    """
    if both.groups is None:
        raise AssertionError("asked for groups that are not there")
    mean = (both.cells @ gradient[..., None])[..., 0] / both.rows
    moved = np.einsum("a...ghc,a...c->a...gh", both.groups, gradient)
    moved -= mean[..., None, :] * both.groups.sum(axis=-1)
    each = (moved * both.per_row[..., None, :]).sum(axis=-1)
    difference: Floats = each[1] - each[0]
    return difference


class _Pieces(NamedTuple):
    """What the variances of both arms are made of.

    `square` (2, R, H, parts) is the mean square influence of a part's rows, the influence times the
    part's overall share so that the two arms' values compare like with like; `mass` carries the
    inverse and the part's share of the stratum (`None` for 1). `shift` (2, R, H) is the squared mean influence,
    `per_row` (2, R, H) the squared weight of one row times the rows.
    """

    mass: Floats | None
    square: Floats
    shift: Floats
    per_row: Floats

    def variance(self, square: Floats) -> Floats:
        """Variance (..., 2, R) of the arms for mean squares (..., 2, R, H, parts)."""
        total = square[..., 0] if self.mass is None else np.vecdot(self.mass, square)
        spread = np.maximum(0.0, total - self.shift)
        result: Floats = np.vecdot(self.per_row, spread)
        return result


def _pieces(both: Standardised, gradient: Floats) -> _Pieces:
    """Sum shares, squares and influence over the cells of each stratum.

    A stratum's shares are shrunk by one pseudo-row towards the arm's standardised ones, which
    keeps empty cells from looking certain and changes nothing when there is one stratum. The sums
    are linear in the shares, so the (R, H, C) shares themselves are never made.
    """
    parts = both.held.shape[-1]
    powers = np.empty((2, *gradient.shape))
    powers[0] = gradient
    np.multiply(gradient, gradient, out=powers[1])
    sums = _sums(both.cells, both.held, powers)  # (3, 2, R, H, parts)
    overall = np.vecmat(both.per_row, sums)
    smoothing = overall[..., None, :]
    if both.pseudo is not None:
        pseudo = _sums(both.pseudo, block_sums(both.pseudo, parts), powers)  # (3, 2, R, 1, parts)
        overall = overall + both.precision * pseudo[..., 0, :]
        smoothing = overall[..., None, :] + both.weights[..., None] * pseudo
    if both.squares is None:
        found = (sums + smoothing) / (both.rows + 1.0)[..., None]
        mean = twice = _total(found[1])
        per_row = both.per_row * both.weights
    else:
        held = block_sums(both.squares, parts)
        heavy = _total(held)
        found = (_sums(both.squares, held, powers) + smoothing) / (heavy + 1.0)[..., None]
        mean = _total(sums[1] + smoothing[1]) / (both.rows + 1.0)
        twice = 2.0 * _total(found[1]) - mean
        per_row = both.per_row * both.per_row * heavy
    mass, square, total = None, found[2], _total(found[0])
    if parts > 1:
        share = overall[0] / _total(overall[0])[..., None]
        mass = found[0] / ((share * share)[..., None, :] * total[..., None])
        square = square / mass
    return _Pieces(mass, square, mean * twice / total, per_row)


def _sums(table: Floats, held: Floats, powers: Floats) -> Floats:
    """Sum counts (that is `held`), counts times influence, counts times squared influence.

    From a table ([2, R,] H, C) to (3, 2, R, H, parts).
    """
    by_part = blocks(powers, held.shape[-1])[..., None, :, :]
    sums = np.empty((3, *by_part.shape[1:-3], *held.shape[-2:]))
    sums[0] = held
    np.vecdot(blocks(table, held.shape[-1]), by_part, out=sums[1:])
    return sums


def _total(held: Floats) -> Floats:
    """Add up the parts, (..., parts); of two as a sum, which one verdict does three times as fast."""
    if held.shape[-1] == 2:
        result: Floats = held[..., 0] + held[..., 1]
        return result
    return held[..., 0] if held.shape[-1] == 1 else np.add.reduce(held, axis=-1)


def _merged(
    part: Part, totals: Floats, both: Bools, looks: Bools
) -> tuple[Floats, Floats | None, Floats | None, Floats]:
    """Merge the small strata of some looks; a group's place is that of its first stratum.

    Merging is linear in the counts, so it applies to squares and groups of rows alike.
    """
    cells, totals = part.cells.copy(), totals.copy()
    squares = None if part.squares is None else part.squares.copy()
    groups = None if part.groups is None else part.groups.copy()
    for look in map(tuple, np.argwhere(looks)):
        arms = (slice(None), *look)
        mixes, totals[look] = _mixes(
            part, totals[look], np.nonzero(both[look])[0], part.cells[arms]
        )
        cells[arms] = mixes @ cells[arms]
        if squares is not None:
            squares[arms] = (mixes * mixes) @ squares[arms]
        if groups is not None:
            groups[arms] = mixes[:, None] @ groups[arms]
    return cells, squares, groups, totals


def _mixes(
    part: Part, totals: Floats, places: npt.NDArray[np.intp], cells: Floats
) -> tuple[Floats, Floats]:
    """Return how strata are mixed in each arm, (2, H, H), and the rows of the merged ones, (H,)."""
    stable, canary = cells
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
