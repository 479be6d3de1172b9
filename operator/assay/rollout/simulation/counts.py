"""What R simulated trials have counted: cells by stratum now, and at earlier moments.

Shapes: 2 arms (stable, canary), R trials, H strata, C cells. Stratum ``step * members + member``.
Counts and moments are those that a real trial has (assay.evidence), so that one judge serves both.
"""

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Moment, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge.looks import Looks, Parts
from assay.judge.reading import RESTARTS
from assay.judge.strata import SMALLEST_STRATUM

from .arrivals import Arrivals, Arrived, Ints
from .history import Bools, History
from .model import Floats, coarser, confusion_of
from .trial import Trial
from .yardstick import Cells, Yardstick, reads_scores


class Counts:
    """The counts of `trials` trials since they began."""

    def __init__(self, trial: Trial, trials: int) -> None:
        self._trial = trial
        self._members = len(trial.traffic.members)
        strata = len(trial.weights) * self._members
        self._confusion = np.zeros((2, trials, strata, 4))
        self._scores = None
        if reads_scores(trial.yardsticks):
            self._scores = np.zeros((2, trials, strata, 2 * trial.grid.bins))
        self._served = np.zeros((2, trials, strata))
        everything = Cells(self._confusion, self._scores)
        self._history = History(_coarse(everything), trial.spacing)

    # What comes in

    def add(self, arrived: Arrived, arrivals: Arrivals, steps: Ints) -> None:
        """Count what arrived while the trials were in `steps` (R,)."""
        places = np.arange(self._members)
        trials = np.arange(len(steps))[:, None]
        self._served[:, trials, steps[:, None] * self._members + places] += arrived.served
        if arrived.labelled is None:
            return
        for index, (rows, members, cells) in enumerate(arrivals.cells(arrived.labelled)):
            arm = min(index, 1)
            strata = arrived.steps[rows] * self._members + members
            self._confusion[arm, rows, strata] += confusion_of(cells, self._trial.grid.first)
            if self._scores is not None:
                self._scores[arm, rows, strata] += cells

    def forget_moments(self, seconds: int) -> None:
        """Forget what a look at `seconds` since the start does not want."""
        self._history.forget(seconds)

    def remember(self, seconds: int) -> None:
        """Remember this moment, if it is one that later looks want."""
        self._history.remember(_coarse(Cells(self._confusion, self._scores)), seconds)

    def keep(self, which: Bools) -> None:
        """Forget the other trials."""
        self._confusion = self._confusion[:, which]
        self._scores = None if self._scores is None else self._scores[:, which]
        self._served = self._served[:, which]
        self._history.keep(which)

    # What is known

    def labelled(self, rows: Ints) -> Floats:
        """Labelled rows of stable and canary over all strata, (2, rows)."""
        total: Floats = self._confusion[:, rows].sum(axis=(-2, -1))
        return total

    def served(self, rows: Ints) -> Floats:
        """Rows served by stable and canary over all strata, (2, rows)."""
        total: Floats = self._served[:, rows].sum(axis=-1)
        return total

    def cells(self, rows: Ints, step: int) -> Cells:
        """Return the cells of trials that are in `step`, by the strata that they have seen."""
        return self._cells(rows, step, scores=True)

    def _cells(self, rows: Ints, step: int, *, scores: bool) -> Cells:
        strata = (step + 1) * self._members
        read = self._scores[:, rows, :strata] if scores and self._scores is not None else None
        return Cells(self._confusion[:, rows, :strata], read)

    def since(self, rows: Ints, step: int) -> Cells | None:
        """Return what came since every second moment over all strata, (2, rows, moments, C)."""
        if not self._history.known:
            return None
        return self._history.roughly_since(_coarse(self.cells(rows, step)), rows)

    def looks(
        self, yardstick: Yardstick, rows: Ints, step: int, moments: Bools | None = None
    ) -> Looks:
        """Return what the judge reads of trials that are in `step`, as `read_looks` does.

        Without restarts and members, unless `moments` (rows, moments) says which of them to add; it
        may be one moment too long.
        """
        cells = self._cells(rows, step, scores=yardstick.scored)
        coarse, known = _coarse(cells), self._history.known
        groups = self._history.between(coarse, rows) if known else None
        parts = yardstick.parts(cells, groups)
        if moments is None:
            return Looks(parts)
        moments = moments[:, :known]
        members = self._by_member(yardstick, cells)
        if not moments.any():
            return Looks(parts, members=members)
        # The chosen ones first; those that fill up have no weight.
        most = int(moments.sum(axis=1).max())
        order = np.argsort(~moments, axis=1, kind="stable")[:, :most]
        since = _side_by_side(_taken(self._history.since(coarse, rows), order))
        chosen = np.take_along_axis(moments, order, axis=1)
        weights = chosen / max(known, RESTARTS)
        return Looks(parts, yardstick.parts(since), weights, members)

    def evidence(self, row: int, step: int, *, history: bool = True) -> Evidence:
        """Return what a real operator knows of one trial; without `history` also without scores."""
        own = np.array([row])
        now = self.cells(own, step)
        if not history:
            return Evidence(self._strata(row, Cells(now.confusion, None), step))
        past = tuple(
            Moment(float(seconds), self._strata(row, _one_trial(cells), step, told=False))
            for seconds, cells in zip(self._history.seconds, self._history.at(row), strict=True)
        )
        return Evidence(self._strata(row, now, step), past)

    def _strata(
        self, row: int, cells: Cells, step: int, *, told: bool = True
    ) -> tuple[Stratum, ...]:
        labels, weights = self._trial.labels, self._trial.weights
        found = []
        for place in range((step + 1) * self._members):
            at, member = divmod(place, self._members)
            arms = []
            for arm in range(2):
                scores = {}
                if cells.scores is not None:
                    halves = cells.scores[arm, 0, place].astype(np.int64).reshape(2, -1)
                    scores = {labels[1]: ScoreHistogram(halves[0], halves[1])}
                matrix = cells.confusion[arm, 0, place].astype(np.int64).reshape(2, 2)
                served = int(self._served[arm, row, place]) if told else 0
                arms.append(ArmCounts.counted(labels, matrix, scores, served))
            name = f"{self._trial.traffic.members[member].name}/{at}"
            found.append(Stratum(name, arms[0], arms[1], float(weights[at])))
        return tuple(found)

    def _by_member(self, yardstick: Yardstick, cells: Cells) -> dict[str, Parts]:
        if self._members < 2 or not self._trial.policy.by_member:
            return {}
        return {
            member.name: yardstick.parts(_member_cells(cells, place, self._members))
            for place, member in enumerate(self._trial.traffic.members)
        }


def _member_cells(cells: Cells, place: int, members: int) -> Cells:
    """Return the strata of one of several members."""
    scores = None if cells.scores is None else cells.scores[:, :, place::members]
    return Cells(cells.confusion[:, :, place::members], scores)


def _coarse(cells: Cells) -> Cells:
    """Bring scores to the grid of the moments."""
    return Cells(cells.confusion, None if cells.scores is None else coarser(cells.scores))


def _taken(since: Cells, order: Ints) -> Cells:
    """Take the moments `order` (R, J) of restarts (2, R, T, H, C)."""
    where = order[None, :, :, None, None]

    def taken(part: Floats) -> Floats:
        return np.take_along_axis(part, where, axis=2)

    return Cells(taken(since.confusion), None if since.scores is None else taken(since.scores))


def _side_by_side(since: Cells) -> Cells:
    """Arrange restarts (2, R, T, H, C) as looks of their own, (2, R * T, H, C)."""

    def joined(part: Floats) -> Floats:
        return part.reshape(2, -1, *part.shape[3:])

    restarts = Cells(
        joined(since.confusion), None if since.scores is None else joined(since.scores)
    )
    small, active = small_strata(restarts)
    return merged(restarts, small & (active == 2))


def small_strata(cells: Cells) -> tuple[Bools, Ints]:
    """Return where (R,) the judge merges strata, and how many strata (R,) there are rows in."""
    smaller = cells.confusion.sum(axis=-1).min(axis=0)
    active = (smaller > 0.0).sum(axis=1)
    least = np.where(smaller > 0.0, smaller, np.inf).min(axis=1)
    return (least < SMALLEST_STRATUM) & (active > 1), active


def merged(cells: Cells, which: Bools) -> Cells:
    """Merge all strata of some looks into the first, as the judge merges small ones; (2, R, H, C).

    Both arms get the same mixture, with the weights of Mantel and Haenszel. The judge merges one
    look after the other, so thousands of them would take most of the time.
    """
    if not which.any():
        return cells
    rows = cells.confusion[:, which].sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mixture = np.where(rows.min(axis=0) > 0.0, rows[0] * rows[1] / (rows[0] + rows[1]), 0.0)
        mixture = mixture / mixture.sum(axis=1, keepdims=True)
        per_row = np.where(mixture > 0.0, mixture / rows, 0.0)
        factors = per_row / (mixture * per_row).sum(axis=-1, keepdims=True)

    def mixed(part: Floats) -> Floats:
        result = part.copy()
        result[:, which] = 0.0
        result[:, which, 0] = (factors[:, :, None, :] @ part[:, which])[:, :, 0]
        return result

    return Cells(mixed(cells.confusion), None if cells.scores is None else mixed(cells.scores))


def by_member(cells: Cells, members: int) -> Cells:
    """Return the counts of each member over all its strata, (2, R, members, C)."""

    def joined(part: Floats) -> Floats:
        steps = part.shape[2] // members
        total: Floats = part.reshape(*part.shape[:2], steps, members, -1).sum(axis=2)
        return total

    return Cells(joined(cells.confusion), None if cells.scores is None else joined(cells.scores))


def _one_trial(cells: Cells) -> Cells:
    """Give cells (2, H, C) the axis of trials."""
    scores = None if cells.scores is None else cells.scores[:, None]
    return Cells(cells.confusion[:, None], scores)
