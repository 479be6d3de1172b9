"""``kubectl assay report NAME``: one rollout on one page, with the evidence over time."""

import datetime
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from assay.evidence import Evidence, MemberEvidence
from assay.evidence.prometheus import Trial
from assay.placement import Candidate
from assay.rollout.cost import cost
from assay.rollout.wording import moment

from . import bill_text
from .contexts import Members, contexts_option
from .document import InputError, show_document
from .hub import Hub, hub_options
from .look import cost_lines, past_line, report
from .report_document import Found, document
from .report_reading import Moment, Reading, read_last, read_moments
from .report_replay import looks, needed, replay
from .report_rollout import Subject, compared_with, subject
from .report_sources import Source, addresses, model_clusters, sources

_PAGE = "assay_workbench.rollout_page"
"""What draws the page; named and not imported, because the operator's image has no workbench."""


@click.command("report", short_help="One rollout on one page, with its evidence over time.")
@click.option("--rollout", metavar="ID", help="An earlier one; the present or last if left out.")
@contexts_option
@click.option(
    "--prometheus",
    "urls",
    multiple=True,
    metavar="MEMBER=URL",
    help="Where a member's Prometheus answers you, for instance a forwarded port. Repeatable.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the page; NAME-ROLLOUT.html if left out.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["html", "json", "yaml"]),
    default="html",
    show_default=True,
    help="json, yaml: print the whole report, and write a page only with --html.",
)
@hub_options
def report_command(
    name: str,
    rollout: str | None,
    contexts: str,
    urls: tuple[str, ...],
    html: Path | None,
    output: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
) -> None:
    """Write a page about a rollout of a ModelDeployment, running or past.

    It has the decision and why, the evidence over time as the judge saw it, curves and confusion
    matrices of both versions from live labels, what happened when, and the members. Counts are read
    again from each member's Prometheus: by the Service or address that its ModelCluster names, with
    your own kubeconfig. Members that cannot be read are named on the page.

    \b
    kubectl assay report fraud -n ml --contexts east,west
    kubectl -n monitoring port-forward svc/prometheus 9091:9090 --context east &
    kubectl assay report fraud -n ml --prometheus east=http://127.0.0.1:9091

    With prices in the ModelClusters it says what the rollout cost.

    Nothing is written in any cluster. The JSON's shape is stable (docs/report.md).
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    draw = _drawing() if output == "html" or html is not None else None
    given = addresses(urls)
    if html is not None and not html.parent.is_dir():
        raise InputError(f"--html: {html.parent} is no directory")
    hub = Hub(name, namespace, context, kubeconfig)
    members = Members(hub.cluster, kubeconfig, contexts)
    shown = subject(hub.read()[0], rollout)
    found = Found()
    now = clock()
    clusters = model_clusters(hub.cluster)
    if not shown.alone:
        named = dict.fromkeys((*shown.members, *members.names, *given))
        known = {each.name: each.spec for each in clusters}
        with _progress() as progress:
            found = read(shown, sources(named, known, members, given), now, progress)
    made = document(shown, found, now, _cost(shown, clusters, now))
    for each in found.readings.values():
        if each.problem:
            click.echo(
                f"warning: member {each.member} is not in the report: {each.problem}", err=True
            )
    if draw is not None:
        path = html or Path(f"{shown.name}-{shown.id}.html")
        _write(path, draw(made))
        if output == "html":
            click.echo(f"{made['headline']}\n{path}")
    if output != "html":
        show_document(made, output, indent=1)


def clock() -> datetime.datetime:
    """Return the time of now."""
    return datetime.datetime.now(datetime.UTC)


def _cost(
    shown: Subject, clusters: tuple[Candidate, ...], now: datetime.datetime
) -> dict[str, Any] | None:
    """Return what status keeps enough of to say, if any ModelCluster has a price."""
    if all(each.spec.cost is None for each in clusters):
        return None
    costs = cost(shown.spec, shown.status, clusters, now)
    if shown.kept is not None:
        found, lines = report(costs), list(cost_lines(costs, shown.status))
    elif shown.id in costs.past:
        found = report(costs) | {"trial": bill_text.report(costs.past[shown.id])}
        lines = [past_line(costs, shown.id)]
    else:
        return None
    return {**found, "lines": [{"what": what, "says": says} for what, says in lines]}


def read(shown: Subject, asked: list[Source], now: datetime.datetime, progress: Progress) -> Found:
    """Read the counts of all members, and judge them again.

    Parameters
    ----------
    now
        The end of a rollout that is not decided.
    """
    ended = shown.decision.at if shown.decision else None
    trial = Trial(
        shown.namespace,
        shown.name,
        shown.id,
        shown.spec.feedback.label_age_seconds,
        shown.earlier,
    )
    elapsed = max(0.0, ((ended or now) - shown.since).total_seconds())
    # Status has whole seconds: what was scraped within that of the decision was read for it.
    last = Moment(elapsed, None if ended is None else ended.timestamp() + 1.0)
    task = progress.add_task("members", total=len(asked))
    readings = read_last(asked, trial, last, moment(ended) if ended else "")
    said = {name: each.last for name, each in readings.items() if each.last is not None}
    stable = shown.stable or compared_with(said.values(), shown.canary)
    if not said or stable is None:
        return Found(stable, readings=readings, notes=tuple(_nothing(shown, readings)))
    question = shown.question(stable)
    interval = shown.settings.analysis.interval_seconds
    past = [
        Moment(float(seconds), shown.since.timestamp() + seconds)
        for seconds in needed(elapsed, interval)
        # What the operator's clock has just reached is not asked of a Prometheus that is behind.
        if seconds < elapsed
    ]
    progress.update(task, description="moments", completed=0, total=len(past) * len(said))
    told = read_moments(asked, trial, past, readings, lambda: progress.advance(task))
    every = tuple(replay(question, told, set(looks(elapsed, interval)), (elapsed, dict(said))))
    evidence = _evidence(question.evidence, said)
    return Found(stable, every, evidence, readings, tuple(_gaps(readings)))


def _evidence(made: Callable[..., Evidence], said: dict[str, MemberEvidence]) -> Evidence:
    try:
        return made(said, {})
    except ValueError:
        return Evidence(())  # the last look says what is wrong with the counts


def _nothing(shown: Subject, readings: dict[str, Reading]) -> Iterator[str]:
    """Say why there is no evidence."""
    missing = [each for each in readings.values() if each.problem]
    yield from _missing(missing)
    if len(missing) == len(readings):
        yield "No member's counts could be read, so there is no evidence on this page."
    else:
        yield (
            f"The counts know no version beside {shown.version} that it was compared with, or several: "
            "nothing is judged here."
        )


def _gaps(readings: dict[str, Reading]) -> Iterator[str]:
    """Say which counts are missing."""
    yield from _missing([each for each in readings.values() if each.problem])
    for each in readings.values():
        if each.holes:
            why = ", ".join(f"{reason} {count}" for reason, count in sorted(each.holes.items()))
            yield (
                f"Member {each.member} told {each.read} of {each.asked} earlier moments ({why}): before "
                "its ledger had counts, between scrapes, or beyond what its Prometheus keeps."
            )


def _missing(unread: list[Reading]) -> Iterator[str]:
    for each in unread:
        yield (
            f"Member {each.member} is missing in all figures here, though the operator may have "
            f"judged by it: {each.problem}"
        )


def _drawing() -> Callable[[dict[str, Any]], str]:
    """Return what draws the page. Raises `InputError` if the workbench is not installed."""
    try:
        page: Callable[[dict[str, Any]], str] = importlib.import_module(_PAGE).page
    except ImportError as error:
        raise InputError(
            f'the page needs {error.name}: pip install "assay[workbench]"; -o json does not'
        ) from None
    return page


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"--html: {path}: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
