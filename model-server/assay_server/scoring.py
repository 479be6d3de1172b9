"""Scoring: rows of features in, predicted classes and probabilities out. No bytes, no transport."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]

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


class UnsupportedModelError(Exception):
    """The object in the artifact is not a classifier that can be served as asked."""


class ModelFailedError(Exception):
    """The model did not answer; `refused_input` says that it found fault with the input."""

    def __init__(self, message: str, *, refused_input: bool) -> None:
        super().__init__(message)
        self.refused_input = refused_input


@dataclass(frozen=True, slots=True)
class Scores:
    """Answers for n rows.

    Attributes
    ----------
    predicted
        Index into `Scorer.classes` of each row's prediction, shape (n,).
    probabilities
        Probability of each class, shape (n, K); None if the model has none.
    """

    predicted: Indexes
    probabilities: Floats | None


class Scorer:
    """A fitted scikit-learn classifier with its decision rule.

    Parameters
    ----------
    model
        A fitted classifier or pipeline with `classes_`.
    threshold
        Binary models only: predict the positive class iff its probability is >= threshold.
        None leaves the decision to `model.predict`.
    positive_label
        Binary models only: name of the positive class; None means the second of `classes_`.
    """

    def __init__(
        self, model: Any, threshold: float | None = None, positive_label: str | None = None
    ) -> None:
        self._model = model
        self.values = _class_values(model)
        self.classes = tuple(class_name(value) for value in self.values)
        self.features: int | None = getattr(model, "n_features_in_", None)
        self.has_probabilities = hasattr(model, "predict_proba")
        self.threshold = threshold
        self.positive = _positive(self.classes, positive_label)
        if threshold is not None and (self.positive is None or not self.has_probabilities):
            raise UnsupportedModelError("a threshold needs a binary model with predict_proba")
        self._argmax = self.has_probabilities and _type_name(_last_step(model)) in _ARGMAX

    def score(self, rows: Floats) -> Scores:
        """Score rows of shape (n, d), n >= 1, all finite. Raises ModelFailedError."""
        try:
            scores = self._score(rows)
        except ValueError as error:
            message = "the model refused these rows"
            raise ModelFailedError(message, refused_input=True) from error
        except Exception as error:  # any model may raise anything; the server lives on
            raise ModelFailedError("the model failed", refused_input=False) from error
        if scores.probabilities is not None and not np.isfinite(scores.probabilities).all():
            message = "the model gave a probability that is not a number"
            raise ModelFailedError(message, refused_input=False)
        return scores

    def _score(self, rows: Floats) -> Scores:
        if not self.has_probabilities:
            return Scores(self._ask(rows), None)
        probabilities = np.asarray(self._model.predict_proba(rows), dtype=np.float64)
        if self.threshold is not None and self.positive is not None:
            above = probabilities[:, self.positive] >= self.threshold
            predicted = np.where(above, self.positive, 1 - self.positive)
        elif self._argmax:
            predicted = probabilities.argmax(axis=1)
            top = np.partition(probabilities, -2, axis=1)[:, -2:]
            ties = top[:, 1] - top[:, 0] < _TIE
            if ties.any():
                predicted[ties] = self._ask(rows[ties])
        else:
            predicted = self._ask(rows)
        return Scores(predicted, probabilities)

    def _ask(self, rows: Floats) -> Indexes:
        answers = np.asarray(self._model.predict(rows))
        found: Indexes = np.searchsorted(self.values, answers)  # classes_ is sorted
        return found


def configure_sklearn() -> None:
    """Set up scikit-learn for serving in the calling thread (its settings are per thread).

    The protocol layer lets no NaN or infinity through, so estimators need not look again.
    """
    sklearn.set_config(assume_finite=True)
    # Warnings (column names of a training DataFrame, overflow in an odd row) would be printed once
    # per cause past the structured log; what matters of them becomes an error below.
    warnings.simplefilter("ignore")


def single_threaded(model: Any) -> None:
    """Let every step of a model predict in the calling thread.

    A pool for each request costs more than it brings, and threads of a forest add up their trees
    in any order, which makes scores differ from one call to the next in the last digit.
    """
    if not hasattr(model, "get_params"):
        return
    names = [name for name in model.get_params(deep=True) if name.rpartition("__")[2] == "n_jobs"]
    model.set_params(**dict.fromkeys(names, 1))


def class_name(value: object) -> str:
    """Return a class as the string by which labels name it: 1 and 1.0 are "1"."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _class_values(model: Any) -> NDArray[Any]:
    values = getattr(model, "classes_", None)
    if values is None:
        raise UnsupportedModelError(f"{type(model).__name__} is not a fitted classifier")
    if isinstance(values, list) or np.ndim(values) != 1:
        raise UnsupportedModelError("a model with several outputs cannot be served")
    names = [class_name(value) for value in values]
    if len(names) < 2 or len(set(names)) != len(names):
        raise UnsupportedModelError("the model needs at least two classes with different names")
    if any(not name or not name.isprintable() for name in names):
        raise UnsupportedModelError("class names must not be empty or hold control characters")
    return np.asarray(values)


def _positive(classes: tuple[str, ...], label: str | None) -> int | None:
    if label is None:
        return 1 if len(classes) == 2 else None
    if len(classes) != 2:
        raise UnsupportedModelError(
            f"a positive label needs a binary model; this one has {len(classes)} classes"
        )
    if label not in classes:
        known = ", ".join(classes)
        raise UnsupportedModelError(f"the positive label {label!r} is not a class ({known})")
    return classes.index(label)


def _last_step(model: Any) -> Any:
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def _type_name(model: Any) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"
