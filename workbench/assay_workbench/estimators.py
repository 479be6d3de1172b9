"""scikit-learn's classifiers by the names of a recipe, with their parameters checked by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from assay_workbench.errors import RecipeError
from assay_workbench.recipe import SEVERAL, Estimator, EstimatorType

CLASSIFIERS = {
    EstimatorType.LOGISTIC_REGRESSION: LogisticRegression,
    EstimatorType.DECISION_TREE: DecisionTreeClassifier,
    EstimatorType.SVM: SVC,
    EstimatorType.LINEAR_SVM: LinearSVC,
    EstimatorType.MLP: MLPClassifier,
    EstimatorType.RANDOM_FOREST: RandomForestClassifier,
    EstimatorType.GRADIENT_BOOSTING: GradientBoostingClassifier,
    EstimatorType.HIST_GRADIENT_BOOSTING: HistGradientBoostingClassifier,
    EstimatorType.ONE_VS_REST: OneVsRestClassifier,
    EstimatorType.ONE_VS_ONE: OneVsOneClassifier,
}

_GIVEN = {
    "random_state": "the recipe's seed is taken",
    "n_jobs": "one thread trains, so that the model does not depend on how many there are",
    "verbose": "progress is shown anyway",
    "warm_start": "a model is trained once",
    "probability": "use calibrate instead",
}
"""Parameters that a recipe cannot set, and why."""


@dataclass(frozen=True)
class Classifier:
    """A classifier that is not trained yet.

    Attributes
    ----------
    estimator
        Of scikit-learn.
    prefix
        Before the name of a parameter in a grid.
    probable
        Whether it has probabilities of its own.
    missing
        Whether it takes missing values.
    """

    estimator: Any
    prefix: str
    probable: bool
    missing: bool


def classifier(wanted: Estimator, seed: int) -> Classifier:
    """Build the classifier of a recipe. Raises `RecipeError` for parameters that it does not take."""
    if wanted.of is None:
        single = _single(wanted.type, wanted.parameters, "estimator.parameters", seed)
        return Classifier(
            single, "", hasattr(single, "predict_proba"), get_tags(single).input_tags.allow_nan
        )
    single = _single(wanted.of.type, wanted.of.parameters, "estimator.of.parameters", seed)
    whole = CLASSIFIERS[wanted.type](single)
    return Classifier(whole, "estimator__", hasattr(whole, "predict_proba"), missing=False)


def check_grid(wanted: Estimator, grid: Mapping[str, list[Any]], seed: int) -> None:
    """Raise `WorkbenchError` for a value of a grid that the estimator does not take."""
    kind, parameters = wanted.type, wanted.parameters
    if wanted.of is not None:
        kind, parameters = wanted.of.type, wanted.of.parameters
    for name, values in grid.items():
        for place, value in enumerate(values):
            _single(kind, {**parameters, name: value}, "search.grid", seed, f"{name}[{place}]")


def _single(
    kind: EstimatorType, parameters: Mapping[str, Any], where: str, seed: int, told: str = ""
) -> Any:
    made = CLASSIFIERS[kind]()
    known = made.get_params(deep=False)
    allowed = sorted(set(known) - set(_GIVEN))
    for name in parameters:
        if name in _GIVEN and name in known:
            raise RecipeError(f"{where}.{name}: cannot be set: {_GIVEN[name]}")
        if name not in known:
            raise RecipeError(
                f"{where}.{name}: {kind} has no such parameter; it has {', '.join(allowed)}"
            )
    values = {name: _value(value) for name, value in parameters.items()}
    if "random_state" in known:
        values["random_state"] = seed
    made.set_params(**values)
    try:
        made._validate_params()  # noqa: SLF001 - what `fit` does first; there is no public way to ask
    except ValueError as error:
        at = f"{where}.{told}: " if told else f"{where}: "
        raise RecipeError(f"{at}{error}") from None
    return made


def _value(value: Any) -> Any:
    """Return a value as scikit-learn has it: YAML has no tuples."""
    return tuple(value) if isinstance(value, list) else value


__all__ = ["SEVERAL", "Classifier", "check_grid", "classifier"]
