"""What `assay plan` reads: a plan question, or a ModelDeployment with what no manifest says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic

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

from .document import InputError, as_choice, as_number, as_object, as_text, fail, refuse

_SPELLINGS = {**{each.upper(): each for each in TYPES}, "AUC": "ROCAUC", "ROC_AUC": "ROCAUC"}
_OF_METRIC = ("type", "margin", "recall", "variance", "largest", "s10", "s01")
_ANALYSIS = "spec.rollout.analysis"


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
    """A question, and how its fields are called where they were read.

    Attributes
    ----------
    spec, namespace
        Of the ModelDeployment that it comes from; None if there is none.
    """

    question: Question
    where: Callable[[PlanError], str] = field(repr=False)
    spec: ModelDeploymentSpec | None = None
    namespace: str = "default"

    def refuse(self, error: PlanError) -> InputError:
        """Return the error in the reader's words."""
        return InputError(f"{self.where(error)}: {error.problem}")


def parse(document: Any, given: Given) -> Asked:
    """Read the document. Raises `InputError` with the path of the first wrong field."""
    if isinstance(document, dict) and "kind" in document:
        return _manifest(document, given)
    for option in given.names():
        fail(option, "goes with a ModelDeployment; FILE is a plan question")
    return _question(document)


def _question(document: Any) -> Asked:
    top = as_object(
        document,
        "",
        ("metric", "prevalence", "baseline", "labelRate"),
        ("share", "steps", "paired", "labelAgeSeconds", "maxSeconds", "confidence", "rollbackOn",
         "promoteOn", "effect"),
    )  # fmt: skip
    ways = [name for name in ("share", "steps", "paired") if top.get(name) is not None]
    if len(ways) != 1:
        fail("share", f"exactly one of share, steps and paired is needed, not {len(ways)}")
    spec, known = _metric(top["metric"])
    effect, limit = top.get("effect"), top.get("maxSeconds")
    baseline = Baseline(
        as_number(top["baseline"], "baseline"),
        _shares(spec, top["prevalence"], "prevalence"),
        **known,
    )
    target = Target(spec, baseline, None if effect is None else as_number(effect, "effect"))

    def where(error: PlanError) -> str:
        return f"metric.{error.field}" if error.field in _OF_METRIC else error.field

    try:
        if ways == ["paired"]:
            target = _paired(target, top["paired"])
        question = Question(
            (target,),
            label_rate=as_number(top["labelRate"], "labelRate"),
            steps=_steps(top) if ways != ["paired"] else (),
            label_age=as_number(top.get("labelAgeSeconds", 0), "labelAgeSeconds"),
            confidence=as_number(top.get("confidence", "0.95"), "confidence"),
            rollback_on=as_choice(top.get("rollbackOn", "Worse"), "rollbackOn", RollbackOn),
            promote_on=as_choice(top.get("promoteOn", "NotWorse"), "promoteOn", PromoteOn),
            max_seconds=None if limit is None else as_number(limit, "maxSeconds"),
        )
    except PlanError as error:
        fail(where(error), error.problem)
    return Asked(question, where)


def _metric(value: Any) -> tuple[MetricSpec, dict[str, float]]:
    numbers = ("recall", "variance", "largest", "s10", "s01")
    fields = as_object(
        value, "metric", ("type", "margin"), ("name", "average", "positiveLabel", "beta", *numbers)
    )
    name = as_text(fields["type"], "metric.type")
    if name.upper() not in _SPELLINGS:
        fail("metric.type", f"{name!r} is not one of {', '.join(TYPES)}")
    label = fields.get("positiveLabel")
    try:
        spec = MetricSpec(
            name=as_text(fields.get("name", name), "metric.name"),
            type=_SPELLINGS[name.upper()],
            margin=as_number(fields["margin"], "metric.margin"),
            positive_label=None if label is None else str(label),
            average=as_choice(fields.get("average") or "Binary", "metric.average", Average),
            beta=as_number(fields.get("beta", 1), "metric.beta"),
        )
    except ValueError as error:
        raise InputError(f"metric.{error}") from None
    known = {key: fields[key] for key in numbers if fields.get(key) is not None}
    return spec, {key: as_number(each, f"metric.{key}") for key, each in known.items()}


def _paired(target: Target, value: Any) -> Target:
    fields = as_object(value, "paired", (), ("correlation", "variance"))
    if len(fields) != 1:
        fail("paired", f"exactly one of correlation and variance is needed, not {len(fields)}")
    ((name, given),) = fields.items()
    number = as_number(given, f"paired.{name}")
    if name == "correlation":
        number = paired_variance(target.spec, target.baseline, number)
    return Target(target.spec, target.baseline, target.effect, number)


def _steps(top: Mapping[str, Any]) -> tuple[Step, ...]:
    if top.get("share") is not None:
        share = as_number(top["share"], "share")
        if not 0.0 < share < 1.0:
            fail("share", f"{share:g} is not between 0 and 1")
        return (Step(share),)
    if not isinstance(top["steps"], list) or not top["steps"]:
        fail("steps", "must be a list of at least one step")
    steps = []
    for place, each in enumerate(top["steps"]):
        path = f"steps[{place}]"
        fields = as_object(each, path, ("weight",), ("minSeconds",))
        weight = as_number(fields["weight"], f"{path}.weight")
        seconds = as_number(fields.get("minSeconds", 0), f"{path}.minSeconds")
        if not 0.0 < weight < 100.0:
            fail(f"{path}.weight", f"{weight:g} is not between 0 and 100 percent")
        if seconds < 0.0:
            fail(f"{path}.minSeconds", f"{seconds:g} is negative")
        steps.append(Step(weight / 100.0, seconds))
    return tuple(steps)


def _manifest(document: dict[str, Any], given: Given) -> Asked:
    if document["kind"] != "ModelDeployment":
        fail("kind", f"{document['kind']!r} is not ModelDeployment")
    try:
        spec = ModelDeploymentSpec.model_validate(document.get("spec"))
    except pydantic.ValidationError as error:
        refuse(error, "spec")
    try:
        rollout = settings.by_labels(spec).rollout
        analysis = rollout.analysis
        metrics, policy = settings.metric_specs(spec, analysis), settings.policy(analysis)
    except ValueError as error:
        fail(_ANALYSIS, str(error))
    prevalence = _assigned(given.prevalence, "--prevalence")
    baseline = _assigned(given.baseline, "--baseline", [each.name for each in metrics])
    recall = _assigned(given.recall, "--recall", [each.name for each in metrics])
    variance = _assigned(given.variance, "--variance", [each.name for each in metrics])
    if not prevalence:
        fail("--prevalence", "is missing: the share of the positive class among the labels")
    if given.label_rate is None:
        fail("--label-rate", "is missing: labelled rows per second over both versions")
    targets = []
    for metric in metrics:
        if metric.name not in baseline:
            fail("--baseline", f"{metric.name} is missing; give {metric.name}=VALUE")
        known = Baseline(
            baseline[metric.name],
            _shares(metric, prevalence.get("") or prevalence, "--prevalence"),
            recall.get(metric.name),
            variance.get(metric.name),
        )
        targets.append(Target(metric, known))
    canary = rollout.canary.without_pauses()
    steps = (
        Step(weight / 100.0, float(step.min_seconds))
        for weight, step in zip(canary.weights, canary.steps, strict=True)
    )
    question = Question(
        tuple(targets),
        label_rate=as_number(given.label_rate, "--label-rate"),
        steps=tuple(steps),
        label_age=as_number(given.label_age or 0, "--label-age"),
        confidence=policy.confidence,
        rollback_on=policy.rollback_on,
        promote_on=policy.promote_on,
        max_seconds=float(rollout.max_seconds),
    )
    metadata = as_object(document.get("metadata") or {}, "metadata", (), None)
    namespace = as_text(metadata.get("namespace") or "default", "metadata.namespace")
    return Asked(question, _where, spec, namespace)


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
            fail(option, f"{word!r} is not NAME=VALUE; names are {', '.join(names)}")
        if name in found:
            fail(option, f"{name or word} is given twice")
        found[name] = as_number(value, option)
    return found


def _shares(spec: MetricSpec, value: Any, path: str) -> tuple[float, ...]:
    """Read the prevalences that a metric needs: of its class, or of all for averages."""
    if not isinstance(value, dict):
        return (as_number(value, path),)
    shares = {str(key): as_number(each, f"{path}.{key}") for key, each in value.items()}
    if spec.average is not Average.BINARY:
        return tuple(shares.values())
    if spec.positive_label not in shares:
        label = "no positiveLabel" if spec.positive_label is None else repr(spec.positive_label)
        fail(path, f"has {', '.join(shares) or 'no class'}, and {spec.name} asks for {label}")
    return (shares[spec.positive_label],)
