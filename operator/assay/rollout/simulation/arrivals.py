"""Requests and labels of many simulated trials, look by look.

Requests are a Poisson process; each draws its version, by the weight of the present step, and whether
it ever gets a label. A label comes some looks later and belongs to the step of its request.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .model import Floats, ScoreModel, score_cells
from .trial import Trial

Ints = npt.NDArray[np.int64]

_ONE_BY_ONE = 0.7
"""Rows per cell below which drawing rows is faster than drawing cells."""


@dataclass(frozen=True, eq=False)
class Arrived:
    """What came between two looks, of R trials with M members.

    Attributes
    ----------
    served
        Rows of stable and canary, (2, R, M).
    labelled
        Rows whose label came, (2, R, M); `None` while the first ones are under way.
    steps
        In which step those were served, (R,).
    """

    served: Ints
    labelled: Ints | None
    steps: Ints


class Arrivals:
    """The traffic of R trials.

    Parameters
    ----------
    kinds
        Which of `canaries` each trial has, (R,).
    rng
        All chance comes from here.
    """

    def __init__(
        self, trial: Trial, canaries: Sequence[ScoreModel], kinds: Ints, rng: np.random.Generator
    ) -> None:
        self._trial = trial
        self._kinds = kinds
        self._rng = rng
        self._stable = score_cells(trial.stable, trial.grid)
        self._canaries = [score_cells(each, trial.grid) for each in canaries]
        self._under_way: deque[tuple[Ints, Ints]] = deque()

    def between(self, steps: Ints, seconds: float) -> Arrived:
        """Draw what comes within `seconds` while the trials are in `steps` (R,)."""
        traffic = self._trial.traffic
        weight = self._trial.weights[steps]
        split = np.stack([1.0 - weight, weight])[:, :, None]
        members = np.array([member.share for member in traffic.members])
        served = self._rng.poisson(split * members * (traffic.row_rate * seconds))
        labelled = served
        if traffic.label_coverage < 1.0:
            labelled = self._rng.binomial(served, traffic.label_coverage)
        self._under_way.append((labelled, steps.copy()))
        if len(self._under_way) <= self._trial.delay:
            return Arrived(served, None, steps)
        return Arrived(served, *self._under_way.popleft())

    def cells(self, labelled: Ints) -> tuple[tuple[Ints, Ints, Floats], ...]:
        """Draw the score cells of labelled rows (2, R, M).

        Returns for stable and for every canary: the trials (K,) and members (K,) that got any, and
        the rows by cell (K, 2 B).
        """
        groups = [(self._stable, labelled[0])]
        for kind, chances in enumerate(self._canaries):
            groups.append((chances, np.where((self._kinds == kind)[:, None], labelled[1], 0)))
        found = []
        for chances, rows in groups:
            trials, members = np.nonzero(rows)
            found.append((trials, members, self._drawn(rows[trials, members], chances)))
        return tuple(found)

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Forget the other trials."""
        self._kinds = self._kinds[which]
        self._under_way = deque((rows[:, which], steps[which]) for rows, steps in self._under_way)

    def _drawn(self, rows: Ints, chances: Floats) -> Floats:
        """Draw how many of `rows` (K,) fall into each cell; (K, C).

        Few rows among many cells are drawn one by one, which is faster and equally distributed.
        """
        size = len(chances)
        if rows.size == 0:
            return np.zeros((0, size))
        chances = chances / chances.sum()
        if rows.mean() > _ONE_BY_ONE * size:
            return self._rng.multinomial(rows, chances).astype(np.float64)
        bounds = np.cumsum(chances)
        bounds[-1] = 1.0
        kinds = np.searchsorted(bounds, self._rng.random(int(rows.sum())), side="right")
        kinds += np.repeat(np.arange(rows.size) * size, rows)
        counted = np.bincount(kinds, minlength=rows.size * size)
        return counted.reshape(rows.size, size).astype(np.float64)
