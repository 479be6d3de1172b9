"""What all experiments share: simulate courses batch by batch, and keep tallies and biases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.judge import Policy
from tests.simulation import draws
from tests.simulation.ends import PROMOTE as PROMOTED
from tests.simulation.ends import Ints, Ledger
from tests.simulation.judging import MODES, Cells, Course, Kind, judged
from tests.simulation.values import Floats

Maker = Callable[[np.random.Generator, int], Course]
"""Draws a number of runs."""


@dataclass(frozen=True)
class Case:
    """One named case.

    Attributes
    ----------
    run
        Simulates a number of runs and answers with plain JSON.
    """

    run: Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """When looks happen: `looks` of them, `per_look` labelled requests apart, and canary shares."""

    looks: int
    per_look: int
    share: float | Floats

    @property
    def labels(self) -> Floats:
        """Labelled requests known at each look."""
        return self.per_look * np.arange(1.0, self.looks + 1.0)


def simulate(
    name: str,
    runs: int,
    labels: Floats,
    numbers: int,
    make: Maker,
    *,
    policies: Mapping[str, Policy] = MODES,
    bias_at: Sequence[int] = (),
    truth: float = 0.0,
) -> dict[str, Any]:
    """Simulate and tally.

    Parameters
    ----------
    numbers
        Counts per look and arm, for the size of a batch.
    bias_at
        Looks at which the mean error of the measured difference is kept.
    truth
        The true difference.
    """
    ledger = Ledger()
    differences: dict[int, list[Floats]] = {look: [] for look in bias_at}
    for count, rng in draws.batches(name, runs, draws.batch_size(len(labels), numbers)):
        course = make(rng, count)
        ledger.add(judged(course, labels, policies))
        for look, found in differences.items():
            found.append(course.differences(look))
    result: dict[str, Any] = {"ours": ledger.tallies()}
    if bias_at:
        result["bias"] = [
            _bias(float(labels[look]), np.concatenate(found) - truth)
            for look, found in differences.items()
        ]
    return result


def _bias(labels: float, errors: Floats) -> dict[str, float]:
    known = errors[np.isfinite(errors)]
    return {
        "labels": labels,
        "mean": float(known.mean()),
        "standard error": float(known.std() / np.sqrt(len(known))),
    }


def cumulated(
    rng: np.random.Generator, runs: int, plan: Plan, stable: Floats, canary: Floats
) -> tuple[Floats, Floats]:
    """Counts since the start of one stratum, (runs, looks, C); chances (C,) or (looks, C)."""
    rows = draws.rows(rng, runs, plan.per_look, plan.share, plan.looks)
    return (
        np.cumsum(draws.cells(rng, rows[0], stable), axis=1),
        np.cumsum(draws.cells(rng, rows[1], canary), axis=1),
    )


def plain(kind: Kind, plan: Plan, stable: Floats, canary: Floats) -> Maker:
    """Draw trials of one stratum and independent rows."""

    def make(rng: np.random.Generator, runs: int) -> Course:
        arms = cumulated(rng, runs, plan, stable, canary)
        return Cells(kind, arms[0][:, :, None], arms[1][:, :, None])

    return make


@dataclass
class RollbackOnly:
    """A course whose promotions come to nothing: its last step is far."""

    course: Course

    def __post_init__(self) -> None:
        self.runs, self.looks = self.course.runs, self.course.looks
        self.numbers, self.most = self.course.numbers, self.course.most

    def judge(self, policy: Policy, paths: Ints, looks: range) -> Ints:
        """Verdicts (paths, looks)."""
        verdicts = self.course.judge(policy, paths, looks)
        return np.where(verdicts == PROMOTED, 0, verdicts)

    def differences(self, look: int) -> Floats:
        """Measured difference of every path at one look."""
        return self.course.differences(look)
