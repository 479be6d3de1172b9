"""Scores shards: what is there already is checked and passed over, the rest is read once, in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from assay_workbench.batch import part
from assay_workbench.batch.part import Layout
from assay_workbench.batch.source import Seen, Shard
from assay_workbench.candidate import digest_of
from assay_workbench.dataset import Batch, Table
from assay_workbench.errors import WorkbenchError
from assay_workbench.scoring import answers_of, columns_of, labels_of


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, found
        Shards scored by this run, and those that were there before it.
    rows
        Rows scored by this run.
    """

    done: int = 0
    found: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Shown:
    """What is called while a run goes on.

    Attributes
    ----------
    rows
        With the number of rows, after each batch, and after each shard that was there already.
    shard
        With each shard that is now there.
    """

    rows: Callable[[int], object] = int
    shard: Callable[[Shard], object] = id


def run(
    layout: Layout,
    shards: Sequence[Shard],
    parts: int,
    folder: Path,
    progress: Progress,
    shown: Shown,
) -> None:
    """Score shards of an output that has so many parts in all.

    Whatever ends it, a part is whole or not there. Raises `WorkbenchError` for what is wrong with
    the data, or with a part that is there.
    """
    layout.check()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table, own in groupby(shards, key=lambda shard: shard.table):
            _run_file(layout, table, list(own), parts, folder, progress, shown)
    except OSError as error:
        raise WorkbenchError(f"{error.filename or folder}: {error.strerror or error}") from None


def _run_file(
    layout: Layout,
    table: Table,
    shards: Sequence[Shard],
    parts: int,
    folder: Path,
    progress: Progress,
    shown: Shown,
) -> None:
    others = [*layout.ids, *([layout.label] if layout.label else [])]
    table.check(others)
    names = columns_of(table, layout.candidate, others)
    seen = Seen.of(table.path)
    data = digest_of(table.path)
    waiting = []
    for shard in shards:
        document = layout.document(shard, data, parts)
        if part.is_done(part.path_of(folder, shard.number), document):
            progress.found += 1
            shown.rows(shard.rows)
        else:
            waiting.append(shard)
    if not waiting:
        return
    before = progress.done
    read = table.batches(sorted({*names, *others}), skip=waiting[0].first - 1)
    for shard, batches in groupby(cut(read, waiting), key=lambda piece: piece[0]):
        path = part.path_of(folder, shard.number)
        with part.writing(path, layout.document(shard, data, parts)) as writer:
            for _, batch in batches:
                _score(layout, shard, batch, names, writer)
                progress.rows += batch.columns.num_rows
                shown.rows(batch.columns.num_rows)
            if writer.rows != shard.rows or Seen.of(table.path) != seen:
                raise WorkbenchError(f"{table.path}: was changed while it was read; start again")
        progress.done += 1
        shown.shard(shard)
    if progress.done - before != len(waiting):
        raise WorkbenchError(f"{table.path}: was changed while it was read; start again")


def cut(batches: Iterable[Batch], shards: Iterable[Shard]) -> Iterator[tuple[Shard, Batch]]:
    """Cut batches at the bounds of shards, which are in order; rows in none of them are left out."""
    waiting = iter(shards)
    shard = next(waiting, None)
    for batch in batches:
        end = batch.first + batch.columns.num_rows
        while shard is not None and shard.first < end:
            low, high = max(batch.first, shard.first), min(end, shard.end)
            yield shard, Batch(low, batch.columns.slice(low - batch.first, high - low))
            if shard.end > end:
                break
            shard = next(waiting, None)
        if shard is None:
            return


def _score(
    layout: Layout, shard: Shard, batch: Batch, names: Sequence[str], writer: part.Writer
) -> None:
    candidate, table = layout.candidate, shard.table
    answers = answers_of(table, batch, candidate, names, candidate.classes)
    labels = None
    if layout.label is not None:
        known = {name: place for place, name in enumerate(candidate.classes)}
        labels = labels_of(table, layout.label, batch, known, complete=False)
    row = shard.before + 1 + batch.first - shard.first
    writer.write(layout.columns(batch.columns, row, answers, labels))
