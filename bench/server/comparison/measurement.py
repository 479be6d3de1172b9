"""Rounds in which every server takes its turn on the same core."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.server.comparison import machine, tables, wrk
from bench.server.comparison.processes import Running, ServerFailedError, running
from bench.server.comparison.results import MOST_FOREIGN, Results, Run, Visit
from bench.server.comparison.servers import OURS, Server
from bench.server.comparison.workloads import HEADERS, Workload, ask, prepare

WARM_SECONDS = 1
WARM_CONNECTIONS = 16
MOST_FAULTS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    servers: Sequence[Server]
    models: Sequence[str]
    connections: Sequence[int]
    seconds: float
    rounds: int


class Comparison:
    """Measures a plan; what goes wrong with one server is kept in `faults` and stops no other.

    A server that failed twice with a model is not tried again with it.
    """

    def __init__(self, plan: Plan, roots: dict[str, Path], nice: int = 0) -> None:
        self._plan = plan
        self._roots = roots
        self._nice = nice
        self._cores = machine.cores()
        self.results = Results()
        self.faults: dict[tuple[str, str], list[str]] = {}

    def run(self, folder: Path) -> None:
        """Measure everything; files go to the folder."""
        workloads = [prepare(name, folder / name) for name in self._plan.models]
        turns = list(self._turns(workloads))
        print(
            f"checking {len(turns) // self._plan.rounds} servers against scikit-learn", flush=True
        )
        for _, workload, server in turns[: len(turns) // self._plan.rounds]:
            self._checked(workload, server)
        begin = time.monotonic()
        for number, (count, workload, server) in enumerate(turns, 1):
            if len(self.faults.get((workload.name, server.name), ())) >= MOST_FAULTS:
                continue
            shown = f"[{number}/{len(turns)}] round {count}, {workload.name}, {server.name}:"
            try:
                line = self._measured(count, workload, server)
            except ServerFailedError as error:
                line = self._failed(workload, server, error)
            rest = (time.monotonic() - begin) / number * (len(turns) - number)
            print(f"{shown} {line}  ({rest:.0f} s to go)", flush=True)

    def _turns(self, workloads: Sequence[Workload]) -> Iterator[tuple[int, Workload, Server]]:
        for count in range(1, self._plan.rounds + 1):
            for workload in workloads:
                servers = [
                    server
                    for server in self._plan.servers
                    if server.models is None or workload.name in server.models
                ]
                # Ours first in the first round: the echo answers what it answered then.
                start = (count - 1) % len(servers)
                for server in servers[start:] + servers[:start]:
                    yield count, workload, server

    def _checked(self, workload: Workload, server: Server) -> None:
        try:
            with self._running(server, workload) as there:
                if server.name == OURS:
                    answer = ask(there.port, workload.request())
                    (workload.folder / "answer").write_bytes(answer)
                print(f"  {workload.name}, {server.name}: right", flush=True)
        except ServerFailedError as error:
            line = self._failed(workload, server, error)
            print(f"  {workload.name}, {server.name}: {line}", flush=True)

    def _failed(self, workload: Workload, server: Server, error: Exception) -> str:
        self.faults.setdefault((workload.name, server.name), []).append(str(error))
        return f"FAILED: {error}"

    def _running(self, server: Server, workload: Workload) -> AbstractContextManager[Running]:
        root = self._roots[server.name]
        return running(server, workload, root, self._cores.server, nice=self._nice)

    def _measured(self, count: int, workload: Workload, server: Server) -> str:
        script = workload.folder / "request.lua"
        script.write_text(wrk.script(workload.request(), HEADERS))
        shown = []
        with self._running(server, workload) as there:
            self._load(there, script, WARM_CONNECTIONS, WARM_SECONDS)
            for connections in self._plan.connections:
                run = self._one(count, workload, server, there, script, connections)
                self.results.runs.append(run)
                mark = "" if run.foreign <= MOST_FOREIGN else f" (foreign {run.foreign:.1f})"
                shown.append(f"c{connections} {tables.number(run.rate)}/s{mark}")
            memory = machine.memory(there.pid)
            self.results.visits.append(
                Visit(
                    model=workload.name,
                    server=server.name,
                    round=count,
                    cold_seconds=there.cold_seconds,
                    resident=memory.resident,
                    proportional=memory.proportional,
                )
            )
        return ", ".join(shown)

    def _one(
        self,
        count: int,
        workload: Workload,
        server: Server,
        there: Running,
        script: Path,
        connections: int,
    ) -> Run:
        # The sum over all processes takes a while: outside of the time that is looked at.
        spent = there.processor_seconds()
        busy, own, begin = machine.busy_seconds(), time.process_time(), time.perf_counter()
        load = self._load(there, script, connections, self._plan.seconds)
        elapsed = time.perf_counter() - begin
        busy, own = machine.busy_seconds() - busy, time.process_time() - own
        spent = there.processor_seconds() - spent
        foreign = (busy - spent - own - load.processor) / elapsed
        return Run(
            model=workload.name,
            server=server.name,
            round=count,
            connections=connections,
            rate=load.rate,
            p50=load.p50,
            p99=load.p99,
            corrected_p99=load.corrected_p99,
            errors=load.errors,
            microseconds=spent / max(load.answers, 1) * 1e6,
            foreign=max(foreign, 0.0),
        )

    def _load(self, there: Running, script: Path, connections: int, seconds: float) -> wrk.Load:
        return wrk.run(
            there.url,
            script,
            connections=connections,
            seconds=seconds,
            core=self._cores.load,
            nice=self._nice,
        )
