"""A canary that is good first and bad later, with and without restarted tests.

Promotions come to nothing here: the trial's steps are not over. So an identical canary is watched
to the end, which is the hardest test of false rollbacks.
"""

import functools
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from tests.simulation import models
from tests.simulation.experiments.case import Case, Plan, RollbackOnly, cumulated, simulate
from tests.simulation.experiments.remembered import POLICIES, Remembered, numbers
from tests.simulation.judging import MODES, Course, Kind

MARGIN = 0.03
SPEC = MetricSpec("m", "F1", MARGIN)
PLAN = Plan(looks=100, per_look=250, share=0.2)


def cases() -> dict[str, Case]:
    """Return failures after a quarter and after half of the trial, and none at all."""
    names = {
        "identical all along": (None, 0.0),
        "worse by 2d after a quarter": (0.25, 2.0 * MARGIN),
        "worse by 2d after half": (0.5, 2.0 * MARGIN),
        "F1 .82 to 0.40 after a quarter": (0.25, 0.42),
        "F1 .82 to 0.40 after half": (0.5, 0.42),
    }
    found = {}
    for name, (after, effect) in names.items():
        for restarts in (True, False):
            title = f"{name}, {'with' if restarts else 'without'} restarts"
            run = functools.partial(_run, name, after, effect, restarts=restarts)
            found[title] = Case(run)
    return found


def _run(
    name: str, after: float | None, effect: float, runs: int, *, restarts: bool
) -> dict[str, Any]:
    good, bad = models.f1_arms(effect)
    turn = PLAN.looks if after is None else int(after * PLAN.looks)
    canary = np.where((np.arange(PLAN.looks) < turn)[:, None], good, bad)

    def make(rng: np.random.Generator, count: int) -> Course:
        stable, other = cumulated(rng, count, PLAN, good, canary)
        arms = stable[:, :, None], other[:, :, None]
        return RollbackOnly(Remembered(Kind.of(SPEC), *arms, restarts=restarts))

    size = numbers(4, PLAN.looks)
    policies = POLICIES if restarts else MODES
    result = simulate(f"late failure {name}", runs, PLAN.labels, size, make, policies=policies)
    return {**result, "failed at": turn * PLAN.per_look}
