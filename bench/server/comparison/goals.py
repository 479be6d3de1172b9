"""What must hold, and whether it does. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.server.comparison.results import Ratio, Results

MEGABYTE_PER_MIB = 1024 * 1024 / 1e6


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: what, the bound, what was measured (None: it was not), and if that is enough."""

    what: str
    bound: str
    measured: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Names:
    """Whose results are compared."""

    ours: str
    echo: str
    peers: Sequence[str]


# Model, connections, times the best peer.
FASTER = (
    ("cancer", 64, 12.0),
    ("cancer", 16, 8.0),
    ("cancer", 1, 4.0),
    ("digits", 64, 12.0),
    ("forest", 64, 3.0),
)
LEAST_OF_ECHO = 0.7
MOST_P99 = 5.0
MOST_MEGABYTES = 150.0
MOST_COLD_SECONDS = 2.0


def judge(results: Results, names: Names) -> list[Goal]:
    """Return every goal with what was measured."""
    goals = [
        _ratio(
            f"{model}, {_plural(connections)}: times the best peer",
            results.ratio(model, names.ours, names.peers, connections),
            least,
        )
        for model, connections, least in FASTER
    ]
    echo = results.ratio("cancer", names.ours, [names.echo], 64)
    goals.append(
        _ratio("cancer, 64 connections: share of an empty echo", echo, LEAST_OF_ECHO, percent=True)
    )
    cell = results.cell("cancer", names.ours, 64)
    p99 = None
    if cell is not None:
        told = f"{_mark(cell.disturbed)}{cell.p99:.2f} ms (wrk's {cell.corrected_p99:.2f})"
        p99 = (told, cell.p99)
    goals.append(_below("cancer, 64 connections: p99", f"< {MOST_P99:g} ms", p99, MOST_P99))
    visit = results.visit("cancer", names.ours)
    size = cold = None
    if visit is not None:
        megabytes = visit.resident * MEGABYTE_PER_MIB
        size = (f"{megabytes:.0f} MB", megabytes)
        cold = (f"{visit.cold_seconds:.2f} s", visit.cold_seconds)
    goals.append(
        _below("cancer: memory after the load", f"< {MOST_MEGABYTES:g} MB", size, MOST_MEGABYTES)
    )
    goals.append(
        _below("cancer: first right answer", f"< {MOST_COLD_SECONDS:g} s", cold, MOST_COLD_SECONDS)
    )
    ours = [run.errors for run in results.runs if run.server == names.ours]
    errors = (str(sum(ours)), float(sum(ours))) if ours else None
    goals.append(_below("all models: errors", "0", errors, 0.5))
    return goals


def _ratio(what: str, ratio: Ratio | None, least: float, *, percent: bool = False) -> Goal:
    bound = f">= {least:.0%}" if percent else f">= {least:g}"
    if ratio is None:
        return Goal(what, bound, "", None)
    value = f"{ratio.value:.0%}" if percent else f"{ratio.value:.1f}"
    measured = f"{_mark(ratio.disturbed)}{value} ({ratio.rival})"
    return Goal(what, bound, measured, ratio.value >= least)


def _below(what: str, bound: str, measured: tuple[str, float] | None, limit: float) -> Goal:
    if measured is None:
        return Goal(what, bound, "", None)
    text, value = measured
    return Goal(what, bound, text, value < limit)


def _mark(disturbed: bool) -> str:  # noqa: FBT001 - the one question it answers
    return "~" if disturbed else ""


def _plural(connections: int) -> str:
    return f"{connections} connection" + ("" if connections == 1 else "s")
