"""What a person sees while a fleet is made: the steps under way, how long they take, what remains."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT_SECONDS = 30.0


class Reporter(Protocol):
    """Takes note of steps as they begin and end."""

    @contextmanager
    def step(self, name: str, estimate: float | None = None) -> Iterator[None]:
        """Show a step for as long as the block runs; ``estimate`` in seconds."""
        yield

    def note(self, text: str) -> None:
        """Show one line."""


@dataclass
class Step:
    """A step under way."""

    name: str
    estimate: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began


class Silent:
    """Shows nothing: for tests and for the Python interface."""

    @contextmanager
    def step(self, name: str, estimate: float | None = None) -> Iterator[None]:
        """Run the block."""
        yield

    def note(self, text: str) -> None:
        """Do nothing."""


class Screen:
    """Shows steps on a terminal as they run, elsewhere one line when a step ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._steps: list[Step] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(
                console=self.console,
                get_renderable=self._table,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        else:
            threading.Thread(target=self._report, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._live is not None:
            self._live.stop()

    @contextmanager
    def step(self, name: str, estimate: float | None = None) -> Iterator[None]:
        """Show a step for as long as the block runs; ``estimate`` in seconds."""
        step = Step(name, estimate)
        with self._lock:
            self._steps.append(step)
        try:
            yield
        except BaseException:
            self._print(f"[red]failed[/] {name} after {step.elapsed:.1f} s")
            raise
        else:
            self._print(f"[green]done[/] {name} [dim]{step.elapsed:.1f} s[/]")
        finally:
            with self._lock:
                self._steps.remove(step)

    def note(self, text: str) -> None:
        """Show one line."""
        self._print(text)

    def _print(self, markup: str) -> None:
        total = time.monotonic() - self._began
        self.console.print(f"[dim]{total:6.1f} s[/] {markup}", soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for step in self._steps:
                table.add_row(
                    Text("..."), Text(step.name), Text(f"{step.elapsed:.0f} s"), _left(step)
                )
        return table

    def _report(self) -> None:
        """Where there is no terminal, say now and then what is still under way."""
        while not self._stop.wait(REPORT_SECONDS):
            with self._lock:
                long = [step for step in self._steps if step.elapsed > REPORT_SECONDS / 2]
            for step in long:
                self._print(f"[dim]still[/] {step.name} {step.elapsed:.0f} s {_left(step)}")


def _left(step: Step) -> Text:
    if step.estimate is None:
        return Text("")
    left = step.estimate - step.elapsed
    return Text(f"about {left:.0f} s left" if left > 0 else "any moment now", style="dim")
