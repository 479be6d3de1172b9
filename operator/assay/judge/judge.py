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
   Metrics that do not decide are judged at the same levels and have no part in 1 and 3.

No state, no clock: the same counts give the same answer whenever and wherever they are judged. An
e-value may fall again; the guarantee is for the first crossing, so callers latch the verdict.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from assay.evidence.counts import Evidence
from assay.evidence.paired import PairedCounts
from assay.judge import explanation, reasons, samples
from assay.judge.comparison import Comparison, Proof
from assay.judge.decision import REASONS, VERDICTS, Decisions, decide
from assay.judge.eprocess import PROMOTE, ROLLBACK
from assay.judge.looks import Looks
from assay.judge.metrics import Metric, NoValue, metric_of
from assay.judge.pairing import read_pairs
from assay.judge.reading import read_looks
from assay.judge.verdict import (
    Judgement,
    MetricJudgement,
    MetricSpec,
    OtherTest,
    Policy,
    Verdict,
)

Reader = Callable[[Metric], Looks]
"""Reads what a metric needs from the evidence; raises `NoValue`."""


def judge(metrics: Sequence[MetricSpec], policy: Policy, evidence: Evidence) -> Judgement:
    """Judge a trial.

    Parameters
    ----------
    metrics
        All of a known type; at least one that decides.
    policy
        Confidence and which proofs decide.
    evidence
        Cumulative counts since the trial began.

    Raises
    ------
    ValueError
        If no metric decides, or for an unknown type. Never for what the counts say: that is a hold.
    """
    each = _judge_each(
        metrics,
        policy,
        lambda metric: read_looks(metric, evidence),
        evidence.labelled,
        [moment.seconds for moment in evidence.history],
    )
    deciding = [spec for spec in metrics if spec.decides]
    return _combined(each, samples.findings(evidence, policy, deciding))


def judge_pairs(metrics: Sequence[MetricSpec], policy: Policy, counts: PairedCounts) -> Judgement:
    """Judge shadow traffic, of which both versions answered every row.

    There is no split of traffic that could have gone wrong, and every label is one of both.
    Arguments and errors as of `judge`.
    """
    rows = counts.rows
    each = _judge_each(metrics, policy, lambda metric: read_pairs(metric, counts), (rows, rows))
    return _combined(each, [])


def _combined(each: tuple[MetricJudgement, ...], found: Sequence[samples.Finding]) -> Judgement:
    blocking = [finding for finding in found if finding.blocks_rollback]
    if blocking:
        return Judgement(Verdict.HOLD, blocking[0].reason, blocking[0].message, each)
    deciding = [metric for metric in each if metric.decides]
    for metric in deciding:
        if metric.verdict is Verdict.ROLLBACK:
            return Judgement(Verdict.ROLLBACK, metric.reason, metric.message, each)
    if found:
        return Judgement(Verdict.HOLD, found[0].reason, found[0].message, each)
    held = [metric for metric in deciding if metric.verdict is Verdict.HOLD]
    if held:
        first = min(held, key=lambda metric: metric.reason == reasons.UNDECIDED)
        return Judgement(Verdict.HOLD, first.reason, first.message, each)
    message = "; ".join(metric.message for metric in deciding)
    return Judgement(Verdict.PROMOTE, deciding[0].reason, message, each)


class _Decided(NamedTuple):
    """One metric that has a value."""

    spec: MetricSpec
    metric: Metric
    decisions: Decisions
    reason: str
    why: str
    others: tuple[OtherTest, ...]


def _judge_each(
    metrics: Sequence[MetricSpec],
    policy: Policy,
    read: Reader,
    labelled: tuple[int, int],
    restarts: Sequence[float] = (),
) -> tuple[MetricJudgement, ...]:
    """Judge each metric alone; `restarts` are the seconds at which restarted counts begin."""
    deciding = sum(spec.decides for spec in metrics)
    if not deciding:
        msg = "metrics: at least one that decides is needed"
        raise ValueError(msg)
    found = [_decide_one(spec, policy, read, deciding, restarts) for spec in metrics]
    return tuple(
        _judgement(item, policy, labelled)
        if isinstance(item, _Decided)
        else MetricJudgement(
            spec.name, Verdict.HOLD, item.reason, str(item), *labelled, decides=spec.decides
        )
        for spec, item in zip(metrics, found, strict=True)
    )


def _decide_one(
    spec: MetricSpec, policy: Policy, read: Reader, metrics: int, restarts: Sequence[float]
) -> _Decided | NoValue:
    metric = metric_of(spec)
    try:
        looks = read(metric)
    except NoValue as hold:
        return hold
    decisions = decide(spec, policy, looks, metrics)
    if not decisions.comparison.measured.known:
        return explanation.no_value(looks)
    if float(decisions.comparison.promote.variance) <= 0.0:
        return NoValue(
            reasons.ONE_CLASS_ONLY,
            f"{metric.name} cannot be compared yet: all rows so far are of one class and were "
            "predicted so, or have the same score, which says nothing about how much it varies",
        )
    reason = REASONS[decisions.reason]
    reason, why = explanation.explain(spec, policy, looks, decisions, reason, restarts)
    others = tuple(_others(decisions.comparison, list(looks.members), restarts))
    return _Decided(spec, metric, decisions, reason, why, others)


def _others(
    found: Comparison, members: Sequence[str], restarts: Sequence[float]
) -> Iterator[OtherTest]:
    """Yield the tests that were asked besides the two of all counts."""
    since = f"{restarts[int(found.latest)]:.0f}" if restarts else ""
    each = [
        ("exactPromote", "", found.exact_promote),
        ("exactRollback", "", found.exact_rollback),
        ("floor", "", found.floor),
        ("sinceMoment", since, found.late),
        *(
            ("member", name, Proof(log_e, found.members.limit))
            for name, log_e in zip(members, found.members.log_e, strict=False)
        ),
    ]
    for name, of, proof in each:
        if np.isfinite(proof.log_e):
            yield OtherTest(name, float(proof.log_e), proof.limit, of)


def _judgement(item: _Decided, policy: Policy, labelled: tuple[int, int]) -> MetricJudgement:
    found = item.decisions.comparison
    difference = float(found.measured.difference)
    # The band ends where the tests decide: it excludes exactly what they reject.
    promote, rollback = (
        test.critical_distance(float(outcome.variance), item.spec.margin, outcome.limit)
        for test, outcome in ((PROMOTE, found.promote), (ROLLBACK, found.rollback))
    )
    below, above = (promote, rollback) if item.metric.higher_is_better else (rollback, promote)
    values = explanation.Values(
        stable=float(found.measured.stable),
        canary=float(found.measured.canary),
        difference=difference,
        lower=difference - below,
        upper=difference + above,
    )
    seen = explanation.seen(item.metric, policy, values, labelled)
    return MetricJudgement(
        name=item.spec.name,
        verdict=VERDICTS[item.decisions.verdict],
        reason=item.reason,
        message=f"{seen}: {item.why}",
        labels_stable=labelled[0],
        labels_canary=labelled[1],
        stable=values.stable,
        canary=values.canary,
        difference=difference,
        lower=values.lower,
        upper=values.upper,
        log_e_promote=float(found.promote.log_e),
        log_e_rollback=float(found.rollback.log_e),
        limit_promote=found.promote.limit,
        limit_rollback=found.rollback.limit,
        half_width=float(found.measured.half_width),
        past_burn_in=bool(item.decisions.past_burn_in),
        others=item.others,
        decides=item.spec.decides,
    )
