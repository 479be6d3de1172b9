"""Which margins the labels of a day can support, by the planner behind `assay plan`."""

import math
from dataclasses import dataclass

from assay.api.model_deployment import Canary
from assay.judge import MetricSpec
from assay.judge.planner import Baseline, PlanError, Question, Step, Target, plan, remedies
from assay.judge.verdict import LEAST_MARGIN, MultiClass
from assay_workbench.rules import Choice
from assay_workbench.situation import SECONDS_PER_DAY, Situation

STEPS = tuple(
    Step(weight / 100.0, float(step.min_seconds))
    for weight, step in zip(Canary().weights, Canary().steps, strict=True)
)
"""The steps that a ModelDeployment has when it names none."""

ASSUMED = {"Accuracy": 0.9, "F1": 0.8, "ROCAUC": 0.9, "AveragePrecision": 0.6, "Brier": 0.1}
"""Values of stable when nobody measured them; of Cost half of what the cheapest guess costs."""

_TINY = 1e-4
"""Part of the value below which nobody asks for a margin."""
_BEST = 0.995
"""A measured value above says more of the sample than of the model; the planner takes this."""
_NO_MARGIN = 0.1
"""Part of the value that is taken for a margin where no margin can be shown in a day."""


@dataclass(frozen=True)
class Known:
    """How stable does in one metric.

    Attributes
    ----------
    value
        Of the metric.
    recall
        Of the judged class; `None` if not known.
    variance
        Of one row, measured; `None` if not known.
    measured
        Whether the value is measured, and not assumed.
    """

    value: float
    recall: float | None = None
    variance: float | None = None
    measured: bool = True


@dataclass(frozen=True)
class Margin:
    """The margin of one metric.

    Attributes
    ----------
    margin
        In units of the metric, rounded up to two digits.
    in_a_day
        Whether 80 % of the trials of an equally good canary are promoted within a day by it.
    seconds
        Until then.
    """

    choice: Choice
    known: Known
    margin: float
    in_a_day: bool
    seconds: float


def assumed(choice: Choice, situation: Situation) -> Known:
    """Return what to take for stable's value if nobody measured it."""
    if choice.type == "Cost" and situation.costs is not None:
        share = situation.prevalence
        guess = min(
            situation.costs.false_positive * (1.0 - share), situation.costs.false_negative * share
        )
        dearest = max(situation.costs.false_positive, situation.costs.false_negative)
        return Known(max(0.5 * guess, 1e-3 * dearest), measured=False)
    value = ASSUMED.get(choice.type, 0.5)
    if choice.type == "AveragePrecision":
        value = max(value, min(0.95, 2.0 * situation.prevalence))
    return Known(value, measured=False)


def supported(choice: Choice, known: Known, situation: Situation) -> Margin:
    """Return the smallest margin that a day's labels support.

    Raises
    ------
    PlanError
        If the planner does not know such numbers.
    """
    if situation.label_rate is None:
        raise PlanError("labelRate", "is missing")
    baseline = _baseline(choice, known, situation)
    least = max(LEAST_MARGIN, _TINY * baseline.value)
    spec = spec_of(choice, situation, least)
    found = remedies(plan(_question(spec, baseline, situation.label_rate)))
    margin = least if found is None else found.margins[spec.name]
    if margin is None:
        margin = _NO_MARGIN * baseline.value
    margin = rounded_up(margin)
    answer = plan(_question(spec_of(choice, situation, margin), baseline, situation.label_rate))
    seconds = answer.promote[0.8].seconds
    return Margin(choice, known, margin, seconds <= SECONDS_PER_DAY, seconds)


def spec_of(choice: Choice, situation: Situation, margin: float) -> MetricSpec:
    """Return the metric as the judge takes it."""
    costs = situation.costs
    judged = situation.judged or ""
    pair: tuple[tuple[str, str, float], ...] = ()
    if choice.type == "Cost" and costs is not None:
        pair = (("", judged, costs.false_positive), (judged, "", costs.false_negative))
    several = choice.multi_class or MultiClass.ONE_VS_REST
    return MetricSpec(
        choice.name,
        choice.type,
        margin,
        positive_label=situation.judged,
        average=choice.average,
        multi_class=several,
        costs=pair,
    )


def _baseline(choice: Choice, known: Known, situation: Situation) -> Baseline:
    loss = choice.type in {"Cost", "Brier", "LogLoss"}
    several = choice.average.value in {"Macro", "Weighted"}
    shares = tuple(rows / situation.rows for _, rows in situation.classes if rows)
    prevalence = shares if several else (situation.prevalence,)
    return Baseline(
        known.value if loss else min(known.value, _BEST),
        prevalence,
        None if known.recall is None else min(max(known.recall, 1e-3), _BEST),
        known.variance,
    )


def _question(spec: MetricSpec, baseline: Baseline, label_rate: float) -> Question:
    return Question((Target(spec, baseline),), label_rate, STEPS, max_seconds=SECONDS_PER_DAY)


def rounded_up(number: float) -> float:
    """Return a number with two significant digits, upwards."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(number / unit - 1e-9) * unit:.6g}")
