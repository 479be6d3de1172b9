"""Linear models taken apart: what each column of a row adds to the model's scores.

A linear model's decision score is a sum, and while every step before it works on columns by
themselves, so is each column's part of it. With a calibration these are the scores before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn

from assay_server.models.columns import Columns
from assay_server.models.compiled.blocks import Features
from assay_server.models.compiled.compiler import weights_of
from assay_server.models.compiled.proof import prove
from assay_server.models.compiled.steps import CannotCompileError
from assay_server.models.compiled.transformers import transformed
from assay_server.models.estimator import type_name
from assay_server.models.scores import EngineName, Floats, Rows, Scores

_PCA = "sklearn.decomposition._pca.PCA"

MOST_VALUES = 2**17
"""Numbers that are worked with for one request: more would hold up other requests."""

Means = Sequence[Sequence[float]]
"""For each score, what each column adds to it on average."""


class Contributions:
    """A linear model as parts by column. Any thread may use it.

    Parameters
    ----------
    features
        The columns as the weights see them.
    weights, bias
        Shape (s, m) of m prepared columns, and (s,): one score for two classes, else one per class.
    width
        Columns of a row.

    Raises
    ------
    CannotCompileError
        If a prepared column is made of several.
    """

    def __init__(self, features: Features, weights: Floats, bias: Floats, width: int) -> None:
        self._features = features
        self._weights = weights
        self._bias = bias
        origins = np.array(features.origins(), dtype=np.intp)
        # Prepared columns in the order of the columns that they come from, and where those begin.
        self._order = np.argsort(origins, kind="stable")
        self._columns, self._starts = np.unique(origins[self._order], return_index=True)
        self._means = np.zeros((len(weights), width))
        self.is_centred = False
        """Whether parts are against the mean training row, and not against 0 after preparation."""

    @property
    def base(self) -> Floats:
        """What the parts of a row have to be added to, to give its scores; shape (s,)."""
        total: Floats = self._bias + self._means.sum(axis=1)
        return total

    @property
    def most_rows(self) -> int:
        """How many rows may be taken apart at once."""
        return MOST_VALUES // max(self._weights.size, self._means.size)

    def centre(self, means: Means) -> None:
        """Take parts against what each column adds on average. Raises ValueError for another shape."""
        found = np.array(means, dtype=np.float64)
        if found.shape != self._means.shape:
            raise ValueError(f"has the shape {found.shape}, not {self._means.shape}")
        self._means = found
        self.is_centred = True

    def means(self, rows: Rows) -> list[list[float]]:
        """Return what each column adds on average over rows of shape (n, d)."""
        total = np.zeros(self._means.shape)
        for start in range(0, len(rows), self.most_rows):
            total += self._parts(rows[start : start + self.most_rows]).sum(axis=0)
        found: list[list[float]] = (total / len(rows)).tolist()
        return found

    def __call__(self, rows: Rows) -> Floats:
        """Return what each column adds to each score, shape (n, s, d), n at most `most_rows`."""
        return self._parts(rows) - self._means

    def score(self, rows: Rows) -> Floats:
        """Return the scores as the sum of their parts, shape (n,) or (n, K)."""
        total: Floats = self(rows).sum(axis=2) + self.base
        return total[:, 0] if total.shape[1] == 1 else total

    def _parts(self, rows: Rows) -> Floats:
        prepared = self._features.matrix(rows)
        each = (prepared[:, np.newaxis, :] * self._weights)[:, :, self._order]
        found = np.zeros((len(rows), *self._means.shape))
        found[:, :, self._columns] = np.add.reduceat(each, self._starts, axis=2)
        return found


def contributions_of(model: Any, columns: Columns, missing: frozenset[int]) -> Contributions | None:
    """Take a fitted scikit-learn classifier apart, after `prepare`; None if it is not linear.

    `missing` are the columns that may be missing. It is proven on random rows: its sums are scikit-learn's.
    """
    try:
        features = Features.of_rows(model.n_features_in_)
        found = _linear(model, _Prepared(features), features.width, objects=bool(columns.text))
        if not found.most_rows:
            return None
        with sklearn.config_context(assume_finite=False):
            prove(_Summed(found), _Asked(model), columns, missing)
    except Exception:  # noqa: BLE001 - whatever is odd about it, it is served without them
        return None
    return found


@dataclass(frozen=True)
class _Prepared:
    """Columns, and the selections and projections behind them, in their order."""

    features: Features
    behind: tuple[Any, ...] = ()

    def then(self, step: Any, *, objects: bool) -> "_Prepared":
        """Return what a fitted step makes of it. Raises CannotCompileError."""
        if step is None or isinstance(step, str):
            return self
        if hasattr(step, "get_support") or (type_name(step) == _PCA and not step.whiten):
            return _Prepared(self.features, (*self.behind, step))
        if self.behind:
            raise CannotCompileError(f"{type(step).__name__} after a selection or projection")
        return _Prepared(transformed(step, self.features, objects=objects))

    def weighted(self, weights: Floats, bias: Floats, width: int) -> Contributions:
        """Return the weighted sum of it, by column of a row of so many."""
        for step in reversed(self.behind):
            if hasattr(step, "get_support"):
                support = step.get_support()
                whole = np.zeros((len(weights), len(support)))
                whole[:, support] = weights
                weights = whole
            else:
                weights = weights @ step.components_
                bias = bias - weights @ step.mean_
        return Contributions(self.features.numbers(), weights, bias, width)


def _linear(model: Any, before: _Prepared, width: int, *, objects: bool) -> Contributions:
    model = _inner(model)
    if hasattr(model, "steps"):
        for _, step in model.steps[:-1]:
            before = before.then(step, objects=objects)
        return _linear(model.steps[-1][1], before, width, objects=objects)
    found = [_inner(one) for one in getattr(model, "estimators_", ())]
    if type_name(model) == "sklearn.multiclass.OneVsRestClassifier" and not model.multilabel_:
        each = [weights_of(one, binary=True) for one in found]
        weights, bias = (np.array(values) for values in zip(*each, strict=True))
        return before.weighted(weights, bias, width)
    binary = len(model.classes_) == 2
    weights, bias = weights_of(model, binary=binary)
    return before.weighted(np.atleast_2d(weights), np.atleast_1d(bias), width)


def _inner(model: Any) -> Any:
    """Return the classifier within a search, a frozen one, or a calibration of one."""
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif type_name(model) == "sklearn.frozen._frozen.FrozenEstimator":
            model = model.estimator
        elif len(getattr(model, "calibrated_classifiers_", ())) == 1:
            model = model.calibrated_classifiers_[0].estimator
        else:
            return model


class _Summed:
    """The sums of the parts, as an engine."""

    name = EngineName.COMPILED
    has_probabilities = False
    decision_width = 1

    def __init__(self, parts: Contributions) -> None:
        self._parts = parts

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:
        del rule
        return _decisions(self._parts.score(rows))


class _Asked:
    """scikit-learn's decision function, before a calibration, as an engine."""

    name = EngineName.SCIKIT_LEARN
    has_probabilities = False
    decision_width = 1

    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:
        del rule
        model = _inner(self._model)
        while hasattr(model, "steps"):
            for _, step in model.steps[:-1]:
                if step is not None and not isinstance(step, str):
                    rows = step.transform(rows)
            model = _inner(model.steps[-1][1])
        return _decisions(np.asarray(model.decision_function(rows), dtype=np.float64))


def _decisions(values: Floats) -> Scores:
    return Scores(np.zeros(len(values), dtype=np.intp), None, values)
