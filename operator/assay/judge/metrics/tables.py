"""What metrics are read from: the tables of several arms side by side.

Where labels were chosen by chance the tables hold sums of weights; where users are split they also
come by group of users. Both only when every arm that has labels has them: half a correction is none.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from assay.evidence.arrays import Counts, Sums
from assay.evidence.counts import ArmCounts
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts
from assay.judge import reasons
from assay.judge.metrics.metric import Component, Floats, NoValue, Reading

_ROUNDING = 1e-9


class Table(NamedTuple):
    """Tables of several arms, with the same meaning of axes as in `Reading`.

    Attributes
    ----------
    cells
        Rows, or sums of weights, (arms, ...).
    squares
        Sums of squared weights, of the same shape.
    groups
        Rows by user bucket, (arms, G, ...); score bins may be coarser.
    whole_ends
        Whether the first and the last score bin hold everything beyond the grid.
    refined
        Whether bins with many rows are split.
    rows
        Labelled rows where `cells` are sums of weights, likewise; `None` where they are not known.
    heaviest
        No weight that was seen is larger.
    """

    cells: Floats
    squares: Floats | None = None
    groups: Floats | None = None
    whole_ends: tuple[bool, bool] = (True, True)
    refined: bool = False
    rows: Floats | None = None
    heaviest: float = 1.0

    @classmethod
    def of_used(
        cls,
        cells: Counts | Floats,
        squares: Floats | None = None,
        groups: Floats | None = None,
        whole_ends: tuple[bool, bool] = (True, True),
        *,
        refined: bool = False,
    ) -> "Table":
        """Leave out the bins at both ends in which nobody has rows: often half of the grid.

        Cells (arms, 2, B) become floats on the way, which costs much of a verdict's time.
        """
        bins = cells.shape[-1]
        used = np.add.reduce(cells.reshape(-1, bins), axis=0).nonzero()[0]
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, bins)
        own = slice(first, last)
        return cls(
            cells[..., own].astype(np.float64),
            None if squares is None else squares[..., own],
            groups,
            (whole_ends[0] and first == 0, whole_ends[1] and last == bins),
            refined,
        )

    def reading(
        self, component: Component, arrange: Callable[[Floats], Floats], weight: float = 1.0
    ) -> Reading:
        """Make a reading; `arrange` selects and sums entries of the last axes to (..., C)."""
        return Reading(
            component,
            weight,
            arrange(self.cells),
            None if self.squares is None else arrange(self.squares),
            None if self.groups is None else arrange(self.groups),
            None if self.rows is None else arrange(self.rows),
            self.heaviest,
        )


def confusion_table(arms: Sequence[ArmCounts]) -> Table:
    """Return the confusion matrices, (arms, K, K) and (arms, G, K, K)."""
    groups = _grouped(arms, lambda part: part.confusion)
    sums = _weighted(arms, lambda part: part.confusion)
    squares = _weighted(arms, lambda part: part.confusion_squares)
    size = len(arms[0].labels)
    rows = np.concatenate([arm.confusion for arm in arms], dtype=np.float64).reshape(
        len(arms), size, size
    )
    if sums is None or squares is None:
        return Table(rows, None, groups)
    # A row stands for one at the least, so there are sums of rows that were counted, or of others.
    if ((rows > sums * (1.0 + _ROUNDING)) | ((rows == 0.0) & (sums > 0.0))).any():
        return Table(sums, squares, groups)
    return Table(sums, squares, groups, rows=rows, heaviest=heaviest(rows, sums, squares))


def heaviest(rows: Floats, sums: Floats, squares: Floats) -> float:
    """Return what no weight can exceed, from the numbers, sums and sums of squares of some cells.

    The largest of n numbers is at most ``mean + sqrt(n - 1)`` standard deviations (Samuelson, How
    deviant can you be?, 1968), and all of a cell are often the same.
    """
    seen = rows > 0.0
    n, total = rows[seen], sums[seen]
    spread = np.sqrt(np.maximum(n * squares[seen] - total * total, 0.0) * (n - 1.0))
    return float(np.max((total + spread) / n, initial=1.0))


def score_table(arms: Sequence[ArmCounts], name: str, *, ranked: bool = False) -> Table:
    """Return the scores of class `name`: rows of the class, rows of others; (arms, 2, B).

    To be ranked they come on the refined grid if every arm has it and no row is weighted, and
    without unused ends.

    Raises `NoValue` when no arm has scores of that class.
    """
    base = [arm.scores.get(name) for arm in arms]
    fine = _refined(arms, base) if ranked else None
    found = fine or base
    sizes = {each.positive.size for each in found if each is not None}
    if not any(sizes):
        raise NoValue(reasons.NO_SCORES, f"no scores of class {name!r} have been counted yet")
    groups = _grouped(arms, lambda part: part.scores.get(name))
    sums = _weighted(arms, lambda part: part.scores.get(name))
    squares = _weighted(arms, lambda part: part.score_squares.get(name))
    if sums is None and {arm.weighted is not None for arm in arms if arm.labelled} == {True}:
        raise NoValue(
            reasons.NO_SCORES,
            f"labels were chosen by chance, but the scores of class {name!r} came without weights: "
            "they say nothing about the rows that were not chosen",
        )
    cells: Counts | Floats
    if sums is not None and squares is not None:
        cells = sums
    else:
        (bins,) = sizes
        empty = np.zeros(bins, np.int64)
        rows: list[Counts] = []
        for each in found:
            rows += (empty, empty) if each is None else (each.positive, each.negative)
        cells, squares = np.concatenate(rows).reshape(len(arms), 2, bins), None
    if not ranked:
        return Table(cells.astype(np.float64, copy=False), squares, groups)
    ends = (True, True)
    if fine is not None:
        ends = next(each.whole_ends for each in base if each is not None)
    return Table.of_used(cells, squares, groups, ends, refined=fine is not None)


def _refined(
    arms: Sequence[ArmCounts], base: Sequence[ScoreHistogram | None]
) -> list[ScoreHistogram | None] | None:
    """Return the histograms on the refined grid if all arms with scores have it."""
    if all(each is None or each.refined is None for each in base):
        return None
    fine = [None if each is None else each.refined for each in base]
    sizes = {each.bins for each in fine if each is not None}
    lacking = any(b is not None and f is None for b, f in zip(base, fine, strict=True))
    weighted = any(arm.weighted is not None for arm in arms)
    return None if lacking or weighted or len(sizes) != 1 else fine


def own_rows_table(arms: Sequence[ArmCounts], names: Sequence[str]) -> Table:
    """Return the rows of each class by the score of that class, each row once; (arms, K, B).

    Classes on grids of different sizes are brought to the finest that all of them have.
    """
    tables = [score_table(arms, name) for name in names]
    squares = [table.squares for table in tables if table.squares is not None]
    groups = [table.groups for table in tables if table.groups is not None]
    return Table(
        _own_rows([table.cells for table in tables]),
        _own_rows(squares) if len(squares) == len(tables) else None,
        _own_rows(groups) if len(groups) == len(tables) else None,
    )


def flat(table: Floats) -> Floats:
    """Join the last two axes, (..., m, n) to (..., m n)."""
    return table.reshape(*table.shape[:-2], -1)


def _own_rows(tables: Sequence[Floats]) -> Floats:
    bins = math.gcd(*(table.shape[-1] for table in tables))
    own = [table[..., 0, :] for table in tables]
    return np.stack(
        [each.reshape(*each.shape[:-1], bins, -1).sum(axis=-1) for each in own], axis=-2
    )


def _grouped(
    arms: Sequence[ArmCounts], part: Callable[[GroupCounts], Counts | None]
) -> Floats | None:
    if all(arm.buckets is None for arm in arms):
        return None
    return _of_all(arms, [None if arm.buckets is None else part(arm.buckets) for arm in arms])


def _weighted(
    arms: Sequence[ArmCounts], part: Callable[[WeightedCounts], Sums | None]
) -> Floats | None:
    if all(arm.weighted is None for arm in arms):
        return None
    return _of_all(arms, [None if arm.weighted is None else part(arm.weighted) for arm in arms])


def _of_all(
    arms: Sequence[ArmCounts], parts: Sequence[Counts | None] | Sequence[Sums | None]
) -> Floats | None:
    """Stack the parts, zeros for arms without labels; `None` unless all others have one."""
    shapes = {each.shape for each in parts if each is not None}
    if len(shapes) != 1:
        return None
    if any(each is None and arm.labelled for each, arm in zip(parts, arms, strict=True)):
        return None
    empty = np.zeros(shapes.pop())
    return np.array([empty if each is None else each for each in parts], dtype=np.float64)
