"""From a comparison to a decision: verdict, reason, and whether the steps may advance.

One table of rules for one verdict or a hundred thousand simulated ones; the first rule that holds
decides. Words are `judge`'s matter.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assay.judge import eprocess, reasons
from assay.judge.comparison import Comparison, compare
from assay.judge.looks import Looks
from assay.judge.measurement import Borders, Shares
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

_CODES = {reason: code for code, reason in enumerate(REASONS)}

Codes = npt.NDArray[np.int8]


class Decisions(NamedTuple):
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


@functools.lru_cache(maxsize=256)
def borders(spec: MetricSpec, policy: Policy, metrics: int) -> Borders:
    """Where the nulls of one of `metrics` metrics are: rollback shares its chance of error."""
    alpha = 1.0 - policy.confidence
    return Borders(
        better=1.0 if metric_of(spec).higher_is_better else -1.0,
        promote_shift=spec.margin if policy.promote_on is PromoteOn.NOT_WORSE else 0.0,
        rollback_shift=0.0 if policy.rollback_on is RollbackOn.WORSE else spec.margin,
        promote_alpha=alpha,
        rollback_alpha=alpha / metrics,
        shares=Shares.of(spec, policy),
        remembers=policy.since_moments,
    )


def decide(spec: MetricSpec, policy: Policy, looks: Looks, metrics: int = 1) -> Decisions:
    """Decide R looks by one of `metrics` metrics.

    State-less: each look is decided by its own cumulative counts. The guarantee is for the first
    verdict of a trial that is not Hold, so callers latch it.
    """
    found = compare(spec, looks, borders(spec, policy, metrics))
    verdict, reason = _first(_rules(spec, policy, looks, found), found.measured.known.ndim)
    return Decisions(verdict, reason, found.measured.known & found.in_force, found)


_Rule = tuple[Bools, int, str]


def _first(rules: Iterable[_Rule], ndim: int) -> tuple[Codes, Codes]:
    """Return verdict and reason of the first rule that holds; one look asks no further."""
    if ndim == 0:
        _, verdict, reason = next(rule for rule in rules if rule[0])
        return np.array(verdict, np.int8), np.array(_CODES[reason], np.int8)
    held, verdicts, why = zip(*rules, strict=True)
    first = np.argmax(np.array(held), axis=0)
    codes = np.array([_CODES[reason] for reason in why], dtype=np.int8)
    return np.array(verdicts, dtype=np.int8)[first], codes[first]


def _rules(spec: MetricSpec, policy: Policy, looks: Looks, found: Comparison) -> Iterator[_Rule]:
    """Yield what may hold (R,), and the verdict and reason that follow; the last always holds."""
    known, guards = found.measured.known, found.measured.guards
    strict = policy.rollback_on is RollbackOn.WORSE_THAN_MARGIN
    worse = (found.in_force & found.rollback.passes) | found.exact_rollback.passes
    yield ~known, HOLD, reasons.METRIC_UNDEFINED
    yield worse, ROLLBACK, reasons.WORSE_THAN_MARGIN if strict else reasons.WORSE
    if policy.since_moments:
        yield found.late.passes, ROLLBACK, reasons.WORSE_LATELY
    if policy.by_member and looks.members:
        yield np.logical_or.reduce(found.members.passes), ROLLBACK, reasons.WORSE_IN_MEMBER
    if spec.floor is not None:
        beyond = _beyond_floor(spec, spec.floor, found.measured.stable)
        yield found.floor.passes & beyond, HOLD, reasons.FLOOR_BREACHED_BY_BOTH
        yield found.floor.passes, ROLLBACK, reasons.FLOOR_BREACHED
    yield ~guards.rollback, HOLD, reasons.BURN_IN
    if found.measured.dependence is not None:
        yield ~found.in_force, HOLD, reasons.TOO_FEW_USERS
    yield found.is_coarse(spec.margin), HOLD, reasons.BINS_TOO_COARSE
    if spec.floor is not None:
        beyond = _beyond_floor(spec, spec.floor, found.measured.canary)
        yield beyond, HOLD, reasons.BELOW_FLOOR
    better = policy.promote_on is PromoteOn.BETTER
    passes = found.exact_promote.passes | (guards.promote & found.promote.passes)
    yield passes, PROMOTE, reasons.BETTER if better else reasons.NOT_WORSE
    yield ~guards.promote, HOLD, reasons.BURN_IN
    yield found.promote.held_back | found.rollback.held_back, HOLD, reasons.BURN_IN
    if policy.growth is not None:
        short = _underpowered(spec, policy.growth, found)
        yield short, HOLD, reasons.UNDERPOWERED
    yield known | ~known, HOLD, reasons.UNDECIDED


def _beyond_floor(spec: MetricSpec, floor: float, value: Floats) -> Bools:
    """Whether a value measures on the wrong side of the floor."""
    beyond: Bools = value < floor if metric_of(spec).higher_is_better else value > floor
    return beyond


def _underpowered(spec: MetricSpec, growth: float, found: Comparison) -> Bools:
    """Whether an equal canary would not be promoted by the labels that the trial will have."""
    short: Bools = hoped_for(spec, growth, found) < found.promote.limit
    return short


def hoped_for(spec: MetricSpec, growth: float, found: Comparison) -> Floats:
    """Return the log e-value for promoting an equal canary with `growth` times as many labels.

    Where it must be better, of one that is better by the margin.
    """
    dist = np.full(found.promote.variance.shape, spec.margin)
    return eprocess.PROMOTE.log_e(dist, found.promote.variance / growth, spec.margin)
