"""``assay score MODEL DATA...``: predictions for tables of any size, a part for each shard."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text
from typing_extensions import override

from assay.cli.document import InputError
from assay_workbench.commands.evaluate import missing

if TYPE_CHECKING:
    from assay_workbench.batch.part import Layout
    from assay_workbench.batch.run import Progress
    from assay_workbench.batch.source import Shard

INDEX = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job."""

_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


@click.command("score", short_help="Predictions for tables of any size, resumable.")
@click.argument("model", metavar="MODEL", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("data", metavar="DATA...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for part-00000.parquet and so on.",
)
@click.option("--label", metavar="COLUMN", help="Column of true classes, to be copied.")
@click.option(
    "--id-column",
    "ids",
    multiple=True,
    metavar="COLUMN",
    help="A column to be copied, which names the row; else rows are numbered from 1.",
)
@click.option(
    "--rows-per-shard",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Rows of one part.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Do only part I of N of the work, from 0; all that share it name the same DATA.",
)
@click.option(
    "--shards",
    type=click.IntRange(1),
    metavar="N",
    help=f"The same with I from ${INDEX}, as an Indexed Job of Kubernetes sets it.",
)
@click.option("--positive", metavar="CLASS", help="Positive class; else the second of two.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Predict the positive class from this probability on, as spec.model.decision has it.",
)
@click.option(
    "--trust", multiple=True, metavar="TYPE", help="A type that a skops file may hold besides."
)
@click.option("--delimiter", default=",", show_default=True, help="Of CSV files.")
def score_command(**options: Any) -> None:
    """Score the rows of DATA by MODEL (skops or ONNX, loaded as the server loads it).

    DATA are Parquet and CSV files, directories and patterns. Each shard of their rows becomes one
    Parquet file, which is there as a whole or not at all: the same command goes on where it was
    stopped, and refuses an output that is of other data or another model.

    \b
    assay score fraud-8.skops 'march/*.parquet' --id-column order --label fraud -o scored-8

    Exit code 2 when something cannot be used, 130 after Ctrl-C, 143 when told to end.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        from assay_workbench.batch import run  # noqa: PLC0415
        from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    progress = run.Progress()
    layout: Layout | None = None
    shards: list[Shard] = []
    try:
        with _ends_by_exception(), _bar() as bar:
            layout, shards, parts = _read(options, bar)
            task = bar.add_task(layout.candidate.path.name, total=sum(each.rows for each in shards))
            quiet = not bar.console.is_terminal

            def tell(shard: "Shard") -> None:
                if quiet:
                    click.echo(f"part {shard.number} of {parts}: {shard.rows} rows", err=True)

            shown = run.Shown(rows=lambda rows: bar.advance(task, rows), shard=tell)
            run.run(layout, shards, parts, options["output"], progress, shown)
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    except (KeyboardInterrupt, _EndedError) as end:
        there = progress.done + progress.found
        click.echo(
            f"assay score: stopped; {there} of {len(shards)} parts are in {options['output']}, the same "
            "command goes on",
            err=True,
        )
        sys.exit(143 if isinstance(end, _EndedError) else 130)
    assert layout is not None
    _report(layout, progress, options["output"])


class _EndedError(BaseException):
    """SIGTERM, as an exception that passes by whoever catches errors."""


@contextmanager
def _ends_by_exception() -> Iterator[None]:
    """End by an exception on SIGTERM, so that nothing half-written is left.

    The first process of a container would not end at all without a handler.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _EndedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Rate(ProgressColumn):
    """Rows per second of late."""

    @override
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")


def _bar() -> Bar:
    console = Console(stderr=True)
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _read(options: dict[str, Any], bar: Bar) -> "tuple[Layout, list[Shard], int]":
    """Open model and tables; return also the shards that are ours, and how many parts there are."""
    from assay_workbench.batch import part, source  # noqa: PLC0415
    from assay_workbench.candidate import Candidate, Rule  # noqa: PLC0415
    from assay_workbench.dataset import Table  # noqa: PLC0415
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415

    index, count = _share(options["shard"], options["shards"])
    files = source.files_of(options["data"])
    folder: Path = options["output"]
    if any(file.resolve().parent == folder.resolve() for file in files):
        raise WorkbenchError(f"{folder}: holds DATA; the parts need a directory of their own")
    if options["positive"] is not None and options["threshold"] is None:
        raise WorkbenchError(
            "--positive: goes with --threshold; without one the model itself decides"
        )
    rule = Rule(options["positive"], options["threshold"])
    candidate = Candidate(options["model"], rule, options["trust"])
    layout = part.Layout(candidate, options["positive"], options["label"], options["ids"])
    counting = bar.add_task("counting rows", total=None)
    tables = [Table.of(file, options["delimiter"]) for file in files]
    shards = source.shards_of(tables, options["rows_per_shard"])
    bar.remove_task(counting)
    part.check_numbers(folder, len(shards))
    return layout, source.share_of(shards, index, count), len(shards)


def _share(shard: str | None, shards: int | None) -> tuple[int, int]:
    """Return which of how many shares of the work is ours."""
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415

    if shard is not None and shards is not None:
        raise WorkbenchError("--shard: goes in place of --shards; give one of them")
    if shards is not None:
        shard = f"{os.environ.get(INDEX, '')}/{shards}"
        if shard.startswith("/"):
            raise WorkbenchError(
                f"--shards: needs {INDEX} in the environment, which Kubernetes sets in pods of an "
                "Indexed Job; elsewhere say --shard I/N"
            )
    if shard is None:
        return 0, 1
    found = _SHARD.fullmatch(shard)
    if found is None or not int(found[1]) < int(found[2]):
        raise WorkbenchError(f"--shard: {shard!r} is not I/N with I from 0 to N-1, as in 0/4")
    return int(found[1]), int(found[2])


def _report(layout: "Layout", progress: "Progress", folder: Path) -> None:
    before = f", {progress.found} were there" if progress.found else ""
    click.echo(
        f"{progress.rows} rows in {progress.done} parts{before}: {folder}, by {layout.candidate.digest}"
    )
