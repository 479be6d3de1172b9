"""What `assay plan` reads: a plan question, or a ModelDeployment with what no manifest says."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import pydantic
import yaml
from typing_extensions import override

from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge import MetricSpec, PromoteOn, RollbackOn
from assay.judge.planner import (
    TYPES,
    Baseline,
    PlanError,
    Question,
    Step,
    Target,
    paired_variance,
)
from assay.judge.verdict import Average
from assay.rollout import settings

Choice = TypeVar("Choice", RollbackOn, PromoteOn, Average)

_SPELLINGS = {**{each.upper(): each for each in TYPES}, "AUC": "ROCAUC", "ROC_AUC": "ROCAUC"}
_OF_METRIC = ("type", "margin", "recall", "variance", "largest", "s10", "s01")
_ANALYSIS = "spec.rollout.analysis"


class InputError(click.ClickException):
    """The input does not say what is needed; the message names the field. Exit code 2."""

    exit_code = 2

    @override
    def show(self, file: Any = None) -> None:
        """Write one line to stderr."""
        click.echo(f"assay plan: {self.format_message()}", file=file or sys.stderr)


@dataclass(frozen=True)
class Given:
    """The options that go with a ModelDeployment, as they were written."""

    prevalence: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()
    recall: tuple[str, ...] = ()
    variance: tuple[str, ...] = ()
    label_rate: str | None = None
    label_age: str | None = None

    def names(self) -> Iterable[str]:
        """Yield the options that were given."""
        for name, value in vars(self).items():
            if value:
                yield f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Asked:
    """A question, and how its fields are called where they were read."""

    question: Question
    where: Callable[[PlanError], str] = field(repr=False)

    def refuse(self, error: PlanError) -> InputError:
        """Return the error in the reader's words."""
        return InputError(f"{self.where(error)}: {error.problem}")


def load(file: str) -> Any:
    """Read JSON or YAML; ``-`` is stdin."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return json.loads(text)
    except ValueError:
        pass  # YAML, then: its error tells more about either
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{file}: is neither JSON nor YAML: {problem}") from None


def parse(document: Any, given: Given) -> Asked:
    """Read the document. Raises `InputError` with the path of the first wrong field."""
    if isinstance(document, dict) and "kind" in document:
        return _manifest(document, given)
    for option in given.names():
        _fail(option, "goes with a ModelDeployment; FILE is a plan question")
    return _question(document)


def _question(document: Any) -> Asked:
    top = _object(
        document,
        "",
        ("metric", "prevalence", "baseline", "labelRate"),
        ("share", "steps", "paired", "labelAgeSeconds", "maxSeconds", "confidence", "rollbackOn",
         "promoteOn", "effect"),
    )  # fmt: skip
    ways = [name for name in ("share", "steps", "paired") if top.get(name) is not None]
    if len(ways) != 1:
        _fail("share", f"exactly one of share, steps and paired is needed, not {len(ways)}")
    spec, known = _metric(top["metric"])
    effect, limit = top.get("effect"), top.get("maxSeconds")
    baseline = Baseline(
        _number(top["baseline"], "baseline"),
        _shares(spec, top["prevalence"], "prevalence"),
        **known,
    )
    target = Target(spec, baseline, None if effect is None else _number(effect, "effect"))

    def where(error: PlanError) -> str:
        return f"metric.{error.field}" if error.field in _OF_METRIC else error.field

    try:
        if ways == ["paired"]:
            target = _paired(target, top["paired"])
        question = Question(
            (target,),
            label_rate=_number(top["labelRate"], "labelRate"),
            steps=_steps(top) if ways != ["paired"] else (),
            label_age=_number(top.get("labelAgeSeconds", 0), "labelAgeSeconds"),
            confidence=_number(top.get("confidence", "0.95"), "confidence"),
            rollback_on=_choice(top.get("rollbackOn", "Worse"), "rollbackOn", RollbackOn),
            promote_on=_choice(top.get("promoteOn", "NotWorse"), "promoteOn", PromoteOn),
            max_seconds=None if limit is None else _number(limit, "maxSeconds"),
        )
    except PlanError as error:
        _fail(where(error), error.problem)
    return Asked(question, where)


def _metric(value: Any) -> tuple[MetricSpec, dict[str, float]]:
    numbers = ("recall", "variance", "largest", "s10", "s01")
    fields = _object(
        value, "metric", ("type", "margin"), ("name", "average", "positiveLabel", "beta", *numbers)
    )
    name = _text(fields["type"], "metric.type")
    if name.upper() not in _SPELLINGS:
        _fail("metric.type", f"{name!r} is not one of {', '.join(TYPES)}")
    label = fields.get("positiveLabel")
    try:
        spec = MetricSpec(
            name=_text(fields.get("name", name), "metric.name"),
            type=_SPELLINGS[name.upper()],
            margin=_number(fields["margin"], "metric.margin"),
            positive_label=None if label is None else str(label),
            average=_choice(fields.get("average") or "Binary", "metric.average", Average),
            beta=_number(fields.get("beta", 1), "metric.beta"),
        )
    except ValueError as error:
        raise InputError(f"metric.{error}") from None
    known = {key: fields[key] for key in numbers if fields.get(key) is not None}
    return spec, {key: _number(each, f"metric.{key}") for key, each in known.items()}


def _paired(target: Target, value: Any) -> Target:
    fields = _object(value, "paired", (), ("correlation", "variance"))
    if len(fields) != 1:
        _fail("paired", f"exactly one of correlation and variance is needed, not {len(fields)}")
    ((name, given),) = fields.items()
    number = _number(given, f"paired.{name}")
    if name == "correlation":
        number = paired_variance(target.spec, target.baseline, number)
    return Target(target.spec, target.baseline, target.effect, number)


def _steps(top: Mapping[str, Any]) -> tuple[Step, ...]:
    if top.get("share") is not None:
        share = _number(top["share"], "share")
        if not 0.0 < share < 1.0:
            _fail("share", f"{share:g} is not between 0 and 1")
        return (Step(share),)
    if not isinstance(top["steps"], list) or not top["steps"]:
        _fail("steps", "must be a list of at least one step")
    steps = []
    for place, each in enumerate(top["steps"]):
        path = f"steps[{place}]"
        fields = _object(each, path, ("weight",), ("minSeconds",))
        weight = _number(fields["weight"], f"{path}.weight")
        seconds = _number(fields.get("minSeconds", 0), f"{path}.minSeconds")
        if not 0.0 < weight < 100.0:
            _fail(f"{path}.weight", f"{weight:g} is not between 0 and 100 percent")
        if seconds < 0.0:
            _fail(f"{path}.minSeconds", f"{seconds:g} is negative")
        steps.append(Step(weight / 100.0, seconds))
    return tuple(steps)


def _manifest(document: dict[str, Any], given: Given) -> Asked:
    if document["kind"] != "ModelDeployment":
        _fail("kind", f"{document['kind']!r} is not ModelDeployment")
    try:
        spec = ModelDeploymentSpec.model_validate(document.get("spec"))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        _fail(f"spec{path}", first["msg"])
    rollout, analysis = spec.rollout, spec.rollout.analysis
    try:
        metrics, policy = settings.metric_specs(spec, analysis), settings.policy(analysis)
    except ValueError as error:
        _fail(_ANALYSIS, str(error))
    prevalence = _assigned(given.prevalence, "--prevalence")
    baseline = _assigned(given.baseline, "--baseline", [each.name for each in metrics])
    recall = _assigned(given.recall, "--recall", [each.name for each in metrics])
    variance = _assigned(given.variance, "--variance", [each.name for each in metrics])
    if not prevalence:
        _fail("--prevalence", "is missing: the share of the positive class among the labels")
    if given.label_rate is None:
        _fail("--label-rate", "is missing: labelled rows per second over both versions")
    targets = []
    for metric in metrics:
        if metric.name not in baseline:
            _fail("--baseline", f"{metric.name} is missing; give {metric.name}=VALUE")
        known = Baseline(
            baseline[metric.name],
            _shares(metric, prevalence.get("") or prevalence, "--prevalence"),
            recall.get(metric.name),
            variance.get(metric.name),
        )
        targets.append(Target(metric, known))
    steps = (Step(step.weight / 100.0, float(step.min_seconds)) for step in rollout.canary.steps)
    question = Question(
        tuple(targets),
        label_rate=_number(given.label_rate, "--label-rate"),
        steps=tuple(steps),
        label_age=_number(given.label_age or 0, "--label-age"),
        confidence=policy.confidence,
        rollback_on=policy.rollback_on,
        promote_on=policy.promote_on,
        max_seconds=float(rollout.max_seconds),
    )
    return Asked(question, _where)


def _where(error: PlanError) -> str:
    """Name a field by the option or the place in the manifest that it came from."""
    options = {"prevalence": "--prevalence", "labelRate": "--label-rate",
               "labelAgeSeconds": "--label-age"}  # fmt: skip
    if error.field in {"baseline", "recall", "variance"}:
        return f"--{error.field} {error.metric}"
    if error.field in {"type", "margin"}:
        return f"{_ANALYSIS}.metrics[{error.metric}].{error.field}"
    return options.get(error.field, f"{_ANALYSIS}.{error.field}")


def _assigned(
    words: tuple[str, ...], option: str, names: list[str] | None = None
) -> dict[str, float]:
    """Read NAME=VALUE words; a word without a name is kept under ``""`` when any name will do."""
    found: dict[str, float] = {}
    for word in words:
        name, equals, value = word.rpartition("=")
        if names is not None and (not equals or name not in names):
            _fail(option, f"{word!r} is not NAME=VALUE; names are {', '.join(names)}")
        if name in found:
            _fail(option, f"{name or word} is given twice")
        found[name] = _number(value, option)
    return found


def _shares(spec: MetricSpec, value: Any, path: str) -> tuple[float, ...]:
    """Read the prevalences that a metric needs: of its class, or of all for averages."""
    if not isinstance(value, dict):
        return (_number(value, path),)
    shares = {str(key): _number(each, f"{path}.{key}") for key, each in value.items()}
    if spec.average is not Average.BINARY:
        return tuple(shares.values())
    if spec.positive_label not in shares:
        label = "no positiveLabel" if spec.positive_label is None else repr(spec.positive_label)
        _fail(path, f"has {', '.join(shares) or 'no class'}, and {spec.name} asks for {label}")
    return (shares[spec.positive_label],)


def _object(
    value: Any, path: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _fail(path, "must be an object")
    for name in required:
        if value.get(name) is None:
            _fail(f"{path}.{name}" if path else name, "is missing")
    for name in value:
        if name not in required and name not in optional:
            known = ", ".join((*required, *optional))
            _fail(f"{path}.{name}" if path else str(name), f"is not known here; known are {known}")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        _fail(path, "must be a text")
    return value


def _number(value: Any, path: str) -> float:
    """Read a number, or the text of one as the API writes it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        _fail(path, "must be a number")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        _fail(path, f"{value!r} is not a number")
    return number


def _choice(value: Any, path: str, choices: type[Choice]) -> Choice:
    spelled = {choice.value.lower(): choice for choice in choices}
    if str(value).lower() not in spelled:
        _fail(path, f"{value!r} is not one of {', '.join(choices)}")
    return spelled[str(value).lower()]


def _fail(path: str, problem: str) -> NoReturn:
    raise InputError(f"{path}: {problem}" if path else f"the input {problem}")
