"""Labelled rows on disk: CSV and Parquet, read a batch at a time.

A file of any size is read in the memory of one batch. Values of a CSV stay text until it is known
what a model wants of their column, so a category of ``007`` is not 7.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from assay_workbench.errors import WorkbenchError

PARQUET = (".parquet", ".pq")
ROWS_PER_BATCH = 10_000
BYTES_PER_BLOCK = 4 * 2**20


@dataclass(frozen=True)
class Batch:
    """Some rows of a table.

    Attributes
    ----------
    first
        Number of the first row in the table, from 1; the header of a CSV is no row.
    columns
        By name, all of the same length.
    """

    first: int
    columns: pa.RecordBatch


@dataclass(frozen=True)
class Dataset:
    """A table with a column of labels.

    Attributes
    ----------
    label
        Name of the column with the true classes.
    names
        Names of all columns, in the order of the file.
    """

    path: Path
    label: str
    names: tuple[str, ...]
    delimiter: str = ","

    @classmethod
    def open(cls, path: Path, label: str, delimiter: str = ",") -> "Dataset":
        """Look at a file. Raises `WorkbenchError` if it has no such column, or cannot be read."""
        names = _names(path, delimiter)
        for name in names:
            if names.count(name) > 1:
                raise WorkbenchError(f"{path}: has two columns {name!r}; rename one")
        found = cls(path, label, tuple(names), delimiter)
        found.check([label], _hint(names))
        return found

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that are not the label, in the order of the file."""
        return tuple(name for name in self.names if name != self.label)

    def check(self, wanted: Sequence[str], hint: str = "") -> None:
        """Raise `WorkbenchError` unless all columns are there."""
        missing = [name for name in wanted if name not in self.names]
        if missing:
            columns = "column" if len(missing) == 1 else "columns"
            raise WorkbenchError(
                f"{self.path}: has no {columns} {_some(missing)}; it has {_some(self.names)}{hint}"
            )

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield the rows in order, with these columns only.

        Raises `WorkbenchError` when the file turns out to be broken.
        """
        first = 1
        for columns_of_batch in self._read(list(columns)):
            if columns_of_batch.num_rows:
                yield Batch(first, columns_of_batch)
            first += columns_of_batch.num_rows

    def rows(self) -> int | None:
        """Return how many rows a Parquet file has; `None` for a CSV, which does not say."""
        if not _is_parquet(self.path):
            return None
        with _named(self.path):
            return int(pa.parquet.read_metadata(self.path).num_rows)

    def _read(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with _named(self.path):
            if _is_parquet(self.path):
                with pa.parquet.ParquetFile(self.path) as file:
                    yield from file.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns)
                return
            with pa.csv.open_csv(
                self.path,
                read_options=pa.csv.ReadOptions(block_size=BYTES_PER_BLOCK),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self.delimiter, newlines_in_values=True
                ),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            ) as reader:
                yield from reader


def _hint(names: Sequence[str]) -> str:
    other = next((each for each in (";", "\t", "|") if len(names) == 1 and each in names[0]), None)
    if other is not None:
        return f" (are its columns separated by {other!r}? Say so with --delimiter)"
    return " (name the column of true classes with --label)"


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in PARQUET


def _names(path: Path, delimiter: str) -> list[str]:
    with _named(path):
        if _is_parquet(path):
            return list(pa.parquet.read_schema(path).names)
        with path.open("rb") as file:
            header = file.readline()
        if not header.strip():
            raise WorkbenchError(f"{path}: is empty; a CSV begins with the names of its columns")
        table = pa.csv.read_csv(
            pa.BufferReader(header), parse_options=pa.csv.ParseOptions(delimiter=delimiter)
        )
        return list(table.column_names)


def _some(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it was that could not be read."""
    try:
        yield
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror or error}") from None
    except pa.ArrowException as error:
        problem = " ".join(str(error).split())[:300]
        if "invalid UTF8" in problem:
            problem += "; save the file as UTF-8"
        raise WorkbenchError(f"{path}: {problem}") from None
