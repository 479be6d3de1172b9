"""What a trained model looks at: permutation importance and partial dependence, on held-out rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import partial_dependence, permutation_importance

from assay_workbench.search import Scorer
from assay_workbench.table import Table

Floats = NDArray[np.float64]

REPEATS = 10
MOST_ROWS = 2_000
"""Held-out rows that importance is measured on at the most."""

DEPENDENCE_ROWS = 500
PANELS = 6
"""Columns of which partial dependence is shown."""

GRID = 20
MOST_CLASSES = 5


@dataclass(frozen=True)
class Importance:
    """By how much the metric falls when a column is shuffled, with the deviation over repeats."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Dependence:
    """Mean probability (or score) of classes when a column has one value in all rows.

    Attributes
    ----------
    values
        Of the column: numbers, or names.
    curves
        By name of the class, each as long as `values`.
    """

    name: str
    values: tuple[float | str, ...]
    curves: tuple[tuple[str, Floats], ...]


def importances(
    model: Any, table: Table, places: NDArray[np.intp], scorer: Scorer, seed: int
) -> tuple[Importance, ...]:
    """Return the permutation importance of each column, largest first."""
    few = places[:MOST_ROWS]
    found = permutation_importance(
        model, table.rows[few], table.labels[few], scoring=scorer, n_repeats=REPEATS,
        random_state=seed,
    )  # fmt: skip
    each = zip(table.names, found.importances_mean, found.importances_std, strict=True)
    return tuple(
        sorted(
            (Importance(name, float(mean), float(deviation)) for name, mean, deviation in each),
            key=lambda entry: -entry.mean,
        )
    )


def dependences(
    model: Any,
    table: Table,
    places: NDArray[np.intp],
    names: tuple[str, ...],
    positive: str | None,
    shown: Callable[[], object] = int,
) -> tuple[Dependence, ...]:
    """Return the partial dependence of some columns; of two classes that of the positive one.

    Parameters
    ----------
    places
        Of the rows over which is averaged: the first `DEPENDENCE_ROWS` of them.
    """
    rows = table.rows[places[:DEPENDENCE_ROWS]]
    method = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    classes = [str(name) for name in model.classes_]
    found = []
    for name in names[:PANELS]:
        place = table.names.index(name)
        values = _grid(rows[:, place], categorical=place in table.categorical)
        if len(values) < 2:
            continue
        average = partial_dependence(
            model, rows, [place], custom_values={place: values}, response_method=method,
            categorical_features=[place] if place in table.categorical else None, kind="average",
        ).average  # fmt: skip
        found.append(Dependence(name, tuple(values.tolist()), _curves(average, classes, positive)))
        shown()
    return tuple(found)


def _curves(
    average: Floats, classes: list[str], positive: str | None
) -> tuple[tuple[str, Floats], ...]:
    if len(classes) == 2:
        of = positive or classes[1]
        # scikit-learn gives the second of two classes only.
        curve = average[0]
        if of != classes[1]:
            curve = 1.0 - curve
        return ((of, curve),)
    return tuple(zip(classes[:MOST_CLASSES], average, strict=False))


def _grid(values: NDArray[Any], *, categorical: bool) -> NDArray[Any]:
    if categorical:
        known = [value for value in values.tolist() if isinstance(value, str)]
        names, counts = np.unique(np.array(known, dtype=np.str_), return_counts=True)
        commonest = np.argsort(-counts, kind="stable")[:8]
        return np.array(names[np.sort(commonest)].tolist(), dtype=object)
    numbers = values.astype(np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if np.unique(numbers).size <= GRID:
        return np.unique(numbers)
    return np.unique(np.quantile(numbers, np.linspace(0.05, 0.95, GRID)))
