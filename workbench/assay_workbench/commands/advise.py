"""``assay advise DATA|REPORT.json``: which metric decides well here, and by which margin."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from assay.cli.document import InputError, output_option, show_document
from assay_workbench.commands.evaluate import missing

if TYPE_CHECKING:
    from assay_workbench.advice import Advice
    from assay_workbench.advice_input import Read
    from assay_workbench.thresholds import Costs

WIDTH = 100


@click.command("advise", short_help="Which metric decides well, and by which margin.")
@click.argument("file", metavar="DATA|REPORT.json", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--label", default="label", show_default=True, help="Column of the true classes.")
@click.option("--delimiter", default=",", show_default=True, help="Of a CSV.")
@click.option("--positive", metavar="CLASS", help="Class that matters; else the rarer of two.")
@click.option(
    "--use",
    type=click.Choice(["Decisions", "Ranking", "Probabilities"], case_sensitive=False),
    default="Decisions",
    show_default=True,
    help="What is done with predictions.",
)
@click.option("--cost-fp", type=click.FloatRange(0), help="What a false positive costs.")
@click.option("--cost-fn", type=click.FloatRange(0), help="What a false negative costs.")
@click.option(
    "--label-rate",
    type=click.FloatRange(0, min_open=True),
    help="Labelled rows per second that come back, over both versions; margins need it.",
)
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the version that serves has in a metric, by its name in the block (f1=0.8).",
)
@output_option
def advise_command(file: Path, **options: Any) -> None:
    """Say which metric should decide a rollout, which should not and why, and by which margin.

    DATA is a CSV or a Parquet file with a column of true classes. REPORT.json is what
    `assay evaluate -o json` printed: then margins rest on measured values, of its baseline if it has
    one. The rules are those of docs/choosing-a-metric.md.

    \b
    assay advise march.csv --label fraud --positive 1 --cost-fp 1 --cost-fn 40 --label-rate 2

    The block at the end goes under `spec.rollout` of a ModelDeployment. Exit code 2 when something
    cannot be used.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        from assay_workbench.advice import advise  # noqa: PLC0415
        from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
        from assay_workbench.thresholds import costs_of  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    try:
        costs = costs_of(options["cost_fp"], options["cost_fn"])
        read = _read(file, costs, options)
        advice = advise(read.situation, read.known)
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    if options["output"] != "text":
        show_document(report(advice, _threshold(read)), options["output"])
    else:
        show(advice, _threshold(read), Console(highlight=False, width=WIDTH))


def _threshold(read: "Read") -> float | None:
    """Return the report's cheapest threshold, if the costs are still those that it is of."""
    if read.cheapest is None or read.situation.costs != read.cheapest[1]:
        return None
    return read.cheapest[0]


def _read(file: Path, costs: "Costs | None", options: dict[str, Any]) -> "Read":
    from assay_workbench.advice_input import Read, asked, of_report, of_table  # noqa: PLC0415
    from assay_workbench.dataset import Dataset  # noqa: PLC0415
    from assay_workbench.situation import Use  # noqa: PLC0415

    if file.suffix.lower() == ".json":
        read = of_report(file, costs, options["positive"])
    else:
        table = Dataset.open(file, options["label"], options["delimiter"])
        read = Read(of_table(table), {})
    return asked(
        read,
        use=Use(options["use"].capitalize()),
        positive=options["positive"],
        costs=costs,
        label_rate=options["label_rate"],
        values=_values(options["values"]),
    )


def _values(words: tuple[str, ...]) -> dict[str, float]:
    from assay_workbench.errors import WorkbenchError  # noqa: PLC0415

    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise WorkbenchError(f"--value: {word!r} is not NAME=NUMBER")
    return found


def report(advice: "Advice", threshold: float | None) -> dict[str, Any]:
    """Shape the advice as the JSON that other programs rely on."""
    return {
        "rules": [
            {
                "name": rule.name,
                "condition": rule.condition,
                "advice": rule.advice,
                "why": rule.why,
                "source": rule.source,
                "against": list(rule.against),
            }
            for rule in advice.rules
        ],
        "metrics": [each.name for each in advice.choices],
        "margins": [
            {
                "name": each.choice.name,
                "margin": each.margin,
                "baseline": each.known.value,
                "measured": each.known.measured,
                "withinADay": each.in_a_day,
                "seconds": round(each.seconds, 3),
            }
            for each in advice.margins
        ],
        "threshold": threshold,
        "analysis": advice.block,
    }


def show(advice: "Advice", threshold: float | None, console: Console) -> None:
    """Print the advice."""
    from assay_workbench.advice import manifest  # noqa: PLC0415

    situation = advice.situation
    classes = ", ".join(
        f"{name!r} {100.0 * rows / situation.rows:.3g} %" for name, rows in situation.classes
    )
    console.print(f"{situation.rows} labelled rows: {classes}.")
    if situation.judged is not None:
        console.print(f"The class that matters is {situation.judged!r}.")
    for rule in advice.rules:
        console.print(f"\n{rule.advice}", style="bold")
        console.print(f"{rule.condition} {rule.why}")
        console.print(f"Source: {rule.source}", style="dim")
    console.print()
    if threshold is not None:
        console.print(
            f"On the rows of the report model.decision.threshold {threshold:g} is cheapest."
        )
    if not advice.margins:
        console.print("With --label-rate margins are told, and a block to paste.")
        return
    for margin in advice.margins:
        console.print(_about(margin))
    console.print("\nTo paste under spec.rollout:", style="bold")
    click.echo(manifest(advice))


def _about(margin: Any) -> str:
    from assay.judge.wording import duration  # noqa: PLC0415

    name, known = margin.choice.name, margin.known
    origin = "measured" if known.measured else f"assumed; give --value {name}=VALUE"
    if margin.in_a_day:
        return (
            f"{name}: with {known.value:.4g} ({origin}) the labels of a day support a margin of "
            f"{margin.margin:g}: 80 % of the trials of an equally good version end within "
            f"{duration(margin.seconds)}."
        )
    return (
        f"{name}: with {known.value:.4g} ({origin}) no margin can be shown in a day. One of "
        f"{margin.margin:g} takes {duration(margin.seconds)}: set rollout.maxSeconds so, or get more "
        "labels."
    )
