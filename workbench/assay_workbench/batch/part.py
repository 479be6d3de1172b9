"""One output file: its columns, what it says of itself, and how it comes to be whole or not at all.

A part is written under a temporary name and renamed when it is complete, so whatever has the name of
a part is one. Its metadata say of which model, rule and rows it is. That makes a run that was killed
go on where it stopped, and one that was started with other data or another model stop.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from assay_workbench.batch.source import Shard
from assay_workbench.candidate import Candidate
from assay_workbench.errors import WorkbenchError
from assay_workbench.sample import Answers, Floats, Indexes

FORMAT = "assay.dev/scores/v1"
"""Of the metadata and the columns; it changes when one changes its meaning or goes."""

KEY = b"assay.scores"
PATTERN = "part-*.parquet"
ROW, PREDICTION, LABEL = "row", "prediction", "label"
SCORE = "score_"
"""Before the name of a class: the column of its scores."""

_ROWS_HELD = 65_536
_MODE = 0o644
_MEANINGS = {
    "format": "the format",
    "model": "the model's digest",
    "rule": "the decision rule",
    "classes": "the classes",
    "score": "the kind of score",
    "label": "the column of labels",
    "ids": "the columns that name a row",
    "data": "the data or the bounds of the shard",
    "part": "the number of parts",
}


@dataclass(frozen=True)
class Layout:
    """What all parts of an output have in common.

    Attributes
    ----------
    label
        Column of true classes in the data; `None` if there is none.
    ids
        Columns of the data that are copied; without any, rows get numbers.
    """

    candidate: Candidate
    positive: str | None
    label: str | None
    ids: tuple[str, ...]

    @property
    def score_names(self) -> list[str]:
        """Columns of scores, in the order of the classes; none if the model has none."""
        if self.candidate.kind is None:
            return []
        return [f"{SCORE}{name}" for name in self.candidate.classes]

    def check(self) -> None:
        """Raise `WorkbenchError` if two columns would have one name."""
        own = [PREDICTION, *self.score_names, *([LABEL] if self.label else [])]
        for name in self.ids:
            if name in own:
                raise WorkbenchError(
                    f"--id-column: {name!r} is the name of a column of the output; rename it in the data"
                )
            if self.ids.count(name) > 1:
                raise WorkbenchError(f"--id-column: {name!r} is named twice")

    def document(self, shard: Shard, data: str, parts: int) -> dict[str, Any]:
        """Return what a part says of itself; `data` is the digest of the file with its rows."""
        candidate = self.candidate
        return {
            "format": FORMAT,
            "model": candidate.digest,
            "rule": {"positive": self.positive, "threshold": candidate.threshold},
            "classes": list(candidate.classes),
            "score": None if candidate.kind is None else candidate.kind.value,
            "label": self.label,
            "ids": list(self.ids),
            "data": {
                "name": shard.table.path.name,
                "digest": data,
                "first": shard.first,
                "rows": shard.rows,
            },
            "part": {"number": shard.number, "of": parts},
        }

    def columns(
        self, batch: pa.RecordBatch, row: int, answers: Answers, labels: Indexes | None
    ) -> pa.Table:
        """Return the columns of some rows, of which the first has the number `row`."""
        names = pa.array(self.candidate.classes)
        found: dict[str, Any] = {name: batch.column(name) for name in self.ids}
        if not self.ids:
            found[ROW] = pa.array(np.arange(row, row + batch.num_rows))
        found[PREDICTION] = names.take(pa.array(answers.predicted))
        for place, name in enumerate(self.score_names):
            found[name] = _scores(answers.scores, place)
        if labels is not None:
            found[LABEL] = names.take(pa.array(labels, mask=labels < 0))
        return pa.table(found)


def path_of(folder: Path, number: int) -> Path:
    """Return where a part is."""
    return folder / f"part-{number:05d}.parquet"


def read_document(path: Path) -> dict[str, Any]:
    """Return what a part says of itself. Raises `WorkbenchError` if it is no part."""
    try:
        metadata = pa.parquet.read_schema(path).metadata or {}
        document = json.loads(metadata[KEY])
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror or error}") from None
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        raise WorkbenchError(
            f"{path}: was not written by this version of assay score; write to another directory, or "
            "delete the file"
        ) from None
    return dict(document)


def is_done(path: Path, document: Mapping[str, Any]) -> bool:
    """Whether a part is there. Raises `WorkbenchError` if it is of something else."""
    if not path.exists():
        return False
    found = read_document(path)
    other = next((name for name in document if found.get(name) != document[name]), None)
    if other is not None:
        raise WorkbenchError(
            f"{path}: is of another run: {_MEANINGS[other]} was {json.dumps(found.get(other))} and is "
            f"{json.dumps(document[other])} now; write to another directory with -o, or delete "
            f"{path.parent} to begin again"
        )
    return True


def check_numbers(folder: Path, parts: int) -> None:
    """Raise `WorkbenchError` if there is a part that this output does not have."""
    known = {path_of(folder, number) for number in range(parts)}
    other = next((path for path in sorted(folder.glob(PATTERN)) if path not in known), None)
    if other is not None:
        raise WorkbenchError(
            f"{other}: is of another run, this one has {parts} parts; write to another directory with "
            f"-o, or delete {folder} to begin again"
        )


class Writer:
    """Writes the rows of one part, in groups that fit into memory whatever the size of the part."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document
        self._file: pa.parquet.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self.rows = 0

    def write(self, columns: pa.Table) -> None:
        """Take in rows."""
        self._held.append(columns)
        self.rows += columns.num_rows
        if sum(each.num_rows for each in self._held) >= _ROWS_HELD:
            self._flush()

    def close(self) -> None:
        """Write what is held."""
        self._flush()
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held = []
        if self._file is None:
            schema = table.schema.with_metadata({KEY: json.dumps(self._document).encode()})
            self._file = pa.parquet.ParquetWriter(self._path, schema)
        self._file.write_table(table)


@contextmanager
def writing(path: Path, document: Mapping[str, Any]) -> Iterator[Writer]:
    """Write a part: it is there when the block ends, and nothing is if the block raises.

    What killed processes left of the same part is taken away.
    """
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        writer = Writer(temporary, document)
        yield writer
        writer.close()
        os.fchmod(handle, _MODE)
        os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _scores(scores: Floats | None, place: int) -> pa.Array:
    if scores is None:
        raise ValueError("a model with a kind of score gave none")
    return pa.array(np.ascontiguousarray(scores[:, place]))
