"""The grid on which scores of all arms, strata and members are compared. Pure.

A ledger counts scores on 1024 base bins, uniform in log-odds on [-12, 12], and shows one that holds
much by its sub-bins: ``bin="700.3"`` instead of ``bin="700"``. An inner base bin has 16, equal parts
in log-odds; those at the ends hold everything beyond and have 1024, growing by the same factor up
to +-708.4 (`model-server/assay_server/ledger/bins.py` is the other copy of these numbers).

Which base bins are shown by parts differs between members and looks, but one AUC needs one grid: the
common refinement. A base bin is split only where nobody has rows in it that are not told apart;
elsewhere sub-bins are added up. Counts stay exact either way.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from assay.evidence.arrays import Counts

Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", int, float)

BINS = 1024
SUB_BINS = 16
END_SUB_BINS = 1024
RANGE = 12.0
FARTHEST = 708.4
"""Log-odds at which the last sub-bin ends: no normal double is farther out."""

_WIDTH = 2.0 * RANGE / BINS
_NAME = re.compile(r"(0|[1-9][0-9]{0,3})(?:\.(0|[1-9][0-9]{0,3}))?", re.ASCII)


class Cell(NamedTuple):
    """A base bin, or one of its sub-bins in the order of scores."""

    base: int
    sub: int | None = None


@lru_cache(maxsize=32_768)  # all the names that there are
def parse_cell(name: str) -> Cell:
    """Read the label ``bin``, ``"b"`` or ``"b.k"``. Raises ValueError for anything else."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is neither a whole number nor b.k")
    base, sub = int(match[1]), None if match[2] is None else int(match[2])
    if base >= BINS:
        raise ValueError(f"bin {base} is not on the grid of {BINS} bins")
    if sub is not None and sub >= sub_bins(base):
        raise ValueError(f"bin {base} has {sub_bins(base)} sub-bins, but not {sub}")
    return Cell(base, sub)


def sub_bins(base: int) -> int:
    """Return how many sub-bins a base bin has."""
    return END_SUB_BINS if base in {0, BINS - 1} else SUB_BINS


@dataclass(frozen=True)
class Grid:
    """Cells of scores in ascending order that together cover all of them once.

    Attributes
    ----------
    split
        The base bins that are split, each into all its sub-bins; ascending.
    """

    split: tuple[int, ...] = ()

    @cached_property
    def starts(self) -> npt.NDArray[np.intp]:
        """Index of the first cell of each base bin, shape (1024,)."""
        sizes = np.ones(BINS, dtype=np.intp)
        for base in self.split:
            sizes[base] = sub_bins(base)
        return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, ascending."""
        split = set(self.split)
        return tuple(
            Cell(base, sub)
            for base in range(BINS)
            for sub in (range(sub_bins(base)) if base in split else (None,))
        )

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.cells)

    def index(self, cell: Cell) -> int:
        """Return where rows of `cell` count. A base bin that the grid splits raises KeyError."""
        start = int(self.starts[cell.base])
        if cell.base not in self._split:
            return start
        if cell.sub is None:
            raise KeyError(cell)
        return start + cell.sub

    def on_base(self, counts: Counts) -> Counts:
        """Return counts (..., cells) by base bin (..., 1024)."""
        added: Counts = np.add.reduceat(counts, self.starts, axis=-1)
        return added

    @cached_property
    def edges(self) -> Floats:
        """Log-odds at which each cell begins and ends, (cells, 2).

        What is beyond the base bins at the ends counts as part of them, so one that is not split
        has the width of the others here.
        """
        base = -RANGE + _WIDTH * np.arange(BINS)
        pieces = []
        split = self._split
        for number, low in enumerate(base):
            if number not in split:
                edges = np.array([low, low + _WIDTH])
            elif 0 < number < BINS - 1:
                edges = low + _WIDTH / SUB_BINS * np.arange(SUB_BINS + 1)
            else:
                end = RANGE - _WIDTH
                out = end * (FARTHEST / end) ** (np.arange(END_SUB_BINS + 1) / END_SUB_BINS)
                edges = out if number else -out[::-1]
            pieces.append(np.stack([edges[:-1], edges[1:]], axis=1))
        return np.concatenate(pieces)

    @property
    def centres(self) -> Floats:
        """Log-odds in the middle of each cell, (cells,)."""
        centres: Floats = self.edges.mean(axis=1)
        return centres

    @cached_property
    def _split(self) -> frozenset[int]:
        return frozenset(self.split)


UNIFORM = Grid()
"""The base bins alone."""


def common(replies: Iterable[Iterable[Cell]]) -> Grid:
    """Return the finest grid on which all rows can be counted.

    Parameters
    ----------
    replies
        The cells that hold rows, by member (or by arm and stratum: only their union matters).
    """
    whole: set[int] = set()
    parts: set[int] = set()
    for cells in replies:
        for cell in cells:
            (whole if cell.sub is None else parts).add(cell.base)
    return Grid(tuple(sorted(parts - whole)))


def newest(rows: Mapping[Cell, Number]) -> dict[Cell, Number]:
    """Return the rows of one arm and label with each row counted once.

    A ledger shows a base bin as a whole or by parts, never both. Prometheus has both while two pods
    of one ledger overlap. Counts never fall, so the larger sum is the newer one.
    """
    parts: dict[int, float] = {}
    for cell, count in rows.items():
        if cell.sub is not None:
            parts[cell.base] = parts.get(cell.base, 0) + count
    wholes = {base for base, count in parts.items() if rows.get(Cell(base), 0) > count}
    return {
        cell: count
        for cell, count in rows.items()
        if (cell.base in wholes or cell.base not in parts) == (cell.sub is None)
    }
