"""The outputs of two models for the same labelled rows, as the judge takes pairs.

Scores are counted on a grid made for them: every distinct one has a bin of its own while there are
enough bins, else bins hold about equally many rows. So an AUC is scikit-learn's, or as near as the
judge's half-width says.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from assay.evidence.histogram import ScoreHistogram
from assay.evidence.paired import PairedCounts, PairedScores
from assay_workbench.batch import part
from assay_workbench.errors import WorkbenchError

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]

COARSE = 64
"""Bins of each axis of a joint histogram."""

MOST_BINS = 16_384
BYTES = 2**28
"""What the judge may need for the cells of all classes."""

ROWS_LOOKED_AT = 200_000
"""Of which the grid is made."""


@dataclass(frozen=True)
class Output:
    """What `assay score` wrote, all parts of it.

    Attributes
    ----------
    parts
        What each of them says of itself, by its number.
    """

    folder: Path
    parts: tuple[dict[str, Any], ...]

    @classmethod
    def open(cls, folder: Path) -> "Output":
        """Look at an output. Raises `WorkbenchError` unless it is whole and has labels."""
        paths = sorted(folder.glob(part.PATTERN))
        if not paths:
            raise WorkbenchError(
                f"{folder}: has no part-00000.parquet; it must be an output of assay score"
            )
        parts = tuple(part.read_document(path) for path in paths)
        numbers = [each["part"]["number"] for each in parts]
        whole = parts[0]["part"]["of"]
        if numbers != list(range(whole)):
            raise WorkbenchError(
                f"{folder}: has {len(numbers)} of {whole} parts; the same assay score command adds the "
                "others"
            )
        for name in ("model", "rule", "classes", "label", "score"):
            if any(each[name] != parts[0][name] for each in parts):
                raise WorkbenchError(f"{folder}: has parts that differ by {name}; score again")
        if parts[0]["label"] is None:
            raise WorkbenchError(f"{folder}: has no labels; score with --label COLUMN")
        return cls(folder, parts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the model."""
        return tuple(self.parts[0]["classes"])

    @property
    def rows(self) -> int:
        """How many, with and without a label."""
        return sum(each["data"]["rows"] for each in self.parts)

    @property
    def kind(self) -> str | None:
        """What the scores are."""
        found = self.parts[0]["score"]
        return None if found is None else str(found)

    def read(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Return columns of a part. Raises `WorkbenchError`."""
        path = part.path_of(self.folder, number)
        try:
            return pa.parquet.read_table(path, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise WorkbenchError(f"{path}: {' '.join(str(error).split())[:300]}") from None


def check_same_rows(stable: Output, canary: Output) -> None:
    """Raise `WorkbenchError` unless both answered the same rows, in the same classes and scores."""
    if set(stable.classes) != set(canary.classes):
        raise WorkbenchError(
            f"{canary.folder}: has the classes {', '.join(canary.classes)}, but {stable.folder} has "
            f"{', '.join(stable.classes)}: only models of the same classes can be compared"
        )
    if stable.kind != canary.kind:
        raise WorkbenchError(
            f"{canary.folder}: has scores of the kind {canary.kind}, but {stable.folder} {stable.kind}: "
            "they do not compare"
        )
    if len(stable.parts) != len(canary.parts):
        raise WorkbenchError(
            f"{canary.folder}: has {len(canary.parts)} parts, but {stable.folder} {len(stable.parts)}; "
            "score both with the same DATA and --rows-per-shard"
        )
    for one, other in zip(stable.parts, canary.parts, strict=True):
        same = all(one["data"][name] == other["data"][name] for name in ("digest", "first", "rows"))
        if not same or one["label"] != other["label"]:
            raise WorkbenchError(
                f"{part.path_of(canary.folder, other['part']['number'])}: is of other rows or labels than "
                f"that of {stable.folder}: {json.dumps(other['data'])} and {json.dumps(one['data'])}; score "
                "both with the same DATA, --label and --rows-per-shard"
            )


def pairs(
    stable: Output,
    canary: Output,
    scored: Sequence[str],
    shown: Callable[[int], object] = int,
) -> PairedCounts:
    """Count what both said of all labelled rows; the scores of some classes only.

    `shown` is called after each part, which is looked at twice if scores are counted, with its rows.
    Raises `WorkbenchError`.
    """
    check_same_rows(stable, canary)
    classes = stable.classes
    size = len(classes)
    grids = _grids(stable, canary, scored, shown) if scored else {}
    outcomes = np.zeros((size, size, size), np.int64)
    counts = {name: _Counted(grid, size) for name, grid in grids.items()}
    for each_part, (labels, said, scores) in zip(
        stable.parts, _parts(stable, canary, scored), strict=True
    ):
        np.add.at(outcomes, (labels, *said), 1)
        for name, each in counts.items():
            each.add(labels, scores[name])
        shown(each_part["data"]["rows"])
    if not outcomes.any():
        raise WorkbenchError(f"{stable.folder}: none of its rows has a label")
    found = {name: each.paired(classes, name) for name, each in counts.items()}
    return PairedCounts(classes, outcomes, found)


def bins_for(classes: int, scored: int) -> int:
    """Return how many score bins the judge can take for so many classes: a power of two."""
    cells = BYTES // ((classes * classes + 2) * max(scored, 1) * 16)
    return max(COARSE, min(MOST_BINS, 1 << max(cells, 1).bit_length() - 1))


class Grid:
    """Bins for the scores of one class: a multiple of `COARSE`, spread evenly over what was seen."""

    def __init__(self, seen: Floats, bins: int) -> None:
        self.bins = bins
        values = np.unique(seen)
        if values.size > bins:
            values = np.unique(np.quantile(seen, np.arange(bins) / bins, method="higher"))
        self._edges = values[1:]
        self._places = np.arange(values.size) * bins // values.size

    def of(self, scores: Floats) -> Indexes:
        """Return the bin of each score; order is kept."""
        found: Indexes = self._places[self._edges.searchsorted(scores, "right")]
        return found


class _Counted:
    """Scores of one class under both models."""

    def __init__(self, grid: Grid, classes: int) -> None:
        self._grid = grid
        self._fine = np.zeros((2, classes, grid.bins), np.int64)
        self._joint = np.zeros((classes, COARSE, COARSE), np.int64)

    def add(self, labels: Indexes, scores: tuple[Floats, Floats]) -> None:
        """Count rows."""
        bins = [self._grid.of(each) for each in scores]
        for counts, each in zip(self._fine, bins, strict=True):
            np.add.at(counts, (labels, each), 1)
        factor = self._grid.bins // COARSE
        np.add.at(self._joint, (labels, bins[0] // factor, bins[1] // factor), 1)

    def paired(self, classes: tuple[str, ...], own: str) -> PairedScores:
        """Return the counts of class `own`."""
        stable, canary = (
            ScoreHistogram.by_label(own, dict(zip(classes, counts, strict=True)))
            for counts in self._fine
        )
        place = classes.index(own)
        others = np.delete(self._joint, place, axis=0).sum(axis=0)
        return PairedScores(stable, canary, np.stack([self._joint[place], others]))


def _grids(
    stable: Output, canary: Output, scored: Sequence[str], shown: Callable[[int], object]
) -> dict[str, Grid]:
    step = -(-stable.rows // ROWS_LOOKED_AT)
    seen: dict[str, list[Floats]] = {name: [] for name in scored}
    for each_part, (_, _, scores) in zip(stable.parts, _parts(stable, canary, scored), strict=True):
        for name in scored:
            seen[name] += [each[::step] for each in scores[name]]
        shown(each_part["data"]["rows"])
    if not any(each.size for each in seen[scored[0]]):
        return {}
    bins = bins_for(len(stable.classes), len(scored))
    return {name: Grid(np.concatenate(each), bins) for name, each in seen.items()}


_Part = tuple[Indexes, tuple[Indexes, Indexes], dict[str, tuple[Floats, Floats]]]


def _parts(stable: Output, canary: Output, scored: Sequence[str]) -> Iterator[_Part]:
    """Yield the labelled rows of each part: labels, both predictions, both scores by class."""
    names = [f"{part.SCORE}{name}" for name in scored]
    known = pa.array(stable.classes)
    for number in range(len(stable.parts)):
        tables = [
            each.read(number, [part.LABEL, part.PREDICTION, *names]) for each in (stable, canary)
        ]
        labelled = pc.is_valid(tables[0].column(part.LABEL))
        tables = [each.filter(labelled) for each in tables]
        labels, *said = (
            pc.index_in(column, value_set=known).to_numpy().astype(np.intp)
            for column in (
                tables[0].column(part.LABEL),
                *(each.column(part.PREDICTION) for each in tables),
            )
        )
        scores = {
            name: (tables[0].column(column).to_numpy(), tables[1].column(column).to_numpy())
            for name, column in zip(scored, names, strict=True)
        }
        yield labels, (said[0], said[1]), scores
