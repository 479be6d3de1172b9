"""``assay labels``: true labels from a warehouse extract to the ledgers, and the labelled log back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich.progress
from rich.console import Console
from rich.table import Table

from assay.cli.document import InputError

if TYPE_CHECKING:
    from assay.labels.client import Ledger
    from assay.labels.push import Tally

_TOKEN = "ASSAY_LABEL_TOKEN"  # noqa: S105 (the name of a variable)
_MEANINGS = {
    "counted": "counted now",
    "duplicate": "counted before: nothing to do",
    "replaced": "counted instead of an earlier label",
    "late": "came after the label age: in the log, not in the evidence",
    "corrected": "another label is final: in the log, not in the evidence",
    "no_label": "rows without a label: not sent",
}


@click.group("labels")
def labels_command() -> None:
    """Send true labels to ledgers, and get the labelled log for audit."""


def _ledger_options(command: click.decorators.FC) -> click.decorators.FC:
    for decorate in (
        click.option(
            "--token-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help=f"File with the ledger's token; else ${_TOKEN}, else none is sent.",
        ),
        click.option(
            "--name", help="Name of the ModelDeployment, unless --ledger is a whole address."
        ),
        click.option(
            "--retry-seconds",
            type=click.FloatRange(0),
            default=60.0,
            show_default=True,
            help="How long a ledger that is busy or away is tried again.",
        ),
    ):
        command = decorate(command)
    return command


@labels_command.command("push")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--ledger",
    "ledgers",
    required=True,
    multiple=True,
    help="URL of a member's ledger; give one for each member. A label goes to the first that knows it.",
)
@click.option("--id-column", help="Column with the id of the request (feedback.joinBy: RequestId).")
@click.option("--receipt-column", help="Column with the receipt that came with the prediction.")
@click.option("--row-column", help="Column with the row of the request, from 0; 0 without it.")
@click.option(
    "--label-column", default="label", show_default=True, help="Column with the true class."
)
@click.option(
    "--probability-column",
    help="Column with the chance that the case was chosen for labelling, for labels chosen by chance.",
)
@click.option("--delimiter", default=",", show_default=True, help="Of a CSV.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV to write labels to that were not taken, each with its reason; it can be pushed again.",
)
@_ledger_options
def push_command(
    file: Path,
    ledgers: tuple[str, ...],
    id_column: str | None,
    receipt_column: str | None,
    row_column: str | None,
    label_column: str,
    probability_column: str | None,
    delimiter: str,
    rejects: Path | None,
    token_file: Path | None,
    name: str | None,
    retry_seconds: float,
) -> None:
    """Send the labels of FILE (CSV or Parquet) to the ledgers of a ModelDeployment.

    Nothing is counted twice: a push that was stopped is started again from the beginning. Exit code 1
    when labels were refused, 2 when the table or the command is wrong, 3 when a ledger was away.

    \b
    assay labels push labels.parquet --ledger http://fraud-ledger.ml.svc --name fraud --id-column request_id
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    from assay.labels.client import LedgerError  # noqa: PLC0415
    from assay.labels.push import Tally, push  # noqa: PLC0415
    from assay.labels.table import (  # noqa: PLC0415
        Columns,
        TableError,
        read_labels,
        rows_of,
        write_rejects,
    )

    if (id_column is None) == (receipt_column is None):
        raise InputError("give either --id-column or --receipt-column: what names the prediction")
    columns = Columns(label_column, receipt_column, id_column, row_column, probability_column)
    tally = Tally()
    opened = _open(ledgers, name, token_file, retry_seconds)
    problem: LedgerError | None = None
    try:
        with _progress() as progress:
            task = progress.add_task(file.name, total=rows_of(file))
            push(
                read_labels(file, columns, delimiter),
                opened,
                tally,
                lambda rows: progress.advance(task, rows),
            )
    except TableError as error:
        raise InputError(str(error)) from None
    except LedgerError as error:
        problem = error
    finally:
        for ledger in opened:
            ledger.close()
        if rejects is not None and tally.rejects:
            write_rejects(rejects, tally.rejects)
    _show(tally, rejects)
    if problem is not None:
        click.echo(f"assay labels push: {problem}; start again, nothing is counted twice", err=True)
        raise click.exceptions.Exit(3)
    if tally.rejects:
        raise click.exceptions.Exit(1)


@labels_command.command("export")
@click.option("--ledger", required=True, help="URL of a member's ledger.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, .parquet or .csv.",
)
@_ledger_options
def export_command(
    ledger: str, output: Path, token_file: Path | None, name: str | None, retry_seconds: float
) -> None:
    """Write what a ledger knows of every labelled prediction to a file, for audit.

    \b
    assay labels export --ledger http://fraud-ledger.ml.svc --name fraud --token-file token -o labels.parquet
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    from assay.labels.client import LedgerError  # noqa: PLC0415
    from assay.labels.log import save  # noqa: PLC0415
    from assay.labels.table import TableError  # noqa: PLC0415

    (opened,) = _open((ledger,), name, token_file, retry_seconds)
    try:
        rows = save(opened, output)
    except TableError as error:
        raise InputError(str(error)) from None
    except LedgerError as error:
        click.echo(f"assay labels export: {error}", err=True)
        raise click.exceptions.Exit(3) from None
    finally:
        opened.close()
    click.echo(f"{rows} labelled predictions in {output}")


def _open(
    urls: tuple[str, ...], name: str | None, token_file: Path | None, patience: float
) -> "list[Ledger]":
    try:
        from assay.labels.client import Ledger, LedgerError  # noqa: PLC0415
    except ImportError as error:
        raise InputError(f"needs {error.name}: pip install 'assay[workbench]'") from None

    token = os.environ.get(_TOKEN)
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8").strip()
    try:
        return [Ledger(url, name, token, patience) for url in urls]
    except LedgerError as error:
        raise InputError(f"--ledger: {error}") from None


def _progress() -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _show(tally: "Tally", rejects: Path | None) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for status, count in sorted(tally.statuses.items(), key=lambda item: -item[1]):
        if count:
            why = next((why for _, found, why in tally.rejects if found == status), "")
            table.add_row(f"{count:,}", status, _MEANINGS.get(status, why))
    Console().print(table)
    if tally.rejects:
        where = f"; all are in {rejects}" if rejects else "; --rejects FILE keeps them"
        line, status, why = tally.rejects[0]
        click.echo(f"first one not taken: row {line.number}: {status}: {why}{where}", err=True)
