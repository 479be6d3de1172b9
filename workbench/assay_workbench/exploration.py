"""What the training rows look like, column by column. The held-out rows are not looked at."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from assay_workbench.table import Table

Floats = NDArray[np.float64]

MOST_CORRELATED = 15
"""Columns of which correlations are shown."""

REACH = 1.5
"""Interquartile ranges beyond the quartiles from which on a value counts as an outlier (Tukey)."""


@dataclass(frozen=True)
class NumericSummary:
    """A column of numbers: least, quartiles and largest of those that are there."""

    name: str
    missing: int
    quantiles: tuple[float, float, float, float, float]
    outliers: int


@dataclass(frozen=True)
class CategoricalSummary:
    """A column of names: the commonest ones with their rows, and how many there are."""

    name: str
    missing: int
    distinct: int
    commonest: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Exploration:
    """A summary.

    Attributes
    ----------
    rows
        How many.
    classes
        Rows by class, by name.
    correlated
        Names of the columns of `correlations`.
    correlations
        Spearman's, over the rows that have both values, shape (c, c); NaN where a column is constant.
    """

    rows: int
    classes: tuple[tuple[str, int], ...]
    numeric: tuple[NumericSummary, ...]
    categorical: tuple[CategoricalSummary, ...]
    correlated: tuple[str, ...]
    correlations: Floats

    @property
    def missing_by_column(self) -> dict[str, int]:
        """Rows without a value, by name of the column."""
        found = {each.name: each.missing for each in self.numeric}
        return {**found, **{each.name: each.missing for each in self.categorical}}

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Columns with missing values, most first."""
        found = [(name, rows) for name, rows in self.missing_by_column.items() if rows]
        return sorted(found, key=lambda entry: -entry[1])


def explore(table: Table, places: NDArray[np.intp]) -> Exploration:
    """Summarise some rows of a table."""
    rows, labels = table.rows[places], table.labels[places]
    names, counts = np.unique(labels, return_counts=True)
    numbers = {place: rows[:, place].astype(np.float64) for place in table.numeric}
    numeric = [_numeric(table.names[place], values) for place, values in numbers.items()]
    varied = [place for place, values in numbers.items() if np.nanstd(values) > 0.0]
    shown = varied[:MOST_CORRELATED]
    return Exploration(
        len(labels),
        tuple(zip(names.tolist(), counts.tolist(), strict=True)),
        tuple(numeric),
        tuple(_categorical(table.names[place], rows[:, place]) for place in table.categorical),
        tuple(table.names[place] for place in shown),
        _correlations([numbers[place] for place in shown]),
    )


def _numeric(name: str, values: Floats) -> NumericSummary:
    known = values[~np.isnan(values)]
    if not known.size:
        return NumericSummary(name, values.size, (np.nan,) * 5, 0)
    least, first, middle, third, most = np.quantile(known, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    reach = REACH * (third - first)
    outliers = int(((known < first - reach) | (known > third + reach)).sum())
    return NumericSummary(
        name, values.size - known.size, (least, first, middle, third, most), outliers
    )


def _categorical(name: str, values: NDArray[Any]) -> CategoricalSummary:
    counts = Counter(value for value in values.tolist() if isinstance(value, str))
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    missing = values.size - sum(counts.values())
    return CategoricalSummary(name, missing, len(ordered), tuple(ordered[:5]))


def _correlations(columns: list[Floats]) -> Floats:
    found = np.eye(len(columns))
    for row, one in enumerate(columns):
        for column, other in enumerate(columns[:row]):
            both = ~(np.isnan(one) | np.isnan(other))
            pair = np.stack([one[both], other[both]])
            known = both.sum() > 2 and (np.ptp(pair, axis=1) > 0.0).all()
            # Of ranks: one value typed wrong would hide or make a correlation of the numbers.
            matrix = (
                np.asarray(np.corrcoef(rankdata(pair, axis=1)))
                if known
                else np.full((2, 2), np.nan)
            )
            found[row, column] = found[column, row] = matrix[0, 1]
    return found
