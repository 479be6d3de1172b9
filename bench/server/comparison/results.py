"""What was measured, which of it counts, and how servers compare. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

# Processor time that neither the server nor wrk took, in cores. Loopback traffic alone makes 0.2.
MOST_FOREIGN = 0.35


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk against one server; latencies in milliseconds, as in `wrk.Load`."""

    model: str
    server: str
    round: int
    connections: int
    rate: float
    p50: float
    p99: float
    corrected_p99: float
    errors: int
    # Processor time of the server per answer.
    microseconds: float
    # Cores that were busy with something else meanwhile.
    foreign: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What a server took when it was started for the runs of a round; memory in MiB after them."""

    model: str
    server: str
    round: int
    cold_seconds: float
    resident: float
    proportional: float


@dataclass(frozen=True, slots=True)
class Cell:
    """Medians over the runs that count; `disturbed` if the only one was not a clean one."""

    runs: int
    rate: float
    lowest: float
    highest: float
    p50: float
    p99: float
    corrected_p99: float
    errors: int
    microseconds: float
    disturbed: bool


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast: the median over rounds in which both were measured."""

    value: float
    rival: str
    rounds: int
    disturbed: bool


class Results:
    """All runs of a comparison."""

    def __init__(self, runs: Iterable[Run] = (), visits: Iterable[Visit] = ()) -> None:
        self.runs = list(runs)
        self.visits = list(visits)

    def counted(self, model: str, server: str, connections: int) -> tuple[list[Run], bool]:
        """Return the runs without much foreign load; else the least disturbed one, and True."""
        key = (model, server, connections)
        runs = [run for run in self.runs if (run.model, run.server, run.connections) == key]
        clean = [run for run in runs if run.foreign <= MOST_FOREIGN]
        if clean or not runs:
            return clean, False
        return [min(runs, key=lambda run: run.foreign)], True

    def dropped(self) -> int:
        """Return how many runs do not count."""
        keys = {(run.model, run.server, run.connections) for run in self.runs}
        return len(self.runs) - sum(len(self.counted(*key)[0]) for key in keys)

    def cell(self, model: str, server: str, connections: int) -> Cell | None:
        """Return what one field of the table shows; None if it was not measured."""
        runs, disturbed = self.counted(model, server, connections)
        if not runs:
            return None
        rates = [run.rate for run in runs]
        return Cell(
            runs=len(runs),
            rate=median(rates),
            lowest=min(rates),
            highest=max(rates),
            p50=median(run.p50 for run in runs),
            p99=median(run.p99 for run in runs),
            corrected_p99=median(run.corrected_p99 for run in runs),
            errors=sum(run.errors for run in runs),
            microseconds=median(run.microseconds for run in runs),
            disturbed=disturbed,
        )

    def ratio(
        self, model: str, server: str, rivals: Sequence[str], connections: int
    ) -> Ratio | None:
        """Compare a server with the best of its rivals, within rounds, where noise hits all alike.

        Rounds in which the server or every rival was disturbed count only if there are no others.
        None if the server or all rivals were not measured.
        """
        disturbed = False
        found = self._ratios(model, server, rivals, connections, clean=True)
        if not found:
            disturbed = True
            found = self._ratios(model, server, rivals, connections, clean=False)
        if not found:
            return None
        names = [rival for _, rival in found]
        # Of equally frequent ones the first.
        rival = max(rivals, key=names.count)
        return Ratio(median(value for value, _ in found), rival, len(found), disturbed)

    def _ratios(
        self, model: str, server: str, rivals: Sequence[str], connections: int, *, clean: bool
    ) -> list[tuple[float, str]]:
        rounds: dict[int, dict[str, float]] = {}
        for run in self.runs:
            wanted = run.model == model and run.connections == connections
            if wanted and (not clean or run.foreign <= MOST_FOREIGN):
                rounds.setdefault(run.round, {})[run.server] = run.rate
        found = []
        for rates in rounds.values():
            there = [rival for rival in rivals if rates.get(rival)]
            if server in rates and there:
                best = max(there, key=rates.__getitem__)
                found.append((rates[server] / rates[best], best))
        return found

    def visit(self, model: str, server: str) -> Visit | None:
        """Return the medians of cold start and memory; None if the server was not measured."""
        visits = [visit for visit in self.visits if (visit.model, visit.server) == (model, server)]
        if not visits:
            return None
        return Visit(
            model=model,
            server=server,
            round=len(visits),
            cold_seconds=median(visit.cold_seconds for visit in visits),
            resident=median(visit.resident for visit in visits),
            proportional=median(visit.proportional for visit in visits),
        )
