"""``assay evaluate MODEL DATA``: how good a model is on labelled rows, and how sure that is."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from assay.cli.document import InputError, output_option, show_document

WIDTH = 110
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("evaluate", short_help="How good a model is on labelled rows, with intervals.")
@click.argument("model", metavar="MODEL", type=_FILE)
@click.argument("data", metavar="DATA", type=_FILE)
@click.option("--baseline", metavar="MODEL2", type=_FILE, help="Another model to compare with.")
@click.option("--label", default="label", show_default=True, help="Column of the true classes.")
@click.option("--positive", metavar="CLASS", help="Positive class; else the second of two.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Predict the positive class from this probability on, as spec.model.decision has it.",
)
@click.option("--baseline-threshold", type=click.FloatRange(0, 1), help="The same of MODEL2.")
@click.option("--cost-fp", type=click.FloatRange(0), help="What a false positive costs.")
@click.option("--cost-fn", type=click.FloatRange(0), help="What a false negative costs.")
@click.option(
    "--trust", multiple=True, metavar="TYPE", help="A type that a skops file may hold besides."
)
@click.option("--delimiter", default=",", show_default=True, help="Of a CSV.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.9999),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option(
    "--memory",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="MiB for scored rows; what does not fit goes to a file, and ranks come from score bins.",
)
@click.option("--html", type=_FILE, help="Write a report with plots, one file for any browser.")
@output_option
def evaluate_command(**options: Any) -> None:
    """Measure MODEL (skops or ONNX, loaded as the server loads it) on the labelled rows of DATA.

    DATA is a CSV or a Parquet file of any size: columns that the model was trained with, by name,
    and one of true classes. It is read in batches. Every figure is scikit-learn's, and has a
    confidence interval that says which kind it is.

    \b
    assay evaluate fraud-8.skops march.parquet --label fraud --positive 1 \\
      --cost-fp 1 --cost-fn 40 --baseline fraud-7.skops --html report.html

    With -o json the shape is stable (docs/evaluate.md). Exit code 2 when something cannot be used;
    the message names file, column and row.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
        from assay_workbench.evaluation import Settings, evaluate  # noqa: PLC0415
        from assay_workbench.scoring import score  # noqa: PLC0415
        from assay_workbench.thresholds import costs_of  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    try:
        costs = costs_of(options["cost_fp"], options["cost_fn"])
        dataset, question, origin = _read(options)
        with progress() as bar:
            task = bar.add_task(dataset.path.name, total=dataset.rows())
            memory = options["memory"] * 2**20
            sample = score(dataset, question, memory, lambda rows: bar.advance(task, rows))
        with sample:
            found = evaluate(sample, Settings(options["confidence"], costs))
        if options["html"] is not None:
            _write_html(options["html"], found, origin)
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    if options["output"] != "text":
        from assay_workbench.document import document  # noqa: PLC0415

        show_document(document(found, origin), options["output"], indent=1)
        return
    from assay_workbench.text import show  # noqa: PLC0415

    show(found, origin, Console(highlight=False, width=WIDTH))


def missing(error: ImportError) -> InputError:
    """Return the message for a library of the extra that is not installed."""
    return InputError(f'needs {error.name}: pip install "assay[workbench]"')


def progress() -> Progress:
    """Return what shows how many rows of all are done, to a person and to no file."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _read(options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Open what the options name: the table, the models, and what is said of them."""
    from assay_workbench.candidate import Candidate, Rule  # noqa: PLC0415
    from assay_workbench.dataset import Dataset  # noqa: PLC0415
    from assay_workbench.document import Origin  # noqa: PLC0415
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
    from assay_workbench.scoring import Question  # noqa: PLC0415

    dataset = Dataset.open(options["data"], options["label"], options["delimiter"])
    positive, trust = options["positive"], options["trust"]
    model = Candidate(options["model"], Rule(positive, options["threshold"]), trust)
    if options["baseline"] is None:
        if options["baseline_threshold"] is not None:
            raise WorkbenchError("--baseline-threshold goes with --baseline")
        candidates: tuple[Candidate, ...] = (model,)
    else:
        rule = Rule(positive, options["baseline_threshold"])
        candidates = (model, Candidate(options["baseline"], rule, trust))
    other = candidates[1] if len(candidates) > 1 else None
    origin = Origin(
        str(model.path),
        model.digest,
        str(dataset.path),
        dataset.label,
        model.threshold,
        None if other is None else str(other.path),
        None if other is None else other.digest,
    )
    return dataset, Question(candidates, positive), origin


def _write_html(path: Path, found: Any, origin: Any) -> None:
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415

    try:
        from assay_workbench.html import page  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    try:
        path.write_text(page(found, origin), encoding="utf-8")
    except OSError as error:
        raise WorkbenchError(f"--html: {path}: {error.strerror}") from None
