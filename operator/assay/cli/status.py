"""``kubectl assay status NAME``: one screen for whoever is on call."""

import contextlib
import datetime
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pydantic
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate
from assay.rollout.cost import Cost, cost
from assay.rollout.wording import moment

from . import bill_text
from .cluster import Refused
from .contexts import Members, contexts_option
from .document import output_option, show_document
from .hub import Hub, hub_options
from .member_pods import Pods, read_pods
from .screen import Screen, show
from .standing import Standing

_TICKS = 2
"""Seconds between two looks of ``-w``; the times that are left move on every second."""


@click.command("status", short_help="How a ModelDeployment stands, on one screen.")
@click.option("-w", "--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@contexts_option
@output_option
@hub_options
def status_command(
    name: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    contexts: str,
    output: str,
    *,
    watch: bool,
) -> None:
    """Show how a ModelDeployment stands: what serves, what is on trial, and what is waited for.

    A tree from the deployment over waves and members, and the evidence of both versions as bars:
    the band is where the canary may be, and the border where it would be worse by the margin.
    With --contexts each member's pods, too. With prices in the ModelClusters, and the right to read
    them, it says what that costs. The rights of a viewer are enough.

    With -o json or yaml the shape is stable; a BILL is that of `assay plan`, `status` is the object's own:

    \b
    {"namespace", "name", "generation", "status",
     "cost": {"pods": {MEMBER: number}, "perHour": BILL, "perMonth": BILL,
              "trial": BILL or null},         of the last rollout, so far
     "costUnknown": why cost is null, else null}
    and with --contexts "pods": {MEMBER: {"problem": text or null, "pods": [{"name", "revision",
     "ready", "state", "restarts", "startedAt"}]}}
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    hub = Hub(name, namespace, context, kubeconfig)
    members = Members(hub.cluster, kubeconfig, contexts) if contexts else None
    if watch:
        if output != "text":
            raise click.UsageError("-w draws a screen: leave -o out")
        _watch(hub, members)
        return
    seen = _look(hub, members)
    if output == "text":
        show(Console(highlight=False), Screen(seen.standing()))
    else:
        show_document(seen.document(), output)


class _Seen:
    """One look at the hub, and at the members that can be asked."""

    def __init__(
        self,
        hub: Hub,
        document: dict[str, Any],
        status: ModelDeploymentStatus,
        clusters: tuple[Candidate, ...] | None,
        unreadable: str | None,
        pods: dict[str, Pods] | None,
    ) -> None:
        self._hub = hub
        self._document, self._status = document, status
        self._clusters, self._unreadable, self._pods = clusters, unreadable, pods
        self.at = datetime.datetime.now(datetime.UTC)
        self._spec: ModelDeploymentSpec | None = None
        with contextlib.suppress(pydantic.ValidationError):  # status tells the most
            self._spec = ModelDeploymentSpec.model_validate(document.get("spec") or {})

    def standing(self) -> Standing:
        """Return what the screen shows now."""
        now = datetime.datetime.now(datetime.UTC)
        costs, unknown = self._cost(now)
        lines = [("cost", unknown)] if unknown else []
        if costs and any(each.spec.cost is not None for each in self._clusters or ()):
            lines = list(cost_lines(costs, self._status))
        return Standing(
            f"{self._hub.namespace}/{self._hub.name}",
            self._document["metadata"].get("generation", 0),
            self._spec,
            self._status,
            now,
            {each.name: each.labels for each in self._clusters or ()},
            self._pods or {},
            tuple(lines),
        )

    def says(self) -> object:
        """Return what would be printed anew if it differed: neither ages nor times that are left."""
        return self._document["metadata"].get("generation", 0), self._status, self._pods

    def document(self) -> dict[str, Any]:
        """Return what programs read."""
        costs, unknown = self._cost(datetime.datetime.now(datetime.UTC))
        answer = {
            "namespace": self._hub.namespace,
            "name": self._hub.name,
            "generation": self._document["metadata"].get("generation", 0),
            "status": self._document.get("status") or {},
            "cost": costs and report(costs),
            "costUnknown": unknown,
        }
        if self._pods is not None:
            answer["pods"] = {
                member: {
                    "problem": found.problem or None,
                    "pods": [each.document() for each in found.pods],
                }
                for member, found in self._pods.items()
            }
        return answer

    def _cost(self, now: datetime.datetime) -> tuple[Cost | None, str | None]:
        """Return what it costs, or why that is not known."""
        if self._clusters is None:
            return None, self._unreadable
        if self._spec is None:
            return None, "the spec cannot be read: this command is older than the operator"
        return cost(self._spec, self._status, self._clusters, now), None


def _look(hub: Hub, members: Members | None) -> _Seen:
    """Read all that is shown. Raises `click.ClickException` if the ModelDeployment cannot be read."""
    document, status = hub.read()
    clusters, unreadable = None, None
    try:
        clusters = bill_text.clusters_on(hub.cluster)
    except Refused as error:
        unreadable = f"prices are not readable: {error.message}"
    pods = None if members is None else _pods(hub, members, status, clusters or ())
    return _Seen(hub, document, status, clusters, unreadable, pods)


def _pods(
    hub: Hub, members: Members, status: ModelDeploymentStatus, clusters: tuple[Candidate, ...]
) -> dict[str, Pods]:
    specs = {each.name: each.spec for each in clusters}
    asked = {item.name: members.get(item.name, specs.get(item.name)) for item in status.clusters}
    reached = {name: member for name, member in asked.items() if member is not None}
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(lambda it: read_pods(it, hub.namespace, hub.name), reached.values())
        return dict(zip(reached, found, strict=True))


def _watch(hub: Hub, members: Members | None) -> None:
    """Draw the screen in place until Ctrl-C; without a terminal print it whenever it has changed."""
    console = Console(highlight=False)
    seen, trouble = _look(hub, members), ""
    with contextlib.suppress(KeyboardInterrupt), _drawing(console) as draw:
        for tick in itertools.count(1):
            draw(seen, trouble)
            time.sleep(1.0)
            if tick % _TICKS == 0:
                seen, trouble = _again(hub, members, seen)


@contextlib.contextmanager
def _drawing(console: Console) -> Iterator[Callable[[_Seen, str], None]]:
    """Yield what draws a look, with what is in the way of newer ones."""
    if not console.is_terminal:
        last: list[object] = []

        def write(seen: _Seen, trouble: str) -> None:
            said = [seen.says(), trouble]
            if said != last:
                last[:] = said
                show(console, _with(seen, trouble))

        yield write
        return
    # What does not fit is cut below: the first lines are those that matter.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda seen, trouble: live.update(_with(seen, trouble), refresh=True)


def _with(seen: _Seen, trouble: str) -> RenderableType:
    note = [Text(trouble, style="red")] if trouble else []
    return Group(*note, Screen(seen.standing()))


def _again(hub: Hub, members: Members | None, seen: _Seen) -> tuple[_Seen, str]:
    """Look again; what was seen last stays if the hub does not answer."""
    try:
        return _look(hub, members), ""
    except Refused as error:
        if 400 <= error.status < 500:
            raise  # it is gone, or no longer ours to see
        return seen, f"{error.message} (what follows is of {moment(seen.at)})"


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
