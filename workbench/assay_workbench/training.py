"""From a recipe to a model that a server loads, and all that is to be said about it."""

import math
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import skops
import skops.io
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from assay_server.reference import Reference, ReferenceFormatError
from assay_workbench import artifact, pinning
from assay_workbench.candidate import Candidate, Rule
from assay_workbench.contributions import Linear, linear
from assay_workbench.errors import WorkbenchError
from assay_workbench.estimation import quality_of
from assay_workbench.estimators import check_grid
from assay_workbench.evaluation import Evaluation, Settings, evaluate
from assay_workbench.exploration import Exploration, explore
from assay_workbench.interpretation import Dependence, Importance, dependences, importances
from assay_workbench.pipeline import Untrained, build, fit, servable
from assay_workbench.recipe import Metric, Recipe, SearchMethod
from assay_workbench.sample import Answers, Part, Sample
from assay_workbench.scoring import by_class
from assay_workbench.search import (
    Found,
    Scorer,
    counted_warnings,
    fits,
    metric_of,
    needed,
    scorer_of,
    search,
)
from assay_workbench.table import Table, read_table
from assay_workbench.thresholds import Costs

Places = NDArray[np.intp]

LISTED = 5
"""Held-out rows of which contributions are shown."""


@dataclass(frozen=True)
class Progress:
    """What is told while training goes on.

    Attributes
    ----------
    stage
        Called with what begins, and its number of steps if that is known.
    step
        Called with how many steps were done.
    """

    stage: Callable[[str, int | None], object]
    step: Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Explained:
    """A held-out row of a linear model: its true class, and what each column adds to the score of a class."""

    row: int
    label: str
    of: str
    values: tuple[str, ...]
    start: float
    added: tuple[float, ...]

    @property
    def score(self) -> float:
        """The score of the class."""
        return self.start + math.fsum(self.added)


@dataclass(frozen=True, eq=False)
class Training:
    """A trained model and what is known of it.

    Attributes
    ----------
    model
        Of scikit-learn's own types, as it is in the artifact.
    untrusted
        Types in it that a server must be told to trust.
    train, held_out
        Places of the rows in the table.
    found
        Of the search; `None` without one.
    evaluation
        On the held-out rows, of the artifact as the server loads it.
    warnings
        Of the last training, each once.
    """

    recipe: Recipe
    table: Table
    classes: tuple[str, ...]
    positive: str | None
    model: Pipeline
    calibrated: bool
    reference: Reference
    digest: str
    untrusted: tuple[str, ...]
    train: Places
    held_out: Places
    metric: Metric
    exploration: Exploration
    found: Found | None
    evaluation: Evaluation
    importances: tuple[Importance, ...]
    dependences: tuple[Dependence, ...]
    linear: Linear | None
    explained: tuple[Explained, ...]
    warnings: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]


def train(recipe: Recipe, folder: Path, progress: Progress) -> Training:
    """Train the model of a recipe.

    Parameters
    ----------
    folder
        Of the recipe; its paths are relative to it.

    Raises
    ------
    WorkbenchError
        For whatever in the recipe or the data cannot be used.
    """
    with pinning.one_thread():
        return _train(recipe, folder, progress)


def _train(recipe: Recipe, folder: Path, progress: Progress) -> Training:
    progress.stage("reading", None)
    table = read_table(recipe, folder, progress.step)
    classes = tuple(np.unique(table.labels).tolist())
    positive = recipe.positive or (classes[1] if len(classes) == 2 else None)
    untrained = build(recipe, table)
    check_grid(recipe.estimator, _of_estimator(recipe), recipe.seed)
    metric = metric_of(recipe, classes)
    scorer = scorer_of(metric, classes, positive, probable=untrained.probable)
    train, held_out = _split(recipe, table, calibrated=untrained.calibrated)
    chosen, found = untrained.model, None
    if recipe.search.method is not SearchMethod.NONE:
        found = _search(untrained, recipe, table, train, scorer, metric, progress)
        best = {untrained.parameter(name): value for name, value in found.best.settings.items()}
        chosen = clone(untrained.model).set_params(**best)
    progress.stage("training", 1)
    with counted_warnings() as warnings:
        try:
            model = servable(fit(chosen, table, train))
        except ValueError as error:
            raise WorkbenchError(f"the model cannot be trained: {error}") from error
    progress.step(1)
    reference = _reference(table, model, train, held_out, positive)
    progress.stage("judging", 1)
    digest, untrusted, evaluation = _judged(recipe, table, model, reference, held_out, positive)
    progress.step(1)
    progress.stage("explaining", None)
    with counted_warnings():
        important = importances(model, table, held_out, scorer, recipe.seed)
        names = tuple(each.name for each in important)
        depends = dependences(model, table, held_out, names, positive, lambda: progress.step(1))
        apart = linear(model, table, train, positive)
        explained = () if apart is None else _explained(apart, table, held_out)
    return Training(
        recipe=recipe,
        table=table,
        classes=classes,
        positive=positive,
        model=model,
        calibrated=untrained.calibrated,
        reference=reference,
        digest=digest,
        untrusted=untrusted,
        train=train,
        held_out=held_out,
        metric=metric,
        exploration=explore(table, train),
        found=found,
        evaluation=evaluation,
        importances=important,
        dependences=depends,
        linear=apart,
        explained=explained,
        warnings=tuple(warnings),
        versions=_versions(),
    )


def _of_estimator(recipe: Recipe) -> dict[str, list[Any]]:
    return {name: values for name, values in recipe.search.grid.items() if "." not in name}


def _split(recipe: Recipe, table: Table, *, calibrated: bool) -> tuple[Places, Places]:
    """Hold rows out, with the same share of each class as all rows have."""
    least = needed(recipe, calibrated=calibrated)
    for name, count in zip(*np.unique(table.labels, return_counts=True), strict=True):
        held = math.floor(count * recipe.hold_out)
        left = int(count) - math.ceil(count * recipe.hold_out)
        if held < 1 or left < least:
            some = f"{held} or {held + 1}" if held + left < count else f"{held}"
            raise WorkbenchError(
                f"class {str(name)!r} has {count} rows: of these {some} are held "
                f"out (holdOut {recipe.hold_out:g}) and {left} are left to train on, but {least} are "
                "needed so that every fold has some; bring more rows, take fewer folds, or join the "
                "class with another"
            )
    train, held_out = train_test_split(
        np.arange(table.labels.size),
        test_size=recipe.hold_out,
        stratify=table.labels,
        random_state=recipe.seed,
    )
    return np.sort(train), np.sort(held_out)


def _search(
    untrained: Untrained,
    recipe: Recipe,
    table: Table,
    train: Places,
    scorer: Scorer,
    metric: Metric,
    progress: Progress,
) -> Found:
    progress.stage("searching", fits(recipe))
    return search(
        untrained,
        recipe,
        table.rows[train],
        table.labels[train],
        scorer,
        metric,
        lambda: progress.step(1),
    )


def _reference(
    table: Table, model: Pipeline, train: Places, held_out: Places, positive: str | None
) -> Reference:
    """Summarise the training rows, and what was said of the held-out ones.

    A forest is surer of rows that it was trained on than of any that it will be asked about, so
    scores of the training rows would look like drift from the first request on.
    """
    scores = quality = None
    classes = model.classes_.tolist()
    if hasattr(model, "predict_proba"):
        rows, labels = table.rows[held_out], table.labels[held_out]
        probabilities = model.predict_proba(rows)
        # Of several classes a server watches no scores.
        if len(classes) == 2 and positive is not None:
            scores = (positive, probabilities[:, classes.index(positive)])
        true, predicted = (np.searchsorted(classes, each) for each in (labels, model.predict(rows)))
        quality = quality_of(classes, true, predicted, probabilities, positive)
    apart = linear(model, table, train, None)
    try:
        return Reference.of(
            table.rows[train],
            table.names,
            categorical=table.categorical,
            scores=scores,
            quality=quality,
            contributions=None if apart is None else apart.means(len(table.names)),
        )
    except ReferenceFormatError as error:
        raise WorkbenchError(
            f"{error}; rename the column, or put it under columns.ignore"
        ) from None


def _judged(
    recipe: Recipe,
    table: Table,
    model: Pipeline,
    reference: Reference,
    held_out: Places,
    positive: str | None,
) -> tuple[str, tuple[str, ...], Evaluation]:
    """Store the model, load it as the server does, and measure what was loaded."""
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        path = Path(folder) / "model.skops"
        digest = artifact.write(model, path, reference)
        untrusted = artifact.untrusted(path)
        candidate = Candidate(path, Rule(), untrusted)
    labels = np.searchsorted(candidate.classes, table.labels[held_out])
    of = None if positive is None else candidate.classes.index(positive)
    scores = candidate.score(table.rows[held_out])
    with Sample(candidate.classes, of, (candidate.kind,)) as sample:
        answers = Answers(scores.predicted, by_class(scores, candidate.kind))
        sample.append(Part(labels, (answers,)))
        costs = None
        if recipe.costs is not None:
            costs = Costs(recipe.costs.false_positive, recipe.costs.false_negative)
        return digest, untrusted, evaluate(sample, Settings(costs=costs))


def _explained(apart: Linear, table: Table, held_out: Places) -> tuple[Explained, ...]:
    """Take some held-out rows apart, a few of each class."""
    shown: list[int] = []
    names = np.unique(table.labels)
    for turn in range(LISTED):
        for name in names:
            of_class = held_out[table.labels[held_out] == name]
            if turn < of_class.size and len(shown) < LISTED:
                shown.append(int(of_class[turn]))
    start, added = apart.contributions(table.rows[shown])
    found = []
    for at, place in enumerate(shown):
        label = str(table.labels[place])
        # Of several classes the true one: why was it found, or not.
        score = apart.classes.index(label) if len(apart.classes) > 1 else 0
        found.append(
            Explained(
                place + 1,
                label,
                apart.classes[score],
                tuple(_written(value) for value in table.rows[place].tolist()),
                float(start[score]),
                tuple(added[at, score].tolist()),
            )
        )
    return tuple(found)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _versions() -> tuple[tuple[str, str], ...]:
    return (
        ("Python", platform.python_version()),
        ("scikit-learn", sklearn.__version__),
        ("numpy", np.__version__),
        ("scipy", scipy.__version__),
        ("skops", skops.__version__),
    )
