"""``kubectl assay events NAME``: what happened to a ModelDeployment, on the hub and in its members."""

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.rollout.wording import moment

from . import bill_text
from .cluster import Cluster, Refused
from .contexts import Members, contexts_option
from .document import output_option, show_document
from .hub import Hub, hub_options
from .report_log import stamp
from .screen import show

HUB = "hub"


@dataclass(frozen=True)
class Happened:
    """One event, with how often it came.

    Attributes
    ----------
    where
        ``hub``, or the member's name.
    about
        Kind and name of the object.
    at
        When it came last.
    """

    at: datetime.datetime
    where: str
    type: str
    reason: str
    about: str
    message: str
    count: int = 1

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "at": stamp(self.at),
            "where": self.where,
            "type": self.type,
            "reason": self.reason,
            "about": self.about,
            "message": self.message,
            "count": self.count,
        }


@click.command("events", short_help="What happened to it, newest last.")
@click.option("--warnings", is_flag=True, help="Those of type Warning only.")
@contexts_option
@output_option
@hub_options
def events_command(
    name: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    contexts: str,
    output: str,
    *,
    warnings: bool,
) -> None:
    """List the events of a ModelDeployment, newest last; with --contexts those of its pods, too.

    An API server forgets events after an hour, unless it was told otherwise; `kubectl assay history`
    knows more of the past. A member that cannot be asked is named on stderr.

    With -o json or yaml: a list of {"at", "where", "type", "reason", "about", "message", "count"}.
    """
    hub = Hub(name, namespace, context, kubeconfig)
    _, status = hub.read()
    about = f"involvedObject.kind=ModelDeployment,involvedObject.name={name}"
    found = list(_events(hub.cluster, hub.namespace, HUB, about))
    members = Members(hub.cluster, kubeconfig, contexts)
    try:
        specs = {each.name: each.spec for each in bill_text.clusters_on(hub.cluster)}
    except Refused:
        specs = {}  # then nobody knows whether the hub is a member itself
    for member in dict.fromkeys((*(item.name for item in status.clusters), *members.names)):
        asked = members.get(member, specs.get(member))
        if asked is None:
            continue
        try:
            found += _of(name, _events(asked, hub.namespace, member))
        except Refused as error:
            click.echo(f"warning: events of member {member} are missing: {error.message}", err=True)
    found = [item for item in found if not warnings or item.type == "Warning"]
    found.sort(key=lambda item: item.at)
    if output != "text":
        show_document([item.document() for item in found], output)
    elif found:
        show(Console(highlight=False), events_table(found))
    else:
        click.echo("no events are kept (an API server forgets them after an hour)")


def _of(name: str, found: Iterable[Happened]) -> Iterator[Happened]:
    """Return those about what a ModelDeployment has in a member; pods that are gone are among them."""
    # The ten digits of a revision keep another one's objects out, those of `fraud-eu` for instance.
    ours = re.compile(rf"{re.escape(name)}(\.preview|(-[0-9a-f]{{10}}|-ledger)([-.].*)?)?")
    for item in found:
        if ours.fullmatch(item.about.partition("/")[2]):
            yield item


def _events(
    cluster: Cluster, namespace: str, where: str, field_selector: str = ""
) -> Iterator[Happened]:
    """Yield the events of a namespace, page by page. Raises `Refused`."""
    query = {"limit": "500", **({"fieldSelector": field_selector} if field_selector else {})}
    while True:
        answer = cluster.request("GET", f"/api/v1/namespaces/{namespace}/events", query)
        for document in answer.get("items") or ():
            yield event_of(document, where)
        following = (answer.get("metadata") or {}).get("continue")
        if not following:
            return
        query["continue"] = following


def event_of(document: Mapping[str, Any], where: str) -> Happened:
    """Read an event of either API: the newer one has a series, and microseconds."""
    about, series = document.get("involvedObject") or {}, document.get("series") or {}
    at = (
        series.get("lastObservedTime")
        or document.get("lastTimestamp")
        or document.get("eventTime")
        or document["metadata"]["creationTimestamp"]
    )
    return Happened(
        datetime.datetime.fromisoformat(at),
        where,
        document.get("type") or "Normal",
        document.get("reason") or "",
        f"{about.get('kind', '')}/{about.get('name', '')}",
        " ".join((document.get("message") or "").split()),
        series.get("count") or document.get("count") or 1,
    )


def events_table(found: list[Happened]) -> Table:
    """Draw them on 80 columns."""
    table = Table.grid(padding=(0, 2))
    members = any(item.where != HUB for item in found)
    for item in found:
        times = f" (x{item.count})" if item.count > 1 else ""
        about = "" if item.where == HUB else f"{item.about.partition('/')[2]}: "
        row = [Text(moment(item.at).removesuffix(" UTC"))]
        if members:
            row.append(Text(item.where))
        colour = "red" if item.type == "Warning" else ""
        # Reason and message share a column: 80 columns have no room for two.
        row.append(Text.assemble((f"{item.reason}{times}  ", colour), about + item.message))
        table.add_row(*row)
    return table
