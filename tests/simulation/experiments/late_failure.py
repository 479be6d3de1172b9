"""A canary that is good first and bad later, with and without restarted tests.

Promotions come to nothing here: the trial's steps are not over. So an identical canary is watched
to the end, which is the hardest test of false rollbacks.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from assay.judge.looks import ArmCells, Looks
from assay.judge.reading import RESTARTS as SHARED
from tests.simulation import models, values
from tests.simulation.ends import Ints
from tests.simulation.experiments.case import Case, Plan, RollbackOnly, cumulated, simulate
from tests.simulation.judging import MODES, Cells, Course, Kind
from tests.simulation.values import Floats

MARGIN = 0.03
SPEC = MetricSpec("m", "F1", MARGIN)
PLAN = Plan(looks=100, per_look=250, share=0.2)
MOMENTS = np.arange(1, PLAN.looks, 2)
"""Looks after which restarted counts begin: the operator keeps 32 to 63 moments of a trial."""
POLICIES = {name: replace(policy, since_moments=True) for name, policy in MODES.items()}


@dataclass
class Restarted(Cells):
    """A course whose counts are also taken since later moments."""

    def at(self, paths: Ints, looks: range) -> Looks:
        """Return what the judge looks at."""
        since = [self._since(counts, paths, looks) for counts in (self.stable, self.canary)]
        started = np.arange(looks.start, looks.stop)[:, None] > MOMENTS
        weights = np.tile(started / SHARED, (len(paths), 1))
        return Looks(
            self.kind.part(*self.arms(paths, looks)),
            restarts=self.kind.part(*since),
            restart_weights=weights,
        )

    def _since(self, counts: Floats, paths: Ints, looks: range) -> ArmCells:
        """Counts since each restart, nothing for those to come."""
        now = counts[np.ix_(paths, np.arange(looks.start, looks.stop))]
        then = counts[np.ix_(paths, MOMENTS)]
        since = now[:, :, None] - then[:, None]
        started = np.arange(looks.start, looks.stop)[:, None] > MOMENTS
        since = since * started[None, :, :, None, None]
        return ArmCells(since.reshape(-1, *since.shape[3:]).astype(np.float64))


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
    cells = functools.partial(
        models.confusion, prevalence=0.5, threshold=models.best_threshold(0.5)
    )
    good, bad = cells(models.SEPARATION), models.degraded(cells, values.f1, effect)
    turn = PLAN.looks if after is None else int(after * PLAN.looks)
    canary = np.where((np.arange(PLAN.looks) < turn)[:, None], good, bad)

    def make(rng: np.random.Generator, count: int) -> Course:
        stable, other = cumulated(rng, count, PLAN, good, canary)
        course = Restarted if restarts else Cells
        return RollbackOnly(course(Kind.of(SPEC), stable[:, :, None], other[:, :, None]))

    numbers = 4 * (len(MOMENTS) if restarts else 1)
    policies = POLICIES if restarts else MODES
    result = simulate(f"late failure {name}", runs, PLAN.labels, numbers, make, policies=policies)
    return {**result, "failed at": turn * PLAN.per_look}
