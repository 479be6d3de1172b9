"""How simulated runs ended, and what is kept of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from tests.simulation.values import Floats

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

HOLD, PROMOTE, ROLLBACK = 0, 1, 2


class Tally(TypedDict):
    """Verdicts of `runs` runs, as plain JSON.

    `median` is that of all runs, open ones counted as longer than the trial: `None` when it falls
    among them. The others are of the runs with that verdict alone.
    """

    runs: int
    promoted: int
    rolled_back: int
    median: float | None
    median_promoted: float | None
    median_rolled_back: float | None


@dataclass
class Ends:
    """Verdicts and the labelled requests that they took (infinite while open), (runs,)."""

    verdict: Ints
    labels: Floats

    @classmethod
    def open(cls, runs: int) -> "Ends":
        """Return runs that are all open."""
        return cls(np.zeros(runs, np.int64), np.full(runs, np.inf))

    @classmethod
    def first(cls, promotes: Bools, rolls_back: Bools, labels: Floats) -> "Ends":
        """Return the first event in (runs, looks); a rollback wins a tie."""
        ends = cls.open(len(promotes))
        verdicts = np.where(rolls_back, ROLLBACK, np.where(promotes, PROMOTE, HOLD))
        ends.latch(np.arange(len(promotes)), verdicts, labels)
        return ends

    @classmethod
    def joined(cls, parts: Sequence["Ends"]) -> "Ends":
        """Return the runs of all parts."""
        return cls(
            np.concatenate([part.verdict for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )

    def latch(self, paths: Ints, verdicts: Ints, labels: Floats) -> None:
        """Keep the first verdict of `paths` among some looks, (paths, looks)."""
        decided = verdicts != HOLD
        hits = decided.any(axis=1) & (self.verdict[paths] == HOLD)
        where = decided.argmax(axis=1)
        mine = paths[hits]
        self.verdict[mine] = verdicts[hits, where[hits]]
        self.labels[mine] = np.asarray(labels, np.float64)[where[hits]]

    def tally(self) -> Tally:
        """Count."""
        return Tally(
            runs=len(self.verdict),
            promoted=int((self.verdict == PROMOTE).sum()),
            rolled_back=int((self.verdict == ROLLBACK).sum()),
            median=median(self.labels),
            median_promoted=median(self.labels[self.verdict == PROMOTE]),
            median_rolled_back=median(self.labels[self.verdict == ROLLBACK]),
        )


class Ledger:
    """Collects the ends of batches by rule."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Ends]] = {}

    def add(self, ends: Mapping[str, Ends]) -> None:
        """Add one batch."""
        for name, each in ends.items():
            self._parts.setdefault(name, []).append(each)

    def tallies(self) -> dict[str, Tally]:
        """Count what was collected."""
        return {name: Ends.joined(parts).tally() for name, parts in self._parts.items()}


def median(waits: Floats) -> float | None:
    """Upper median, or `None` when it is not finite (or there is nothing)."""
    if len(waits) == 0:
        return None
    value = float(np.sort(waits)[len(waits) // 2])
    return value if math.isfinite(value) else None


def upper(count: int, runs: int, z: float = 1.6449) -> float:
    """Upper limit of Wilson's one-sided 95 % interval of a rate."""
    rate = count / runs
    middle = rate + z * z / (2 * runs)
    spread = z * math.sqrt(rate * (1.0 - rate) / runs + z * z / (4.0 * runs * runs))
    return (middle + spread) / (1.0 + z * z / runs)
