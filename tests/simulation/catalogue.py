"""Everything that `python -m tests.simulation` runs, by name."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.experiments import (
    corners,
    drift,
    late_failure,
    several,
    users,
    weighted,
)
from tests.simulation.experiments.case import Case
from tests.simulation.scenarios import grid
from tests.simulation.trials import run_cell

GRID = "grid"

EXPERIMENTS: dict[str, Callable[[], dict[str, Case]]] = {
    "collapse": corners.collapse,
    "near-perfect": corners.near_perfect,
    "multi-class": corners.multi_class,
    "other metrics": corners.other_metrics,
    "promoteOn Better": corners.better,
    "floor": corners.floor,
    "several metrics and members": several.cases,
    "sessions": users.sessions,
    "sticky users": users.sticky,
    "ramp": drift.ramp,
    "clusters": drift.clusters,
    "late labels": drift.late_labels,
    "late failure": late_failure.cases,
    "weights": weighted.cases,
}
"""By name; the docstring of each says what it is, and goes into the report."""


@dataclass(frozen=True)
class Task:
    """One piece of work: a cell of the grid, or a case of an experiment."""

    experiment: str
    case: str

    @property
    def name(self) -> str:
        """For people and as a key."""
        return f"{self.experiment}: {self.case}"

    def runs(self, full: int) -> int:
        """How many of it a simulation of `full` runs has: half, but where the goals are tightest."""
        return full if self.experiment in {GRID, "near-perfect", "sessions"} else full // 2

    def run(self, runs: int) -> dict[str, Any]:
        """Simulate it."""
        return _functions()[self](runs)


def tasks() -> list[Task]:
    """All of them, the longest first."""
    return sorted(_functions(), key=_weight)


def about(experiment: str) -> str:
    """What an experiment is."""
    return " ".join((EXPERIMENTS[experiment].__doc__ or "").split())


@functools.cache
def _functions() -> dict[Task, Callable[[int], dict[str, Any]]]:
    found: dict[Task, Callable[[int], dict[str, Any]]] = {}
    for scenario in grid():
        found[Task(GRID, scenario.name)] = functools.partial(run_cell, scenario)
    for experiment, cases in EXPERIMENTS.items():
        for name, case in cases().items():
            found[Task(experiment, name)] = case.run
    return found


def _weight(task: Task) -> int:
    return 0 if "AUC" in task.case and task.experiment == GRID else 1
