"""Several metrics and member clusters: any rolls back, all promote.

All metrics are of the same rows: F1 and accuracy of the predictions, AUC of the scores.
"""

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from tests.simulation import draws, models, values
from tests.simulation.experiments.case import Case, simulate
from tests.simulation.judging import MODES, AllOf, Cells, Course, Kind
from tests.simulation.values import Floats

LOOKS, PER_LOOK, SHARE, PREVALENCE = 60, 300, 0.2, 0.5
BINS = 64
SPECS = {
    "F1": MetricSpec("F1", "F1", 0.03),
    "AUC": MetricSpec("AUC", "ROCAUC", 0.02),
    "accuracy": MetricSpec("accuracy", "Accuracy", 0.03),
}
SETS = (("F1", "AUC"), ("F1", "AUC", "accuracy"))


def cases() -> dict[str, Case]:
    """Return two and three metrics, on one and on three members."""
    return {
        f"{' + '.join(names)}, {members} member{'s' if members > 1 else ''}, {truth}": Case(
            functools.partial(_run, names, members, truth)
        )
        for names in SETS
        for members in (1, 3)
        for truth in ("identical", "AUC worse by d", "AUC worse by 2d")
    }


def _run(names: tuple[str, ...], members: int, truth: str, runs: int) -> dict[str, Any]:
    grid = models.edges(BINS)
    first = int(np.searchsorted(grid, models.best_threshold(PREVALENCE)))
    cells = functools.partial(models.histogram, prevalence=PREVALENCE, grid=grid)

    # By the two other metrics the canary is worse, too, but by less than their margin.
    effect = {"identical": 0.0, "AUC worse by d": 0.02, "AUC worse by 2d": 0.04}[truth]
    chances = cells(models.SEPARATION), models.degraded(cells, values.auc, effect)
    places = {f"member {index}": [index] for index in range(members)} if members > 1 else {}

    def make(rng: np.random.Generator, count: int) -> Course:
        arms = [np.empty((count, LOOKS, members, 2 * BINS), np.int64) for _ in range(2)]
        for member in range(members):
            rows = draws.rows(rng, count, PER_LOOK // members, SHARE, LOOKS)
            for arm, row, chance in zip(arms, rows, chances, strict=True):
                arm[:, :, member] = np.cumsum(draws.cells(rng, row, chance), axis=1)
        courses = []
        for name in names:
            kind = Kind.of(SPECS[name], bins=BINS if name == "AUC" else 0)
            read = functools.partial(_cells_of, name, first)
            courses.append(
                Cells(kind, read(arms[0]), read(arms[1]), metrics=len(names), members=places)
            )
        return AllOf(courses)

    labels = PER_LOOK * np.arange(1.0, LOOKS + 1.0)
    name = f"several {names} {members} {truth}"
    policies = {mode: replace(each, by_member=members > 1) for mode, each in MODES.items()}
    return simulate(name, runs, labels, members * 2 * BINS, make, policies=policies)


def _cells_of(name: str, first: int, histograms: Floats) -> Floats:
    """The metric's own cells."""
    if name == "AUC":
        return histograms
    matrix = models.to_confusion(histograms, first)
    if name == "F1":
        return matrix
    return np.stack([matrix[..., 0] + matrix[..., 3], matrix[..., 1] + matrix[..., 2]], axis=-1)
