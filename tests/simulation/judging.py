"""Simulated courses through `assay.judge.decision.decide`: every look judged, the first verdict kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from assay.judge import MetricSpec, Policy, RollbackOn
from assay.judge.decision import decide
from assay.judge.looks import ArmCells, Looks, Part
from assay.judge.metrics import metric_of
from assay.judge.metrics.metric import Component
from tests.simulation.arms import example
from tests.simulation.ends import HOLD, PROMOTE, ROLLBACK, Ends, Ints
from tests.simulation.values import Floats

MODES: Mapping[str, Policy] = {
    mode.value: Policy(rollback_on=mode)
    for mode in (RollbackOn.WORSE, RollbackOn.WORSE_THAN_MARGIN)
}

NUMBERS_PER_CALL = 120_000
"""Cells of one arm in one call of the judge: few enough to stay in the processor's cache."""

LOOKS_PER_CALL = 1000
"""Looks of several strata in one call: those with small strata are merged one by one."""


class Course(Protocol):
    """Simulated trials: `runs` paths of `looks` looks."""

    runs: int
    looks: int
    numbers: int
    """Numbers per look and arm."""
    most: int
    """Looks per call of the judge."""

    def judge(self, policy: Policy, paths: Ints, looks: range) -> Ints:
        """Verdicts (paths, looks)."""
        ...

    def differences(self, look: int) -> Floats:
        """Measured difference of every path at one look."""
        ...


@dataclass
class Kind:
    """One metric as the judge knows it: its spec and single component."""

    spec: MetricSpec
    component: Component
    weight: float = 1.0

    @classmethod
    def of(cls, spec: MetricSpec, classes: int = 2, bins: int = 0) -> "Kind":
        """Ask the judge for the component, by tiny counts."""
        (reading,) = metric_of(spec).read(example(classes, bins))
        return cls(spec, reading.component, reading.weight)

    def part(self, stable: ArmCells, canary: ArmCells) -> tuple[Part, ...]:
        """Return the parts of a `Looks`."""
        return (Part.of(self.component, self.weight, stable, canary),)


@dataclass
class Cells:
    """A course by one metric, from cumulated cells (runs, looks, H, C).

    Attributes
    ----------
    squares
        Cumulated squares of weights, stable's and canary's.
    metrics
        How many metrics the trial has in all.
    """

    kind: Kind
    stable: Floats
    canary: Floats
    squares: tuple[Floats, Floats] | None = None
    metrics: int = 1
    members: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs, self.looks = self.stable.shape[:2]
        self.numbers = int(np.prod(self.stable.shape[2:]))
        self.most = LOOKS_PER_CALL if self.stable.shape[2] > 1 else 20_000

    def arms(self, paths: Ints, looks: range) -> tuple[ArmCells, ArmCells]:
        """Cells of both arms, the looks of one path side by side."""
        where = np.ix_(paths, np.arange(looks.start, looks.stop))
        squares = self.squares or (None, None)
        return (
            ArmCells(_flat(self.stable[where]), _flat_maybe(squares[0], where)),
            ArmCells(_flat(self.canary[where]), _flat_maybe(squares[1], where)),
        )

    def at(self, paths: Ints, looks: range) -> Looks:
        """Return what the judge looks at."""
        stable, canary = self.arms(paths, looks)
        members = {
            name: self.kind.part(_strata(stable, rows), _strata(canary, rows))
            for name, rows in self.members.items()
        }
        return Looks(self.kind.part(stable, canary), members=members)

    def judge(self, policy: Policy, paths: Ints, looks: range) -> Ints:
        """Verdicts (paths, looks)."""
        decisions = decide(self.kind.spec, policy, self.at(paths, looks), self.metrics)
        return decisions.verdict.reshape(len(paths), len(looks)).astype(np.int64)

    def differences(self, look: int) -> Floats:
        """Measured difference of every path at one look."""
        found = []
        for paths in np.array_split(np.arange(self.runs), max(1, self.runs // LOOKS_PER_CALL)):
            looks = self.at(paths, range(look, look + 1))
            found.append(decide(self.kind.spec, Policy(), looks).difference)
        return np.concatenate(found)


@dataclass
class AllOf:
    """A course by several metrics: any rolls back, all promote."""

    courses: Sequence[Cells]

    def __post_init__(self) -> None:
        self.runs, self.looks = self.courses[0].runs, self.courses[0].looks
        self.numbers = max(course.numbers for course in self.courses)
        self.most = min(course.most for course in self.courses)

    def judge(self, policy: Policy, paths: Ints, looks: range) -> Ints:
        """Verdicts (paths, looks)."""
        each = np.stack([course.judge(policy, paths, looks) for course in self.courses])
        verdicts = np.where((each == PROMOTE).all(axis=0), PROMOTE, HOLD)
        return np.where((each == ROLLBACK).any(axis=0), ROLLBACK, verdicts)

    def differences(self, look: int) -> Floats:
        """Of the first metric."""
        return self.courses[0].differences(look)


def judged(
    course: Course,
    labels: Floats,
    policies: Mapping[str, Policy] = MODES,
    *,
    looks_per_call: int = 10,
) -> dict[str, Ends]:
    """Judge every look of every path until it is decided; `labels` (looks,) are known at each."""
    ends = {name: Ends.open(course.runs) for name in policies}
    for start in range(0, course.looks, looks_per_call):
        looks = range(start, min(start + looks_per_call, course.looks))
        size = max(1, min(NUMBERS_PER_CALL // course.numbers, course.most) // len(looks))
        for name, policy in policies.items():
            paths = np.flatnonzero(ends[name].verdict == HOLD)
            for first in range(0, len(paths), size):
                some = paths[first : first + size]
                verdicts = course.judge(policy, some, looks)
                ends[name].latch(some, verdicts, labels[looks.start : looks.stop])
    return ends


def _flat(counts: Floats) -> Floats:
    return counts.reshape(-1, *counts.shape[2:]).astype(np.float64)


def _flat_maybe(counts: Floats | None, where: tuple[Ints, ...]) -> Floats | None:
    return None if counts is None else _flat(counts[where])


def _strata(arm: ArmCells, rows: Sequence[int]) -> ArmCells:
    chosen = list(rows)
    return ArmCells(
        arm.cells[:, chosen],
        None if arm.squares is None else arm.squares[:, chosen],
        None if arm.groups is None else arm.groups[:, :, chosen],
    )
