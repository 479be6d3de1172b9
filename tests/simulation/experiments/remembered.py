"""A course whose counts are known at earlier moments too, as the operator reads them again."""

from dataclasses import dataclass, replace

import numpy as np

from assay.evidence.moments import wanted
from assay.judge import Policy
from assay.judge.looks import ArmCells, Looks, Part
from assay.judge.reading import RESTARTS
from tests.simulation.ends import Ints
from tests.simulation.judging import MODES, Cells

POLICIES = {name: replace(policy, since_moments=True) for name, policy in MODES.items()}


@dataclass
class Remembered(Cells):
    """Batches between the moments of a trial, and restarted counts since each, as of `read_looks`.

    A look is an interval of the analysis; the moment of a look is remembered from the next one on.
    Without `restarts` there are only the batches.
    """

    restarts: bool = True

    def at(self, paths: Ints, looks: range) -> Looks:
        """Return what the judge looks at; one look at a time, for each has moments of its own."""
        (look,) = looks
        stable, canary = self.arms(paths, looks)
        past = np.array(wanted(look + 0.5, 1), dtype=np.int64) - 1
        if not past.size:
            return Looks(self.kind.part(stable, canary))
        arms = []
        since = []
        for arm, counts in ((stable, self.stable), (canary, self.canary)):
            then = counts[np.ix_(paths, past)].astype(np.float64)
            all_of = np.concatenate([then, arm.cells[:, None]], axis=1)
            arms.append(ArmCells(arm.cells, groups=np.diff(all_of, axis=1)))
            restarted = arm.cells[:, None] - then
            since.append(ArmCells(restarted.reshape(-1, *restarted.shape[2:])))
        parts = _timed(self.kind.part(*arms))
        if not self.restarts:
            return Looks(parts)
        return Looks(
            parts,
            restarts=self.kind.part(*since),
            restart_weights=np.full((len(paths), len(past)), 1.0 / RESTARTS),
        )

    def judge(self, policy: Policy, paths: Ints, looks: range) -> Ints:
        """Verdicts (paths, looks)."""
        each = [super(Remembered, self).judge(policy, paths, range(at, at + 1)) for at in looks]
        verdicts: Ints = np.concatenate(each, axis=1)
        return verdicts


def _timed(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part._replace(timed=True) for part in parts)


def numbers(cells: int, looks: int) -> int:
    """Return how many counts one look reads of an arm with so many `cells`."""
    return cells * (2 * len(wanted(looks, 1)) + 1)
