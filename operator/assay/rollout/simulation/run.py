"""The simulation: many trials side by side, look by look, through the real judge and state machine.

At each look of all trials that are not decided: draw what arrived, ask which of them may be decided
(`screen`), judge those (`judging`), and let `assay.rollout.decide` decide. Nothing here knows what
promotes or what a step needs; it only leaves out calls that could change nothing.
"""

from collections.abc import Sequence

import numpy as np

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus
from assay.api.deployment_status import Verdict as Decided
from assay.judge.decision import HOLD, PROMOTE, ROLLBACK

from . import judging
from .arrivals import Arrivals, Ints
from .counts import Counts
from .history import MOST, Bools
from .model import COARSENING, ScoreModel
from .outcome import INCONCLUSIVE, OPEN, PROMOTED, ROLLED_BACK, Outcomes
from .screen import screen
from .trial import Trial
from .world import World, elapsed, rollout_of

COMPACT = 0.8
"""Counts of decided trials are forgotten when less than this share of the trials is left."""

AT_ONCE = 500
"""Trials that are looked at together: few enough for the processor's cache."""

MEMORY = 24_000_000
"""Numbers that the counts of one simulation may hold."""


class Simulation:
    """Trials of several canaries, `runs` of each.

    Parameters
    ----------
    canaries
        Their models; trials of all of them run side by side, which is what makes it fast.
    rng
        All chance comes from here: the same generator gives the same trials.
    """

    def __init__(
        self, trial: Trial, canaries: Sequence[ScoreModel], runs: int, rng: np.random.Generator
    ) -> None:
        self._trial = trial
        self._kinds = np.repeat(np.arange(len(canaries)), runs)
        total = len(self._kinds)
        self._world = World(trial.spec, tuple(member.name for member in trial.traffic.members))
        self._status: list[ModelDeploymentStatus] = [self._world.begin()] * total
        self._arrivals = Arrivals(trial, canaries, self._kinds, rng)
        self._counts = Counts(trial, total)
        self._looks = trial.looks
        self._look = 0
        # By trial, whether decided or not.
        self._end = np.full(total, OPEN)
        self._seconds = np.zeros(total)
        self._labels = np.zeros(total)
        self._exposed = np.zeros(total)
        self._steps = np.full((total, len(trial.weights)), np.nan)
        # By trial whose counts are held: its number, step, and when that began.
        self._ids = np.arange(total)
        self._step = np.zeros(total, dtype=np.int64)
        self._since = np.zeros(total)

    @property
    def decided(self) -> int:
        """Trials that have ended."""
        return int((self._end != OPEN).sum())

    @property
    def seconds(self) -> float:
        """How far the trials are."""
        return float(self._looks[self._look - 1]) if self._look else 0.0

    def advance(self) -> bool:
        """Go to the next look. Returns whether there is another one after it."""
        before = self.seconds
        now = self._looks[self._look]
        arrived = self._arrivals.between(self._step, now - before)
        self._counts.add(arrived, self._arrivals, self._step)
        self._look += 1
        self._counts.forget_moments(now)
        open_ = self._end[self._ids] == OPEN
        for step in range(len(self._trial.weights)):
            rows = np.flatnonzero(open_ & (self._step == step))
            for some in np.array_split(rows, -(-rows.size // AT_ONCE)) if rows.size else ():
                self._look_at(some, step, now)
        self._counts.remember(now)
        self._compact()
        return self._look < len(self._looks) and self.decided < len(self._end)

    def outcomes(self) -> tuple[Outcomes, ...]:
        """Return how the trials of each canary ended, as far as they have."""
        self._measure(np.flatnonzero(self._end[self._ids] == OPEN), self.seconds)
        found = []
        for kind in range(int(self._kinds.max()) + 1):
            own = self._kinds == kind
            found.append(
                Outcomes(
                    self._end[own],
                    self._seconds[own],
                    self._labels[own],
                    self._exposed[own],
                    self._steps[own],
                )
            )
        return tuple(found)

    def _look_at(self, rows: Ints, step: int, now: int) -> None:
        """Look at trials that are in `step`."""
        hint = screen(self._trial, self._counts, rows, step)
        covered = judging.enough_labels(self._trial, self._counts, rows)
        rollback = (hint.rollback | hint.suspect) & covered
        may = self._changes(rows, step, now, rollback, hint.promote & covered, hint.in_force)
        may[self._kept_back(rows, step, now, may & ~rollback)] = False
        size = judging.at_once(self._trial, step)
        for closely in (False, True):
            candidates = np.flatnonzero(may & (hint.suspect == closely))
            for first in range(0, len(candidates), size):
                some = candidates[first : first + size]
                moments = [each[some] for each in hint.moments] if closely else None
                found = judging.judged(self._trial, self._counts, rows[some], step, moments)
                self._decide(rows[some], step, now, found, covered[some])

    def _kept_back(self, rows: Ints, step: int, now: int, may: Bools) -> Ints:
        """Return the places of trials that only another step or promotion awaits, and in vain."""
        if now >= self._trial.spec.rollout.max_seconds:
            return np.zeros(0, dtype=np.int64)
        places = np.flatnonzero(may)
        last = step == len(self._trial.weights) - 1
        found = [
            some[judging.kept_back(self._trial, self._counts, rows[some], step, last=last)]
            for some in np.array_split(
                places, max(1, len(places) // judging.at_once(self._trial, step))
            )
        ]
        return np.concatenate(found)

    def _decide(
        self, rows: Ints, step: int, now: int, found: judging.Judged, covered: Bools
    ) -> None:
        """Let the state machine decide where the judgement changes something."""
        verdict = np.where(covered, found.verdict, HOLD)
        changes = self._changes(
            rows, step, now, verdict == ROLLBACK, verdict == PROMOTE, found.in_force
        )
        for place in np.flatnonzero(changes):
            row = int(rows[place])
            judgement = judging.judgement(self._trial, self._counts, row, step, found, int(place))
            number = self._ids[row]
            self._status[number] = self._world.look(self._status[number], judgement, now)
        self._follow(rows[changes], now)

    def _changes(
        self, rows: Ints, step: int, now: int, rollback: Bools, promote: Bools, in_force: Bools
    ) -> Bools:
        """Return where the state machine has something to decide: verdict, step or time."""
        steps = self._trial.spec.rollout.canary.steps
        shown = now - self._since[rows] >= steps[step].min_seconds
        last = step == len(steps) - 1
        ends = now >= self._trial.spec.rollout.max_seconds
        changes: Bools = rollback | (shown & in_force & (promote if last else True)) | ends
        return changes

    def _follow(self, rows: Ints, now: int) -> None:
        """Note what was decided of trials: another step, or the end."""
        ended = []
        for row in rows:
            number = self._ids[row]
            rollout = rollout_of(self._status[number])
            if rollout.decision is not None:
                self._end[number] = _end(rollout)
                ended.append(row)
            self._step[row] = rollout.step
            self._since[row] = elapsed(rollout.steps[-1].started_at)
        self._measure(np.array(ended, dtype=np.int64), now)

    def _measure(self, rows: Ints, now: float) -> None:
        """Note what trials have taken until now."""
        numbers = self._ids[rows]
        self._seconds[numbers] = now
        self._labels[numbers] = self._counts.labelled(rows).sum(axis=0)
        self._exposed[numbers] = self._counts.served(rows)[1]
        for number in numbers:
            starts = [elapsed(each.started_at) for each in rollout_of(self._status[number]).steps]
            self._steps[number, : len(starts)] = np.diff([*starts, now])

    def _compact(self) -> None:
        left = self._end[self._ids] == OPEN
        if left.mean() >= COMPACT:
            return
        self._arrivals.keep(left)
        self._counts.keep(left)
        self._ids, self._step, self._since = self._ids[left], self._step[left], self._since[left]


def runs_at_once(trial: Trial, canaries: int) -> int:
    """Return how many runs of each of `canaries` canaries fit in memory side by side."""
    strata = len(trial.weights) * len(trial.traffic.members)
    cells = 4 if trial.grid.bins == 2 else 2 * trial.grid.bins
    # The counts, and what came between the moments on a coarser grid in single precision.
    of_one = 2 * strata * (cells + MOST // 2 * (cells // COARSENING + 4))
    of_one += 2 * MOST * (cells // COARSENING // 2 + 4)
    return max(1, MEMORY // (of_one * canaries))


def _end(rollout: RolloutStatus) -> int:
    if rollout.decision is None:
        return OPEN
    if rollout.decision.verdict is Decided.PROMOTE:
        return PROMOTED
    return INCONCLUSIVE if rollout.decision.reason == Reason.INCONCLUSIVE else ROLLED_BACK
