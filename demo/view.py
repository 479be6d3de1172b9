"""What a person sees: a live page on a terminal, plain lines everywhere else.

Fits 80 columns. The plain form prints a line when something changed, and a sign of life now and
then, so that a CI log tells the same story.
"""

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.evidence import Look, MetricPoint

_EVENTS_SHOWN = 6
_QUIET_SECONDS = 5.0
_TITLES = {"f1": "F1", "auc": "AUC"}
_VERDICT_STYLE = {"Promote": "bold green", "Rollback": "bold red", "Hold": "bold yellow"}


@dataclass(frozen=True)
class Traffic:
    """What the load client saw: totals, and who answered in the last few seconds."""

    requests: int = 0
    failed: int = 0
    labels: int = 0
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """Everything on the page at one moment.

    Attributes
    ----------
    chapter
        What is going on, in one line.
    stable, canary
        Versions; empty if there is none.
    stage
        Stage of the rollout, empty outside of one.
    steps, step
        Weights of the trial's steps, and the index of the one that runs.
    members
        One short text for each member.
    """

    chapter: str
    stable: str = ""
    canary: str = ""
    stage: str = ""
    steps: tuple[int, ...] = ()
    step: int = 0
    look: Look | None = None
    traffic: Traffic = Traffic()
    members: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


class View(Protocol):
    """Shows scenes, and notes that stay on the screen above them."""

    def __enter__(self) -> Self:
        """Take the screen."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the screen back; what was noted stays."""

    def show(self, scene: Scene) -> None:
        """Show the scene as it is now."""

    def note(self, text: str) -> None:
        """Say something that stays."""


def choose(console: Console) -> View:
    """Return the live view on a terminal, else plain lines."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class LiveView:
    """The page, drawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Take the screen."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the screen back."""
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Draw the scene in place of the one before."""
        self._live.update(page(scene, time.monotonic() - self._began), refresh=True)

    def note(self, text: str) -> None:
        """Print above the page."""
        self._live.console.print(text, highlight=False)


class PlainView:
    """One line for each change, and one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._last_key: object = None
        self._last_time = 0.0
        self._events: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        """Do nothing: lines need no screen."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def show(self, scene: Scene) -> None:
        """Print the scene's new events, and its line if it says something new."""
        for event in scene.events:
            if event not in self._events:
                self._print(f"event: {event}")
        self._events = scene.events
        verdict = scene.look.verdict if scene.look else ""
        key = (scene.chapter, scene.stage, scene.step, scene.stable, scene.canary, verdict)
        now = time.monotonic()
        if key != self._last_key or now - self._last_time >= _QUIET_SECONDS:
            self._last_key, self._last_time = key, now
            self._print(line(scene))

    def note(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def _print(self, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"[{_clock(elapsed)}] {text}", highlight=False, markup=False)


def page(scene: Scene, elapsed: float) -> RenderableType:
    """Return the whole page; 80 columns are enough."""
    head = Text.assemble(
        ("Assay demo ", "bold"), (_clock(elapsed), "dim"), ("  "), (scene.chapter, "bold cyan")
    )
    parts: list[RenderableType] = [head, _position(scene), Text()]
    if scene.look is not None:
        parts += [_metrics(scene.look), _verdict(scene.look), Text()]
    parts.append(_traffic(scene.traffic))
    parts += [Text(text, style="dim", overflow="ellipsis", no_wrap=True) for text in scene.members]
    if scene.events:
        parts.append(Text())
        parts += [
            Text(f"· {event}", style="dim", overflow="ellipsis", no_wrap=True)
            for event in scene.events[-_EVENTS_SHOWN:]
        ]
    return Group(*parts)


def line(scene: Scene) -> str:
    """Return the scene as one line of text."""
    parts = [scene.chapter]
    if scene.stable:
        parts.append(f"stable {scene.stable}")
    if scene.stage:
        parts.append(f"{scene.stage} {scene.canary}".strip())
    if scene.steps and scene.canary:
        weight = scene.steps[min(scene.step, len(scene.steps) - 1)]
        parts.append(f"step {scene.step + 1}/{len(scene.steps)} ({weight} %)")
    if scene.look is not None:
        parts += [
            f"{_title(name)} {_value(point.stable)} -> {_value(point.canary)}"
            for name, point in scene.look.metrics.items()
        ]
        stable, canary = scene.look.labels
        parts.append(f"labels {stable}+{canary}")
        parts.append(f"{scene.look.verdict} ({scene.look.reason})")
    traffic = scene.traffic
    if traffic.requests:
        parts.append(f"{traffic.requests} requests, {traffic.failed} failed")
    return "; ".join(parts)


def _position(scene: Scene) -> Text:
    text = Text()
    if scene.stable:
        text.append("stable ")
        text.append(f"version {scene.stable}", style="bold")
    if scene.canary:
        text.append("   canary ")
        text.append(f"version {scene.canary}", style="bold")
    if scene.stage:
        text.append(f"   {scene.stage}")
    if scene.steps and scene.canary:
        text.append("   ")
        for index, weight in enumerate(scene.steps):
            now = index == scene.step
            text.append(f" {weight} % ", style="reverse" if now else "dim")
    return text


def _metrics(look: Look) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "stable", "canary", "difference", "promote", "roll back"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name, point in look.metrics.items():
        table.add_row(
            Text(_title(name), style="bold"),
            _value(point.stable),
            _value(point.canary),
            _difference(point),
            _evidence(point.log_e_promote, point.limit_promote, "green"),
            _evidence(point.log_e_rollback, point.limit_rollback, "red"),
        )
    return table


def _verdict(look: Look) -> Text:
    stable, canary = look.labels
    return Text.assemble(
        (look.verdict, _VERDICT_STYLE.get(look.verdict, "bold")),
        f" {look.reason}   {stable:,} + {canary:,} labels (stable + canary)",
    )


def _traffic(traffic: Traffic) -> Text:
    text = Text.assemble(
        f"{traffic.requests:,} requests, ",
        (f"{traffic.failed} failed", "bold red" if traffic.failed else "bold green"),
        f", {traffic.labels:,} labels counted",
    )
    if traffic.shares:
        shares = ", ".join(f"v{name} {share:.0%}" for name, share in sorted(traffic.shares.items()))
        text.append(f"   now: {shares}")
    return text


def _difference(point: MetricPoint) -> str:
    if point.difference is None or point.lower is None or point.upper is None:
        return "-"
    return f"{point.difference:+.3f} [{point.lower:+.3f}, {point.upper:+.3f}]"


def _evidence(value: float | None, limit: float | None, style: str) -> Text:
    if value is None or limit is None:
        return Text("-")
    return Text(f"{value:.1f} of {limit:.1f}", style=f"bold {style}" if value >= limit else "")


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _title(name: str) -> str:
    return _TITLES.get(name, name)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
