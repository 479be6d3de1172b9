"""Counts of scores by class, true label and bin that are kept for long, in little room. Pure."""

from collections.abc import ItemsView, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from assay.evidence.arrays import Counts

Key = tuple[str, str, int]
Places = npt.NDArray[np.uint16]


class ScoreCells(Mapping[Key, int]):
    """Rows by (class, true label, bin), only where there are any; never changes.

    A trial remembers up to 64 moments of every member. A dictionary takes some 200 bytes for each
    entry, and ten classes fill ten thousand; here it is ten bytes.

    Attributes
    ----------
    columns
        By (class, true label): the bins, ascending, shape (n,), and their rows, shape (n,).
    """

    def __init__(self, columns: Mapping[tuple[str, str], tuple[Places, Counts]]) -> None:
        self.columns = columns

    @classmethod
    def merged(cls, rows: Mapping[Key, int], factor: int) -> "ScoreCells":
        """Return `rows` with every `factor` neighbouring bins merged, of at most 65 536."""
        found = {}
        for pair, (places, counts) in columns(rows).items():
            at = np.asarray(places, dtype=np.intp) // factor
            # Of so few rows a sum of doubles is exact (`arrays.MOST`). One of none is there, too.
            total, named = np.bincount(at, weights=counts), np.flatnonzero(np.bincount(at))
            found[pair] = named.astype(np.uint16), total[named].astype(np.int64)
        return cls(found)

    def grown_from(self, earlier: "ScoreCells") -> bool:
        """Return whether no count is smaller than in `earlier`."""
        for key, (named, counts) in earlier.columns.items():
            places, rows = named[counts > 0], counts[counts > 0]
            if not len(places):
                continue
            mine = self.columns.get(key)
            if mine is None:
                return False
            at = np.searchsorted(mine[0], places)
            if at[-1] >= len(mine[0]) or not np.array_equal(mine[0][at], places):
                return False
            if (mine[1][at] < rows).any():
                return False
        return True

    @override
    def __getitem__(self, key: Key) -> int:
        name, label, place = key
        places, rows = self.columns[name, label]
        at = int(np.searchsorted(places, place))
        if at == len(places) or places[at] != place:
            raise KeyError(key)
        return int(rows[at])

    @override
    def items(self) -> ItemsView[Key, int]:
        """Return all that there is."""
        return _Items(self)

    @override
    def __iter__(self) -> Iterator[Key]:
        for (name, label), (places, _) in self.columns.items():
            for place in places.tolist():
                yield name, label, place

    @override
    def __len__(self) -> int:
        return sum(len(places) for places, _ in self.columns.values())


class _Items(ItemsView[Key, int]):
    """Without a search for every key."""

    def __init__(self, cells: ScoreCells) -> None:
        super().__init__(cells)
        self._cells = cells

    @override
    def __iter__(self) -> Iterator[tuple[Key, int]]:
        for (name, label), (places, rows) in self._cells.columns.items():
            for place, count in zip(places.tolist(), rows.tolist(), strict=True):
                yield (name, label, place), count


def columns(
    rows: Mapping[Key, int],
) -> Mapping[tuple[str, str], tuple[npt.ArrayLike, npt.ArrayLike]]:
    """Return bins and their rows by (class, true label)."""
    if isinstance(rows, ScoreCells):
        return rows.columns
    found: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for (name, label, place), count in rows.items():
        places, counts = found.setdefault((name, label), ([], []))
        places.append(place)
        counts.append(count)
    return found
