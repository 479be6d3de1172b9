"""Metrics of how scores rank rows: ROC AUC and average precision, with each row's influence.

Everything is computed from *cells* in ascending order of score: one per distinct score while that
fits into memory, else one per bin. So exact figures and those of a file of any size come from the
same lines; what bins hide has a hard bound.

ROC AUC and its influence (placement values: DeLong) are the judge's own (`assay.judge.metrics`).
Average precision is scikit-learn's step sum, not the judge's integral, because here it must be the
number that people know.

Shapes: K classes, C cells of one class's score.

References: DeLong et al. (1988); Hand and Till (2001); Boyd, Eng, Page, Area under the
precision-recall curve (2013).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from assay.judge.metrics.roc_auc import Area
from assay.judge.verdict import Average, MultiClass

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Indexes = NDArray[np.intp]

_AREA = Area("AUC")

AUC, AP = "ROCAUC", "AveragePrecision"


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of one class's score.

    Attributes
    ----------
    starts
        Lowest score of each cell, ascending, (C,). Of distinct scores they are the scores.
    exact
        Whether rows in one cell have the same score.
    """

    starts: Floats
    exact: bool

    def cells(self, scores: Floats) -> Indexes:
        """Return the cell of each score, (n,)."""
        found: Indexes = np.searchsorted(self.starts, scores, side="right") - 1
        return np.maximum(found, 0)


@dataclass(frozen=True, eq=False)
class ScoreCells:
    """Rows by cell of one class's score.

    Attributes
    ----------
    place
        The class whose score it is.
    counts
        Rows by true class and cell, (K, C).
    """

    grid: Grid
    place: int
    counts: Counts

    @property
    def positives(self) -> Floats:
        """Rows of the class by cell, (C,)."""
        own: Floats = self.counts[self.place].astype(np.float64)
        return own

    @property
    def negatives(self) -> Floats:
        """Rows of all other classes by cell, (C,)."""
        rest: Floats = (self.counts.sum(axis=0) - self.counts[self.place]).astype(np.float64)
        return rest


@dataclass(frozen=True, eq=False)
class Ranked:
    """One ranking figure.

    Attributes
    ----------
    value
        `None` without rows of a class that it needs, which `why` names.
    tables
        Influence of a row by the class whose score is looked at: (K, C) by the row's true class and
        its cell. A row's influence is the sum over these classes.
    rows
        Of the rarest class that the figure needs.
    hidden
        By how much bins may have shifted the value.
    """

    metric: str
    value: float | None
    tables: Mapping[int, Floats]
    rows: float
    hidden: float = 0.0
    average: Average | None = None
    of: int | None = None
    multi_class: MultiClass | None = None
    why: str = ""


def figures(
    cells: Sequence[ScoreCells], classes: tuple[str, ...], positive: int | None
) -> list[Ranked]:
    """Return all ranking figures.

    Parameters
    ----------
    cells
        Of every class; of a binary model those of the positive class alone.
    positive
        The class of the binary figures; `None` for none.
    """
    each = [(one(AUC, item, classes), one(AP, item, classes)) for item in cells]
    found: list[Ranked] = []
    for item, pair in zip(cells, each, strict=True):
        if item.place == positive:
            found += [_as(figure, Average.BINARY) for figure in pair]
    if len(cells) <= 1:
        return found
    found += [figure for pair in each for figure in pair]
    areas, precisions = [pair[0] for pair in each], [pair[1] for pair in each]
    sizes = cells[0].counts.sum(axis=1).astype(np.float64)
    for average in (Average.MACRO, Average.WEIGHTED):
        found.append(_mean(areas, sizes, average, MultiClass.ONE_VS_REST))
        found.append(one_vs_one(cells, classes, average))
        found.append(_mean(precisions, sizes, average, None))
    return found


def one(metric: str, cells: ScoreCells, classes: tuple[str, ...]) -> Ranked:
    """Return ROC AUC or average precision of one class against all others."""
    positives, negatives = cells.positives, cells.negatives
    held, rest = float(positives.sum()), float(negatives.sum())
    if not held or not rest:
        name = classes[cells.place]
        why = f"there are {held:.0f} rows of class {name!r} and {rest:.0f} others; both are needed"
        return Ranked(metric, None, {}, 0.0, of=cells.place, why=why)
    total = held + rest
    if metric == AUC:
        value, of_positive, of_negative = _area(positives, negatives, total)
        hidden = _hidden_of_area(positives, negatives)
    else:
        value, of_positive, of_negative = _precision(positives, negatives, total)
        hidden = _hidden_of_precision(positives, negatives, value)
    table = np.tile(of_negative, (len(cells.counts), 1))
    table[cells.place] = of_positive
    return Ranked(
        metric,
        value,
        {cells.place: table},
        min(held, rest),
        0.0 if cells.grid.exact else hidden,
        of=cells.place,
    )


def one_vs_one(cells: Sequence[ScoreCells], classes: tuple[str, ...], average: Average) -> Ranked:
    """Return Hand and Till's AUC: each class against each other one, both ways."""
    sizes = cells[0].counts.sum(axis=1).astype(np.float64)
    lacking = [classes[place] for place in np.nonzero(sizes == 0.0)[0]]
    of_all = MultiClass.ONE_VS_ONE
    if lacking:
        return Ranked(
            AUC, None, {}, 0.0, average=average, multi_class=of_all, why=_no_rows(lacking)
        )
    total = float(sizes.sum())
    pairs = list(combinations(range(len(cells)), 2))
    shares = sizes / total
    weights = np.array(
        [1.0 if average is Average.MACRO else shares[i] + shares[j] for i, j in pairs]
    )
    tables = {item.place: np.zeros(item.counts.shape) for item in cells}
    values, hidden = [], 0.0
    for (i, j), weight in zip(pairs, weights / weights.sum(), strict=True):
        halves = []
        for own, other in ((i, j), (j, i)):
            counts = cells[own].counts.astype(np.float64)
            value, of_own, of_other = _area(counts[own], counts[other], total)
            tables[own][own] += 0.5 * weight * of_own
            tables[own][other] += 0.5 * weight * of_other
            halves.append(value)
            if not cells[own].grid.exact:
                hidden += 0.5 * weight * _hidden_of_area(counts[own], counts[other])
        values.append(sum(halves) / 2.0)
    value = float(np.average(values, weights=weights))
    if average is Average.WEIGHTED:
        # A row of a class also makes the class's pairs weigh more.
        for (i, j), of_pair in zip(pairs, values, strict=True):
            for place in (i, j):
                tables[place][place] += (of_pair - value) / weights.sum()
    return Ranked(AUC, value, tables, float(sizes.min()), hidden, average, multi_class=of_all)


def _mean(
    each: Sequence[Ranked], sizes: Floats, average: Average, multi_class: MultiClass | None
) -> Ranked:
    metric = each[0].metric
    why = next((figure.why for figure in each if figure.value is None), "")
    values = np.array([figure.value for figure in each if figure.value is not None])
    if why or values.size != len(each):
        return Ranked(metric, None, {}, 0.0, average=average, multi_class=multi_class, why=why)
    total = float(sizes.sum())
    weights = sizes / total if average is Average.WEIGHTED else np.full(len(each), 1.0 / len(each))
    value = float(weights @ values)
    tables: dict[int, Floats] = {}
    for figure, weight, of_class in zip(each, weights, values, strict=True):
        for place, table in figure.tables.items():
            tables[place] = weight * table
            if average is Average.WEIGHTED:
                tables[place][place] += of_class - value
    hidden = float(sum(w * figure.hidden for w, figure in zip(weights, each, strict=True)))
    rows = min(figure.rows for figure in each)
    return Ranked(metric, value, tables, rows, hidden, average, multi_class=multi_class)


def _as(figure: Ranked, average: Average) -> Ranked:
    return Ranked(
        figure.metric,
        figure.value,
        figure.tables,
        figure.rows,
        figure.hidden,
        average,
        figure.of,
        why=figure.why,
    )


def _no_rows(names: Sequence[str]) -> str:
    kind = "class" if len(names) == 1 else "classes"
    return f"there are no rows of {kind} {', '.join(map(repr, names))}"


def _area(positives: Floats, negatives: Floats, total: float) -> tuple[float, Floats, Floats]:
    """Return AUC and the influence of a positive and of a negative row by cell, per share of `total`."""
    cells = np.concatenate([positives, negatives])
    influence = _AREA.gradient(cells / total, cells)
    middle = positives.size
    # Of counts and not of shares: a perfect ranking is 1 without rounding.
    return float(_AREA.value(cells)), influence[:middle], influence[middle:]


def _precision(positives: Floats, negatives: Floats, total: float) -> tuple[float, Floats, Floats]:
    """Return scikit-learn's average precision and the same of it.

    The sum over cells b of p_b / P x A_b / (A_b + M_b), with A and M the positives and negatives at
    or above the cell. A row in cell c counts in A or M of every cell up to c.
    """
    above, alarms = (np.cumsum(each[::-1])[::-1] for each in (positives, negatives))
    both = _or_one(above + alarms)
    precision = above / both
    held = float(positives.sum())
    value = float(positives @ precision) / held
    gained = np.cumsum(positives * alarms / both**2)
    lost = np.cumsum(positives * above / both**2)
    scale = total / held
    return value, (precision + gained - value) * scale, -lost * scale


def _hidden_of_area(positives: Floats, negatives: Floats) -> float:
    """Half of the pairs that share a bin could be in either order."""
    return float(0.5 * (positives @ negatives) / (positives.sum() * negatives.sum()))


def _hidden_of_precision(positives: Floats, negatives: Floats, value: float) -> float:
    """Distance to the best and the worst order of the rows within bins."""
    above, alarms = (np.cumsum(each[::-1])[::-1] for each in (positives, negatives))
    over, under = above - positives, alarms - negatives
    held = positives.sum()
    best = float((positives * above / _or_one(above + under)).sum() / held)
    first = over + np.minimum(positives, 1.0)
    worst = float((positives * first / _or_one(first + alarms)).sum() / held)
    return max(best - value, value - worst, 0.0)


def _or_one(rows: Floats) -> Floats:
    """Return what is divided by; where there are no rows, nothing is divided."""
    return np.where(rows > 0.0, rows, 1.0)


def influences(
    figures_: Sequence[Ranked], cells: Mapping[int, ScoreCells], labels: Indexes, scores: Floats
) -> Floats:
    """Return each row's influence on each figure, (n, figures); 0 where a figure has no value."""
    found = np.zeros((labels.size, len(figures_)))
    for place, item in cells.items():
        where = item.grid.cells(scores[:, place])
        for column, table in _tables_of(figures_, place):
            found[:, column] += table[labels, where]
    return found


def _tables_of(figures_: Sequence[Ranked], place: int) -> Iterator[tuple[int, Floats]]:
    for column, figure in enumerate(figures_):
        if place in figure.tables:
            yield column, figure.tables[place]
