"""The search: which settings of a recipe's grid do best on rows that they were not trained on."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - lets the next line import
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    get_scorer,
    log_loss,
    make_scorer,
)
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    ParameterGrid,
    StratifiedKFold,
)

from assay_workbench.errors import RecipeError
from assay_workbench.pipeline import Untrained
from assay_workbench.recipe import Metric, Recipe, SearchMethod

Scorer = Callable[[Any, Any, Any], float]

PROBABILITIES = frozenset({Metric.LOG_LOSS, Metric.BRIER, Metric.AVERAGE_PRECISION, Metric.ROC_AUC})
"""Metrics of probabilities; with two classes the last two take any score."""

_ANY_SCORE = frozenset({Metric.AVERAGE_PRECISION, Metric.ROC_AUC})


@dataclass(frozen=True)
class Tried:
    """Settings that were tried.

    Attributes
    ----------
    settings
        By name in the grid.
    mean, deviation
        Of the metric over the folds; of a loss its negative, so more is always better.
    rows
        That they were trained and judged on.
    seconds
        Mean time to train, for people; in no artifact.
    """

    settings: Mapping[str, Any]
    mean: float
    deviation: float
    rows: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """What a search found: all that was tried, the best first, and warnings with how often they came."""

    metric: Metric
    tried: tuple[Tried, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Tried:
        """The settings with the best mean; of equal ones the first in the grid."""
        return self.tried[0]


def metric_of(recipe: Recipe, classes: tuple[str, ...]) -> Metric:
    """Return the metric of a recipe; what nobody chose is F1, over several classes their mean."""
    if recipe.search.metric is not None:
        return recipe.search.metric
    return Metric.F1 if len(classes) == 2 else Metric.MACRO_F1


def scorer_of(
    metric: Metric, classes: tuple[str, ...], positive: str | None, *, probable: bool
) -> Scorer:
    """Return scikit-learn's scorer. Raises `RecipeError` if the metric does not fit."""
    binary = len(classes) == 2
    if metric is Metric.F1 and not binary:
        raise RecipeError("search.metric: F1 is of two classes; MacroF1 is its mean over more")
    if metric in PROBABILITIES and not probable and not (binary and metric in _ANY_SCORE):
        raise RecipeError(
            f"search.metric: {metric} needs probabilities, and this estimator has none: set "
            "calibrate.when to Auto or Always"
        )
    ranked = ("decision_function", "predict_proba")
    scorer: Scorer = {
        Metric.ACCURACY: lambda: make_scorer(accuracy_score),
        Metric.BALANCED_ACCURACY: lambda: make_scorer(balanced_accuracy_score),
        Metric.F1: lambda: make_scorer(f1_score, pos_label=positive, zero_division=0.0),
        Metric.MACRO_F1: lambda: make_scorer(
            f1_score, average="macro", pos_label=None, zero_division=0.0
        ),
        Metric.ROC_AUC: lambda: get_scorer("roc_auc" if binary else "roc_auc_ovr"),
        Metric.AVERAGE_PRECISION: lambda: (
            make_scorer(average_precision_score, response_method=ranked, pos_label=positive)
            if binary
            else make_scorer(average_precision_score, response_method="predict_proba")
        ),
        Metric.LOG_LOSS: lambda: make_scorer(
            log_loss,
            greater_is_better=False,
            response_method="predict_proba",
            labels=list(classes),
        ),
        Metric.BRIER: lambda: make_scorer(
            brier_score_loss,
            greater_is_better=False,
            response_method="predict_proba",
            **({"pos_label": positive} if binary else {"labels": list(classes)}),
        ),
    }[metric]()
    return scorer


def search(
    untrained: Untrained,
    recipe: Recipe,
    rows: NDArray[Any],
    labels: NDArray[np.str_],
    scorer: Scorer,
    metric: Metric,
    shown: Callable[[], object] = int,
) -> Found:
    """Try all settings of the grid on the training rows, shapes (n, d) and (n,).

    Parameters
    ----------
    shown
        Called after each of the `fits`.

    Raises
    ------
    RecipeError
        When settings cannot be trained, naming them.
    """
    wanted = recipe.search
    names = {untrained.parameter(name): name for name in wanted.grid}
    values = {untrained.parameter(name): each for name, each in _values(wanted.grid).items()}
    common: dict[str, Any] = {
        "cv": StratifiedKFold(wanted.folds, shuffle=True, random_state=recipe.seed),
        "scoring": _Counted(scorer, shown),
        "refit": False,
        "error_score": "raise",
    }
    if wanted.method is SearchMethod.HALVING:
        # refit is asked for by its name only; the best is found below, by the same rule for both.
        found = HalvingGridSearchCV(
            untrained.model,
            values,
            random_state=recipe.seed,
            min_resources=_least(recipe, labels, settings(recipe)),
            **common,
        )
    else:
        found = GridSearchCV(untrained.model, values, **common)
    with counted_warnings() as caught:
        try:
            found.fit(rows, labels)
        except ValueError as error:
            raise RecipeError(
                f"search.grid: settings cannot be trained: {_last_line(error)}"
            ) from error
    results = found.cv_results_
    tried = [
        Tried(
            {names[key]: value for key, value in parameters.items()},
            float(results["mean_test_score"][place]),
            float(results["std_test_score"][place]),
            int(results["n_resources"][place]) if "n_resources" in results else len(labels),
            float(results["mean_fit_time"][place]),
        )
        for place, parameters in enumerate(results["params"])
    ]
    # What a few rows say counts only among settings that got no further.
    tried.sort(key=lambda each: (-each.rows, -each.mean))
    return Found(metric, tuple(tried), tuple(caught))


def settings(recipe: Recipe) -> int:
    """Return how many settings the grid has."""
    return len(ParameterGrid(_values(recipe.search.grid))) if recipe.search.grid else 0


def fits(recipe: Recipe) -> int | None:
    """Return how many models a search trains; `None` where that depends on the rows."""
    if recipe.search.method is SearchMethod.HALVING:
        return None
    return settings(recipe) * recipe.search.folds


def needed(recipe: Recipe, *, calibrated: bool) -> int:
    """Return how many training rows each class must have, so that every fold has one of it."""
    least = 2
    if calibrated:
        least = recipe.calibrate.folds
    if recipe.search.method is not SearchMethod.NONE:
        folds = recipe.search.folds
        # A fold leaves out ceil(n / folds) rows of a class at the most.
        least = max(folds, math.ceil(least * folds / (folds - 1)))
    return least


def _least(recipe: Recipe, labels: NDArray[np.str_], candidates: int) -> int:
    """Return with how many rows halving starts: enough for every class in every fold."""
    share = float(np.unique(labels, return_counts=True)[1].min()) / labels.size
    rows = math.ceil(2 * needed(recipe, calibrated=True) / share)
    rounds = math.ceil(math.log(max(candidates, 2), 3))
    return max(min(rows, labels.size), labels.size // int(3**rounds))


def _values(grid: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        name: [tuple(value) if isinstance(value, list) else value for value in values]
        for name, values in grid.items()
    }


class _Counted:
    """A scorer that tells when it was asked, which is once for each model that was trained."""

    def __init__(self, scorer: Scorer, shown: Callable[[], object]) -> None:
        self._scorer = scorer
        self._shown = shown

    def __call__(self, model: Any, rows: Any, labels: Any) -> float:
        score = self._scorer(model, rows, labels)
        self._shown()
        return score


@contextmanager
def counted_warnings() -> Iterator[list[str]]:
    """Collect warnings in place of printing them: each text once, with how often it came."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield told
    texts = Counter(_first_sentence(str(each.message)) for each in caught)
    told += [text if times == 1 else f"{text} ({times} times)" for text, times in texts.items()]


def _first_sentence(text: str) -> str:
    words = " ".join(text.split())
    return words.split(". ")[0].removesuffix(".") + "."


def _last_line(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
