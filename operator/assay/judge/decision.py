"""From a comparison to a decision: verdict, reason, and whether the steps may advance.

One table of rules for one verdict or a hundred thousand simulated ones; the first rule that holds
decides. Words are `judge`'s matter.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.judge import eprocess, reasons
from assay.judge.comparison import LEAST_FREEDOM, Borders, Comparison, compare
from assay.judge.looks import Looks
from assay.judge.metrics import metric_of
from assay.judge.metrics.metric import Bools, Floats
from assay.judge.verdict import MetricSpec, Policy, PromoteOn, RollbackOn, Verdict

VERDICTS = (Verdict.HOLD, Verdict.PROMOTE, Verdict.ROLLBACK)
"""By code."""

HOLD, PROMOTE, ROLLBACK = range(3)

REASONS = (
    reasons.METRIC_UNDEFINED,
    reasons.WORSE,
    reasons.WORSE_THAN_MARGIN,
    reasons.WORSE_LATELY,
    reasons.WORSE_IN_MEMBER,
    reasons.FLOOR_BREACHED_BY_BOTH,
    reasons.FLOOR_BREACHED,
    reasons.BURN_IN,
    reasons.TOO_FEW_USERS,
    reasons.BINS_TOO_COARSE,
    reasons.BELOW_FLOOR,
    reasons.NOT_WORSE,
    reasons.BETTER,
    reasons.UNDERPOWERED,
    reasons.UNDECIDED,
)
"""By code. `judge` says the first of the family where the counts alone do not tell which it is."""

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Decisions:
    """R decisions by one metric.

    Attributes
    ----------
    verdict
        Index into `VERDICTS`, (R,).
    reason
        Index into `REASONS`, (R,).
    past_burn_in
        Whether the rollback test is in force: a canary that collapses now will be found.
    comparison
        The numbers behind it.
    """

    verdict: Codes
    reason: Codes
    past_burn_in: Bools
    comparison: Comparison

    @property
    def difference(self) -> Floats:
        """Canary less stable, NaN where there is none."""
        return self.comparison.measured.difference

    @property
    def log_e_promote(self) -> Floats:
        """Of the promotion test."""
        return self.comparison.promote.log_e

    @property
    def log_e_rollback(self) -> Floats:
        """Of the rollback test of all counts."""
        return self.comparison.rollback.log_e


def borders(spec: MetricSpec, policy: Policy, metrics: int) -> Borders:
    """Where the nulls of one of `metrics` metrics are: rollback shares its chance of error."""
    alpha = 1.0 - policy.confidence
    return Borders(
        better=1.0 if metric_of(spec).higher_is_better else -1.0,
        promote_shift=spec.margin if policy.promote_on is PromoteOn.NOT_WORSE else 0.0,
        rollback_shift=0.0 if policy.rollback_on is RollbackOn.WORSE else spec.margin,
        promote_alpha=alpha,
        rollback_alpha=alpha / metrics,
    )


def decide(spec: MetricSpec, policy: Policy, looks: Looks, metrics: int = 1) -> Decisions:
    """Decide R looks by one of `metrics` metrics.

    State-less: each look is decided by its own cumulative counts. The guarantee is for the first
    verdict of a trial that is not Hold, so callers latch it.
    """
    found = compare(spec, looks, borders(spec, policy, metrics))
    known, guards = found.measured.known, found.measured.guards
    users = found.measured.freedom >= LEAST_FREEDOM
    in_force = guards.rollback & users
    worse = (in_force & found.rollback.passes) | found.exact_rolls_back
    strict = policy.rollback_on is RollbackOn.WORSE_THAN_MARGIN
    proven = np.full(known.shape, policy.promote_on is PromoteOn.BETTER)
    floor_of_stable = _beyond_floor(spec, found.measured.stable)
    passes = found.exact_promotes | (guards.promote & found.promote.passes)
    rules: list[tuple[Bools, int, str]] = [
        (~known, HOLD, reasons.METRIC_UNDEFINED),
        (worse, ROLLBACK, reasons.WORSE_THAN_MARGIN if strict else reasons.WORSE),
        (found.late, ROLLBACK, reasons.WORSE_LATELY),
        (np.any(found.members, axis=0, keepdims=True)[0], ROLLBACK, reasons.WORSE_IN_MEMBER),
        (found.below_floor & floor_of_stable, HOLD, reasons.FLOOR_BREACHED_BY_BOTH),
        (found.below_floor, ROLLBACK, reasons.FLOOR_BREACHED),
        (~guards.rollback, HOLD, reasons.BURN_IN),
        (~users, HOLD, reasons.TOO_FEW_USERS),
        (found.is_coarse(spec.margin), HOLD, reasons.BINS_TOO_COARSE),
        (_beyond_floor(spec, found.measured.canary), HOLD, reasons.BELOW_FLOOR),
        (passes & ~proven, PROMOTE, reasons.NOT_WORSE),
        (passes, PROMOTE, reasons.BETTER),
        (~guards.promote, HOLD, reasons.BURN_IN),
        (found.promote.held_back | found.rollback.held_back, HOLD, reasons.BURN_IN),
        (_underpowered(spec, policy, found), HOLD, reasons.UNDERPOWERED),
    ]
    # The first rule that holds decides; the last one always does.
    held = np.array([condition for condition, *_ in rules] + [np.ones_like(known)])
    first = np.argmax(held, axis=0)
    verdicts = np.array([*(verdict for _, verdict, _ in rules), HOLD], dtype=np.int8)
    codes = [*(REASONS.index(reason) for *_, reason in rules), REASONS.index(reasons.UNDECIDED)]
    return Decisions(
        verdict=verdicts[first],
        reason=np.array(codes, dtype=np.int8)[first],
        past_burn_in=known & in_force,
        comparison=found,
    )


def _beyond_floor(spec: MetricSpec, value: Floats) -> Bools:
    """Whether a value measures on the wrong side of the floor."""
    if spec.floor is None:
        return np.zeros(value.shape, dtype=bool)
    low: Bools = value < spec.floor if metric_of(spec).higher_is_better else value > spec.floor
    return low


def _underpowered(spec: MetricSpec, policy: Policy, found: Comparison) -> Bools:
    """Whether an equal canary would not be promoted by the labels that the trial will have."""
    if policy.growth is None:
        return np.zeros(found.promote.log_e.shape, dtype=bool)
    shift = spec.margin if policy.promote_on is PromoteOn.NOT_WORSE else 0.0
    dist = np.full(found.promote.variance.shape, max(shift, spec.margin))
    hoped = eprocess.PROMOTE.log_e(dist, found.promote.variance / policy.growth, spec.margin)
    short: Bools = hoped < found.promote.limit
    return short
