"""``kubectl assay status NAME``: one screen for whoever is on call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, RevisionRef, Stage
from assay.rollout.wording import moment

from .hub import Hub, hub_options

_HISTORY = 3


@click.command("status", short_help="How a ModelDeployment stands, on one screen.")
@hub_options
def status_command(
    name: str, namespace: str | None, context: str | None, kubeconfig: Path | None
) -> None:
    """Show how a ModelDeployment stands: what serves, what is on trial, and what is waited for."""
    hub = Hub(name, namespace, context, kubeconfig)
    document, status = hub.read()
    console = Console(highlight=False)
    show(console, f"{hub.namespace}/{name}", document["metadata"].get("generation", 0), status)


def show(console: Console, name: str, generation: int, status: ModelDeploymentStatus) -> None:
    """Print the screen."""
    known = {item.type: item for item in status.conditions}
    ready = known.get("Ready")
    word = "not looked at yet" if ready is None else f"Ready {ready.status.value}, {ready.reason}"
    console.print(f"[bold]{name}[/bold]  {word}", soft_wrap=True)
    if status.observed_generation != generation:
        console.print(f"the operator has not seen generation {generation} of the spec yet")
    for kind in ("Ready", "Paused", "EvidenceSufficient", "MembersReachable"):
        item = known.get(kind)
        fine = item is None or (item.status.value == "True") != (kind == "Paused")
        if item is not None and item.message and (kind == "Ready" or not fine):
            _line(console, kind, item.message)
    for key, value in _facts(status):
        _line(console, key, value)
    for table in (_metrics(status), _members(status)):
        if table.row_count:
            console.print(table)
    for entry in status.history[:_HISTORY]:
        by = f" by {entry.by}" if entry.by else ""
        verdict = f"version {entry.version}: {entry.verdict.value} ({entry.reason}){by}"
        _line(console, moment(entry.at), verdict)


def _line(console: Console, key: str, value: str) -> None:
    console.print(f"  {key}: {value}", markup=False, soft_wrap=True)


def _facts(status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    yield "stable", _named(status.stable)
    rollout = status.rollout
    if rollout is not None and status.canary is not None:
        yield "canary", _named(status.canary)
    if rollout is not None and rollout.stage is not Stage.DONE:
        steps = rollout.settings.steps
        where = f", step {rollout.step + 1} of {len(steps)}" if rollout.stage is Stage.TRIAL else ""
        yield "rollout", f"{rollout.id}, {rollout.stage.value}{where}"
    if status.share is not None:
        yield "share", f"the canary gets {status.share} % by its ready pods"
    if (last := status.last_request) is not None:
        verb = last.verb or "unreadable"
        by = f" by {last.by}" if last.by else ""
        yield (
            "last request",
            f"{verb}{by} at {moment(last.at)}: {last.result.value}. {last.message}",
        )


def _named(ref: RevisionRef | None) -> str:
    return "none" if ref is None else f"version {ref.version} ({ref.revision})"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _metrics(status: ModelDeploymentStatus) -> Table:
    table = _table("metric", "stable", "canary", "difference", "band", "labels", "verdict")
    for item in status.analysis:
        table.add_row(
            item.metric,
            item.stable or "-",
            item.canary or "-",
            item.difference or "-",
            f"{item.lower} .. {item.upper}" if item.lower and item.upper else "-",
            f"{item.labels_stable} / {item.labels_canary}",
            f"{item.verdict.value} ({item.reason})",
        )
    return table


def _share(item: ClusterStatus) -> str:
    """Say what part of the traffic the canary gets; where pods make it, which part that really is."""
    asked = f"{item.weight} %"
    return asked if item.share is None else f"{asked}, by pods {item.share} %"


def _members(status: ModelDeploymentStatus) -> Table:
    table = _table("member", "canary", "pods ready", "")
    for item in status.clusters:
        words: list[Any] = [item.message] if item.message else []
        if not item.reachable:
            words.insert(0, "unreachable")
        table.add_row(item.name, _share(item), f"{item.ready} of {item.desired}", ": ".join(words))
    return table
