"""Rows on disk: CSV and Parquet, read a batch at a time.

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
class Table:
    """A file of rows.

    Attributes
    ----------
    names
        Names of all columns, in the order of the file.
    delimiter
        Between the columns of a CSV.
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str

    @classmethod
    def of(cls, path: Path, delimiter: str = ",") -> "Table":
        """Look at a file. Raises `WorkbenchError` if it cannot be read."""
        return cls(path, _distinct_names(path, delimiter), delimiter)

    def check(self, wanted: Sequence[str], hint: str = "") -> None:
        """Raise `WorkbenchError` unless all columns are there."""
        missing = [name for name in wanted if name not in self.names]
        if missing:
            columns = "column" if len(missing) == 1 else "columns"
            raise WorkbenchError(
                f"{self.path}: has no {columns} {_some(missing)}; it has {_some(self.names)}{hint}"
            )

    def batches(self, columns: Sequence[str], skip: int = 0) -> Iterator[Batch]:
        """Yield the rows in order, with these columns only.

        The first `skip` rows are not wanted; those of them that are cheap to pass over are not
        yielded. Raises `WorkbenchError` when the file turns out to be broken.
        """
        passed, group = self._beginning(skip)
        first = 1 + passed
        for columns_of_batch in self._read(list(columns), group):
            if columns_of_batch.num_rows:
                yield Batch(first, columns_of_batch)
            first += columns_of_batch.num_rows

    def rows(self) -> int | None:
        """Return how many rows a Parquet file has; `None` for a CSV, which does not say."""
        if not _is_parquet(self.path):
            return None
        with _named(self.path):
            return int(pa.parquet.read_metadata(self.path).num_rows)

    def count(self) -> int:
        """Return how many rows there are; a CSV is read for it. Raises `WorkbenchError`."""
        found = self.rows()
        if found is not None:
            return found
        return sum(batch.columns.num_rows for batch in self.batches(self.names[:1]))

    def _beginning(self, skip: int) -> tuple[int, int]:
        """Return the rows in the row groups that can be passed over, and how many groups they are."""
        if not skip or not _is_parquet(self.path):
            return 0, 0
        with _named(self.path):
            metadata = pa.parquet.read_metadata(self.path)
        passed = group = 0
        while group < metadata.num_row_groups:
            rows = metadata.row_group(group).num_rows
            if passed + rows > skip:
                break
            passed += rows
            group += 1
        return passed, group

    def _read(self, columns: list[str], group: int) -> Iterator[pa.RecordBatch]:
        """Yield what is from a row group on; a CSV has one."""
        with _named(self.path):
            if _is_parquet(self.path):
                with pa.parquet.ParquetFile(self.path) as file:
                    yield from file.iter_batches(
                        batch_size=ROWS_PER_BATCH,
                        columns=columns,
                        row_groups=list(range(group, file.num_row_groups)),
                    )
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


@dataclass(frozen=True)
class Dataset(Table):
    """A table with a column of labels.

    Attributes
    ----------
    label
        Name of the column with the true classes.
    """

    label: str

    @classmethod
    def open(cls, path: Path, label: str, delimiter: str = ",") -> "Dataset":
        """Look at a file. Raises `WorkbenchError` if it has no such column, or cannot be read."""
        names = _distinct_names(path, delimiter)
        found = cls(path, names, delimiter, label)
        found.check([label], _hint(names))
        return found


def _distinct_names(path: Path, delimiter: str) -> tuple[str, ...]:
    names = _names(path, delimiter)
    for name in names:
        if names.count(name) > 1:
            raise WorkbenchError(f"{path}: has two columns {name!r}; rename one")
    return tuple(names)


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
