"""The numbers of one metric: values, variances, e-values, bands. No verdict yet.

Nulls: promotion rejects ``difference <= -promote_shift``, rollback rejects
``difference >= -rollback_shift``.
"""

import math
from dataclasses import dataclass

import numpy as np

from assay.evidence.counts import Evidence
from assay.judge import eprocess, exact, strata
from assay.judge.metrics import METRICS, Guards, Metric, NoValue
from assay.judge.reasons import NO_LABELS
from assay.judge.verdict import MetricSpec

Floats = strata.Floats

SPREAD_RANGE = (0.02, 0.995)
"""Metric values between which the variance's dependence on the value is trusted."""

HARD_WIDTH = 0.05
"""Hard bound of what bins hide of one value above which no credible bound is believed."""


@dataclass(frozen=True)
class Test:
    """One e-process at one moment.

    Attributes
    ----------
    log_e
        Log e-value with the specified variance.
    cautious
        The same with the variance that the number of labels makes credible; never larger in what
        it lets happen. It differs only for near-perfect rankings.
    limit
        What both must reach.
    reach
        The distance of the estimate from its null at which `log_e` reaches `limit`.
    """

    log_e: float
    cautious: float
    limit: float
    reach: float

    @property
    def passes(self) -> bool:
        """Whether both variances reach the limit."""
        return min(self.log_e, self.cautious) >= self.limit

    @property
    def held_back(self) -> bool:
        """Whether only the cautious variance is in the way."""
        return self.cautious < self.limit <= self.log_e


@dataclass(frozen=True)
class Shares:
    """How the error chance of one metric's rollback is split over its tests; sums to 1."""

    asymptotic: float
    exact: float
    floor: float

    @classmethod
    def of(cls, spec: MetricSpec) -> "Shares":
        """.8 and .2; with a floor .6, .2 and .2."""
        return cls(0.8, 0.2, 0.0) if spec.floor is None else cls(0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Comparison:
    """Everything the verdict of one metric rests on.

    Attributes
    ----------
    stable, canary
        Standardised metric values.
    promote, rollback
        The two asymptotic tests.
    exact_promotes, exact_rolls_back, below_floor
        Whether the exact tests and the floor's have reached their limits.
    guards
        Burn-in.
    half_width, resolution
        Hard bound of what bins hide in one arm; credible bound for the difference.
    """

    stable: float
    canary: float
    promote: Test
    rollback: Test
    exact_promotes: bool
    exact_rolls_back: bool
    below_floor: bool
    guards: Guards
    half_width: float
    resolution: float

    @property
    def difference(self) -> float:
        """Canary less stable."""
        return self.canary - self.stable

    def is_coarse(self, margin: float) -> bool:
        """Whether what the bins may hide forbids to promote."""
        return _matters(self.resolution, margin) or self.half_width > HARD_WIDTH


def compare(
    spec: MetricSpec,
    evidence: Evidence,
    *,
    promote_shift: float,
    rollback_shift: float,
    promote_alpha: float,
    rollback_alpha: float,
) -> Comparison:
    """Compare the arms by one metric. Raises `NoValue` when an arm has none."""
    metric = METRICS[spec.type]
    both = _standardised(metric, spec, evidence)
    values = _values(metric, both)
    stable, canary = values
    difference = canary - stable
    resolution = metric.resolution(both.stable.shares) + metric.resolution(both.canary.shares)
    factors = (_floor(metric, stable, promote_shift), _floor(metric, stable, rollback_shift))
    plain, cautious = _variances(metric, both, factors)
    shares = Shares.of(spec)
    slack = resolution if _matters(resolution, spec.margin) else 0.0
    promote = _test(
        eprocess.log_e_promote,
        difference + promote_shift,
        (plain[0], cautious[0]),
        spec.margin,
        -math.log(promote_alpha),
    )
    rollback = _test(
        eprocess.log_e_rollback,
        -(difference + rollback_shift),
        (plain[1], cautious[1]),
        spec.margin,
        -math.log(rollback_alpha * shares.asymptotic),
        slack,
    )
    guards = metric.guards(both.stable.effective, both.canary.effective)
    exact_limit = -math.log(rollback_alpha * shares.exact)
    return Comparison(
        stable=stable,
        canary=canary,
        promote=promote,
        rollback=rollback,
        exact_promotes=guards.near_perfect
        and _exact(exact.log_e_not_worse, metric, both, promote_shift)
        >= -math.log(promote_alpha * (1.0 - eprocess.SHARP)),
        exact_rolls_back=difference < -rollback_shift
        and _exact(exact.log_e_worse, metric, both, rollback_shift) >= exact_limit,
        below_floor=spec.floor is not None
        and canary < spec.floor
        and _log_e_floor(metric, spec, spec.floor, both.canary, canary, cautious[2])
        >= -math.log(rollback_alpha * shares.floor),
        guards=guards,
        half_width=max(
            metric.half_width(both.stable.shares), metric.half_width(both.canary.shares)
        ),
        resolution=resolution,
    )


def _matters(resolution: float, margin: float) -> bool:
    """Whether what bins may hide of the difference matters beside the margin."""
    return resolution > margin / 4.0


def _standardised(metric: Metric, spec: MetricSpec, evidence: Evidence) -> strata.Standardised:
    labelled = evidence.labelled
    if not evidence.strata or min(labelled) == 0:
        raise NoValue(
            NO_LABELS,
            f"stable has {labelled[0]} labels and the canary {labelled[1]}: nothing to compare yet",
        )
    positive = metric.positive(evidence.strata[0].stable, spec.positive_label)
    stable = metric.cells([stratum.stable for stratum in evidence.strata], positive)
    canary = metric.cells([stratum.canary for stratum in evidence.strata], positive)
    both = strata.standardise(stable, canary, metric.pseudo(stable.shape[1]), metric.value)
    if both is None:
        for name, cells in (("stable version", stable), ("canary", canary)):
            total = cells.sum(axis=0)
            if metric.value(total) is None:
                raise metric.undefined(name, total)
        raise NoValue(NO_LABELS, "no stratum has labels of both versions: nothing to compare yet")
    return both


def _values(metric: Metric, both: strata.Standardised) -> tuple[float, float]:
    values = []
    for name, arm in (("stable version", both.stable), ("canary", both.canary)):
        value = metric.value(arm.shares)
        if value is None:
            raise metric.undefined(name, arm.cells.sum(axis=0))
        values.append(value)
    return values[0], values[1]


def _floor(metric: Metric, stable: float, shift: float) -> float:
    """Factor k: how much wider one row varies at the null than at stable's value, at least 1."""
    low, high = SPREAD_RANGE
    at_null = metric.spread(min(max(stable - shift, low), high))
    return max(1.0, at_null / metric.spread(min(max(stable, low), high)))


def _variances(
    metric: Metric, both: strata.Standardised, factors: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Variances for promotion, rollback (of the difference) and the canary alone.

    First as specified, then with the metric's least credible spread. Where the specified one is
    zero or not finite only the second has a meaning and stands for both.
    """
    arms = both.stable, both.canary
    gradients = tuple(metric.gradient(arm.smooth, arm.effective) for arm in arms)
    least = tuple(metric.least_square(arm.effective) for arm in arms)
    of_canary, of_stable = strata.variances(
        both,
        (gradients[0], gradients[1]),
        metric.components(len(both.stable.shares)),
        (*factors, 0.0),
        None if least[0] is None or least[1] is None else (least[0], least[1]),
    )
    found = of_canary + of_stable[:, None] * np.array([1.0, 1.0, 0.0])
    plain, cautious = found[0], found[1]
    return np.where(plain > 0.0, plain, cautious), cautious


def _test(
    test: eprocess.Test,
    dist: float,
    variances: tuple[float, float],
    margin: float,
    limit: float,
    slack: float = 0.0,
) -> Test:
    plain, cautious = float(variances[0]), float(variances[1])
    log_e = test(dist, plain, margin)
    changed = cautious > plain or slack > 0.0
    return Test(
        log_e=log_e,
        cautious=test(dist - slack, cautious, margin) if changed else log_e,
        limit=limit,
        reach=eprocess.critical_distance(test, plain, margin, limit),
    )


def _exact(
    test: exact.TwoArmTest, metric: Metric, both: strata.Standardised, shift: float
) -> float:
    """Return the exact log e-value, or 0 (no evidence) for metrics that have none."""
    link = metric.link()
    canary, stable = metric.stream(both.canary.effective), metric.stream(both.stable.effective)
    if link is None or canary is None or stable is None:
        return 0.0
    return test(canary, stable, link, shift)


def _log_e_floor(
    metric: Metric,
    spec: MetricSpec,
    floor: float,
    arm: strata.Arm,
    value: float,
    variance: float,
) -> float:
    """Log e-value against ``canary >= floor``: exact where possible, else past its burn-in."""
    link, stream = metric.link(), metric.stream(arm.effective)
    if link is not None and stream is not None:
        return exact.log_e_below(stream, link, floor)
    if not metric.guards(arm.effective, arm.effective).rollback:
        return 0.0
    factor = _floor(metric, value, value - floor)
    return eprocess.log_e(floor - value, factor * float(variance), spec.margin, spec.margin / 2.0)
