"""An evaluation: every figure, curve and comparison of scored rows. Pure but for the looks at them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.judge.verdict import Average
from assay_server.models.scores import ScoreKind
from assay_workbench import comparison, confusion, intervals, losses, ranking, tally
from assay_workbench.calibration import Calibration, Point
from assay_workbench.comparison import Comparison
from assay_workbench.errors import WorkbenchError
from assay_workbench.figure import Figure, Key
from assay_workbench.ranking import Ranked, ScoreCells
from assay_workbench.sample import Sample
from assay_workbench.thresholds import LISTED, Costs, Outcome, Thresholds

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes
    ----------
    confidence
        Of the intervals, between .5 and 1.
    costs
        Of mistakes of the positive class; `None` if nobody said.
    """

    confidence: float = 0.95
    costs: Costs | None = None


@dataclass(frozen=True)
class ThresholdTable:
    """Decisions at other thresholds, for one class against all others.

    Attributes
    ----------
    of
        Name of the class.
    listed
        At thresholds to choose from, ascending.
    best_f1
        With the largest F1.
    cheapest
        With the lowest cost; `None` without costs.
    """

    of: str
    listed: tuple[Outcome, ...]
    best_f1: Outcome
    cheapest: Outcome | None


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """Curves of one class against all others; thresholds descend but for costs.

    Attributes
    ----------
    roc
        False positive rate and true positive rate.
    precision_recall
        Recall and precision.
    cost
        Threshold and mean cost of a row; `None` without costs.
    """

    of: str
    roc: tuple[Floats, Floats]
    precision_recall: tuple[Floats, Floats]
    cost: tuple[Floats, Floats] | None


@dataclass(frozen=True, eq=False)
class ArmEvaluation:
    """What is known of one model.

    Attributes
    ----------
    confusion
        (K, K), rows true classes, columns predicted ones.
    calibration
        Curve by class; of a binary model of its positive class. Empty without probabilities.
    thresholds
        By class, likewise; empty without scores.
    notes
        What a reader has to know, in sentences.
    """

    figures: tuple[Figure, ...]
    confusion: Counts
    calibration: Mapping[str, tuple[Point, ...]]
    thresholds: tuple[ThresholdTable, ...]
    curves: tuple[ClassCurves, ...]
    notes: tuple[str, ...]

    def figure(
        self, metric: str, average: Average | None = None, of: str | None = None
    ) -> Figure | None:
        """Return a figure; the first of several."""
        return next(
            (
                each
                for each in self.figures
                if (each.metric, each.average) == (metric, average) and of in {None, each.of}
            ),
            None,
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known of a model, and of a baseline on the same rows if there is one.

    Attributes
    ----------
    classes, rows
        Names of the classes, and rows of each.
    positive
        Name of the class of binary figures; `None` if there is none.
    exact
        Whether no figure was read from score bins.
    """

    classes: tuple[str, ...]
    rows: tuple[int, ...]
    positive: str | None
    settings: Settings
    model: ArmEvaluation
    baseline: ArmEvaluation | None
    comparison: Comparison | None
    exact: bool

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows)


def evaluate(sample: Sample, settings: Settings) -> Evaluation:
    """Evaluate one or two models on scored rows.

    Raises
    ------
    WorkbenchError
        If all rows are of one class, or costs have no class that they are about.
    """
    classes, positive = sample.classes, sample.positive
    arms, outcomes = tally.first_look(sample)
    rows = arms[0].confusion.sum(axis=1)
    _check(classes, positive, rows, settings)
    cells = [tally.cells_of(sample, place) for place in range(len(arms))]
    ranked = [ranking.figures(list(each.values()), classes, positive) for each in cells]
    sums, between = tally.second_look(sample, cells, ranked)
    costs = _cost_matrix(len(classes), positive, settings.costs)
    found = [
        _arm(sample, settings, place, arms[place], cells[place], ranked[place], sums[place], costs)
        for place in range(len(arms))
    ]
    compared = None
    if outcomes is not None:
        variances = comparison.variances_by_outcome(outcomes, classes, positive, costs)
        variances.update(zip(_scored_keys(sample, 0, ranked[0]), between.tolist(), strict=False))
        compared = comparison.compare(
            found[0].figures, found[1].figures, variances, outcomes, settings.confidence
        )
    return Evaluation(
        classes,
        tuple(rows.tolist()),
        None if positive is None else classes[positive],
        settings,
        found[0],
        found[1] if len(found) > 1 else None,
        compared,
        all(item.grid.exact for each in cells for item in each.values()),
    )


def _check(
    classes: tuple[str, ...], positive: int | None, rows: Counts, settings: Settings
) -> None:
    if (rows > 0).sum() < 2:
        only = classes[int(rows.argmax())]
        raise WorkbenchError(
            f"all {rows.sum()} rows are of class {only!r}: a model can be judged only by rows of "
            "two classes or more"
        )
    if settings.costs is not None and positive is None:
        raise WorkbenchError(
            "--cost-fp and --cost-fn are about one class: name it with --positive, one of "
            f"{', '.join(classes)}"
        )


def _cost_matrix(size: int, positive: int | None, costs: Costs | None) -> Floats | None:
    if costs is None or positive is None:
        return None
    return confusion.pair_of_costs(size, positive, costs.false_positive, costs.false_negative)


def _scored_keys(sample: Sample, arm: int, ranked: Sequence[Ranked]) -> list[Key]:
    """Return what the columns of the second look are of."""
    keys: list[Key] = [_key(each, sample.classes) for each in ranked]
    if sample.kinds[arm] is ScoreKind.PROBABILITY:
        keys += [(name, None, None, None) for name in losses.LOSSES]
    return keys


def _key(figure: Ranked, classes: tuple[str, ...]) -> Key:
    of = None if figure.of is None else classes[figure.of]
    return figure.metric, figure.average, of, figure.multi_class


def _arm(
    sample: Sample,
    settings: Settings,
    place: int,
    arm: tally.Arm,
    cells: Mapping[int, ScoreCells],
    ranked: Sequence[Ranked],
    sums: tally.Sums,
    costs: Floats | None,
) -> ArmEvaluation:
    classes, confidence = sample.classes, settings.confidence
    variances = sums.variances(sample.rows)
    figures = confusion.figures(arm.confusion, classes, sample.positive, costs, confidence)
    for figure, variance in zip(ranked, variances, strict=False):
        figures.append(_ranking_figure(figure, float(variance), classes, confidence))
    if sample.kinds[place] is ScoreKind.PROBABILITY:
        for column, name in enumerate(losses.LOSSES, start=len(ranked)):
            value = float(sums.first[column]) / sample.rows
            interval = intervals.normal(value, float(variances[column]), confidence, least=0.0)
            figures.append(Figure(name, value, interval))
        figures += _calibration_figures(arm, classes, sample.positive, confidence)
    tables = {classes[item.place]: Thresholds(item) for item in cells.values()}
    probable = sample.kinds[place] is ScoreKind.PROBABILITY
    return ArmEvaluation(
        tuple(figures),
        arm.confusion,
        {classes[each]: found.points(confidence) for each, found in arm.calibrations.items()},
        tuple(
            _threshold_table(name, each, settings.costs, probable=probable)
            for name, each in tables.items()
        ),
        tuple(
            ClassCurves(
                name,
                each.roc(),
                each.precision_recall(),
                None if settings.costs is None else each.curve(settings.costs),
            )
            for name, each in tables.items()
        ),
        tuple(_notes(sample, place, arm, cells)),
    )


def _ranking_figure(
    figure: Ranked, variance: float, classes: tuple[str, ...], confidence: float
) -> Figure:
    metric, average, of, multi_class = _key(figure, classes)
    if figure.value is None:
        return Figure(metric, None, None, average, of, multi_class, why=figure.why)
    interval = intervals.logit_interval(figure.value, variance, figure.rows, confidence)
    return Figure(metric, figure.value, interval, average, of, multi_class, figure.hidden)


def _calibration_figures(
    arm: tally.Arm, classes: tuple[str, ...], positive: int | None, confidence: float
) -> list[Figure]:
    found = []
    if arm.likeliest is not None:
        found.append(_ece(arm.likeliest, confidence, None, None))
    for place, each in arm.calibrations.items():
        average = Average.BINARY if place == positive else None
        found.append(_ece(each, confidence, average, classes[place]))
    return found


def _ece(
    calibration: Calibration, confidence: float, average: Average | None, of: str | None
) -> Figure:
    limit = calibration.by_chance(confidence)
    why = f"a calibrated model would stay below {limit:.4f} by chance"
    return Figure("ECE", calibration.error, None, average, of, why=why)


def _threshold_table(
    name: str, thresholds: Thresholds, costs: Costs | None, *, probable: bool
) -> ThresholdTable:
    listed = LISTED if probable else thresholds.spread()
    return ThresholdTable(
        name,
        tuple(thresholds.at(each) for each in listed),
        thresholds.best_f1(),
        None if costs is None else thresholds.cheapest(costs),
    )


def _notes(
    sample: Sample, place: int, arm: tally.Arm, cells: Mapping[int, ScoreCells]
) -> list[str]:
    notes = []
    kind = sample.kinds[place]
    if kind is None:
        notes.append(
            "The model gives no scores: there are no curves, and neither ROC AUC, average precision "
            "nor losses."
        )
    elif kind is ScoreKind.DECISION:
        notes.append(
            "The model gives decision values and no probabilities: there are no losses and no "
            "calibration."
        )
    rows = arm.confusion.sum(axis=1)
    for each, name in enumerate(sample.classes):
        if not rows[each]:
            notes.append(f"No row is of class {name!r}.")
        elif not arm.confusion[:, each].any():
            notes.append(f"No row is predicted to be of class {name!r}; its precision counts as 0.")
    notes += [
        f"All rows have the same score of class {sample.classes[item.place]!r}: the model ranks "
        "nothing, its ROC AUC is .5."
        for item in cells.values()
        if (item.counts.sum(axis=0) > 0).sum() == 1
    ]
    if arm.impossible:
        notes.append(
            f"{arm.impossible} rows are of a class to which the model gave probability 0; each adds "
            "36 to the sum of the log losses, as in scikit-learn."
        )
    return notes
