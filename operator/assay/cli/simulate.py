"""`assay simulate MANIFEST`: what would happen to canaries of a given quality, before there is one."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from assay.cli import simulate_plot
from assay.cli.document import InputError, output_option, show_document
from assay.cli.simulate_input import Asked, Given, read
from assay.cli.simulate_output import report, show
from assay.rollout.simulation import Outcomes, Simulation, runs_at_once

WIDTH = 96
"""Of the tables, in characters."""

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


@click.command("simulate", short_help="What would happen to good and bad canaries.")
@click.argument("manifest", metavar="MANIFEST")
@click.option(
    "--prevalence", required=True, metavar="P", help="Share of the positive class, 0 to 1."
)
@click.option(
    "--baseline",
    multiple=True,
    metavar="NAME=VALUE",
    help="Stable's value of a metric of the manifest; at least one.",
)
@click.option(
    "--effect",
    multiple=True,
    metavar="E",
    help="How the canary differs: -2 or -2x is worse by two margins, NAME=-0.05 by so much in one "
    "metric. Default: 1, 0, -1, -2 and -5 margins.",
)
@click.option(
    "--label-rate", required=True, metavar="R", help="Labelled rows per second, both versions."
)
@click.option(
    "--label-delay",
    default="0",
    show_default=True,
    metavar="SECONDS",
    help="From a request to its label.",
)
@click.option(
    "--label-coverage",
    default="1",
    show_default=True,
    metavar="SHARE",
    help="Share of the requests that ever get a label.",
)
@click.option(
    "--members",
    default="1",
    show_default=True,
    metavar="N|NAME=SHARE,...",
    help="Member clusters: how many alike, or each with its share of the requests.",
)
@click.option(
    "--runs",
    default=500,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Rollouts of each canary.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of all chance.")
@click.option(
    "--max-looks",
    default=2000,
    show_default=True,
    type=click.IntRange(10),
    help="Longer trials are looked at more rarely than intervalSeconds says.",
)
@click.option("--plot", metavar="FILE.png|.svg", help="Draw how trials end over time.")
@output_option
def simulate_command(
    manifest: str, runs: int, seed: int, plot: str | None, output: str, **options: Any
) -> None:
    """Simulate rollouts of canaries that are better, as good and worse, by the ModelDeployment in
    MANIFEST (YAML, other objects in it are ignored; - reads stdin).

    The judge and the state machine are the operator's own; labels are drawn from binormal score
    models that have the metric values of --baseline. The effect in margins is that of the metric
    which changes most, measured by its margin: at -1 that one is worse by exactly its margin. What
    is not simulated: slow pods, lost members, late scrapes, changes during the trial.

    With -o json the shape is stable. A SPREAD is {"median", "p90"} over the trials that have ended,
    null when none has; shares are 0 to 1:

    \b
    {"complete", "runs", "seed",          complete: false after Ctrl-C
     "prevalence", "labelRate", "labelDelaySeconds", "labelCoverage", "members": {NAME: share},
     "maxSeconds", "intervalSeconds", "lookSeconds", "looks",
     "steps": [{"weight", "minSeconds"}],
     "model": {"separation", "threshold",
               "metrics": [{"name", "type", "margin", "asked", "value"}]},
     "notes": [text],
     "effects": [{"effect", "metrics": {NAME: value}, "runs",
                  "promoted", "rolledBack", "inconclusive", "open",
                  "seconds": SPREAD, "labels": SPREAD, "canaryRequests": SPREAD,
                  "stepSeconds": [median or null],
                  "decided": {"seconds": [...], "promoted": [...], "rolledBack": [...]}}]}

    `inconclusive` trials had no verdict within maxSeconds; they are rolled back too, but not counted
    as `rolledBack`. `open` ones were not over when the simulation was stopped. `canaryRequests` is
    what the canary served until the end. `decided` has shares of verdicts by then.

    The exit code is 0 whatever the answer, 2 when the input cannot be understood, and 130 after
    Ctrl-C, which prints what is known so far.
    """  # noqa: D205, D301  (click's mark for text that is not to be wrapped)
    asked = read(manifest, Given(**options))
    if plot is not None:
        try:
            simulate_plot.check(plot)
        except ValueError as error:
            raise InputError(f"--plot: {error}") from None
    done = _simulate(asked, runs, seed)
    if output != "text":
        show_document(report(asked, done.outcomes, runs, seed), output)
    else:
        show(asked, done.outcomes, Console(highlight=False, width=WIDTH))
    if plot is not None:
        simulate_plot.draw(plot, asked, done.outcomes)
    if not done.complete:
        sys.exit(INTERRUPTED)


@dataclass(frozen=True, eq=False)
class _Done:
    outcomes: tuple[Outcomes, ...]
    complete: bool


def _simulate(asked: Asked, runs: int, seed: int) -> _Done:
    """Simulate as many trials at a time as memory allows, all canaries side by side."""
    models = [model for _, model, _ in asked.canaries]
    size = min(runs, runs_at_once(asked.trial, len(models)))
    parts: list[Sequence[Outcomes]] = []
    complete = True
    sources = np.random.SeedSequence(seed).spawn(-(-runs // size))
    with _progress(runs * len(models)) as shown:
        for number, source in enumerate(sources):
            some = min(size, runs - number * size)
            simulation = Simulation(asked.trial, models, some, np.random.default_rng(source))
            before = number * size * len(models)
            try:
                while simulation.advance():
                    shown(before + simulation.decided)
                shown(before + simulation.decided)
            except KeyboardInterrupt:
                complete = False
            parts.append(simulation.outcomes())
            if not complete:
                break
    return _Done(tuple(map(Outcomes.joined, zip(*parts, strict=True))), complete)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Yield what shows how many trials have ended; on a terminal only, and not among the output."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.completed:.0f} of {task.total:.0f} rollouts"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)

        def shown(ended: int) -> None:
            bar.update(task, completed=ended)

        yield shown
