"""Tables of labels on disk: CSV and Parquet, read and written a batch at a time."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ROWS_PER_READ = 10_000
PARQUET = (".parquet", ".pq")


class TableError(Exception):
    """A table that cannot be used; the message names the file, the column and what is wrong."""


@dataclass(frozen=True)
class Columns:
    """Which columns say what; `None` where the table has no such column.

    Attributes
    ----------
    receipt, request_id
        Exactly one of them names the prediction.
    row
        Which row of the request the label belongs to; 0 without this column.
    label
        The true class.
    probability
        The chance that this case was chosen for labelling.
    """

    label: str
    receipt: str | None = None
    request_id: str | None = None
    row: str | None = None
    probability: str | None = None

    def names(self) -> dict[str, str]:
        """Return the column of each key of a label request."""
        wanted = {
            "receipt": self.receipt,
            "id": self.request_id,
            "row": self.row,
            "label": self.label,
            "probability": self.probability,
        }
        return {key: name for key, name in wanted.items() if name is not None}


@dataclass(frozen=True)
class Line:
    """One label of a table.

    Attributes
    ----------
    number
        Of the row in the table, from 1.
    entry
        As a label request has it.
    """

    number: int
    entry: Mapping[str, Any]


def read_labels(path: Path, columns: Columns, delimiter: str = ",") -> Iterator[Line]:
    """Yield the labels of a table in its order; rows without a label have none in their entry.

    Text of a CSV stays text, so that an id of ``007`` is not 7.

    Raises
    ------
    TableError
        The file cannot be read, a column is missing, or a row or probability is no number.
    """
    names = columns.names()
    number = 0
    for batch in _batches(path, list(names.values()), delimiter):
        values = {key: batch.column(name).to_pylist() for key, name in names.items()}
        for place in range(batch.num_rows):
            number += 1
            entry = {key: column[place] for key, column in values.items()}
            yield Line(number, _entry(entry, names, path, number))


def rows_of(path: Path) -> int | None:
    """Return how many rows a Parquet file has; `None` for a CSV, which does not say."""
    if path.suffix.lower() not in PARQUET:
        return None
    with _named(path):
        return int(pa.parquet.read_metadata(path).num_rows)


def write_rejects(path: Path, rejects: Iterable[tuple[Line, str, str]]) -> None:
    """Write lines that were not counted to a CSV, each with its status and why.

    The columns are the keys of a label request, so that the file can be pushed again.
    """
    columns: dict[str, list[Any]] = {}
    found = list(rejects)
    for key in ("receipt", "id", "row", "label", "probability"):
        if any(key in line.entry for line, _, _ in found):
            columns[key] = [
                None if (value := line.entry.get(key)) is None else str(value)
                for line, _, _ in found
            ]
    columns["line"] = [line.number for line, _, _ in found]
    columns["status"] = [status for _, status, _ in found]
    columns["why"] = [why for _, _, why in found]
    with _named(path):
        pa.csv.write_csv(pa.table(columns), path)


def write_log(pages: Iterable[bytes], path: Path, schema: pa.Schema) -> int:
    """Write pages of CSV as one Parquet or CSV file, by the suffix of `path`; return its rows.

    Each page has a header; columns that `schema` does not name are left out, missing ones are null.
    The file appears when it is complete. Raises `TableError`.
    """
    partial = path.with_name(path.name + ".partial")
    rows = 0
    try:
        with _named(path):
            convert = pa.csv.ConvertOptions(
                column_types=schema,
                include_columns=schema.names,
                include_missing_columns=True,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )
            parquet = path.suffix.lower() in PARQUET
            with (pa.parquet.ParquetWriter if parquet else pa.csv.CSVWriter)(
                partial, schema
            ) as writer:
                for page in pages:
                    table = pa.csv.read_csv(
                        pa.BufferReader(page),
                        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                        convert_options=convert,
                    )
                    writer.write_table(table)
                    rows += table.num_rows
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _batches(path: Path, names: list[str], delimiter: str) -> Iterator[pa.RecordBatch]:
    with _named(path):
        if path.suffix.lower() in PARQUET:
            with pa.parquet.ParquetFile(path) as file:
                _check(file.schema_arrow.names, names, path)
                yield from file.iter_batches(batch_size=ROWS_PER_READ, columns=names)
            return
        header = _header(path, delimiter)
        _check(header, names, path)
        with pa.csv.open_csv(
            path,
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
            ),
        ) as reader:
            yield from reader


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open("rb") as file:
        first = file.readline()
    if not first.strip():
        raise TableError(f"{path}: is empty")
    table = pa.csv.read_csv(
        pa.BufferReader(first), parse_options=pa.csv.ParseOptions(delimiter=delimiter)
    )
    return list(table.column_names)


def _check(present: list[str], wanted: list[str], path: Path) -> None:
    for name in wanted:
        if name not in present:
            raise TableError(f"{path}: has no column {name!r}; it has {', '.join(present)}")


def _entry(
    entry: dict[str, Any], names: Mapping[str, str], path: Path, number: int
) -> dict[str, Any]:
    for key, read in (("row", int), ("probability", float)):
        if entry.get(key) is None:
            entry.pop(key, None)
            continue
        try:
            entry[key] = read(entry[key])
        except (TypeError, ValueError):
            raise TableError(
                f"{path}: row {number}: column {names[key]!r}: {entry[key]!r} is no number"
            ) from None
    for key in ("id", "receipt"):
        if entry.get(key) is not None:
            entry[key] = str(entry[key])
    if entry["label"] is None:
        del entry["label"]
    return entry


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it was that could not be read or written."""
    try:
        yield
    except OSError as error:
        raise TableError(f"{path}: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise TableError(f"{path}: {' '.join(str(error).split())[:300]}") from None
