"""`assay judge FILE`: one decision from counts, no cluster needed."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from typing_extensions import override

from assay.evidence.counts import ArmCounts, Evidence, ScoreHistogram, Stratum
from assay.evidence.errors import EvidenceError
from assay.judge import (
    METRICS,
    Judgement,
    MetricSpec,
    Policy,
    PromoteOn,
    RollbackOn,
    judge,
)

Choice = TypeVar("Choice", RollbackOn, PromoteOn)

TYPES = {"AUC": "ROCAUC", "ROC_AUC": "ROCAUC"}
"""Other spellings of metric types."""


class InputError(click.ClickException):
    """The input does not say what is needed; the message names the field. Exit code 2."""

    exit_code = 2

    @override
    def show(self, file: Any = None) -> None:
        """Write one line to stderr."""
        click.echo(f"assay judge: {self.format_message()}", file=file or sys.stderr)


@click.command("judge", short_help="Decide from counts in a file.")
@click.argument("file", metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "text"]),
    default="text",
    show_default=True,
    help="What to print.",
)
def judge_command(file: str, output: str) -> None:
    """Decide from the counts in FILE (JSON; - reads stdin): Promote, Rollback or Hold.

    FILE holds one metric and the counts of both versions per stratum; rows of a confusion
    matrix are true classes, columns predicted ones. The exit code is 0 whatever the verdict,
    and 2 when FILE cannot be understood.
    """
    spec, policy, evidence = parse(_load(file))
    judgement = judge([spec], policy, evidence)
    if output == "json":
        click.echo(json.dumps(report(judgement), indent=2, allow_nan=False))
    else:
        click.echo(f"{judgement.verdict.value} ({judgement.reason})\n{judgement.message}")


def report(judgement: Judgement) -> dict[str, Any]:
    """Shape a judgement of one metric as the JSON that other programs rely on."""
    metric = judgement.metrics[0]
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "stable": metric.stable,
        "canary": metric.canary,
        "difference": metric.difference,
        "lower": metric.lower,
        "upper": metric.upper,
        "logEPromote": metric.log_e_promote,
        "logERollback": metric.log_e_rollback,
        "halfWidth": metric.half_width,
        "labels": {"stable": metric.labels_stable, "canary": metric.labels_canary},
    }


def parse(document: Any) -> tuple[MetricSpec, Policy, Evidence]:
    """Read the input document. Raises `InputError` with the path of the first wrong field."""
    top = _object(
        document,
        "",
        required=("metric", "strata"),
        optional=("rollbackOn", "promoteOn", "confidence", "minLabelCoverage"),
    )
    spec = _metric(top["metric"])
    confidence = _number(top.get("confidence", "0.95"), "confidence")
    coverage = _number(top.get("minLabelCoverage", "0"), "minLabelCoverage")
    try:
        policy = Policy(
            confidence=confidence,
            rollback_on=_choice(top.get("rollbackOn", "Worse"), "rollbackOn", RollbackOn),
            min_label_coverage=coverage,
            promote_on=_choice(top.get("promoteOn", "NotWorse"), "promoteOn", PromoteOn),
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    strata = _list(top["strata"], "strata")
    if not strata:
        _fail("strata", "is empty: at least one stratum is needed")
    try:
        evidence = Evidence(
            tuple(_stratum(each, f"strata[{index}]") for index, each in enumerate(strata))
        )
    except EvidenceError as error:
        raise InputError(str(error)) from None
    _check_counted(spec, evidence)
    return spec, policy, evidence


def _load(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: {getattr(error, 'strerror', None) or error}"
        raise InputError(msg) from None
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"{file}: is not JSON: {error}"
        raise InputError(msg) from None


def _metric(value: Any) -> MetricSpec:
    fields = _object(
        value,
        "metric",
        required=("type", "margin"),
        optional=("name", "average", "positiveLabel", "floor"),
    )
    type_name = _text(fields["type"], "metric.type")
    kind = TYPES.get(type_name.upper(), type_name.upper())
    if kind not in METRICS:
        _fail("metric.type", f"{type_name!r} is not one of {', '.join(METRICS)}")
    average = _text(fields.get("average") or "binary", "metric.average")
    if average.lower() != "binary":
        _fail("metric.average", f"{average!r} is not supported; binary is")
    positive, floor = fields.get("positiveLabel"), fields.get("floor")
    try:
        return MetricSpec(
            name=_text(fields.get("name", type_name), "metric.name"),
            type=kind,
            margin=_number(fields["margin"], "metric.margin"),
            floor=None if floor is None else _number(floor, "metric.floor"),
            positive_label=None if positive is None else str(positive),
        )
    except ValueError as error:
        msg = f"metric.{error}"
        raise InputError(msg) from None


def _stratum(value: Any, path: str) -> Stratum:
    fields = _object(value, path, required=("name", "stable", "canary"), optional=("weight",))
    weight = fields.get("weight")
    stable = _arm(fields["stable"], f"{path}.stable")
    canary = _arm(fields["canary"], f"{path}.canary")
    try:
        return Stratum(
            name=_text(fields["name"], f"{path}.name"),
            stable=stable,
            canary=canary,
            weight=None if weight is None else _number(weight, f"{path}.weight"),
        )
    except EvidenceError as error:
        raise error.within(path) from None


def _arm(value: Any, path: str) -> ArmCounts:
    fields = _object(
        value,
        path,
        required=("labels",),
        optional=("confusion", "scores", "served", "labelled", "requests"),
    )
    if "confusion" not in fields and "scores" not in fields:
        _fail(path, "has neither confusion nor scores")
    labels = tuple(str(label) for label in _list(fields["labels"], f"{path}.labels"))
    scores = _object(fields.get("scores") or {}, f"{path}.scores", required=(), optional=None)
    try:
        histograms = {
            name: _histogram(each, f"scores.{name}", path) for name, each in scores.items()
        }
        arm = ArmCounts.counted(
            labels,
            fields.get("confusion"),
            histograms,
            fields.get("served") or 0,
            fields.get("requests"),
        )
        labelled = fields.get("labelled")
        return arm if labelled is None else replace(arm, labelled=labelled)
    except EvidenceError as error:
        raise error.within(path) from None


def _histogram(value: Any, name: str, path: str) -> ScoreHistogram:
    fields = _object(value, f"{path}.{name}", required=("positive", "negative"), optional=())
    try:
        return ScoreHistogram(fields["positive"], fields["negative"])
    except EvidenceError as error:
        raise error.within(name) from None


def _check_counted(spec: MetricSpec, evidence: Evidence) -> None:
    """Refuse what would hold for ever: counts that the metric can never use."""
    first = evidence.strata[0].stable
    if spec.positive_label is not None and spec.positive_label not in first.labels:
        _fail("metric.positiveLabel", f"{spec.positive_label!r} is not in {list(first.labels)}")
    if spec.positive_label is None and len(first.labels) != 2:
        _fail("metric.positiveLabel", f"is needed with the labels {list(first.labels)}")


def _object(
    value: Any, path: str, *, required: tuple[str, ...], optional: tuple[str, ...] | None
) -> Mapping[str, Any]:
    """Check an object's keys; any further key is allowed when `optional` is `None`."""
    if not isinstance(value, dict):
        _fail(path, f"must be an object, not {_kind(value)}")
    for name in required:
        if name not in value:
            _fail(f"{path}.{name}" if path else name, "is missing")
    for name in value:
        if optional is not None and name not in required and name not in optional:
            known = ", ".join((*required, *optional))
            _fail(f"{path}.{name}" if path else name, f"is not known here; known are {known}")
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        _fail(path, f"must be a list, not {_kind(value)}")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        _fail(path, f"must be a text, not {_kind(value)}")
    return value


def _number(value: Any, path: str) -> float:
    """Read a number, or the text of one as the API writes it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        _fail(path, f"must be a number, not {_kind(value)}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        _fail(path, f"{value!r} is not a number")
    return number


def _choice(value: Any, path: str, choices: type[Choice]) -> Choice:
    try:
        return choices(_text(value, path))
    except ValueError:
        _fail(path, f"{value!r} is not one of {', '.join(choices)}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "null" if value is None else names.get(type(value), "a number")


def _fail(path: str, problem: str) -> NoReturn:
    raise InputError(f"{path}: {problem}" if path else f"the input {problem}")
