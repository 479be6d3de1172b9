"""Reads what `assay judge` is asked: metrics, their options, and the policy."""

from collections.abc import Mapping, Sequence
from typing import Any

from assay.cli.document import (
    InputError,
    as_choice,
    as_list,
    as_number,
    as_object,
    as_text,
    fail,
)
from assay.evidence.counts import ArmCounts, Evidence
from assay.judge import METRICS, MetricSpec, Policy, PromoteOn, RollbackOn
from assay.judge.metrics import metric_of
from assay.judge.metrics.positive import only_class
from assay.judge.verdict import Average, MultiClass
from assay.rollout.settings import pair_costs

SPELLINGS = {"auc": "ROCAUC", "roc_auc": "ROCAUC"}
"""Other spellings of metric types; the types themselves are read in any case of letters."""

OF_ALL_CLASSES = ("Accuracy", "LogLoss", "Brier", "Cost")
"""Types that know no average, and no positive class either unless they are asked for one."""

OPTIONS = (
    "name", "average", "positiveLabel", "class", "multiClass", "beta", "costs", "floor",
)  # fmt: skip


def read_policy(top: Mapping[str, Any]) -> Policy:
    """Read how to judge from the fields of the document. Raises `InputError`."""
    confidence = as_number(top.get("confidence", "0.95"), "confidence")
    coverage = as_number(top.get("minLabelCoverage", "0"), "minLabelCoverage")
    growth = as_number(top["growth"], "growth") if "growth" in top else None
    try:
        return Policy(
            confidence=confidence,
            rollback_on=as_choice(top.get("rollbackOn", "Worse"), "rollbackOn", RollbackOn),
            min_label_coverage=coverage,
            promote_on=as_choice(top.get("promoteOn", "NotWorse"), "promoteOn", PromoteOn),
            growth=growth,
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def read_metrics(values: Any, path: str, evidence: Evidence) -> list[MetricSpec]:
    """Read a list of metrics with distinct names. Raises `InputError`."""
    specs: list[MetricSpec] = []
    for index, value in enumerate(as_list(values, path, of="metric")):
        spec = read_metric(value, f"{path}[{index}]", evidence)
        if spec.name in [other.name for other in specs]:
            fail(f"{path}[{index}].name", f"{spec.name!r} appears twice; give each metric a name")
        specs.append(spec)
    return specs


def read_metric(value: Any, path: str, evidence: Evidence) -> MetricSpec:
    """Read one metric, for counts that it can use. Raises `InputError`."""
    fields = as_object(value, path, required=("type", "margin"), optional=OPTIONS)
    type_name = as_text(fields["type"], f"{path}.type")
    kind = _type(type_name, f"{path}.type")
    average = as_choice(fields.get("average", "Binary"), f"{path}.average", Average)
    _check_options(fields, kind, average, path)
    arms = [arm for each in evidence.strata for arm in (each.stable, each.canary)]
    positive = _positive(fields, kind, average, arms, path)
    costs = fields.get("costs")
    floor = fields.get("floor")
    multi_class = fields.get("multiClass", "OneVsRest")
    try:
        spec = MetricSpec(
            name=as_text(fields.get("name", type_name), f"{path}.name"),
            type=kind,
            margin=as_number(fields["margin"], f"{path}.margin"),
            floor=None if floor is None else as_number(floor, f"{path}.floor"),
            positive_label=positive,
            average=average,
            multi_class=as_choice(multi_class, f"{path}.multiClass", MultiClass),
            beta=as_number(fields.get("beta", 1.0), f"{path}.beta"),
            costs=() if costs is None else _costs(costs, positive, arms, f"{path}.costs"),
        )
        metric_of(spec)
    except ValueError as error:
        msg = f"{path}.{error}"
        raise InputError(msg) from None
    return spec


def _type(name: str, path: str) -> str:
    kind = SPELLINGS.get(name.lower())
    kind = kind or next((known for known in METRICS if known.lower() == name.lower()), None)
    if kind is None or kind not in METRICS:
        fail(path, f"{name!r} is not one of {', '.join(METRICS)}")
    return kind


def _check_options(fields: Mapping[str, Any], kind: str, average: Average, path: str) -> None:
    """Refuse options that mean nothing here, as the CRD does."""
    if average is not Average.BINARY:
        if kind in OF_ALL_CLASSES:
            fail(f"{path}.average", f"{kind} knows no averages; leave it out")
        if "class" in fields:
            fail(f"{path}.class", f"average {average.value} is over all classes; leave it out")
    if "multiClass" in fields and (kind != "ROCAUC" or average is Average.BINARY):
        fail(f"{path}.multiClass", "is only for ROCAUC with average Macro or Weighted")
    if "beta" in fields and kind != "FBeta":
        fail(f"{path}.beta", "is only for FBeta")
    if "costs" in fields and kind != "Cost":
        fail(f"{path}.costs", "is only for Cost")
    if "costs" not in fields and kind == "Cost":
        fail(f"{path}.costs", "is missing: a Cost needs them")


def _positive(
    fields: Mapping[str, Any],
    kind: str,
    average: Average,
    arms: Sequence[ArmCounts],
    path: str,
) -> str | None:
    """Return the positive class, which must be among the labels where one is needed."""
    labels = list(arms[0].labels)
    # As in the API: the metric's own class goes before the model's positive one.
    name = "class" if "class" in fields else "positiveLabel"
    asked = fields.get(name)
    if asked is not None:
        if isinstance(asked, (dict, list, bool)):
            fail(f"{path}.{name}", "must be a label")
        if str(asked) not in labels:
            fail(f"{path}.{name}", f"{asked!r} is not in {labels}")
        return str(asked)
    needed = average is Average.BINARY and kind not in OF_ALL_CLASSES
    if needed and only_class(arms) is None:
        fail(f"{path}.positiveLabel", f"is needed with the labels {labels}")
    return None


def _costs(
    value: Any, positive: str | None, arms: Sequence[ArmCounts], path: str
) -> tuple[tuple[str, str, float], ...]:
    """Read a false-positive/false-negative pair, or a K x K matrix in the order of the labels."""
    labels = arms[0].labels
    if isinstance(value, dict):
        names = ("falsePositive", "falseNegative")
        fields = as_object(value, path, required=names)
        one = positive if positive is not None else only_class(arms)
        if one is None:
            fail(
                path, f"with the labels {list(labels)} a pair needs positiveLabel, or give a matrix"
            )
        return pair_costs(one, labels, *(_cost(fields[name], f"{path}.{name}") for name in names))
    rows = as_list(value, path)
    if len(rows) != len(labels):
        fail(path, f"has {len(rows)} rows for {len(labels)} labels")
    found = []
    for true, row in enumerate(rows):
        each = as_list(row, f"{path}[{true}]")
        if len(each) != len(labels):
            fail(f"{path}[{true}]", f"has {len(each)} costs for {len(labels)} labels")
        found += [
            (labels[true], labels[place], _cost(cost, f"{path}[{true}][{place}]"))
            for place, cost in enumerate(each)
        ]
    return tuple(found)


def _cost(value: Any, path: str) -> float:
    cost = as_number(value, path)
    if cost < 0.0:
        fail(path, f"{cost:g} is negative")
    return cost
