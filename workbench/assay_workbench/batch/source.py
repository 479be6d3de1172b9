"""What there is to score: files, and their rows in shards.

A shard is a run of rows of one file, so that whoever scores it opens one file and no other. Numbers
follow from the files alone: everybody who is given the same ones has the same shards.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay_workbench.dataset import PARQUET, Table
from assay_workbench.errors import WorkbenchError

SUFFIXES = (*PARQUET, ".csv")
_PATTERN = "*?["


@dataclass(frozen=True)
class Shard:
    """Rows that become one part of the output.

    Attributes
    ----------
    number
        Of all shards, from 0.
    first, rows
        The first row in its file, from 1, and how many there are.
    before
        Rows of all files before it.
    """

    number: int
    table: Table
    first: int
    rows: int
    before: int

    @property
    def end(self) -> int:
        """The first row of the file behind it, from 1."""
        return self.first + self.rows


@dataclass(frozen=True)
class Seen:
    """A file as it was when it was looked at; compare two of them to know whether it was changed."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "Seen":
        """Look. Raises `WorkbenchError`."""
        try:
            found = path.stat()
        except OSError as error:
            raise WorkbenchError(f"{path}: {error.strerror}") from None
        return cls(found.st_size, found.st_mtime_ns)


def files_of(words: Sequence[str]) -> list[Path]:
    """Return the files that are named, in the order of the words, of a directory or pattern by name.

    A directory stands for the Parquet and CSV files in it, hidden ones excepted. Raises
    `WorkbenchError` if a word stands for nothing, or a file is named twice.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            each = _tables(path.iterdir())
            what = "a directory without a Parquet or CSV file"
        elif not path.exists() and any(sign in word for sign in _PATTERN):
            each = _tables(_matching(path))
            what = "a pattern that no Parquet or CSV file matches"
        else:
            each, what = [path], ""
        if not each:
            raise WorkbenchError(f"{word}: is {what}")
        found += each
    known: set[Path] = set()
    for file in found:
        if file.resolve() in known:
            raise WorkbenchError(f"{file}: is named twice; its rows would be scored twice")
        known.add(file.resolve())
    return found


def shards_of(tables: Sequence[Table], rows: int) -> list[Shard]:
    """Cut tables into shards of so many rows, fewer at the end of a file.

    CSV files are read for it: they do not say how many rows they have. Raises `WorkbenchError`.
    """
    found: list[Shard] = []
    before = 0
    for table in tables:
        total = table.count()
        for first in range(1, total + 1, rows):
            size = min(rows, total + 1 - first)
            found.append(Shard(len(found), table, first, size, before + first - 1))
        before += total
    if not found:
        raise WorkbenchError(f"{tables[0].path}: has no rows")
    return found


def share_of(shards: Sequence[Shard], index: int, count: int) -> list[Shard]:
    """Return what is for one of `count` that share the work: neighbours, so that few files are read."""
    start, stop = (len(shards) * each // count for each in (index, index + 1))
    return list(shards[start:stop])


def _matching(path: Path) -> list[Path]:
    anchor = Path(path.anchor)
    return list(anchor.glob(str(path.relative_to(anchor))))


def _tables(files: Iterable[Path]) -> list[Path]:
    return sorted(
        file
        for file in files
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
