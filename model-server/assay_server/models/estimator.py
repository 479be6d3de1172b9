"""scikit-learn as an engine: any fitted classifier, asked once a batch."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

from assay_server.models.errors import UnsupportedModelError
from assay_server.models.scores import EngineName, Floats, Indexes, Rows, Scores

# Estimators whose `predict` is the argmax of their `predict_proba`. They are asked once a request;
# only rows closer to a tie than rounding can tell are put to `predict` as well.
_ARGMAX = {
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._logistic.LogisticRegressionCV",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._forest.ExtraTreesClassifier",
    "sklearn.ensemble._gb.GradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
}
_TIE = 1e-9


class Estimator:
    """A fitted classifier or pipeline with `classes_`, after `prepare`.

    Parameters
    ----------
    decision_width
        Columns of `decision_function` if it is served, else 0.
    checked
        Whether scikit-learn looks for missing and infinite values itself. It need not where the
        protocol layer lets none through.
    """

    name = EngineName.SCIKIT_LEARN

    def __init__(self, model: Any, *, decision_width: int = 0, checked: bool = False) -> None:
        self.model = model
        self.values = class_values(model)
        self.has_probabilities = hasattr(model, "predict_proba")
        self.checked = checked
        self.decision_width = decision_width
        self._argmax = self.has_probabilities and type_name(last_step(model)) in _ARGMAX

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:
        """Score rows, n >= 1. Raises whatever the model raises."""
        if self.checked:
            with sklearn.config_context(assume_finite=False):
                return self._score(rows, rule=rule)
        return self._score(rows, rule=rule)

    def _score(self, rows: Rows, *, rule: bool) -> Scores:
        decisions = None
        if self.decision_width:
            decisions = np.asarray(self.model.decision_function(rows), dtype=np.float64)
        if not self.has_probabilities:
            return Scores(self._ask(rows), None, decisions)
        probabilities = np.asarray(self.model.predict_proba(rows), dtype=np.float64)
        if not rule or self._argmax:
            predicted = probabilities.argmax(axis=1)
            if rule and (ties := _ties(probabilities)).any():
                predicted[ties] = self._ask(rows[ties])
        else:
            predicted = self._ask(rows)
        return Scores(predicted, probabilities, decisions)

    def _ask(self, rows: Rows) -> Indexes:
        answers = np.asarray(self.model.predict(rows))
        found: Indexes = np.searchsorted(self.values, answers)  # classes_ is sorted
        return found


def configure_sklearn() -> None:
    """Set up scikit-learn for serving in the calling thread (its settings are per thread).

    The protocol layer lets no infinity through, and NaN only to models that take it.
    """
    sklearn.set_config(assume_finite=True)
    # Warnings (column names of a training DataFrame, overflow in an odd row) would be printed once
    # per cause past the structured log; what matters of them becomes an error below.
    warnings.simplefilter("ignore")


def prepare(model: Any) -> None:
    """Change a loaded model, in place, to what a server needs of it; its answers stay the same.

    * Every part predicts in the calling thread. A pool for each request costs more than it brings,
      and threads of a forest add up their trees in any order, which makes scores differ from one
      call to the next in the last digit.
    * Rows are arrays, never DataFrames: columns chosen by name are chosen by their place, and
      results between steps are arrays too.
    * A missing category is NaN, as the protocol has it, not None.
    """
    for part in parts_of(model):
        attributes = vars(part)
        if attributes.get("n_jobs") is not None:
            part.n_jobs = 1
        attributes.pop("_sklearn_output_config", None)
        places = attributes.get("_transformer_to_input_indices")
        if places is not None and "transformers_" in attributes:
            part.transformers_ = [
                (name, transformer, _places(columns, places.get(name, [])))
                for name, transformer, columns in part.transformers_
            ]
        for categories in attributes.get("categories_", ()):
            _name_missing(categories)


def parts_of(model: Any) -> Iterator[Any]:
    """Yield a model and all estimators within it, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, np.ndarray) and part.dtype == object:
            waiting.extend(part.ravel().tolist())
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            if hasattr(part, "get_params"):
                yield part
            if type(part).__module__.startswith("sklearn.") or hasattr(part, "get_params"):
                waiting.extend(vars(part).values())


def class_values(model: Any) -> NDArray[Any]:
    """Return `classes_`. Raises UnsupportedModelError."""
    values = getattr(model, "classes_", None)
    if values is None:
        raise UnsupportedModelError(f"{type(model).__name__} is not a fitted classifier")
    if isinstance(values, list) or np.ndim(values) != 1:
        raise UnsupportedModelError("a model with several outputs cannot be served")
    return np.asarray(values)


def last_step(model: Any) -> Any:
    """Return the classifier of a pipeline, or the model itself."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def type_name(model: Any) -> str:
    """Return where a type is defined, and its name."""
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _ties(probabilities: Floats) -> NDArray[np.bool_]:
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    found: NDArray[np.bool_] = top[:, 1] - top[:, 0] < _TIE
    return found


def _places(columns: Any, places: list[int]) -> Any:
    """Return columns by their place; one column without brackets stays a vector."""
    return places[0] if np.isscalar(columns) and len(places) == 1 else list(places)


def _name_missing(categories: Any) -> None:
    if not isinstance(categories, np.ndarray) or categories.dtype != object or not len(categories):
        return
    # None is last unless there is NaN too.
    if categories[-1] is None:
        categories[-1] = np.nan
