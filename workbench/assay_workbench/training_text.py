"""A training in words: what terminal, page and model card say alike."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from assay.judge.wording import count, percent
from assay_workbench.recipe import (
    CategoricalImputation,
    Constant,
    Metric,
    NumericImputation,
    OutlierPolicy,
    Recipe,
    Scaling,
    SearchMethod,
)
from assay_workbench.search import Found, Tried
from assay_workbench.training import Training

LOSSES = frozenset({Metric.LOG_LOSS, Metric.BRIER})

MOST_TRIED = 20
"""Settings of a search that are listed."""


def summary(training: Training) -> str:
    """Say in two sentences what was trained on what."""
    files = ", ".join(each.name for each in training.table.files)
    text = (
        f"{estimator(training.recipe)}, trained on {count(training.train.size)} rows of {files} and "
        f"judged on {count(training.held_out.size)} others."
    )
    if training.positive is not None:
        text += f" The positive class is {training.positive!r}."
    return text


def estimator(recipe: Recipe) -> str:
    """Name the estimator, with the parameters of the recipe."""
    wanted = recipe.estimator
    if wanted.of is not None:
        return f"{wanted.type} of {_with(wanted.of.type, wanted.of.parameters)}"
    return _with(wanted.type, wanted.parameters)


def steps(training: Training) -> Iterator[tuple[str, str]]:
    """Yield what was done to the rows, in order."""
    recipe, table = training.recipe, training.table
    if table.numeric:
        yield "numbers", ", ".join(table.names[place] for place in table.numeric)
        limits = outliers(recipe)
        fill = _imputation(recipe)
        first, second = (
            (fill, limits) if isinstance(recipe.imputation.numeric, Constant) else (limits, fill)
        )
        yield from (each for each in (first, second) if each[1])
        if recipe.scaling is not Scaling.NONE:
            yield "scaling", f"{recipe.scaling}, as learned from the training rows"
    if table.categorical:
        yield "categories", ", ".join(table.names[place] for place in table.categorical)
        fill_by = "a category of its own"
        if recipe.imputation.categorical is CategoricalImputation.MOST_FREQUENT:
            fill_by = "the commonest category"
        yield "missing categories", fill_by
        yield "encoding", f"a column for each category{_rare(recipe)}"
    if recipe.select is not None:
        yield "selection", f"the best {recipe.select.keep} columns by {recipe.select.by}"
    if recipe.pca is not None:
        yield "PCA", f"{recipe.pca.components} components"
    yield "estimator", estimator(recipe)
    if training.found is not None:
        yield "found by the search", written(training.found.best.settings)
    if training.calibrated:
        calibrate = recipe.calibrate
        yield "calibration", f"{calibrate.method}, {calibrate.folds} folds of the training rows"
    yield "held out", f"{percent(recipe.hold_out)} of the rows, by class; seed {recipe.seed}"


def outliers(recipe: Recipe) -> tuple[str, str]:
    """Say what is done about outliers."""
    wanted = recipe.outliers
    if wanted.policy is OutlierPolicy.QUANTILES:
        return "outliers", f"clipped to the quantiles {wanted.lower:g} and {wanted.upper:g}"
    if wanted.policy is OutlierPolicy.FENCES:
        return "outliers", f"clipped {wanted.reach:g} interquartile ranges beyond the quartiles"
    return "outliers", ""


def searched(found: Found, recipe: Recipe) -> str:
    """Say how the search went."""
    way = "all on few rows, the best third on more, and so on"
    if recipe.search.method is SearchMethod.GRID:
        way = "each on all training rows"
    best = found.best
    text = (
        f"{count(len(found.tried))} trials over {recipe.search.folds} stratified folds, {way}. By "
        f"{found.metric} the best is {written(best.settings)}: {value(found.metric, best)} (standard "
        f"deviation over the folds {best.deviation:.4f}). The best of many looks better than it is: "
        "believe the held-out rows."
    )
    if len(found.tried) > MOST_TRIED:
        text += f" The best {MOST_TRIED} are listed."
    return text


def tried_heads(found: Found) -> list[str]:
    """Return the heads of the table of trials."""
    return [*found.best.settings, str(found.metric), "deviation", "rows", "seconds"]


def tried_lines(found: Found) -> Iterator[list[str]]:
    """Yield the lines of the table of trials, the best first."""
    for each in found.tried[:MOST_TRIED]:
        yield [
            *(_text(setting) for setting in each.settings.values()),
            value(found.metric, each),
            f"{each.deviation:.4f}",
            count(each.rows),
            f"{each.seconds:.2f}",
        ]


def value(metric: Metric, tried: Tried) -> str:
    """Write the metric; a loss as it is, and not negated."""
    return f"{-tried.mean if metric in LOSSES else tried.mean:.4f}"


def notes(training: Training) -> list[str]:
    """Return what a reader has to know, in sentences."""
    found = list(training.evaluation.model.notes)
    found += [f"While the model was trained: {each}" for each in training.warnings]
    if training.found is not None:
        found += [f"During the search: {each}" for each in training.found.warnings]
    if training.untrusted:
        found.append(
            f"The model holds types that skops does not trust by itself: {', '.join(training.untrusted)}. "
            "Servers load it only if the operator's chart value trustedTypes names them "
            "(docs/train.md), and assay evaluate with --trust for each."
        )
    if not hasattr(training.model, "predict_proba"):
        found.append("The model gives scores and no probabilities: calibrate.when is Never.")
    return found


def change(metric: Metric) -> str:
    """Say what a shuffled column does to a metric if the model needs it."""
    return f"{'rise' if metric in LOSSES else 'loss'} of {metric}"


def written(settings: Mapping[str, Any]) -> str:
    """Write settings."""
    return ", ".join(f"{name} = {_text(each)}" for name, each in settings.items())


def _with(name: str, parameters: Mapping[str, Any]) -> str:
    return f"{name} ({written(parameters)})" if parameters else str(name)


def _imputation(recipe: Recipe) -> tuple[str, str]:
    wanted = recipe.imputation.numeric
    if isinstance(wanted, Constant):
        return "missing numbers", f"{wanted.constant:g}"
    if wanted is NumericImputation.NONE:
        return "missing numbers", "stay missing"
    return "missing numbers", f"{wanted}, as learned from the training rows"


def _rare(recipe: Recipe) -> str:
    rare = recipe.categories.rare_below
    if not rare:
        return ""
    return f"; those of fewer than {percent(rare) if rare < 1 else f'{rare:g}'} rows share one"


def _text(each: Any) -> str:
    return each if isinstance(each, str) else json.dumps(each)
