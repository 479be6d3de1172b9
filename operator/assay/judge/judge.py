"""The verdict: from counts to Promote, Rollback or Hold.

Theory of operation
-------------------
1. The sample is checked (`samples`): coverage below the minimum holds all; a mismatch of sample
   ratio or coverage forbids promotion only, because going back is the safe side.
2. Each metric is compared (`comparison`) and gives a verdict of its own:
   rollback when a rollback test passes, promotion when the promotion test passes and nothing
   speaks against it, otherwise hold.
3. Roll back if any metric says so: their tests share the chance of error (alpha / metrics).
   Promote if all say so: each at the full alpha, for all must err together (intersection-union).

No state, no clock: the same counts give the same answer whenever and wherever they are judged. An
e-value may fall again; the guarantee is for the first crossing, so callers latch the verdict.
"""

from collections.abc import Sequence

from assay.evidence.counts import Evidence
from assay.judge import reasons, samples
from assay.judge.comparison import HARD_WIDTH, Comparison, compare
from assay.judge.metrics import METRICS, NoValue
from assay.judge.verdict import (
    Judgement,
    MetricJudgement,
    MetricSpec,
    Policy,
    PromoteOn,
    RollbackOn,
    Verdict,
)
from assay.judge.wording import count, decimal, percent


def judge(metrics: Sequence[MetricSpec], policy: Policy, evidence: Evidence) -> Judgement:
    """Judge a trial.

    Parameters
    ----------
    metrics
        At least one; all of a known type.
    policy
        Confidence and which proofs decide.
    evidence
        Cumulative counts since the trial began.

    Raises
    ------
    ValueError
        For no metrics or an unknown type. Never for what the counts say: that is a hold.
    """
    if not metrics:
        msg = "metrics: at least one is needed"
        raise ValueError(msg)
    for spec in metrics:
        if spec.type not in METRICS:
            msg = f"type: {spec.type!r} is not one of {', '.join(sorted(METRICS))}"
            raise ValueError(msg)
    each = tuple(_judge_metric(spec, policy, evidence, len(metrics)) for spec in metrics)
    found = samples.findings(evidence, policy.min_label_coverage)
    blocking = [finding for finding in found if finding.blocks_rollback]
    if blocking:
        return Judgement(Verdict.HOLD, blocking[0].reason, blocking[0].message, each)
    for metric in each:
        if metric.verdict is Verdict.ROLLBACK:
            return Judgement(Verdict.ROLLBACK, metric.reason, metric.message, each)
    if found:
        return Judgement(Verdict.HOLD, found[0].reason, found[0].message, each)
    held = [metric for metric in each if metric.verdict is Verdict.HOLD]
    if held:
        first = min(held, key=lambda metric: metric.reason == reasons.UNDECIDED)
        return Judgement(Verdict.HOLD, first.reason, first.message, each)
    message = "; ".join(metric.message for metric in each)
    return Judgement(Verdict.PROMOTE, each[0].reason, message, each)


def _judge_metric(
    spec: MetricSpec, policy: Policy, evidence: Evidence, metrics: int
) -> MetricJudgement:
    alpha = 1.0 - policy.confidence
    stable_labels, canary_labels = evidence.labelled
    try:
        found = compare(
            spec,
            evidence,
            promote_shift=spec.margin if policy.promote_on is PromoteOn.NOT_WORSE else 0.0,
            rollback_shift=0.0 if policy.rollback_on is RollbackOn.WORSE else spec.margin,
            promote_alpha=alpha,
            rollback_alpha=alpha / metrics,
        )
    except NoValue as hold:
        return MetricJudgement(
            name=spec.name,
            verdict=Verdict.HOLD,
            reason=hold.reason,
            message=str(hold),
            labels_stable=stable_labels,
            labels_canary=canary_labels,
        )
    verdict, reason, why = _decide(spec, policy, found)
    lower = found.difference - found.promote.reach
    upper = found.difference + found.rollback.reach
    seen = (
        f"{METRICS[spec.type].name} of the canary is {decimal(found.canary)} against "
        f"{decimal(found.stable)} of stable (difference {decimal(found.difference)}, "
        f"{percent(policy.confidence)} band {decimal(lower)} .. {decimal(upper)}, "
        f"{count(canary_labels)} and {count(stable_labels)} labels)"
    )
    return MetricJudgement(
        name=spec.name,
        verdict=verdict,
        reason=reason,
        message=f"{seen}: {why}",
        labels_stable=stable_labels,
        labels_canary=canary_labels,
        stable=found.stable,
        canary=found.canary,
        difference=found.difference,
        lower=lower,
        upper=upper,
        log_e_promote=found.promote.log_e,
        log_e_rollback=found.rollback.log_e,
        limit_promote=found.promote.limit,
        limit_rollback=found.rollback.limit,
        half_width=found.half_width,
        past_burn_in=found.guards.rollback,
    )


def _decide(spec: MetricSpec, policy: Policy, found: Comparison) -> tuple[Verdict, str, str]:
    """Verdict, reason and the last part of the message of one metric."""
    return (
        _rolls_back(spec, policy, found)
        or _cannot_promote(spec, found)
        or _promotes(spec, policy, found)
    )


def _rolls_back(
    spec: MetricSpec, policy: Policy, found: Comparison
) -> tuple[Verdict, str, str] | None:
    asymptotic = found.guards.rollback and found.rollback.passes
    if asymptotic or found.exact_rolls_back:
        by = "" if asymptotic else " (by the exact test)"
        if policy.rollback_on is RollbackOn.WORSE:
            return Verdict.ROLLBACK, reasons.WORSE, f"proven worse than stable{by}"
        why = f"proven worse than stable by more than {decimal(spec.margin)}{by}"
        return Verdict.ROLLBACK, reasons.WORSE_THAN_MARGIN, why
    if not found.below_floor or spec.floor is None:
        return None
    proven = f"proven below the floor of {decimal(spec.floor)}"
    if found.stable < spec.floor:
        why = f"{proven}, but stable measures below it too: going back would cure nothing"
        return Verdict.HOLD, reasons.FLOOR_BREACHED_BY_BOTH, why
    return Verdict.ROLLBACK, reasons.FLOOR_BREACHED, proven


def _cannot_promote(spec: MetricSpec, found: Comparison) -> tuple[Verdict, str, str] | None:
    if not found.guards.rollback:
        return Verdict.HOLD, reasons.BURN_IN, f"too early to judge: {found.guards.missing}"
    if found.is_coarse(spec.margin):
        why = (
            f"the score bins may hide {found.resolution:.4f} of the difference (at most "
            f"{spec.margin / 4.0:.4f}) and {found.half_width:.4f} of one value (at most "
            f"{HARD_WIDTH}): too coarse for a margin of {decimal(spec.margin)}"
        )
        return Verdict.HOLD, reasons.BINS_TOO_COARSE, why
    if spec.floor is not None and found.canary < spec.floor:
        why = f"below the floor of {decimal(spec.floor)}, which is not proven yet"
        return Verdict.HOLD, reasons.BELOW_FLOOR, why
    return None


def _promotes(spec: MetricSpec, policy: Policy, found: Comparison) -> tuple[Verdict, str, str]:
    if found.exact_promotes or (found.guards.promote and found.promote.passes):
        by = " (by the exact test)" if found.exact_promotes else ""
        if policy.promote_on is PromoteOn.BETTER:
            return Verdict.PROMOTE, reasons.BETTER, f"proven better than stable{by}"
        why = f"proven not worse than stable by {decimal(spec.margin)} or more{by}"
        return Verdict.PROMOTE, reasons.NOT_WORSE, why
    if not found.guards.promote:
        return Verdict.HOLD, reasons.BURN_IN, f"too early to promote: {found.guards.missing}"
    if found.promote.held_back or found.rollback.held_back:
        why = "too early to judge: so few labels cannot show so little variation"
        return Verdict.HOLD, reasons.BURN_IN, why
    why = (
        f"undecided, evidence to promote {found.promote.log_e:.2f} of {found.promote.limit:.2f}, "
        f"to roll back {found.rollback.log_e:.2f} of {found.rollback.limit:.2f}"
    )
    return Verdict.HOLD, reasons.UNDECIDED, why
