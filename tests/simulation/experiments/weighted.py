"""Labels that depend on the prediction, repaired by inverse-probability weights.

Predicted positives are all labelled, predicted negatives with chance .1.
"""

import functools
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from tests.simulation import draws, models
from tests.simulation.experiments.case import Case, simulate
from tests.simulation.judging import Cells, Course, Kind

MARGIN = 0.05
CHANCES = np.array([0.1, 1.0, 0.1, 1.0])
"""Of a label, by cell (tn, fp, fn, tp)."""
LOOKS, SERVED_PER_LOOK, SHARE = 100, 600, 0.2
TRUTHS = {"identical": 0.0, "worse by d": 1.0, "worse by 2d": 2.0}


def cases() -> dict[str, Case]:
    """Return the three truths with weights, and what happens without."""
    found = {
        f"{truth}, weighted": Case(functools.partial(_run, truth, weighted=True))
        for truth in TRUTHS
    }
    found["worse by d, not weighted (not what Assay does)"] = Case(
        functools.partial(_run, "worse by d", weighted=False)
    )
    return found


def _run(truth: str, runs: int, *, weighted: bool) -> dict[str, Any]:
    effect = TRUTHS[truth] * MARGIN
    chances = models.f1_arms(effect)
    kind = Kind.of(MetricSpec("m", "F1", MARGIN))
    weights = 1.0 / CHANCES

    def make(rng: np.random.Generator, count: int) -> Course:
        rows = draws.rows(rng, count, SERVED_PER_LOOK, SHARE, LOOKS)
        arms = []
        for row, chance in zip(rows, chances, strict=True):
            labelled = rng.binomial(draws.cells(rng, row, chance), CHANCES)
            arms.append(np.cumsum(labelled, axis=1)[:, :, None])
        if not weighted:
            return Cells(kind, *arms)
        sums, squares = (tuple(arm * factor for arm in arms) for factor in (weights, weights**2))
        return Cells(kind, *sums, squares=squares)

    per_look = SERVED_PER_LOOK * float(
        np.sum((1.0 - SHARE) * chances[0] * CHANCES + SHARE * chances[1] * CHANCES)
    )
    labels = np.rint(per_look * np.arange(1.0, LOOKS + 1.0))
    return simulate(
        f"weights {truth}", runs, labels, 8, make, bias_at=[LOOKS // 2, LOOKS - 1], truth=-effect
    )
