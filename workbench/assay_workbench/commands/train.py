"""``assay train RECIPE``: a model that follows from a recipe, byte by byte."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from assay.cli.document import InputError
from assay_workbench.commands.evaluate import missing

if TYPE_CHECKING:
    from assay_workbench.training import Progress as Told
    from assay_workbench.training import Training

WIDTH = 110


@click.command("train", short_help="Train a model from a recipe, the same bytes each time.")
@click.argument("recipe", metavar="RECIPE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where model.skops, card.md and report.html go; else the recipe's name without its end.",
)
@click.option(
    "--sign-key",
    metavar="KEY",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Private key in PEM (ECDSA) to sign the artifact with.",
)
def train_command(recipe: Path, output: Path | None, sign_key: Path | None) -> None:
    """Train the model that RECIPE (YAML, docs/train.md) describes, and say how good it is.

    Reads the labelled rows that it names, holds some out, searches settings if it says so, trains one
    scikit-learn pipeline, and measures the stored artifact on the rows held out, as the model
    server loads it. The same recipe, files and versions give the same digest.

    \b
    assay train churn.yaml -o churn-1

    With --sign-key the artifact has a signature beside it (model.skops.sig), by OpenSSF model-signing.

    The process starts itself again once, with one thread and a fixed kernel for linear algebra.
    Exit code 2 when something cannot be used; the message names the field, or file, row and column.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    context = click.get_current_context()
    try:
        if context.parent is not None:
            # Called as `assay train`, and not from another program, which must go on.
            from assay_workbench.pinning import start_again  # noqa: PLC0415

            start_again()
        from assay_workbench import recipe as recipes  # noqa: PLC0415
        from assay_workbench.errors import RecipeError, WorkbenchError  # noqa: PLC0415
        from assay_workbench.packaging.signing import signer  # noqa: PLC0415
        from assay_workbench.training import train  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    try:
        wanted = recipes.read(recipe)
        folder = output or recipe.with_suffix("")
        if folder.exists() and not folder.is_dir():
            raise WorkbenchError(f"{folder}: is no folder; name one with --output")
        sign = None if sign_key is None else signer(sign_key)
        with _progress() as told:
            found = train(wanted, recipe.parent, told)
        _write(folder, found, recipe.stem, sign)
    except RecipeError as error:
        raise InputError(f"{recipe}: {error}") from None
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    show(found, folder, Console(highlight=False, markup=False, width=WIDTH))
    if sign is not None:
        click.echo(f"signature {folder / 'model.skops.sig'}")


@contextmanager
def _progress() -> Iterator["Told"]:
    from assay_workbench.training import Progress as Told  # noqa: PLC0415

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=None)
        yield Told(
            lambda stage, steps: bars.reset(task, description=stage, total=steps),
            lambda steps: bars.advance(task, steps),
        )


def _write(
    folder: Path, found: "Training", name: str, sign: Callable[[Path, Path], None] | None
) -> None:
    """Write the artifact last: a new folder that has it is whole."""
    from assay_workbench import artifact  # noqa: PLC0415
    from assay_workbench.card import card  # noqa: PLC0415
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
    from assay_workbench.packaging import signing  # noqa: PLC0415
    from assay_workbench.training_page import page  # noqa: PLC0415

    with warnings.catch_warnings():
        # Of matplotlib about letters that its own font lacks; the page has the browser's.
        warnings.simplefilter("ignore")
        texts = {"card.md": card(found, name), "report.html": page(found, name)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbenchError(f"{folder}: {error.strerror}") from None
    for file_name, text in texts.items():
        with artifact.replaced(folder / file_name) as file:
            file.write(text.encode())
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".train-") as place:
            made = Path(place) / "model.skops"
            artifact.write(found.model, made, found.reference)
            signing.placed(made, folder / made.name, sign)
    except OSError as error:
        raise WorkbenchError(f"{error.filename or folder}: {error.strerror or error}") from None


def show(found: "Training", folder: Path, console: Console) -> None:
    """Print what was trained."""
    from assay_workbench import training_text as text  # noqa: PLC0415
    from assay_workbench.text import (  # noqa: PLC0415
        advice_on_threshold,
        interval_words,
        name_of,
        number,
        shown,
    )

    console.print(text.summary(found))
    console.print("Columns", style="bold")
    console.print(
        _table(
            ("column", "role", "why"),
            [(each.name, each.role, each.why) for each in found.table.columns],
        )
    )
    if found.found is not None:
        console.print("Search", style="bold")
        console.print(_table(text.tried_heads(found.found), list(text.tried_lines(found.found))))
        console.print(text.searched(found.found, found.recipe))
    console.print(f"On {found.held_out.size} held-out rows", style="bold")
    console.print(
        _table(
            ("metric", "value", "interval", "how"),
            [
                (name_of(each), number(each.value), *interval_words(each))
                for each in shown(found.evaluation.model)
            ],
        )
    )
    costs = found.evaluation.settings.costs
    for each in found.evaluation.model.thresholds:
        if costs is not None and each.of == found.positive:
            console.print(advice_on_threshold(each, costs))
    console.print("When a column is shuffled", style="bold")
    console.print(
        _table(
            ("column", text.change(found.metric), "deviation"),
            [
                (each.name, f"{each.mean:.4f}", f"{each.deviation:.4f}")
                for each in found.importances[:10]
            ],
        )
    )
    for note in text.notes(found):
        console.print(f"Note: {note}")
    console.print(f"\n{folder}/model.skops, card.md, report.html", style="bold")
    click.echo(f"digest {found.digest}")


def _table(heads: Any, lines: Any) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head)
    for line in lines:
        table.add_row(*line)
    return table
