"""Traffic that changes: ramps under drift, unlike clusters, labels that come late.

The same prevalence holds for both arms at any moment; only estimators that mix moments or places
see a difference where there is none.
"""

import functools
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from tests.simulation import draws, models, values
from tests.simulation.experiments.case import Case, simulate
from tests.simulation.judging import Cells, Course, Kind
from tests.simulation.values import Floats

MARGIN = 0.05
SPEC = MetricSpec("m", "F1", MARGIN)
THRESHOLD = models.best_threshold(0.5)
STEPS = (0.05, 0.2, 0.5)
LOOKS_PER_STEP = 33
PER_LOOK = 400
DRIFT = (0.5, 0.25)
TRUTHS = {"identical": 0.0, "worse by d": 1.0}
PARTS = 4
"""Of the rows of one look: their labels come at different times."""


def ramp() -> dict[str, Case]:
    """Shares 5, 20, 50 % while prevalence falls from 50 to 25 %; strata are the steps."""
    cases = {
        f"{truth}, by step": Case(functools.partial(_run_ramp, truth, pooled=False))
        for truth in TRUTHS
    }
    cases["identical, pooled (not what Assay does)"] = Case(
        functools.partial(_run_ramp, "identical", pooled=True)
    )
    return cases


def clusters() -> dict[str, Case]:
    """Two clusters of equal traffic: prevalence 50 and 5 %, canary shares 50 and 5 %."""
    cases = {
        f"{truth}, by cluster": Case(functools.partial(_run_clusters, truth, pooled=False))
        for truth in TRUTHS
    }
    cases["identical, pooled (not what Assay does)"] = Case(
        functools.partial(_run_clusters, "identical", pooled=True)
    )
    return cases


def late_labels() -> dict[str, Case]:
    """The ramp, with labels that come 0 to 2 steps late and count where their request was served."""
    cases = {}
    for late in (0.0, 0.5, 1.0, 2.0):
        run = functools.partial(_run_late, late, booked_on_arrival=False)
        cases[f"identical, {late:g} steps late"] = Case(run)
    run = functools.partial(_run_late, 0.5, booked_on_arrival=True)
    cases[
        "identical, 0.5 steps late, counted in the step of their arrival (not what Assay does)"
    ] = Case(run)
    return cases


def _run_ramp(truth: str, runs: int, *, pooled: bool) -> dict[str, Any]:
    shares = np.repeat(STEPS, LOOKS_PER_STEP)
    looks = len(shares)
    arms = _drifting(truth, looks)
    labels = PER_LOOK * np.arange(1.0, looks + 1.0)

    def make(rng: np.random.Generator, count: int) -> Course:
        rows = draws.rows(rng, count, PER_LOOK, shares, looks)
        found = [draws.cells(rng, *arm) for arm in zip(rows, arms, strict=True)]
        steps = np.arange(looks) // LOOKS_PER_STEP
        return _course([_by_stratum(each, steps) for each in found], pooled=pooled)

    # A canary that is worse is so by the margin on the average of the whole trial.
    ends = [looks - 1] if TRUTHS[truth] else [LOOKS_PER_STEP * 2 - 1, looks - 1]
    return simulate(
        f"ramp {truth}", runs, labels, 12, make, bias_at=ends, truth=-MARGIN * TRUTHS[truth]
    )


def _run_clusters(truth: str, runs: int, *, pooled: bool) -> dict[str, Any]:
    looks, prevalences, shares = 60, (0.5, 0.05), (0.5, 0.05)
    cells = functools.partial(_mixed_cells, prevalences)
    canary = models.degraded(cells, _mean_f1, TRUTHS[truth] * MARGIN).reshape(2, 4)
    stable = cells(models.SEPARATION).reshape(2, 4)

    def make(rng: np.random.Generator, count: int) -> Course:
        found = []
        for place, share in enumerate(shares):
            rows = draws.rows(rng, count, PER_LOOK // 2, share, looks)
            found.append(
                [
                    draws.cells(rng, row, arm[place])
                    for row, arm in zip(rows, (stable, canary), strict=True)
                ]
            )
        arms = [np.stack([place[arm] for place in found], axis=2) for arm in range(2)]
        return _course(arms, pooled=pooled)

    labels = PER_LOOK * np.arange(1.0, looks + 1.0)
    return simulate(
        f"clusters {truth}",
        runs,
        labels,
        8,
        make,
        bias_at=[looks // 2, looks - 1],
        truth=-MARGIN * TRUTHS[truth],
    )


def _run_late(late: float, runs: int, *, booked_on_arrival: bool) -> dict[str, Any]:
    """Labels come `late` steps after their request on average, between half and one and a half."""
    serving = len(STEPS) * LOOKS_PER_STEP
    delays = np.rint(late * LOOKS_PER_STEP * np.linspace(0.5, 1.5, PARTS)).astype(int)
    looks = serving + int(delays.max())
    shares = np.repeat(STEPS, LOOKS_PER_STEP)
    arms = _drifting("identical", serving)
    served = np.arange(serving) // LOOKS_PER_STEP

    def make(rng: np.random.Generator, count: int) -> Course:
        totals = [np.zeros((count, looks, len(STEPS), 4), np.int64) for _ in range(2)]
        for delay in delays:
            rows = draws.rows(rng, count, PER_LOOK // PARTS, shares, serving)
            for total, row, chances in zip(totals, rows, arms, strict=True):
                found = draws.cells(rng, row, chances)
                arrival = np.arange(serving) + delay
                steps = served
                if booked_on_arrival:
                    steps = np.minimum(arrival // LOOKS_PER_STEP, len(STEPS) - 1)
                total[:, arrival] += _by_stratum(found, steps)
        return _course(totals, pooled=False)

    known = sum(np.clip(np.arange(1.0, looks + 1.0) - delay, 0.0, serving) for delay in delays)
    labels = known * (PER_LOOK / PARTS)
    first = min(looks - 1, int(delays.max()) + LOOKS_PER_STEP * 3 // 2)
    return simulate(f"late {late}", runs, labels, 12, make, bias_at=[first, looks - 1])


def _drifting(truth: str, looks: int) -> tuple[Floats, Floats]:
    """Chances per look of both arms; worse by d means so on the average of all looks."""
    prevalences = np.linspace(*DRIFT, looks)
    cells = functools.partial(_mixed_cells, tuple(prevalences))
    canary = models.degraded(cells, _mean_f1, TRUTHS[truth] * MARGIN)
    return cells(models.SEPARATION).reshape(looks, 4), canary.reshape(looks, 4)


def _mixed_cells(prevalences: tuple[float, ...], separation: float) -> Floats:
    """Cells under several prevalences one after another, flat."""
    return np.concatenate(
        [models.confusion(separation, prevalence, THRESHOLD) for prevalence in prevalences]
    )


def _mean_f1(cells: Floats) -> Floats:
    """F1 of the even mixture of `_mixed_cells`."""
    return values.f1(cells.reshape(-1, 4).mean(axis=0))


def _by_stratum(found: Floats, strata: Floats) -> Floats:
    """Put rows per look (runs, looks, C) in the stratum of their look: (runs, looks, H, C)."""
    places = strata[:, None] == np.arange(len(STEPS))
    return found[:, :, None] * places[None, :, :, None]


def _course(arms: list[Floats], *, pooled: bool) -> Course:
    totals = [np.cumsum(arm, axis=1) for arm in arms]
    if pooled:
        totals = [total.sum(axis=2, keepdims=True) for total in totals]
    return Cells(Kind.of(SPEC), *totals)
