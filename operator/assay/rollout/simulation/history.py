"""What R simulated trials had counted at earlier moments, kept as what came between them.

The moments are those that a real trial remembers (`assay.evidence.moments`). Between two of them
nothing changes any more, so a batch of rows is stored once and read by every later look.

Shapes: 2 arms, R trials, T moments, H strata, C cells; scores are on the coarser grid.
"""

import numpy as np
import numpy.typing as npt

from assay.evidence import moments

from .model import Floats, coarser
from .yardstick import Cells

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST = moments.MOST
"""There are fewer moments than this."""


class Batches:
    """One kind of cells: what came until the first moment, and between the moments since then."""

    def __init__(self, now: Floats) -> None:
        arms, trials, strata, cells = now.shape
        self._first = np.zeros(now.shape)
        self._last = np.zeros(now.shape)
        # Single precision halves the memory, and is exact up to 16 million rows in a cell.
        self._between = np.zeros((arms, trials, MOST, strata, cells), dtype=np.float32)

    def remember(self, now: Floats, known: int) -> None:
        """Add a moment to the `known` ones, at which `now` (2, R, H, C) is counted."""
        if known == 0:
            self._first = now.copy()
        else:
            self._between[:, :, known - 1] = now - self._last
        self._last = now.copy()

    def thin_out(self, known: int) -> None:
        """Forget every other one of the `known` moments, beginning with the first."""
        self._first += self._between[:, :, 0]
        left = known // 2
        pairs = self._between[:, :, 1 : 2 * left - 1]
        merged = pairs[:, :, 0::2] + pairs[:, :, 1::2]
        if known % 2:
            self._last = self._last - self._between[:, :, known - 2]
        self._between[:, :, : left - 1] = merged

    def keep(self, which: Bools) -> None:
        """Forget the other trials."""
        self._first = self._first[:, which]
        self._last = self._last[:, which]
        self._between = self._between[:, which]

    def between(self, now: Floats, rows: Ints, known: int) -> Floats:
        """Return what came from each moment to the next, at last to `now`; (2, rows, T, H, C)."""
        strata = now.shape[2]
        found = np.empty((*now.shape[:2], known, *now.shape[2:]))
        found[:, :, :-1] = self._between[:, rows, : known - 1, :strata]
        found[:, :, -1] = now - self._last[:, rows, :strata]
        return found

    def since(self, now: Floats, rows: Ints, known: int) -> Floats:
        """Return what came since each moment, (2, rows, T, H, C)."""
        latest_first = self.between(now, rows, known)[:, :, ::-1]
        total: Floats = np.cumsum(latest_first, axis=2)[:, :, ::-1]
        return total

    def at(self, row: int, known: int) -> Floats:
        """Return what was counted at each moment in one trial, (2, T, H, C)."""
        grown = np.cumsum(self._between[:, row, : known - 1], axis=1, dtype=np.float64)
        counted: Floats = np.concatenate([np.zeros_like(self._first[:, row, None]), grown], axis=1)
        return counted + self._first[:, row, None]


class Sums:
    """One kind of cells: what was counted at each moment over all strata, (2, R, T, C)."""

    def __init__(self, now: Floats) -> None:
        self._counted = np.zeros((*now.shape[:2], MOST, now.shape[2]))

    def remember(self, now: Floats, known: int) -> None:
        """Add a moment to the `known` ones, at which `now` (2, R, C) is counted."""
        self._counted[:, :, known] = now

    def thin_out(self, known: int) -> None:
        """Forget every other one of the `known` moments, beginning with the first."""
        self._counted[:, :, : known // 2] = self._counted[:, :, 1:known:2].copy()

    def keep(self, which: Bools) -> None:
        """Forget the other trials."""
        self._counted = self._counted[:, which]

    def since(self, now: Floats, rows: Ints, known: int) -> Floats:
        """Return what came since every second moment, (2, rows, ceil(T / 2), C)."""
        total: Floats = now[:, :, None] - self._counted[:, rows, :known:2]
        return total


class History:
    """The moments of R trials.

    Parameters
    ----------
    cells
        Counts at the start, (2, R, H, C) each; only their shapes matter.
    spacing
        Seconds between two looks.
    """

    def __init__(self, cells: Cells, spacing: int) -> None:
        self._spacing = spacing
        self._confusion = Batches(cells.confusion)
        self._scores = None if cells.scores is None else Batches(cells.scores)
        self._sums = [Sums(each) for each in _both(_rough(cells))]
        self.seconds: tuple[int, ...] = ()

    @property
    def known(self) -> int:
        """Number of moments."""
        return len(self.seconds)

    def forget(self, now: int) -> None:
        """Forget the moments that a look at `now` (seconds since the start) does not want."""
        wanted = moments.wanted(now, self._spacing)
        while self.seconds and self.seconds[0] != wanted[0]:
            for each in self._everything:
                each.thin_out(self.known)
            self.seconds = self.seconds[1::2]

    def remember(self, cells: Cells, now: int) -> None:
        """Remember what is counted now, if it is a moment that later looks want."""
        if now not in moments.wanted(now, self._spacing):
            return
        for each, counted in zip(self._parts, _both(cells), strict=True):
            each.remember(counted, self.known)
        for total, counted in zip(self._sums, _both(_rough(cells)), strict=True):
            total.remember(counted, self.known)
        self.seconds = (*self.seconds, now)

    def keep(self, which: Bools) -> None:
        """Forget the other trials."""
        for each in self._everything:
            each.keep(which)

    def between(self, now: Cells, rows: Ints) -> Cells:
        """Return what came from each moment to the next, at last to `now`; (2, rows, T, H, C).

        Scores only when `now` has them; so too below.
        """
        return _cells([b.between(c, rows, self.known) for b, c in self._with(now)])

    def since(self, now: Cells, rows: Ints) -> Cells:
        """Return what came since each moment, (2, rows, T, H, C)."""
        return _cells([b.since(c, rows, self.known) for b, c in self._with(now)])

    def roughly_since(self, now: Cells, rows: Ints) -> Cells:
        """Return what came since every second moment, the first among them, over all strata.

        In half the bins; (2, rows, T, C).
        """
        known = zip(self._sums, _both(_rough(now)), strict=True)
        return _cells([total.since(counted, rows, self.known) for total, counted in known])

    def at(self, row: int) -> list[Cells]:
        """Return what was counted at each moment in one trial, (2, H, C)."""
        if not self.seconds:
            return []
        parts = [each.at(row, self.known) for each in self._parts]
        return [_cells([part[:, place] for part in parts]) for place in range(self.known)]

    @property
    def _everything(self) -> list[Batches | Sums]:
        return [*self._parts, *self._sums]

    @property
    def _parts(self) -> list[Batches]:
        return [self._confusion] if self._scores is None else [self._confusion, self._scores]

    def _with(self, now: Cells) -> list[tuple[Batches, Floats]]:
        return list(zip(self._parts, _both(now), strict=False))


def _rough(cells: Cells) -> Cells:
    scores = None if cells.scores is None else coarser(cells.scores.sum(axis=2))
    return Cells(cells.confusion.sum(axis=2), scores)


def _both(cells: Cells) -> list[Floats]:
    return [cells.confusion] if cells.scores is None else [cells.confusion, cells.scores]


def _cells(parts: list[Floats]) -> Cells:
    return Cells(parts[0], parts[1] if len(parts) > 1 else None)
