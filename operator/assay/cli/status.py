"""``kubectl assay status NAME``: one screen for whoever is on call."""

import contextlib
import datetime
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from assay.rollout.wording import moment

from .cluster import Refused
from .contexts import Members, contexts_option
from .document import output_option, show_document
from .hub import Hub, hub_options
from .look import Look, look
from .screen import Screen, show

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
              "trial": BILL or null,          of the last rollout, so far
              "past": {ROLLOUT: BILL}},       of those before it, where history knows
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
    seen = look(hub, members)
    if output == "text":
        show(Console(highlight=False), Screen(seen.standing(clock())))
    else:
        show_document(seen.document(), output)


def _watch(hub: Hub, members: Members | None) -> None:
    """Draw the screen in place until Ctrl-C; without a terminal print it whenever it has changed."""
    console = Console(highlight=False)
    seen, trouble = look(hub, members), ""
    with contextlib.suppress(KeyboardInterrupt), _drawing(console) as draw:
        for tick in itertools.count(1):
            draw(seen, trouble)
            time.sleep(1.0)
            if tick % _TICKS == 0:
                seen, trouble = _again(hub, members, seen)


@contextlib.contextmanager
def _drawing(console: Console) -> Iterator[Callable[[Look, str], None]]:
    """Yield what draws a look, with what is in the way of newer ones."""
    if not console.is_terminal:
        last: list[object] = []

        def write(seen: Look, trouble: str) -> None:
            said = [seen.says(), trouble]
            if said != last:
                last[:] = said
                show(console, _with(seen, trouble))

        yield write
        return
    # What does not fit is cut below: the first lines are those that matter.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda seen, trouble: live.update(_with(seen, trouble), refresh=True)


def clock() -> datetime.datetime:
    """Return the time of now."""
    return datetime.datetime.now(datetime.UTC)


def _with(seen: Look, trouble: str) -> RenderableType:
    note = [Text(trouble, style="red")] if trouble else []
    return Group(*note, Screen(seen.standing(clock())))


def _again(hub: Hub, members: Members | None, seen: Look) -> tuple[Look, str]:
    """Look again; what was seen last stays if the hub does not answer."""
    try:
        return look(hub, members), ""
    except Refused as error:
        if 400 <= error.status < 500:
            raise  # it is gone, or no longer ours to see
        return seen, f"{error.message} (what follows is of {moment(seen.at)})"
