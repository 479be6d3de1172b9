"""Canaries nearly without errors where the exact tests need more than two Bernoulli streams.

Labels with weights (1 to 10), and pairs (shadow traffic). The margin of F1 is .05. At the border stable
has no errors, or few, and the canary's are all of one kind, hence all of the heaviest rows or of the
lightest; of pairs, at the same rows as stable's or at others.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from typing_extensions import override

from assay.judge import MetricSpec
from assay.judge.looks import Looks, Pairs
from assay.judge.pairing import SMOOTHING
from tests.simulation import draws, models
from tests.simulation.ends import Ints
from tests.simulation.experiments.case import Case, simulate
from tests.simulation.judging import Cells, Course, Kind
from tests.simulation.values import Floats

MARGIN, RELEVANT = 0.05, 0.4
TRUTHS = {
    "no errors": (0.0, 0.0),
    "identical": (0.01, 0.01),
    "worse by d": (0.0, MARGIN),
    "worse by d than .98": (0.02, 0.02 + MARGIN),
}
"""How far stable's and the canary's F1 is from 1."""

ERRORS = {"misses": 0.0, "false alarms": 1.0}
"""Part of the errors that are false positives."""

ROWS: dict[str, Callable[[float, float], float]] = {
    "the same": min,
    "any": lambda first, second: first * second,
    "other": lambda first, second: max(0.0, first + second - 1.0),
}
"""Chance that both err, of those of each."""

CHANCES = {
    "negatives": np.array([0.1, 1.0, 0.1, 1.0]),
    "positives": np.array([1.0, 0.1, 1.0, 0.1]),
}
"""Of a label, by cell (tn, fp, fn, tp), where predictions of one kind are audited only."""

HEAVIEST = 10.0
TRULY = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
"""Which two cells a row can be in: both of the same true class."""
PER_LOOK, SHARE = 200, 0.5


def cases() -> dict[str, Case]:
    """Return all of them, by name."""
    found = {}
    for truth in TRUTHS:
        for kind, false_alarms in ERRORS.items():
            for audited in CHANCES:
                name = f"weights, {audited} audited, {kind}, {truth}"
                run = functools.partial(_weighted, name, truth, false_alarms, audited)
                found[name] = Case(run)
            for where in ROWS:
                name = f"pairs, {kind} at {where} rows, {truth}"
                found[name] = Case(functools.partial(_paired, name, truth, false_alarms, where))
    return found


@dataclass
class Weighted(Cells):
    """A course whose labels stand for so many rows, by stratum and cell."""

    weights: Floats | None = None

    @override
    def at(self, paths: Ints, looks: range) -> Looks:
        found = super().at(paths, looks)
        parts = tuple(
            part._replace(rows=part.cells / self.weights, heaviest=HEAVIEST) for part in found.parts
        )
        return found._replace(parts=parts)


def _weighted(
    name: str, truth: str, false_alarms: float, audited: str, runs: int
) -> dict[str, Any]:
    looks = 90
    kind = Kind.of(MetricSpec("m", "F1", MARGIN))
    chances, weights = CHANCES[audited], 1.0 / CHANCES[audited]

    def make(rng: np.random.Generator, count: int) -> Course:
        arms = []
        served = draws.rows(rng, count, PER_LOOK * 4, SHARE, looks)
        for rows, lacking in zip(served, TRUTHS[truth], strict=True):
            cells = models.relevant_f1(1.0 - lacking, RELEVANT, false_alarms)
            drawn = draws.cells(rng, rows, cells)
            arms.append(np.cumsum(rng.binomial(drawn, chances), axis=1)[:, :, None])
        squares = tuple(arm * weights**2 for arm in arms)
        return Weighted(kind, *(arm * weights for arm in arms), squares=squares, weights=weights)

    labels = PER_LOOK * 4 * np.arange(1.0, looks + 1.0)
    return simulate(name, runs, labels, 4, make)


@dataclass
class Paired(Cells):
    """A course of shadow traffic, with cumulated rows (runs, looks, 4, 4): stable's cell, the canary's."""

    joint: Floats = field(kw_only=True)

    @override
    def at(self, paths: Ints, looks: range) -> Looks:
        found = super().at(paths, looks)
        joint = self.joint[np.ix_(paths, np.arange(looks.start, looks.stop))].reshape(-1, 4, 4)
        pairs = Pairs(joint, SMOOTHING * TRULY)
        return found._replace(parts=tuple(part._replace(pairs=pairs) for part in found.parts))


def joint_of(stable: Floats, canary: Floats, where: str) -> Floats:
    """Chances (4, 4) of a row's cells, where both arms have the same positives."""
    joint = np.zeros((4, 4))
    for right, wrong in ((0, 1), (3, 2)):
        total = stable[right] + stable[wrong]
        first, second = stable[wrong], canary[wrong] * total / (canary[right] + canary[wrong])
        common = ROWS[where](first / total, second / total) * total
        joint[wrong, wrong] = common
        joint[wrong, right] = first - common
        joint[right, wrong] = second - common
        joint[right, right] = total - first - second + common
    return joint


def _paired(name: str, truth: str, false_alarms: float, where: str, runs: int) -> dict[str, Any]:
    looks = 60
    kind = Kind.of(MetricSpec("m", "F1", MARGIN))
    stable, canary = (_with_positives(1.0 - each, false_alarms) for each in TRUTHS[truth])
    chances = joint_of(stable, canary, where).ravel()

    def make(rng: np.random.Generator, count: int) -> Course:
        rows = np.full((count, looks), PER_LOOK // 4)
        drawn = np.cumsum(draws.cells(rng, rows, chances), axis=1)
        joint = drawn.reshape(count, looks, 4, 4).astype(np.float64)
        arms = joint.sum(axis=3)[:, :, None], joint.sum(axis=2)[:, :, None]
        return Paired(kind, *arms, joint=joint)

    labels = PER_LOOK // 4 * np.arange(1.0, looks + 1.0)
    return simulate(name, runs, labels, 16, make)


def _with_positives(value: float, false_alarms: float) -> Floats:
    """As `models.relevant_f1`, with `RELEVANT` of all rows truly positive: both versions answer the same."""
    errors = 2.0 * (1.0 - value) / value
    missed = RELEVANT * errors * (1.0 - false_alarms) / (1.0 + errors * (1.0 - false_alarms))
    wrong = errors * (RELEVANT - missed) * false_alarms
    return np.array([1.0 - RELEVANT - wrong, wrong, missed, RELEVANT - missed])
