"""Border errors of the whole rule, by simulation through `judge` itself (fixed seed).

Ranged checks: 5 % is the promise, so 120 trials at a true 3 % stay below 10 with a chance of 99 %.
They catch a broken rule, and are too short to prove 5 %.
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge import MetricSpec, Policy, RollbackOn, Verdict, judge

from .builders import LABELS

TRIALS = 120
SEPARATION = np.sqrt(2) * norm.ppf(0.9)  # AUC .9


def f1_cells(separation, prevalence, threshold):
    """Chances of (tn, fp, fn, tp) of a binormal model."""
    hit, alarm = norm.sf(threshold - separation), norm.sf(threshold)
    return np.array(
        [
            (1 - prevalence) * (1 - alarm),
            (1 - prevalence) * alarm,
            prevalence * (1 - hit),
            prevalence * hit,
        ]
    )


def f1_of(cells):
    return 2 * cells[3] / (2 * cells[3] + cells[1] + cells[2])


def f1_arms(effect, prevalence=0.5):
    grid = np.linspace(-1, 4, 1001)
    threshold = grid[np.argmax([f1_of(f1_cells(SEPARATION, prevalence, t)) for t in grid])]
    stable = f1_cells(SEPARATION, prevalence, threshold)
    worse = brentq(
        lambda s: f1_of(f1_cells(s, prevalence, threshold)) - f1_of(stable) + effect,
        0,
        SEPARATION + 1,
    )
    return stable, f1_cells(worse, prevalence, threshold)


def auc_arms(effect, prevalence=0.1, bins=256):
    def cells(separation):
        edges = np.concatenate(
            [[-np.inf], norm.ppf(np.linspace(0, 1, bins + 1)[1:-1]) * 1.5 + 0.9, [np.inf]]
        )
        return np.concatenate(
            [
                prevalence * np.diff(norm.cdf(edges - separation)),
                (1 - prevalence) * np.diff(norm.cdf(edges)),
            ]
        )

    return cells(SEPARATION), cells(np.sqrt(2) * norm.ppf(0.9 - effect))


def f1_counts(cells):
    return ArmCounts.counted(LABELS, cells.reshape(2, 2))


def auc_counts(cells):
    half = len(cells) // 2
    return ArmCounts.counted(LABELS, None, {"1": ScoreHistogram(cells[:half], cells[half:])})


CELLS = {
    "F1, prevalence 50 %, share 20 %": (f1_arms, f1_counts, MetricSpec("f1", "F1", 0.03), 0.2, 800),
    "AUC, prevalence 10 %, share 50 %": (
        auc_arms, auc_counts, MetricSpec("auc", "ROCAUC", 0.02), 0.5, 1600,
    ),
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize(
    ("effect", "rollback_on", "wrong", "right"),
    [
        pytest.param(0.0, RollbackOn.WORSE, Verdict.ROLLBACK, 0.8, id="identical canary"),
        pytest.param(1.0, RollbackOn.WORSE, Verdict.PROMOTE, 0.7, id="worse by the margin"),
        pytest.param(
            1.0, RollbackOn.WORSE_THAN_MARGIN, None, 0.0, id="worse by the margin, strict"
        ),
        pytest.param(2.0, RollbackOn.WORSE, Verdict.PROMOTE, 0.95, id="worse by twice the margin"),
    ],
)
def test_errors_stay_below_five_percent(cell, effect, rollback_on, wrong, right):
    arms, counts, spec, share, batch = CELLS[cell]
    stable, canary = arms(effect * spec.margin)
    rng = np.random.default_rng(11)
    policy = Policy(rollback_on=rollback_on)
    verdicts = []
    for _ in range(TRIALS):
        totals = np.zeros((2, len(stable)), np.int64)
        verdict = Verdict.HOLD
        for _look in range(25):
            rows = rng.binomial(batch, share)
            totals[0] += rng.multinomial(batch - rows, stable)
            totals[1] += rng.multinomial(rows, canary)
            evidence = Evidence((Stratum("a/0", counts(totals[0]), counts(totals[1])),))
            verdict = judge([spec], policy, evidence).verdict
            if verdict is not Verdict.HOLD:
                break
        verdicts.append(verdict)
    decided = [verdict for verdict in verdicts if verdict is not Verdict.HOLD]
    for mistake in (wrong,) if wrong else (Verdict.PROMOTE, Verdict.ROLLBACK):
        assert verdicts.count(mistake) <= 10
    assert len(decided) >= right * TRIALS
