"""The evaluation as tables for a terminal."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from assay.judge.verdict import Average, MultiClass
from assay.judge.wording import count, percent
from assay_workbench.comparison import Comparison, Reading
from assay_workbench.document import Origin
from assay_workbench.evaluation import ArmEvaluation, Evaluation, ThresholdTable
from assay_workbench.figure import Figure
from assay_workbench.intervals import Kind
from assay_workbench.thresholds import Costs, Outcome

NAMES = {
    "Accuracy": "accuracy (all micro averages)",
    "Precision": "precision",
    "Recall": "recall",
    "F1": "F1",
    "Cost": "mean cost of a row",
    "ROCAUC": "ROC AUC",
    "AveragePrecision": "average precision",
    "LogLoss": "log loss",
    "Brier": "Brier score",
    "ECE": "calibration error (ECE)",
}

INTERVALS = {
    Kind.WILSON: "Wilson",
    Kind.WILSON_F1: "Wilson (F1)",
    Kind.LOGIT: "logit, delta method",
    Kind.NORMAL: "normal",
}

READINGS = {
    Reading.BETTER: "better",
    Reading.WORSE: "worse",
    Reading.UNDECIDED: "not decided",
    Reading.SAME: "the same",
}

MOST_CLASSES = 20
"""Of which each has its own lines, and a row of the confusion matrix."""

_WITH = {MultiClass.ONE_VS_REST: "one-vs-rest", MultiClass.ONE_VS_ONE: "one-vs-one"}


def name_of(figure: Figure) -> str:
    """Return the name of a figure for people: ``macro F1``, ``F1 of 'cat'``."""
    name = NAMES[figure.metric]
    if figure.metric == "ECE" and figure.of is None:
        name += " of the likeliest class"
    if figure.multi_class is not None:
        name = f"{_WITH[figure.multi_class]} {name}"
    if figure.average in {Average.MACRO, Average.MICRO, Average.WEIGHTED}:
        return f"{figure.average.lower()} {name}"
    return name if figure.of is None else f"{name} of {figure.of!r}"


def number(value: float | None) -> str:
    """Write a figure with four digits behind the point."""
    return "-" if value is None else f"{value:.4f}"


def span(lower: float, upper: float) -> str:
    """Write an interval."""
    return f"{lower:.4f} .. {upper:.4f}"


def headline(evaluation: Evaluation, origin: Origin) -> str:
    """Say in a sentence or two what was evaluated."""
    named = sorted(zip(evaluation.rows, evaluation.classes, strict=True), reverse=True)
    classes = ", ".join(
        f"{name!r} {count(rows)} ({percent(rows / evaluation.total)})"
        for rows, name in named[:MOST_CLASSES]
    )
    if len(named) > MOST_CLASSES:
        classes += f" and {len(named) - MOST_CLASSES} more"
    text = f"{origin.model} on {count(evaluation.total)} rows of {origin.data}: {classes}."
    if evaluation.positive is not None:
        rule = "the model's own rule"
        if origin.threshold is not None:
            rule = f"threshold {origin.threshold:g}"
        text += f" The positive class is {evaluation.positive!r}; {rule}."
    if len(evaluation.classes) > MOST_CLASSES:
        text += f" Of {len(evaluation.classes)} classes, figures of single ones are in the JSON."
    if not evaluation.exact:
        text += (
            " The rows do not fit into the memory allowed (--memory): ROC AUC and average precision "
            "are read from score bins and may be off by what is said behind them; all else is exact."
        )
    return text


def shown(arm: ArmEvaluation) -> Iterator[Figure]:
    """Yield the figures worth a line, each once: micro averages are the accuracy.

    Of many classes the single ones are left to JSON.
    """
    many = len(arm.confusion) > MOST_CLASSES
    of_positive = {(each.metric, each.of) for each in arm.figures if each.average is Average.BINARY}
    for figure in arm.figures:
        if figure.average is None and (figure.metric, figure.of) in of_positive:
            continue
        single = figure.average is None and figure.of is not None
        if figure.average is Average.MICRO or (many and single):
            continue
        yield figure


def show(evaluation: Evaluation, origin: Origin, console: Console) -> None:
    """Print the evaluation."""
    console.print(headline(evaluation, origin))
    model = evaluation.model
    console.print(_figures(evaluation, model))
    if len(evaluation.classes) <= MOST_CLASSES:
        console.print("Confusion matrix (rows: true classes, columns: predicted)", style="bold")
        console.print(_confusion(evaluation.classes, model))
    costs = evaluation.settings.costs
    for table in model.thresholds:
        if table.of == evaluation.positive:
            console.print(f"Thresholds for {table.of!r}", style="bold")
            console.print(_thresholds(table, costs))
            console.print(advice_on_threshold(table, costs))
    if evaluation.comparison is not None:
        console.print(f"Against {origin.baseline}, on the same rows", style="bold")
        console.print(_comparison(evaluation, evaluation.comparison))
        console.print(about_mcnemar(evaluation.comparison))
    for note in model.notes:
        console.print(f"Note: {note}")
    if evaluation.baseline is not None:
        for note in evaluation.baseline.notes:
            console.print(f"Note on the baseline: {note}")


def about_mcnemar(comparison: Comparison) -> str:
    """Say what McNemar's test says."""
    test = comparison.mcnemar
    return (
        f"{count(test.only_model)} rows only the model had right, {count(test.only_baseline)} only "
        f"the baseline (McNemar's exact test: p = {test.p:.3g})."
    )


def advice_on_threshold(table: ThresholdTable, costs: Costs | None) -> str:
    """Say which threshold to take, and what not to believe of it."""
    best = table.best_f1
    text = f"F1 is largest at {best.threshold:g} ({number(best.f1)})."
    if table.cheapest is None or costs is None:
        return text + " With --cost-fp and --cost-fn the cheapest threshold is named, too."
    cheapest = table.cheapest
    return (
        f"{text} With {costs.false_positive:g} for a false positive and {costs.false_negative:g} for "
        f"a false negative it is cheapest to predict {table.of!r} from {cheapest.threshold:g} on: "
        f"{cheapest.cost(costs):.4g} a row. Were the probabilities calibrated, it would be from "
        f"{costs.calibrated_threshold:.3g} on. A threshold that was chosen on these rows looks "
        "better on them than it will be: check it on others."
    )


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _figures(evaluation: Evaluation, arm: ArmEvaluation) -> Table:
    table = _table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column(f"{percent(evaluation.settings.confidence)} interval", justify="right")
    table.add_column("how")
    for figure in shown(arm):
        table.add_row(name_of(figure), number(figure.value), *interval_words(figure))
    return table


def interval_words(figure: Figure) -> tuple[str, str]:
    """Write the interval of a figure, and which it is or why there is none."""
    if figure.interval is None:
        return "", figure.why
    how = INTERVALS[figure.interval.kind]
    if figure.hidden:
        how += f"; within {figure.hidden:.1g} of the exact value"
    return span(figure.interval.lower, figure.interval.upper), how


def _confusion(classes: Sequence[str], arm: ArmEvaluation) -> Table:
    table = _table()
    table.add_column("true")
    for name in classes:
        table.add_column(name, justify="right")
    for name, row in zip(classes, arm.confusion.tolist(), strict=True):
        table.add_row(name, *map(count, row))
    return table


def _thresholds(of: ThresholdTable, costs: Costs | None) -> Table:
    table = _table()
    for name in ("from", "precision", "recall", "F1", "predicted so"):
        table.add_column(name, justify="right")
    if costs is not None:
        table.add_column("cost a row", justify="right")
    for outcome in of.listed:
        table.add_row(*threshold_words(outcome, costs))
    return table


def threshold_words(outcome: Outcome, costs: Costs | None) -> list[str]:
    """Write one line of a threshold table."""
    found = [
        f"{outcome.threshold:.4g}",
        number(outcome.precision),
        number(outcome.recall),
        number(outcome.f1),
        percent(outcome.alarms),
    ]
    return found if costs is None else [*found, f"{outcome.cost(costs):.4g}"]


def _comparison(evaluation: Evaluation, comparison: Comparison) -> Table:
    table = _table()
    table.add_column("metric")
    for name in ("model", "baseline", "difference"):
        table.add_column(name, justify="right")
    table.add_column(f"{percent(evaluation.settings.confidence)} interval", justify="right")
    table.add_column("the model is")
    wanted = {id(figure) for figure in shown(evaluation.model)}
    for each in comparison.differences:
        if id(each.model) in wanted:
            table.add_row(
                name_of(each.model),
                number(each.model.value),
                number(each.baseline.value),
                f"{each.value:+.4f}",
                span(each.interval.lower, each.interval.upper),
                READINGS[each.reading],
            )
    return table
