"""scikit-learn's linear classifiers, with all that comes before them, as a few numpy operations."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from assay_server.models.compiled.blocks import Features
from assay_server.models.compiled.heads import (
    Binary,
    Calibrated,
    Head,
    Largest,
    OneVsOne,
    Sigmoids,
    Softmax,
)
from assay_server.models.compiled.linear import Folded, Stepwise, Sum
from assay_server.models.compiled.steps import CannotCompileError
from assay_server.models.compiled.transformers import transformed
from assay_server.models.estimator import type_name
from assay_server.models.scores import EngineName, Floats, Rows, Scores

Form = type[Folded] | type[Stepwise]

_LINEAR = "sklearn.linear_model."
# Linear classifiers, all of which predict by the sign of their sum, or by the largest; and how
# those of several classes come to probabilities, if they do.
_CLASSIFIERS: dict[str, Head | None] = {
    f"{_LINEAR}_logistic.LogisticRegression": Softmax(),
    f"{_LINEAR}_logistic.LogisticRegressionCV": Softmax(),
    f"{_LINEAR}_stochastic_gradient.SGDClassifier": Sigmoids(uniform=True),
    f"{_LINEAR}_perceptron.Perceptron": None,
    f"{_LINEAR}_ridge.RidgeClassifier": None,
    f"{_LINEAR}_ridge.RidgeClassifierCV": None,
    "sklearn.svm._classes.LinearSVC": None,
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": Softmax(),
}


class Compiled:
    """An engine of numpy operations. It gives a row the same answer whatever comes with it."""

    name = EngineName.COMPILED

    def __init__(self, total: Sum, head: Head, classes: int, *, decisions: bool) -> None:
        self._total = total
        self._head = head
        self._decisions = decisions
        self.has_probabilities = head.has_probabilities
        self.decision_width = 0
        if decisions:
            self.decision_width = 1 if classes == 2 else classes

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:  # noqa: ARG002 - it costs nothing
        """Score rows, n >= 1. Raises ValueError for values that the model refuses."""
        scores = self._head(self._total(rows))
        return scores if self._decisions else Scores(scores.predicted, scores.probabilities)


def candidates(model: Any, *, decisions: bool, objects: bool) -> Iterator[Compiled]:
    """Yield what a fitted model comes down to: the fastest form first, the most careful last.

    None of them is to be believed before it is proven (see `proof`).

    Parameters
    ----------
    decisions
        Whether decision scores are served.
    objects
        Whether rows are objects, because some columns hold text.

    Raises
    ------
    CannotCompileError
        With what is in the way.
    """
    before = Features.of_rows(model.n_features_in_)
    forms: tuple[Form, ...] = (Folded, Stepwise)
    for form in forms:
        total, head = _classifier(model, before, form, objects=objects)
        if head.has_probabilities != hasattr(model, "predict_proba"):
            raise CannotCompileError(f"probabilities of {type(model).__name__}")
        yield Compiled(total, head, len(model.classes_), decisions=decisions)


def _classifier(model: Any, before: Features, form: Form, *, objects: bool) -> tuple[Sum, Head]:
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    if hasattr(model, "steps"):
        for _, step in model.steps[:-1]:
            before = transformed(step, before, objects=objects)
        return _classifier(model.steps[-1][1], before, form, objects=objects)
    name = type_name(model)
    if name in _CLASSIFIERS:
        binary = len(model.classes_) == 2
        has_probabilities = hasattr(model, "predict_proba")
        if has_probabilities and getattr(model, "loss", "log_loss") == "modified_huber":
            raise CannotCompileError("probabilities of the loss modified_huber")
        total = form(before.numbers(), *weights_of(model, binary=binary))
        if binary:
            return total, Binary(probabilities=has_probabilities)
        head = _CLASSIFIERS[name]
        return total, head if has_probabilities and head is not None else Largest()
    other = _OTHERS.get(name)
    if other is None:
        raise CannotCompileError(f"{type(model).__name__} is not compiled")
    return other(model, before, form, objects)


def _one_vs_rest(
    model: Any,
    before: Features,
    form: Form,
    objects: bool,  # noqa: FBT001
) -> tuple[Sum, Head]:
    if model.multilabel_:
        raise CannotCompileError("several labels for one row")
    has_probabilities = hasattr(model, "predict_proba")
    if len(model.estimators_) == 1:
        total, _ = _binary(model.estimators_[0], before, form, objects=objects)
        return total, Binary(probabilities=has_probabilities)
    total = _side_by_side(model.estimators_, before, form, objects=objects)
    return total, Sigmoids() if has_probabilities else Largest()


def _one_vs_one(
    model: Any,
    before: Features,
    form: Form,
    objects: bool,  # noqa: FBT001
) -> tuple[Sum, Head]:
    if model.pairwise_indices_ is not None:
        raise CannotCompileError("a precomputed kernel")
    total = _side_by_side(model.estimators_, before, form, objects=objects)
    return total, OneVsOne(len(model.classes_))


def _calibrated(
    model: Any,
    before: Features,
    form: Form,
    objects: bool,  # noqa: FBT001
) -> tuple[Sum, Head]:
    sums: list[Sum] = []
    slopes, offsets = [], []
    classes = len(model.classes_)
    for member in model.calibrated_classifiers_:
        if member.method != "sigmoid" or len(member.estimator.classes_) != classes:
            raise CannotCompileError("CalibratedClassifierCV other than by sigmoids")
        sums.append(_decision(member.estimator, before, form, objects=objects))
        slopes.append([calibrator.a_ for calibrator in member.calibrators])
        offsets.append([calibrator.b_ for calibrator in member.calibrators])
    shape = (len(sums),) if classes == 2 else (len(sums), classes)
    head = Calibrated(np.reshape(slopes, shape), np.reshape(offsets, shape))
    return _Stacked(sums), head


_OTHERS: dict[str, Callable[[Any, Features, Form, bool], tuple[Sum, Head]]] = {
    "sklearn.multiclass.OneVsRestClassifier": _one_vs_rest,
    "sklearn.multiclass.OneVsOneClassifier": _one_vs_one,
    "sklearn.calibration.CalibratedClassifierCV": _calibrated,
}


class _Stacked:
    """Several sums of the same rows: shape (n, members, ...)."""

    def __init__(self, sums: Sequence[Sum]) -> None:
        self._sums = sums

    def __call__(self, rows: Rows) -> Floats:
        return np.stack([total(rows) for total in self._sums], axis=1)


class _Duels:
    """The decisions of one-vs-one: shape (n, K), or (n,) for two classes."""

    def __init__(self, total: Sum, head: OneVsOne) -> None:
        self._total = total
        self._head = head

    def __call__(self, rows: Rows) -> Floats:
        return self._head.decisions(self._total(rows))


def _side_by_side(estimators: Sequence[Any], before: Features, form: Form, *, objects: bool) -> Sum:
    """Return the sums of binary classifiers, shape (n, estimators)."""
    if all(type_name(estimator) in _CLASSIFIERS for estimator in estimators):
        found = [weights_of(_checked(estimator), binary=True) for estimator in estimators]
        weights, bias = zip(*found, strict=True)
        return form(before.numbers(), np.array(weights), np.array(bias))
    return _Stacked(
        [_binary(estimator, before, form, objects=objects)[0] for estimator in estimators]
    )


def _binary(estimator: Any, before: Features, form: Form, *, objects: bool) -> tuple[Sum, Head]:
    total, head = _classifier(estimator, before, form, objects=objects)
    if not isinstance(head, Binary):
        raise CannotCompileError(f"{type(estimator).__name__} within another classifier")
    return total, head


def _decision(estimator: Any, before: Features, form: Form, *, objects: bool) -> Sum:
    total, head = _classifier(estimator, before, form, objects=objects)
    if isinstance(head, Calibrated):
        raise CannotCompileError(f"{type(estimator).__name__} within another classifier")
    return _Duels(total, head) if isinstance(head, OneVsOne) else total


def _checked(estimator: Any) -> Any:
    if getattr(estimator, "loss", "") == "modified_huber" or len(estimator.classes_) != 2:
        raise CannotCompileError(f"{type(estimator).__name__} within another classifier")
    return estimator


def weights_of(model: Any, *, binary: bool) -> tuple[Floats, Floats]:
    """Return weights, shape (d,) or (K, d), and bias, shape () or (K,), of a linear classifier.

    Raises CannotCompileError for any other one.
    """
    if type_name(model) not in _CLASSIFIERS:
        raise CannotCompileError(f"{type(model).__name__} is not linear")
    weights = model.coef_
    if hasattr(weights, "toarray"):  # after `sparsify`
        weights = weights.toarray()
    weights = np.array(weights, dtype=np.float64)
    bias = np.array(model.intercept_, dtype=np.float64)
    if binary:
        return weights.reshape(-1), np.array(bias.ravel()[0])
    return weights, np.broadcast_to(bias, weights.shape[:1])
