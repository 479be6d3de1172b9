"""The judgement of simulated trials: the real tests, on batches of trials.

`judged` says of each trial what `assay.judge.judge` says on `Counts.evidence` of it; a test holds it
to that. Only the words are left out, and labels that depend on the prediction, which do not occur.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.judge import Judgement, MetricJudgement, Verdict, reasons, samples
from assay.judge.decision import HOLD, PROMOTE, REASONS, ROLLBACK, VERDICTS, Decisions, decide

from .arrivals import Ints
from .counts import Counts
from .history import MOST, Bools
from .model import COARSENING, Floats
from .trial import Trial

NUMBERS = 2_000_000
"""Cells of both arms in one call of the judge."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What the tests say of R trials.

    Attributes
    ----------
    verdict
        Over all metrics, index into `VERDICTS`, (R,).
    in_force
        Whether every metric is past its burn-in, (R,).
    metrics
        What each metric says.
    """

    verdict: Ints
    in_force: Bools
    metrics: tuple[Decisions, ...]


def judged(
    trial: Trial,
    counts: Counts,
    rows: Ints,
    step: int,
    moments: Sequence[Bools] | None = None,
) -> Judged:
    """Ask the tests of trials that are in `step`; not of more than `at_once` at a time.

    `moments`, (rows, moments) by metric, are those from which restarts are asked too, and then
    members; without it neither are.
    """
    each = tuple(
        decide(
            yardstick.spec,
            trial.policy,
            counts.looks(yardstick, rows, step, None if moments is None else moments[place]),
            len(trial.yardsticks),
        )
        for place, yardstick in enumerate(trial.yardsticks)
    )
    verdicts = np.stack([found.verdict for found in each])
    verdict = np.where((verdicts == PROMOTE).all(axis=0), PROMOTE, HOLD)
    verdict = np.where((verdicts == ROLLBACK).any(axis=0), ROLLBACK, verdict)
    in_force = np.logical_and.reduce([found.past_burn_in for found in each])
    return Judged(verdict.astype(np.int64), in_force, each)


def kept_back(trial: Trial, counts: Counts, rows: Ints, step: int, *, last: bool) -> Bools:
    """Return which trials some metric alone keeps from another step, or in the `last` from promotion.

    Asks only metrics of the confusion matrix, which cost little, and only when others cost more.
    """
    fit = np.ones(len(rows), bool)
    cheap = [each for each in trial.yardsticks if not each.scored]
    for yardstick in cheap if len(cheap) < len(trial.yardsticks) else ():
        left = np.flatnonzero(fit)
        if left.size:
            looks = counts.looks(yardstick, rows[left], step)
            found = decide(yardstick.spec, trial.policy, looks, len(trial.yardsticks))
            fit[left] = found.past_burn_in
            if last:
                fit[left] &= found.verdict == PROMOTE
    kept: Bools = ~fit
    return kept


def at_once(trial: Trial, step: int) -> int:
    """Return how many trials one call of `judged` should take."""
    cells = 4 if trial.grid.bins == 2 else 2 * trial.grid.bins // COARSENING
    strata = (step + 1) * len(trial.traffic.members)
    return max(1, NUMBERS // (2 * MOST * cells * strata))


def enough_labels(trial: Trial, counts: Counts, rows: Ints) -> Bools:
    """Return whether the share of labelled rows is what the settings ask for in both arms, (rows,)."""
    minimum = trial.policy.min_label_coverage
    stable, canary = counts.labelled(rows) >= minimum * counts.served(rows)
    enough: Bools = stable & canary
    return enough


def judgement(
    trial: Trial, counts: Counts, row: int, step: int, found: Judged, place: int
) -> Judgement:
    """Return what `judge` says of the trial at `row`, which is at `place` in `found`."""
    evidence = counts.evidence(row, step, history=False)
    metrics = tuple(
        _metric(name.name, each, place, evidence.labelled)
        for name, each in zip(trial.metrics, found.metrics, strict=True)
    )
    doubts = samples.findings(evidence, trial.policy, trial.metrics)
    return _combined(metrics, doubts)


def _combined(metrics: tuple[MetricJudgement, ...], doubts: Sequence[samples.Finding]) -> Judgement:
    """Combine as `judge` does: what blocks all, rollbacks, what blocks promotion, holds, promotion."""
    for doubt in doubts:
        if doubt.blocks_rollback:
            return Judgement(Verdict.HOLD, doubt.reason, doubt.message, metrics)
    for metric in metrics:
        if metric.verdict is Verdict.ROLLBACK:
            return Judgement(Verdict.ROLLBACK, metric.reason, metric.message, metrics)
    if doubts:
        return Judgement(Verdict.HOLD, doubts[0].reason, doubts[0].message, metrics)
    held = [metric for metric in metrics if metric.verdict is Verdict.HOLD]
    if held:
        first = min(held, key=lambda metric: metric.reason == reasons.UNDECIDED)
        return Judgement(Verdict.HOLD, first.reason, first.message, metrics)
    return Judgement(Verdict.PROMOTE, metrics[0].reason, metrics[0].message, metrics)


def _metric(name: str, found: Decisions, place: int, labelled: tuple[int, int]) -> MetricJudgement:
    def known(values: Floats) -> float | None:
        return float(values[place]) if np.isfinite(values[place]) else None

    measured = found.comparison.measured
    return MetricJudgement(
        name=name,
        verdict=VERDICTS[found.verdict[place]],
        reason=REASONS[found.reason[place]],
        message="",
        labels_stable=labelled[0],
        labels_canary=labelled[1],
        stable=known(measured.stable),
        canary=known(measured.canary),
        difference=known(measured.difference),
        log_e_promote=known(found.log_e_promote),
        log_e_rollback=known(found.log_e_rollback),
        limit_promote=found.comparison.promote.limit,
        limit_rollback=found.comparison.rollback.limit,
        half_width=known(measured.half_width) or 0.0,
        past_burn_in=bool(found.past_burn_in[place]),
    )
