"""``assay compare-scores STABLE_OUT CANARY_OUT``: the judge's verdict on two outputs of `assay score`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from assay.cli.document import InputError, output_option, show_document
from assay.cli.judgement import report_several
from assay.judge import METRICS, MetricSpec, Policy, RollbackOn, judge_pairs
from assay.judge.metrics import metric_of
from assay.judge.verdict import Average
from assay_workbench.commands.evaluate import missing, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = ("Accuracy", "Precision", "Recall", "F1", "ROCAUC")
"""Metrics that need no more than predictions and the order of scores."""

Word = TypeVar("Word", Average, RollbackOn)

_OUTPUT = click.Path(file_okay=False, exists=True, path_type=Path)


@click.command("compare-scores", short_help="The judge's verdict on two outputs of assay score.")
@click.argument("stable", metavar="STABLE_OUT", type=_OUTPUT)
@click.argument("canary", metavar="CANARY_OUT", type=_OUTPUT)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    required=True,
    metavar="TYPE=MARGIN",
    help=f"One of {', '.join(TYPES)}, and how much worse is still good enough; may be repeated.",
)
@click.option("--positive", metavar="CLASS", help="Positive class; else the second of two.")
@click.option(
    "--average",
    type=click.Choice([each.value for each in Average], case_sensitive=False),
    help="Over the classes (of ROCAUC each against the rest); Binary with two classes or --positive, else Macro.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.9999),
    default=0.95,
    show_default=True,
    help="Of the verdict.",
)
@click.option(
    "--rollback-on",
    type=click.Choice([each.value for each in RollbackOn], case_sensitive=False),
    default=RollbackOn.WORSE.value,
    show_default=True,
    help="Which proof speaks against the canary.",
)
@output_option
def compare_scores_command(stable: Path, canary: Path, output: str, **options: Any) -> None:
    """Judge CANARY_OUT against STABLE_OUT: Promote, Rollback or Hold, as a rollout would be.

    Both are outputs of `assay score` for the same labelled rows (the same DATA, --label and
    --rows-per-shard), so each row is compared with itself.

    \b
    assay compare-scores scored-7 scored-8 --metric F1=0.02 --metric ROCAUC=0.01 --positive 1

    The exit code is 0 whatever the verdict, and 2 when something cannot be used.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        from assay_workbench.batch.outcome import Output, pairs  # noqa: PLC0415
        from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    try:
        outputs = Output.open(stable), Output.open(canary)
        specs = _specs(options, outputs[0].classes)
        scored = _scored(specs, outputs[0].classes)
        with progress() as bar:
            task = bar.add_task("comparing", total=outputs[0].rows * (2 if scored else 1))
            counts = pairs(*outputs, scored, lambda rows: bar.advance(task, rows))
        policy = Policy(
            confidence=options["confidence"],
            rollback_on=_spelled(RollbackOn, options["rollback_on"]),
        )
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    judgement = judge_pairs(specs, policy, counts)
    if output != "text":
        show_document(report_several(judgement), output)
        return
    click.echo(f"{judgement.verdict.value} ({judgement.reason})")
    for each in judgement.metrics:
        which = "" if len(judgement.metrics) == 1 else f"{each.name}: {each.verdict.value}: "
        click.echo(f"{which}{each.message}")


def _specs(options: dict[str, Any], classes: "Sequence[str]") -> list[MetricSpec]:
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415

    positive = options["positive"]
    if positive is not None and positive not in classes:
        raise WorkbenchError(f"--positive: {positive!r} is not one of {', '.join(classes)}")
    average = _average(options["average"], positive, classes)
    if average is Average.BINARY and positive is None:
        if len(classes) != 2:
            raise WorkbenchError(
                f"--average Binary: with {len(classes)} classes say which one by --positive"
            )
        positive = classes[1]
    found: list[MetricSpec] = []
    for word in options["metrics"]:
        name, _, margin = word.partition("=")
        kind = next((each for each in TYPES if each.lower() == name.lower()), None)
        if kind is None:
            other = next((each for each in METRICS if each.lower() == name.lower()), None)
            hint = "" if other is None else "; assay evaluate --baseline compares by it"
            raise WorkbenchError(f"--metric: {name!r} is not one of {', '.join(TYPES)}{hint}")
        try:
            spec = MetricSpec(
                name=kind,
                type=kind,
                margin=float(margin),
                positive_label=positive if average is Average.BINARY else None,
                average=Average.BINARY if kind == "Accuracy" else average,
            )
            metric_of(spec)
        except ValueError as error:
            raise WorkbenchError(f"--metric: {word!r}: {_reason(error, margin)}") from None
        if kind in [each.type for each in found]:
            raise WorkbenchError(f"--metric: {kind} is named twice")
        found.append(spec)
    return found


def _reason(error: ValueError, margin: str) -> str:
    return (
        f"{margin!r} is no margin, as in F1=0.02"
        if "could not convert" in str(error)
        else str(error)
    )


def _average(asked: str | None, positive: str | None, classes: "Sequence[str]") -> Average:
    if asked is not None:
        return _spelled(Average, asked)
    return Average.BINARY if positive is not None or len(classes) == 2 else Average.MACRO


def _spelled(kind: type[Word], word: str) -> Word:
    return next(each for each in kind if each.value.lower() == word.lower())


def _scored(specs: "Sequence[MetricSpec]", classes: "Sequence[str]") -> list[str]:
    """Return the classes whose scores the metrics need."""
    ranking = [each for each in specs if each.type == "ROCAUC"]
    if any(each.average is not Average.BINARY for each in ranking):
        return list(classes)
    return sorted({each.positive_label for each in ranking if each.positive_label is not None})
