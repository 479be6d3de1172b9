"""The evaluation as one page that needs nothing else: no network, no script, no font."""

from typing import Any

import jinja2

from assay.judge.verdict import Average
from assay.judge.wording import count, percent
from assay_workbench.document import Origin
from assay_workbench.evaluation import ArmEvaluation, Evaluation, ThresholdTable
from assay_workbench.figure import Figure
from assay_workbench.intervals import SOURCES
from assay_workbench.plots import plots
from assay_workbench.text import (
    INTERVALS,
    MOST_CLASSES,
    READINGS,
    about_mcnemar,
    advice_on_threshold,
    headline,
    interval_words,
    name_of,
    number,
    shown,
    span,
    threshold_words,
)


def page(evaluation: Evaluation, origin: Origin) -> str:
    """Return the page."""
    wanted = {id(each) for each in shown(evaluation.model)}
    return rendered(
        "report.html.j2",
        **judged(evaluation),
        origin=origin,
        headline=headline(evaluation, origin),
        differences=[
            (
                name_of(each.model),
                number(each.model.value),
                number(each.baseline.value),
                f"{each.value:+.4f}",
                span(each.interval.lower, each.interval.upper),
                READINGS[each.reading],
                each.reading.value,
            )
            for each in (evaluation.comparison.differences if evaluation.comparison else ())
            if id(each.model) in wanted
        ],
        mcnemar=about_mcnemar(evaluation.comparison) if evaluation.comparison else "",
        notes=_notes(evaluation),
    )


def rendered(template: str, **values: Any) -> str:
    """Fill in a template of this package; a value that it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("assay_workbench", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["time"] = time
    return environment.get_template(template).render(**values)


def time(text: str | None) -> str:
    """Return a point in time for people; fractions of RFC 3339 are left out."""
    return "" if not text else text[:19].replace("T", " ") + " UTC"


def judged(evaluation: Evaluation) -> dict[str, Any]:
    """Return what ``judged.html.j2`` shows of a model: figures, curves, confusion, thresholds."""
    return {
        "evaluation": evaluation,
        "tiles": [
            (name_of(each), number(each.value), interval_words(each)[0])
            for each in _tiles(evaluation)
        ],
        "confidence": percent(evaluation.settings.confidence),
        "figures": [
            (name_of(each), number(each.value), *interval_words(each))
            for each in shown(evaluation.model)
        ],
        "plots": list(plots(evaluation)),
        "confusion": _confusion(evaluation),
        "thresholds": _thresholds(evaluation),
        "sources": [(INTERVALS[kind], source) for kind, source in SOURCES.items()],
    }


def _tiles(evaluation: Evaluation) -> list[Figure]:
    """Return the figures that stand on top: those of the positive class, or over all classes."""
    arm = evaluation.model
    average = Average.MACRO if evaluation.positive is None else Average.BINARY
    found = [
        arm.figure("Accuracy"),
        arm.figure("F1", average),
        arm.figure("ROCAUC", average),
        arm.figure("AveragePrecision", average),
        arm.figure("Brier"),
        arm.figure("Cost"),
    ]
    return [each for each in found if each is not None]


def _confusion(evaluation: Evaluation) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return rows of (count, shade): the part of the true class's rows."""
    if len(evaluation.classes) > MOST_CLASSES:
        return []
    matrix = evaluation.model.confusion
    return [
        (
            name,
            [
                (count(rows), round(float(rows) / max(1, int(row.sum())), 3))
                for rows in row.tolist()
            ],
        )
        for name, row in zip(evaluation.classes, matrix, strict=True)
    ]


def _thresholds(evaluation: Evaluation) -> list[tuple[str, list[list[str]], str]]:
    costs = evaluation.settings.costs
    return [
        (
            table.of,
            [threshold_words(each, costs) for each in table.listed],
            advice_on_threshold(table, costs),
        )
        for table in _of_positive(evaluation, evaluation.model)
    ]


def _of_positive(evaluation: Evaluation, arm: ArmEvaluation) -> list[ThresholdTable]:
    return [each for each in arm.thresholds if each.of == evaluation.positive]


def _notes(evaluation: Evaluation) -> list[str]:
    found = list(evaluation.model.notes)
    if evaluation.baseline is not None:
        found += [f"Baseline: {note}" for note in evaluation.baseline.notes]
    return found
