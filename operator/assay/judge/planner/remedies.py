"""What would make a trial end in time: each remedy alone, as a number."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from assay.judge.planner.duration import Plan, plan
from assay.judge.planner.question import LOSSES, PlanError, Question, Target
from assay.judge.planner.schedule import Step

_FASTEST = 1e6
"""How many times the label rate a remedy may ask for."""


@dataclass(frozen=True)
class Remedies:
    """With any one of them 80 % of the trials of an expected canary end in time.

    Attributes
    ----------
    margins
        By name of the metrics that are too slow, which all need it: the smallest margin that fits;
        `None` if none does.
    share
        The smallest fixed share of the canary that fits, in percent steps up to .5; `None` if not
        even .5 does, or with shadow traffic.
    label_rate
        The smallest that fits, in labelled rows per second; `None` if time or the age of labels
        alone take too long.
    max_seconds
        How long the trial must be allowed to take as it is.
    """

    margins: Mapping[str, float | None]
    share: float | None
    label_rate: float | None
    max_seconds: int


def remedies(answer: Plan) -> Remedies | None:
    """Return what would help; `None` for a plan that is not underpowered."""
    question = answer.question
    limit = question.max_seconds
    if limit is None or not answer.underpowered:
        return None
    slow = [each.target for each in answer.metrics if each.promote[0.8].seconds > limit]
    return Remedies(
        {target.spec.name: _margin(question, target) for target in slow},
        None if question.paired else _share(question),
        _rate(question),
        math.ceil(answer.promote[0.8].seconds),
    )


def _margin(question: Question, target: Target) -> float | None:
    value = target.baseline.value
    # A margin that reaches down to chance, or to nothing, promotes anything.
    worst = {"ROCAUC": 0.5, "AveragePrecision": max(target.baseline.prevalence)}
    widest = value if target.spec.type in LOSSES else value - worst.get(target.spec.type, 0.0)

    def fits(margin: float) -> bool:
        try:
            wider = replace(target, spec=replace(target.spec, margin=margin))
        except ValueError:
            return False
        return _fits(replace(question, targets=(wider,)))

    found = _smallest(target.spec.margin, 0.999 * widest, fits)
    return None if found is None else _rounded_up(found)


def _share(question: Question) -> float | None:
    for percent in range(1, 51):
        if _fits(replace(question, steps=(Step(percent / 100.0),))):
            return percent / 100.0
    return None


def _rate(question: Question) -> float | None:
    def fits(rate: float) -> bool:
        return _fits(replace(question, label_rate=rate))

    found = _smallest(question.label_rate, _FASTEST * question.label_rate, fits)
    return None if found is None else _rounded_up(found)


def _fits(question: Question) -> bool:
    try:
        return not plan(question).underpowered
    except PlanError:
        return False


def _smallest(low: float, high: float, fits: Callable[[float], bool]) -> float | None:
    """Find where `fits` becomes true between `low`, which does not fit, and `high`."""
    if high <= low or not fits(high):
        return None
    while high > 1.0001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _rounded_up(number: float) -> float:
    """Three significant digits, upwards, so that the rounded number still fits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.ceil(number / unit - 1e-9) * unit:.6g}")
