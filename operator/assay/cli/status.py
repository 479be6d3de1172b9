"""``kubectl assay status NAME``: one screen for whoever is on call."""

import datetime
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pydantic
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, RevisionRef, Stage
from assay.api.model_deployment import ModelDeploymentSpec
from assay.rollout.cost import Cost, cost
from assay.rollout.wording import moment

from . import bill_text
from .cluster import Refused
from .document import output_option
from .hub import Hub, hub_options

_HISTORY = 3
_BAD_WHEN_TRUE = ("Paused", "DriftDetected", "QualityDecayed")


@click.command("status", short_help="How a ModelDeployment stands, on one screen.")
@output_option
@hub_options
def status_command(
    name: str, namespace: str | None, context: str | None, kubeconfig: Path | None, output: str
) -> None:
    """Show how a ModelDeployment stands: what serves, what is on trial, and what is waited for.

    With prices in the ModelClusters, and the right to read them, it says what that costs.

    With -o json the shape is stable; a BILL is that of `assay plan`, `status` is the object's own:

    \b
    {"namespace", "name", "generation", "status",
     "cost": {"pods": {MEMBER: number}, "perHour": BILL, "perMonth": BILL,
              "trial": BILL or null},         of the last rollout, so far
     "costUnknown": why cost is null, else null}
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    hub = Hub(name, namespace, context, kubeconfig)
    document, status = hub.read()
    generation = document["metadata"].get("generation", 0)
    costs, unknown, priced = _costs(hub, document, status)
    if output == "json":
        answer = {
            "namespace": hub.namespace,
            "name": name,
            "generation": generation,
            "status": document.get("status") or {},
            "cost": costs and report(costs),
            "costUnknown": unknown,
        }
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    lines = [("cost", unknown)] if unknown else []
    if costs and priced:
        lines = list(cost_lines(costs, status))
    show(Console(highlight=False), f"{hub.namespace}/{name}", generation, status, lines)


def _costs(
    hub: Hub, document: dict[str, Any], status: ModelDeploymentStatus
) -> tuple[Cost | None, str | None, bool]:
    """Return what it costs, or why that is not known; and whether any ModelCluster has a price."""
    try:
        candidates = bill_text.clusters_on(hub.cluster)
    except Refused as error:
        return None, f"prices are not readable: {error.message}", False
    try:
        spec = ModelDeploymentSpec.model_validate(document.get("spec") or {})
    except pydantic.ValidationError:
        return None, "the spec cannot be read: this command is older than the operator", False
    now = datetime.datetime.now(datetime.UTC)
    priced = any(item.spec.cost is not None for item in candidates)
    return cost(spec, status, candidates, now), None, priced


def report(costs: Cost) -> dict[str, Any]:
    """Shape what a deployment costs as the JSON that other programs rely on."""
    return {
        "pods": dict(costs.pods),
        "perHour": bill_text.report(costs.hour),
        "perMonth": bill_text.report(costs.month),
        "trial": None if costs.trial is None else bill_text.report(costs.trial),
    }


def cost_lines(costs: Cost, status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    """Say what a deployment costs."""
    count = sum(costs.pods.values())
    pods = "1 pod" if count == 1 else f"{count} pods"
    yield "cost per month", f"{bill_text.words(costs.month, by_member=True)}, {pods} now"
    rollout = status.rollout
    if costs.trial is not None and rollout is not None:
        so_far = " so far" if rollout.decision is None else ""
        yield f"cost of rollout {rollout.id}", f"{bill_text.words(costs.trial)}{so_far}"


def show(
    console: Console,
    name: str,
    generation: int,
    status: ModelDeploymentStatus,
    cost_lines: Iterable[tuple[str, str]] = (),
) -> None:
    """Print the screen."""
    known = {item.type: item for item in status.conditions}
    ready = known.get("Ready")
    word = "not looked at yet" if ready is None else f"Ready {ready.status.value}, {ready.reason}"
    console.print(f"[bold]{name}[/bold]  {word}", soft_wrap=True)
    if status.observed_generation != generation:
        console.print(f"the operator has not seen generation {generation} of the spec yet")
    for kind in ("Ready", *_BAD_WHEN_TRUE, "EvidenceSufficient", "MembersReachable"):
        item = known.get(kind)
        fine = item is None or (item.status.value == "True") != (kind in _BAD_WHEN_TRUE)
        if item is not None and item.message and (kind == "Ready" or not fine):
            _line(console, kind, item.message)
    for key, value in (*_facts(status), *cost_lines):
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
