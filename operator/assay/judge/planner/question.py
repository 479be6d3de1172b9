"""What a planner is asked: metrics, how stable does, shares of traffic, label rate."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from assay.judge.planner.schedule import Step
from assay.judge.verdict import Average, MetricSpec, PromoteOn, RollbackOn

TYPES = (
    "F1", "ROCAUC", "Accuracy", "Precision", "Recall", "FBeta", "AveragePrecision",
    "LogLoss", "Brier", "Cost",
)  # fmt: skip
"""Metric types that can be planned for."""

LOSSES = frozenset({"LogLoss", "Brier", "Cost"})
"""Of these, those that should be low."""


class PlanError(ValueError):
    """A question that has no answer.

    Attributes
    ----------
    field
        What is wrong in it, as ``assay plan`` reads it.
    metric
        Name of the metric whose field it is, if it is one metric's.
    """

    def __init__(self, field: str, problem: str, metric: str | None = None) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.metric = metric


@dataclass(frozen=True)
class Baseline:
    """How stable does, as far as it is known.

    Attributes
    ----------
    value
        Stable's value of the metric.
    prevalence
        Share of the positive class (one number), or of every class for averages over several.
    recall
        Stable's recall of the positive class; `None` for balanced errors.
    variance
        Measured unit variance, instead of all assumptions; for losses that of one row's loss.
    largest
        Largest loss of one row, for the bound.
    s10, s01
        Measured DeLong variances of the placements of positives and negatives (AUC).
    """

    value: float
    prevalence: tuple[float, ...]
    recall: float | None = None
    variance: float | None = None
    largest: float | None = None
    s10: float | None = None
    s01: float | None = None


@dataclass(frozen=True)
class Target:
    """One metric to plan for.

    Attributes
    ----------
    spec, baseline
        What is asked, and how stable does.
    effect
        Expected true difference in units of the metric, positive where the canary is better (for
        losses too: lower by that much). `None`: 0, or the margin with ``promoteOn: Better``.
    paired_variance
        V_d of one row that both versions predict (shadow traffic); `None` for a split.
    """

    spec: MetricSpec
    baseline: Baseline
    effect: float | None = None
    paired_variance: float | None = None

    def difference(self, promote_on: PromoteOn) -> float:
        """Return the expected difference, `effect` or what stands for it."""
        if self.effect is not None:
            return self.effect
        return self.spec.margin if promote_on is PromoteOn.BETTER else 0.0

    def gap(self, promote_on: PromoteOn) -> float:
        """Return its distance from the null of promotion, in margins; positive if promotable."""
        shift = 0.0 if promote_on is PromoteOn.BETTER else self.spec.margin
        return (self.difference(promote_on) + shift) / self.spec.margin


@dataclass(frozen=True)
class Question:
    """What is planned.

    Attributes
    ----------
    targets
        At least one.
    label_rate
        Labelled rows per second over both arms, > 0.
    steps
        The canary's shares; one step for a fixed share. Not used when the targets are paired.
    label_age
        Seconds from a request to its label.
    confidence, rollback_on, promote_on
        As in `assay.judge.verdict.Policy`.
    max_seconds
        The trial ends then without a verdict; `None` for no such limit.
    """

    targets: tuple[Target, ...]
    label_rate: float
    steps: tuple[Step, ...] = (Step(0.5),)
    label_age: float = 0.0
    confidence: float = 0.95
    rollback_on: RollbackOn = RollbackOn.WORSE
    promote_on: PromoteOn = PromoteOn.NOT_WORSE
    max_seconds: float | None = None

    @property
    def paired(self) -> bool:
        """Whether every row is predicted by both versions."""
        return self.targets[0].paired_variance is not None


@contextmanager
def naming(target: Target) -> Iterator[None]:
    """Let errors inside say which metric they are of."""
    try:
        yield
    except PlanError as error:
        raise PlanError(error.field, error.problem, target.spec.name) from None


def check(question: Question) -> None:
    """Refuse numbers that no trial could have. Raises `PlanError`."""
    if not question.targets:
        raise PlanError("metrics", "is empty: at least one is needed")
    if not question.paired and not question.steps:
        raise PlanError("steps", "is empty: at least one step is needed")
    if not (question.label_rate > 0.0 and math.isfinite(question.label_rate)):
        raise PlanError("labelRate", f"{question.label_rate:g} is not above 0")
    if not question.label_age >= 0.0:
        raise PlanError("labelAgeSeconds", f"{question.label_age:g} is negative")
    if question.max_seconds is not None and not question.max_seconds > 0.0:
        raise PlanError("maxSeconds", f"{question.max_seconds:g} is not above 0")
    if len({target.paired_variance is None for target in question.targets}) > 1:
        raise PlanError("paired", "is needed for all metrics or for none")
    for target in question.targets:
        with naming(target):
            _check_target(target, question.promote_on)


def _check_target(target: Target, promote_on: PromoteOn) -> None:
    spec, base = target.spec, target.baseline
    if spec.type not in TYPES:
        raise PlanError("type", f"{spec.type!r} is not one of {', '.join(TYPES)}")
    if not base.prevalence:
        raise PlanError("prevalence", "is missing")
    for field, share in (
        *(("prevalence", each) for each in base.prevalence),
        ("recall", base.recall),
    ):
        if share is not None and not 0.0 < share < 1.0:
            raise PlanError(field, f"{share:g} is not between 0 and 1")
    for field, number in (
        ("variance", base.variance), ("largest", base.largest), ("s10", base.s10),
        ("s01", base.s01), ("paired.variance", target.paired_variance),
    ):  # fmt: skip
        if number is not None and not number > 0.0:
            raise PlanError(field, f"{number:g} is not above 0")
    _check_classes(spec, base)
    _check_values(target, promote_on)


def _check_classes(spec: MetricSpec, base: Baseline) -> None:
    if len(base.prevalence) > 1 and not math.isclose(sum(base.prevalence), 1.0, abs_tol=1e-3):
        raise PlanError("prevalence", f"adds up to {sum(base.prevalence):g}, not to 1")
    several = spec.average in (Average.MACRO, Average.WEIGHTED)
    by_class = spec.type not in LOSSES | {"Accuracy"} and spec.average is not Average.MICRO
    if by_class and several != (len(base.prevalence) > 1):
        wanted = "the share of every class" if several else "one number"
        raise PlanError("prevalence", f"must be {wanted} for average {spec.average}")


def _check_values(target: Target, promote_on: PromoteOn) -> None:
    spec, value, loss = target.spec, target.baseline.value, target.spec.type in LOSSES
    if not 0.0 < value < (math.inf if loss else 1.0):
        wanted = "above 0" if loss else "between 0 and 1"
        raise PlanError("baseline", f"{value:g} is not {wanted}")
    if not loss and spec.margin >= value:
        raise PlanError("margin", f"{spec.margin:g} is not below the baseline of {value:g}")
    effect = target.difference(promote_on)
    if target.gap(promote_on) <= 1e-9:
        raise PlanError("effect", f"{effect:g} is so bad that the canary must not be promoted")
    if effect >= (value if loss else 1.0 - value):
        raise PlanError("effect", f"no canary is better by {effect:g} than {value:g}")
