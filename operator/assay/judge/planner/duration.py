"""How many labels, and how much time, until a trial is decided.

Theory of operation
-------------------
1. A metric's difference is known to the variance ``Var(n) = A / n^2`` after n labelled rows of both
   arms, ``A = sum_h n_h (k V / s_h + V / (1 - s_h))`` over the steps h with n_h rows and canary
   share s_h: each stratum's variance counts by (n_h / n)^2, as the judge standardises. V is the unit
   variance (`unit_variance`), k >= 1 the growth of the canary's: at the null, where the judge floors
   it, and at the expected difference.
2. A decision needs ``Var(n) <= d^2 / need`` (`information`). ``n^2 - A need / d^2`` is a parabola in
   each step, and where it is still negative it has exactly one root further on: no search.
3. Nothing is decided within the burn-in. A step but the last ends when its time and the burn-in are
   over (`schedule`); promotion waits for the last step, rollback for none.
4. Promotion needs all metrics, so the slowest decides; each rollback test has alpha / metrics.

Not in it: time between looks, waiting for pods, scraping, dependent rows.

Source: statistics.md 2c, 2d, 2f, 2g and 4.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assay.judge.planner.information import POWERS, promotion_need, rollback_need
from assay.judge.planner.question import LOSSES, Baseline, Question, Target, check, naming
from assay.judge.planner.schedule import Segment, schedule
from assay.judge.planner.unit_variance import BurnIn, rows_before, spread, unit_variance
from assay.judge.verdict import MetricSpec, RollbackOn

WORSE = (1.0, 2.0, 3.0, 5.0, 10.0)
"""Losses, in margins, that a plan gives rollback times for."""


@dataclass(frozen=True)
class Need:
    """Labelled rows of both arms, and seconds from the start of the trial."""

    labels: int
    seconds: float


@dataclass(frozen=True)
class MetricPlan:
    """One metric. `None` stands for a loss that cannot be, or is never proven.

    Attributes
    ----------
    burn_in
        Before this nothing is decided.
    promote
        By power: that share of all trials has promoted by then.
    rollback
        By loss in margins: half of all trials has rolled back by then.
    collapse, collapsed
        The same for a canary at the metric value `collapsed`: half of stable's, chance for ROC AUC,
        twice stable's for losses.
    """

    target: Target
    effect: float
    unit_variance: float
    burn_in: Need
    promote: Mapping[float, Need]
    rollback: Mapping[float, Need | None]
    collapsed: float | None
    collapse: Need | None


@dataclass(frozen=True)
class Plan:
    """The answer.

    Attributes
    ----------
    promote
        By power, of the slowest metric.
    segments
        The steps in labelled rows.
    """

    question: Question
    metrics: tuple[MetricPlan, ...]
    promote: Mapping[float, Need]
    segments: tuple[Segment, ...]

    @property
    def underpowered(self) -> bool:
        """Whether an expected canary is undecided in more than a fifth of all trials at the end."""
        limit = self.question.max_seconds
        return limit is not None and self.promote[0.8].seconds > limit


def plan(question: Question) -> Plan:
    """Plan a trial.

    Raises
    ------
    PlanError
        For numbers out of range, impossible together, or outside of what the planner knows.
    """
    check(question)
    burn_ins = []
    for target in question.targets:
        with naming(target):
            burn_ins.append(rows_before(target.spec, target.baseline))
    segments = schedule(
        () if question.paired else question.steps,
        question.label_rate,
        question.label_age,
        [each.rollback for each in burn_ins],
    )
    metrics = []
    for target, least in zip(question.targets, burn_ins, strict=True):
        with naming(target):
            metrics.append(_plan_metric(question, target, segments, least))
    slowest = {
        power: max((each.promote[power] for each in metrics), key=lambda need: need.seconds)
        for power in POWERS
    }
    return Plan(question, tuple(metrics), slowest, segments)


def _plan_metric(
    question: Question, target: Target, segments: tuple[Segment, ...], least: BurnIn
) -> MetricPlan:
    spec, base = target.spec, target.baseline
    unit = unit_variance(spec, base)
    alpha = 1.0 - question.confidence
    effect, gap = target.difference(question.promote_on), target.gap(question.promote_on)

    def grown(*differences: float) -> float:
        """How much larger the canary's variance is taken at these differences, at least 1 (2c)."""
        sign = -1.0 if spec.type in LOSSES else 1.0
        here = spread(spec, base.value)
        return max(1.0, *(spread(spec, base.value + sign * x) / here for x in differences))

    def noise(factor: float) -> Callable[[Segment], float]:
        if target.paired_variance is not None:
            paired = target.paired_variance
            return lambda _: paired
        return lambda segment: unit * (factor / segment.canary + 1.0 / segment.stable)

    last = segments[-1]
    start = last.start / question.label_rate + last.min_seconds
    first = last.rows_until(least.promote)

    def promoted(power: float) -> Need:
        need = promotion_need(alpha, power, gap) / spec.margin**2
        rows = max(
            _labels(segments, noise(grown(effect - gap * spec.margin, effect)), need, at_end=True),
            first,
        )
        seconds = max(start, rows / question.label_rate) + question.label_age
        return Need(math.ceil(rows), seconds)

    null = 0.0 if question.rollback_on is RollbackOn.WORSE else spec.margin
    ready = next(rows for each in segments if (rows := each.rows_until(least.rollback)) <= each.end)

    def rolled_back(loss: float) -> Need | None:
        possible = spec.type in LOSSES or base.value - loss > -1e-12
        beyond = (loss - null) / spec.margin
        if beyond <= 1e-9 or not possible:
            return None
        need = rollback_need(beyond, alpha / len(question.targets)) / spec.margin**2
        rows = max(_labels(segments, noise(grown(-null, -loss)), need, at_end=False), ready)
        return _need(question, rows)

    collapsed = _collapsed(spec, base)
    loss = None if collapsed is None else abs(base.value - collapsed)
    return MetricPlan(
        target,
        effect,
        unit if target.paired_variance is None else target.paired_variance,
        _need(question, ready),
        {power: promoted(power) for power in POWERS},
        {times: rolled_back(times * spec.margin) for times in WORSE},
        collapsed,
        None if loss is None else rolled_back(loss),
    )


def _labels(
    segments: tuple[Segment, ...],
    noise: Callable[[Segment], float],
    need: float,
    *,
    at_end: bool,
) -> float:
    """Rows at which ``rows^2 >= need * A(rows)``: at the first moment, or the first in the last step."""
    spent = 0.0
    for segment in segments:
        rate = noise(segment)
        if not at_end or segment is segments[-1]:
            held = spent - rate * segment.start
            if segment.start > 0.0 and segment.start**2 >= need * spent:
                return segment.start
            half = 0.5 * need * rate
            root = half + math.sqrt(max(0.0, half * half + need * held))
            if root <= segment.end:
                return root
        spent += rate * (segment.end - segment.start)
    raise AssertionError("the last segment has no end")


def _need(question: Question, rows: float) -> Need:
    return Need(math.ceil(rows), rows / question.label_rate + question.label_age)


def _collapsed(spec: MetricSpec, baseline: Baseline) -> float | None:
    if spec.type in LOSSES:
        return 2.0 * baseline.value
    if spec.type == "ROCAUC":
        return 0.5 if baseline.value > 0.5 else None
    return 0.5 * baseline.value
