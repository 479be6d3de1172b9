"""``kubectl assay history NAME``: past rollouts, how each ended, and who did what."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from assay.api.deployment_status import (
    HistoryEntry,
    ModelDeploymentStatus,
    RequestResult,
    RolloutStatus,
    Stage,
)
from assay.judge.wording import duration
from assay.rollout.wording import moment

from .document import output_option, show_document
from .hub import Hub, hub_options
from .report_log import stamp
from .screen import COLOURS, show


@click.command("history", short_help="Past rollouts, their verdicts, and who did what.")
@output_option
@hub_options
def history_command(
    name: str, namespace: str | None, context: str | None, kubeconfig: Path | None, output: str
) -> None:
    """List the rollouts of a ModelDeployment, newest first, and what people did in them.

    As many are kept as spec.revisionHistoryLimit says. Steps, approvals and refused requests are kept
    of the present or last rollout only. `kubectl assay explain NAME VERSION` says why one ended so.

    With -o json or yaml the shape is stable; entries are those of status.history, with their seconds:

    \b
    {"namespace", "name", "running": {"id", "version", "revision", "stage", "startedAt"} or null,
     "history": [{..., "seconds"}], "people": [{"at", "who", "what", "why"}]}
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    hub = Hub(name, namespace, context, kubeconfig)
    _, status = hub.read()
    if output != "text":
        show_document(_document(hub, status), output)
        return
    console = Console(highlight=False)
    if not status.history and _running(status) is None:
        click.echo("there has been no rollout yet")
        return
    for part in history_parts(status, datetime.datetime.now(datetime.UTC)):
        show(console, part)


def history_parts(
    status: ModelDeploymentStatus, now: datetime.datetime
) -> Iterator[RenderableType]:
    """Return what people read; `now` is for how long a rollout takes already."""
    yield _table(status, now)
    if acts := list(people(status)):
        yield Text("\nwho did what", style="bold")
        grid = Table.grid(padding=(0, 2))
        for act in acts:
            why = f": {act.why}" if act.why else ""
            grid.add_row(Text(f"  {moment(act.at)}"), Text(f"{act.who} {act.what}{why}"))
        yield grid


class Act(NamedTuple):
    """What a person did."""

    at: datetime.datetime
    who: str
    what: str
    why: str = ""


def people(status: ModelDeploymentStatus) -> Iterator[Act]:
    """Return what people did, as far as status keeps it, newest first."""
    found = [
        Act(
            entry.at,
            entry.by,
            f"decided {entry.verdict.value} of version {entry.version} ({entry.reason})",
            entry.request_reason or "",
        )
        for entry in status.history
        if entry.by
    ]
    if status.rollout is not None:
        found += _in_rollout(status.rollout)
    last = status.last_request
    if last is not None and last.by:
        refused = last.result is RequestResult.REFUSED
        done = "asked in vain for" if refused else "asked for"
        answer = f" ({last.message})" if refused and last.message else ""
        found.append(
            Act(last.at, last.by, f"{done} {last.verb or 'nothing known'}{answer}", last.reason)
        )
    yield from sorted(found, key=lambda each: each.at, reverse=True)


def _in_rollout(rollout: RolloutStatus) -> Iterator[Act]:
    for index, step in enumerate(rollout.steps):
        if step.by:
            yield Act(step.started_at, step.by, f"took step {index + 1}, {step.weight} %")
        if step.approved_by:
            # Of an approval only the person is kept; the next step follows it.
            at = next((each.started_at for each in rollout.steps[index + 1 :]), step.started_at)
            yield Act(at, step.approved_by, f"ended the pause at step {index + 1}")
    for wave in rollout.waves:
        if wave.next_approved_by:
            what = f"approved the wave after {wave.name}"
            yield Act(wave.arrived_at or wave.started_at, wave.next_approved_by, what)
    if (paused := rollout.paused) is not None:
        yield Act(paused.at, paused.by, "paused the rollout", paused.reason)


def _running(status: ModelDeploymentStatus) -> RolloutStatus | None:
    rollout = status.rollout
    return None if rollout is None or rollout.stage is Stage.DONE else rollout


def _seconds(entry: HistoryEntry) -> float:
    return max(0.0, (entry.at - entry.started_at).total_seconds())


def _table(status: ModelDeploymentStatus, now: datetime.datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("ended (UTC)", "version", "verdict", "reason", "took", "by"):
        table.add_column(column, overflow="fold", no_wrap=column in {"ended (UTC)", "took"})
    rollout = _running(status)
    if rollout is not None:
        version = status.canary.version if status.canary else "-"
        took = duration(max(0.0, (now - rollout.started_at).total_seconds()))
        table.add_row("under way", version, rollout.stage.value, "", took, "")
    for entry in status.history:
        table.add_row(
            entry.at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
            entry.version,
            Text(entry.verdict.value, style=COLOURS[entry.verdict]),
            entry.reason,
            duration(_seconds(entry)),
            entry.by or "",
        )
    return table


def _document(hub: Hub, status: ModelDeploymentStatus) -> dict[str, Any]:
    rollout, canary = _running(status), status.canary
    running = rollout and {
        "id": rollout.id,
        "version": canary.version if canary else None,
        "revision": canary.revision if canary else None,
        "stage": rollout.stage.value,
        "startedAt": stamp(rollout.started_at),
    }
    return {
        "namespace": hub.namespace,
        "name": hub.name,
        "running": running,
        "history": [
            {**entry.to_dict(), "seconds": round(_seconds(entry))} for entry in status.history
        ],
        "people": [
            {"at": stamp(act.at), "who": act.who, "what": act.what, "why": act.why}
            for act in people(status)
        ],
    }
