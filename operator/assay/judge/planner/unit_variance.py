"""What one labelled row tells of a metric, before any was seen: the planner's view of a metric.

The variance of a metric over n rows is about V / n. V, the unit variance, follows from the delta
method once the expected counts are known; a plan knows only prevalence and stable's value, so each
metric says here what it assumes besides. All V are per labelled row of one arm.

Assumptions, each replaced by a number when the user has one (`Baseline`):

- One class: recall equals the metric's value, hence precision too (balanced errors).
- Macro: all classes have the same value, precision = recall, and wrong rows fall on the other
  classes in proportion to how frequent these are. Weighted: the same; V is then that of accuracy.
- ROC AUC and average precision: scores of both classes are normal with equal spread. AUC of several
  classes: the safe bound SE <= sum of weight x SE of each comparison (measured: up to twice the SE).
- Brier and Cost: nobody knows the spread of a loss from its mean, but a loss between 0 and `largest`
  has at most V = m (largest - m). Log loss has no bound: the user's own V is needed, or `largest`.

Source: statistics.md 2a, 2b, 2d and 4.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t

from assay.judge.metrics import average_precision, burn_in, losses, roc_auc
from assay.judge.metrics.metric import SPREAD_RANGE
from assay.judge.planner.question import LOSSES, Baseline, PlanError
from assay.judge.verdict import Average, MetricSpec, MultiClass

_RANKS = frozenset({"ROCAUC", "AveragePrecision"})
_LEAST = 1e-9


@dataclass(frozen=True)
class BurnIn:
    """Labelled rows that (canary, stable) need before a test may decide, on average."""

    rollback: tuple[float, float]
    promote: tuple[float, float]


@dataclass(frozen=True)
class Shares:
    """Shares of the rows that are TP, FP and FN of one class."""

    hits: float
    false_alarms: float
    misses: float


def unit_variance(spec: MetricSpec, baseline: Baseline) -> float:
    """V of one row. Raises `PlanError` for values that cannot occur together or say too little."""
    if baseline.variance is not None:
        return baseline.variance
    if spec.type in LOSSES:
        return _loss(spec, baseline)
    if spec.type in _RANKS:
        return _ranks(spec, baseline)
    if spec.type == "Accuracy" or spec.average in (Average.MICRO, Average.WEIGHTED):
        return baseline.value * (1.0 - baseline.value)
    if spec.average is Average.MACRO:
        return _macro(baseline.value, baseline.prevalence, recall_part(spec))
    return _one_class(baseline.value, expected(spec, baseline), recall_part(spec))


def spread(spec: MetricSpec, value: float) -> float:
    """How V goes with the metric's value, up to a factor (2c: the floor of the canary's variance)."""
    if spec.type in LOSSES:
        return max(value, _LEAST)
    inner = min(max(value, SPREAD_RANGE[0]), SPREAD_RANGE[1])
    balanced = spec.type in {"F1", "FBeta"} and spec.average is not Average.MICRO
    return inner * (1.0 - inner) * (2.0 - inner if balanced else 1.0)


def rows_before(spec: MetricSpec, baseline: Baseline) -> BurnIn:
    """Rows per arm until the judge's guards let go, were all counts as expected."""
    shares = baseline.prevalence
    rarest = min(min(each, 1.0 - each) for each in shares)
    if spec.type == "ROCAUC":
        return _alike(roc_auc.CLASS_ROWS / rarest)
    if spec.type == "AveragePrecision":
        negatives = average_precision.NEGATIVES / (1.0 - max(shares))
        return _alike(max(average_precision.POSITIVES / min(shares), negatives))
    if spec.type in {"LogLoss", "Brier"}:
        return _alike(max(losses.ROWS, losses.CLASS_ROWS / rarest))
    if spec.type == "Cost":
        return _alike(burn_in.TRIALS)
    if spec.type == "Accuracy" or spec.average is Average.MICRO:
        relevant, hits = 1.0, baseline.value
    elif spec.average is not Average.BINARY:
        return _alike(max(burn_in.TRIALS, burn_in.SUCCESSES / (baseline.value * min(shares))))
    else:
        relevant, hits = _relevant(spec, baseline)
    trials, successes = burn_in.TRIALS / relevant, burn_in.SUCCESSES / hits
    both = max(trials, successes)
    return BurnIn((trials, both), (both, both))


def _alike(rows: float) -> BurnIn:
    return BurnIn((rows, rows), (rows, rows))


def _relevant(spec: MetricSpec, baseline: Baseline) -> tuple[float, float]:
    """Shares of the rows that matter to the metric of one class, and of right ones among all."""
    part, shares = recall_part(spec), expected(spec, baseline)
    wrong = (part < 1.0) * shares.false_alarms + (part > 0.0) * shares.misses
    return shares.hits + wrong, shares.hits


def recall_part(spec: MetricSpec) -> float:
    """Weight of recall in the harmonic mean of recall and precision that the metric is."""
    fixed = {"F1": 0.5, "Precision": 0.0, "Recall": 1.0}
    square = spec.beta * spec.beta
    return fixed.get(spec.type, square / (1.0 + square))


def expected(spec: MetricSpec, baseline: Baseline) -> Shares:
    """Shares of TP, FP and FN that prevalence, value and recall imply. Raises `PlanError`."""
    part, value = recall_part(spec), baseline.value
    prevalence = baseline.prevalence[0]
    recall = value if baseline.recall is None or part == 1.0 else baseline.recall
    hits = prevalence * recall
    predicted = prevalence if part == 1.0 else (hits / value - part * prevalence) / (1.0 - part)
    false_alarms = predicted - hits
    if false_alarms < -1e-12:
        least = value * part / (1.0 - value * (1.0 - part))
        problem = f"{recall:g} is too low for a baseline of {value:g}: it is at least {least:.3f}"
        raise PlanError("recall", problem)
    if false_alarms > 1.0 - prevalence:
        problem = (
            f"{value:g} with recall {recall:g} would need more false positives than the "
            f"{1.0 - prevalence:.3g} of the rows that are negative"
        )
        raise PlanError("baseline", problem)
    return Shares(hits, max(false_alarms, 0.0), prevalence - hits)


def _one_class(value: float, shares: Shares, part: float) -> float:
    """V of the harmonic mean of recall (with weight `part`) and precision."""
    squares = (
        (1.0 - value) ** 2 * shares.hits
        + (part * value) ** 2 * shares.misses
        + ((1.0 - part) * value) ** 2 * shares.false_alarms
    )
    return squares * (value / shares.hits) ** 2


def _macro(value: float, prevalence: tuple[float, ...], part: float) -> float:
    """V of the mean over the classes (2a), with the assumptions above."""
    classes, rare = len(prevalence), sum(1.0 / each for each in prevalence)
    wrong = 1.0 - value
    # Errors from class i to j count for both: sum of e_ij / (p_i p_j), e_ij in proportion to p_i p_j.
    both = wrong * classes * (classes - 1) / (1.0 - sum(each * each for each in prevalence))
    right = value * wrong * wrong * rare
    mistaken = (part * part + (1.0 - part) ** 2) * wrong * rare + 2.0 * part * (1.0 - part) * both
    return (right + value * value * mistaken) / classes**2


def _ranks(spec: MetricSpec, baseline: Baseline) -> float:
    """V of metrics of scores: each comparison of two groups of rows, joined by the safe bound."""
    shares = baseline.prevalence
    pairs = [(each, 1.0 - each) for each in shares]
    weights = list(shares)
    if spec.multi_class is MultiClass.ONE_VS_ONE and len(shares) > 1:
        pairs = list(itertools.combinations(shares, 2))
        weights = [sum(pair) for pair in pairs]
    if spec.average is not Average.WEIGHTED:
        weights = [1.0] * len(pairs)
    one = _auc if spec.type == "ROCAUC" else _average_precision
    roots = [math.sqrt(one(baseline, *pair)) for pair in pairs]
    return float(np.average(roots, weights=weights)) ** 2


def _auc(baseline: Baseline, positives: float, negatives: float) -> float:
    if (baseline.s10 is None) != (baseline.s01 is None):
        raise PlanError("s10" if baseline.s10 is None else "s01", "is needed with the other one")
    area = baseline.value
    binormal = area - area * area - 2.0 * float(owens_t(ndtri(area), 1.0 / math.sqrt(3.0)))
    of_positive = binormal if baseline.s10 is None else baseline.s10
    of_negative = binormal if baseline.s01 is None else baseline.s01
    return of_positive / positives + of_negative / negatives


def _average_precision(baseline: Baseline, prevalence: float, others: float) -> float:
    """V from the influence of one row on AP = mean precision at the positives, binormal scores.

    With P, N the shares of positive and negative rows scored above x, a positive at y adds its own
    precision and N / (P + N)^2 at every positive below it; a negative takes P / (P + N)^2 there.
    """
    value = baseline.value
    if value <= prevalence:
        raise PlanError("baseline", f"{value:g} is not above {prevalence:g}, the value by chance")

    def curve(distance: float) -> tuple[float, float]:
        scores = np.linspace(-9.0, 9.0 + distance, 4001)
        positive = prevalence * np.diff(ndtr(scores - distance))
        negative = others * np.diff(ndtr(scores))
        above = np.cumsum(positive[::-1])[::-1] - 0.5 * positive
        alarms = np.cumsum(negative[::-1])[::-1] - 0.5 * negative
        total = np.maximum(above + alarms, 1e-150)  # its square is divided by, too
        precision = above / total
        area = float(positive @ precision) / prevalence
        gained = np.cumsum(positive * alarms / total**2)
        lost = np.cumsum(positive * above / total**2)
        square = positive @ (precision - area + gained) ** 2 + negative @ lost**2
        return area, float(square) / prevalence**2

    def short(distance: float) -> float:
        return curve(distance)[0] - value

    if short(12.0) <= 0.0:
        raise PlanError("baseline", f"{value:g} is too close to 1 to plan with")
    return curve(float(brentq(short, 0.0, 12.0, xtol=1e-6)))[1]


def _largest(spec: MetricSpec, baseline: Baseline) -> float | None:
    if baseline.largest is not None:
        return baseline.largest
    if spec.type == "Cost":
        return max((cost for *_, cost in spec.costs), default=None)
    return 1.0 if spec.type == "Brier" else None


def _loss(spec: MetricSpec, baseline: Baseline) -> float:
    largest = _largest(spec, baseline)
    if largest is None:
        problem = f"is needed for {spec.type}: that of one row's loss (or largest, for the bound)"
        raise PlanError("variance", problem)
    if baseline.value >= largest:
        raise PlanError(
            "baseline", f"{baseline.value:g} is not below {largest:g}, the largest loss"
        )
    return baseline.value * (largest - baseline.value)
