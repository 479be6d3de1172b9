"""The verdict: from counts to Promote, Rollback or Hold, in words.

Theory of operation
-------------------
1. The sample is checked (`samples`): too little coverage, or coverage that depends on the
   prediction, holds all; a mismatch of sample ratio or coverage forbids promotion only, because
   going back is the safe side.
2. Each metric is read (`reading`), compared (`comparison`) and decided (`decision`): rollback when
   a rollback test passes, promotion when the promotion test passes and nothing speaks against it,
   otherwise hold.
3. Roll back if any metric says so: their tests share the chance of error (alpha / metrics).
   Promote if all say so: each at the full alpha, for all must err together (intersection-union).

No state, no clock: the same counts give the same answer whenever and wherever they are judged. An
e-value may fall again; the guarantee is for the first crossing, so callers latch the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.evidence.counts import Evidence
from assay.judge import explanation, reasons, samples
from assay.judge.comparison import band
from assay.judge.decision import REASONS, VERDICTS, Decisions, decide
from assay.judge.metrics import METRICS, Metric, NoValue, metric_of
from assay.judge.reading import read_looks
from assay.judge.verdict import Judgement, MetricJudgement, MetricSpec, Policy, Verdict


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
    each = _with_bands(policy, [_one(spec, policy, evidence, len(metrics)) for spec in metrics])
    found = samples.findings(evidence, policy.min_label_coverage, metrics)
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


@dataclass(frozen=True)
class _Judged:
    """One metric, before its band is known; `decided` is `None` when it has no value."""

    spec: MetricSpec
    metric: Metric
    judgement: MetricJudgement
    decided: Decisions | None = None
    why: str = ""


def _one(spec: MetricSpec, policy: Policy, evidence: Evidence, metrics: int) -> _Judged:
    metric = metric_of(spec)
    stable_labels, canary_labels = evidence.labelled
    blank = MetricJudgement(
        name=spec.name,
        verdict=Verdict.HOLD,
        reason=reasons.NO_LABELS,
        message="",
        labels_stable=stable_labels,
        labels_canary=canary_labels,
    )
    try:
        looks = read_looks(metric, evidence)
        decided = decide(spec, policy, looks, metrics)
        if not decided.comparison.measured.known[0]:
            raise explanation.no_value(looks)
    except NoValue as hold:
        return _Judged(spec, metric, replace(blank, reason=hold.reason, message=str(hold)))
    reason = REASONS[decided.reason[0]]
    reason, why = explanation.explain(spec, policy, looks, decided, reason, evidence)
    measured = decided.comparison.measured
    judgement = replace(
        blank,
        verdict=VERDICTS[decided.verdict[0]],
        reason=reason,
        stable=float(measured.stable[0]),
        canary=float(measured.canary[0]),
        difference=float(measured.difference[0]),
        log_e_promote=float(decided.log_e_promote[0]),
        log_e_rollback=float(decided.log_e_rollback[0]),
        limit_promote=decided.comparison.promote.limit,
        limit_rollback=decided.comparison.rollback.limit,
        half_width=float(measured.half_width[0]),
        past_burn_in=bool(decided.past_burn_in[0]),
    )
    return _Judged(spec, metric, judgement, decided, why)


def _with_bands(policy: Policy, judged: Sequence[_Judged]) -> tuple[MetricJudgement, ...]:
    """Add the display bands and the sentences, for all metrics in one go.

    The band ends where the tests decide: it excludes exactly what they reject.
    """
    known = [item for item in judged if item.decided is not None]
    reach = np.zeros((2, 0))
    if known:
        comparisons = [item.decided.comparison for item in known if item.decided]
        reach = band(
            np.array(
                [
                    [each.promote.limit for each in comparisons],
                    [each.rollback.limit for each in comparisons],
                ]
            ),
            np.array([item.spec.margin for item in known]),
            np.array(
                [
                    [each.promote.variance[0] for each in comparisons],
                    [each.rollback.variance[0] for each in comparisons],
                ]
            ),
        )
    found = []
    places = iter(range(len(known)))
    for item in judged:
        if item.decided is None or item.judgement.difference is None:
            found.append(item.judgement)
            continue
        promote, rollback = reach[:, next(places)]
        below, above = (promote, rollback) if item.metric.higher_is_better else (rollback, promote)
        judgement = replace(
            item.judgement,
            lower=float(item.judgement.difference - below),
            upper=float(item.judgement.difference + above),
        )
        seen = explanation.seen(item.metric, policy, judgement)
        found.append(replace(judgement, message=f"{seen}: {item.why}"))
    return tuple(found)
