"""What a model knows of its columns: names, categories, scales, and which may be missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay_server.models.scores import Engine, Rows

# Of wider models, either all columns may be missing or none is taken to be.
_TRIED = 64
_SOME_TEXT = "text"


@dataclass(frozen=True, slots=True)
class Columns:
    """The input of a model.

    Attributes
    ----------
    features
        How many columns there are; None if the model does not say.
    names
        In the model's order; None if it knows none.
    categories
        Values that the model knows, by column.
    scales
        Where a column's values lie and how far they reach, by column, as a scaler learned it, or
        else as the weights suggest.
    """

    features: int | None
    names: tuple[str, ...] | None = None
    categories: dict[int, tuple[object, ...]] = field(default_factory=dict)
    scales: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def text(self) -> frozenset[int]:
        """Columns whose values reach the model as they come; all others are numbers."""
        return frozenset(
            column
            for column, values in self.categories.items()
            if any(isinstance(value, str) for value in values)
        )

    def blank(self, count: int) -> Rows:
        """Return rows of zeros, with categories that the model knows where it has some."""
        width = self.features or 1
        rows: Rows = np.zeros((count, width), dtype=np.float64)
        if self.text:
            rows = rows.astype(object)
        for column, values in self.categories.items():
            rows[:, column] = values[0]
        return rows


def columns_of(model: Any) -> Columns:
    """Read the columns of a scikit-learn model after `prepare`."""
    features = getattr(model, "n_features_in_", None)
    names = getattr(model, "feature_names_in_", None)
    columns = Columns(features, None if names is None else tuple(str(name) for name in names))
    if features is not None:
        _follow(model, list(range(features)), columns)
    return columns


def missing_columns(engine: Engine, columns: Columns) -> frozenset[int]:
    """Return the columns that may be missing: then the model still answers with numbers."""
    width = columns.features or 1
    if _answers(engine, columns, range(width)):
        return frozenset(range(width))
    if width > _TRIED or not _answers(engine, columns, ()):
        return frozenset()
    return frozenset(place for place in range(width) if _answers(engine, columns, (place,)))


def _answers(engine: Engine, columns: Columns, missing: Sequence[int]) -> bool:
    rows = columns.blank(1)
    rows[:, list(missing)] = np.nan
    try:
        scores = engine.score(rows)
    except Exception:  # noqa: BLE001 - a refusal, of whatever type
        return False
    given = (scores.probabilities, scores.decisions)
    return all(each is None or bool(np.isfinite(each).all()) for each in given)


Origins = Sequence[int | None]
"""Which column of the model each column of a table is; None is one that was computed."""


def _follow(part: Any, origins: Origins, columns: Columns) -> Origins:
    """Note what a part of a model knows of its inputs; return the origins of its outputs."""
    if part is None or isinstance(part, str):
        return () if part == "drop" else origins
    if hasattr(part, "best_estimator_"):
        part = part.best_estimator_
    if hasattr(part, "steps"):
        for _, step in part.steps:
            origins = _follow(step, origins, columns)
        return origins
    if hasattr(part, "transformers_"):
        return [
            output
            for _, transformer, places in part.transformers_
            for output in _follow(transformer, _chosen(origins, places), columns)
        ]
    if hasattr(part, "transformer_list"):
        return [
            output
            for _, transformer in part.transformer_list
            for output in _follow(transformer, origins, columns)
        ]
    _note_categories(part, origins, columns)
    return _note_numbers(part, origins, columns)


def _chosen(origins: Origins, places: Any) -> Origins:
    """Return the origins of some columns; those of which nothing is known are too few."""
    chosen = [int(place) for place in np.atleast_1d(places)]
    return [origins[place] if place < len(origins) else None for place in chosen]


def _note_categories(part: Any, origins: Origins, columns: Columns) -> None:
    known = vars(part)
    categories = [values.tolist() for values in known.get("categories_", ())]
    if "statistics_" in known:
        categories = [
            [value] if isinstance(value, str) else [] for value in known["statistics_"].tolist()
        ]
    elif hasattr(part, "build_analyzer"):  # a vectorizer of texts
        categories = [[_SOME_TEXT]] * len(origins)
    for origin, values in zip(origins, categories, strict=False):
        if origin is not None and values:
            columns.categories.setdefault(origin, tuple(values))


def _note_numbers(part: Any, origins: Origins, columns: Columns) -> Origins:
    known = vars(part)
    if "statistics_" in known:
        return () if known.get("add_indicator") else _kept(origins, known["statistics_"])
    for origin, centre, scale in zip(origins, *_reach(known, len(origins)), strict=False):
        if origin is not None:
            columns.scales.setdefault(origin, (float(centre), float(scale)))
    for member in known.get("estimators_", ())[:1]:
        if hasattr(member, "coef_") or hasattr(member, "steps"):
            _follow(member, origins, columns)
    return ()


def _kept(origins: Origins, statistics: Any) -> Origins:
    """Return the origins of an imputer's outputs, if it drops none; else none are known."""
    dropped = any(isinstance(value, float) and np.isnan(value) for value in statistics.tolist())
    return () if dropped else origins


def _reach(known: dict[str, Any], width: int) -> tuple[Any, Any]:
    """Return centre and scale of each input, as far as a part knows them."""
    if "data_min_" in known:
        middle = (known["data_min_"] + known["data_max_"]) / 2.0
        return middle, np.maximum(known["data_range_"], 1e-12)
    if isinstance(known.get("scale_"), np.ndarray):
        middle = known.get("mean_", known.get("center_"))
        return np.zeros(width) if middle is None else middle, known["scale_"]
    weights = known.get("coef_")
    if isinstance(weights, np.ndarray) and weights.ndim == 2 and weights.shape[1] == width:
        size = np.abs(weights).max(axis=0)
        return np.zeros(width), 1.0 / np.maximum(size, 1e-6) / np.sqrt(width)
    return (), ()
