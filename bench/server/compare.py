"""Model servers side by side: ours and its peers, same model, same request, one core each.

    .venv/bin/python -m bench.server.compare [--peers ...] [--models ...] [--seconds 5] [--rounds 3]

Every server runs alone on one core and wrk on another. Within a round all servers take their turn,
each round in another order, so that a noisy machine hits all alike. `make bench-server` runs it.
Exit code 1: a server could not be installed, or did not answer what scikit-learn does.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.server.comparison import machine, tables, wrk
from bench.server.comparison.environments import (
    InstallError,
    environment,
    own_environment,
    python_version,
)
from bench.server.comparison.measurement import Comparison, Plan
from bench.server.comparison.report import report
from bench.server.comparison.servers import OWN, PEERS, Server
from bench.server.comparison.workloads import MODELS

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
# Before other work on the machine, servers and wrk alike; only root may.
NICE = -10


def installed(
    servers: Sequence[Server], faults: dict[str, str], own: Path | None = None
) -> dict[str, Path]:
    """Return the virtual environment of each server; those that cannot be had go to `faults`.

    `own` is that of our own servers, by default one with what their image holds.
    """
    own = own or own_environment()
    roots = {server.name: own for server in servers if server.environment is None}
    peers = [server for server in servers if server.environment is not None]
    for number, server in enumerate(peers, 1):
        try:
            roots[server.name] = environment(server.environment or "", number, len(peers))
        except InstallError as error:
            faults[server.name] = f"cannot be installed: {error}"
            print(f"[{number}/{len(peers)}] {server.name} {faults[server.name]}", flush=True)
    return roots


def some(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of names between commas."""

    def read(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        if unknown := sorted(set(chosen) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: know {', '.join(known)}")
        return [name for name in known if name in chosen]

    return read


def counts(text: str) -> list[int]:
    """Read whole numbers between commas."""
    return sorted({int(word) for word in text.split(",")})


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    peers = [server.name for server in PEERS]
    models = list(MODELS)
    parser = argparse.ArgumentParser(
        prog="bench.server.compare", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--peers", type=some(peers), default=",".join(peers), help="'' for none")
    add("--models", type=some(models), default=",".join(models), help="models to serve")
    add("--connections", type=counts, default="1,16,64", help="numbers of connections")
    add("--seconds", type=float, default=5, help="of each run, at least 1")
    add("--rounds", type=int, default=3, help="turns of each server")
    add("--own", type=Path, help="environment of our server; else one like its image")
    add("--document", type=Path, default=DOCUMENT, help="where the report belongs")
    add("--no-write", action="store_true", help="only print the report")
    return parser.parse_args(arguments)


def measure(given: argparse.Namespace, command: str, folder: Path) -> int:
    """Install, measure, report; return the exit code. Raises WrkError or NoPlaceError."""
    where = f"{machine.description()}; Python {python_version()}"
    wrk.ensure()
    wanted = [*OWN, *(server for server in PEERS if server.name in given.peers)]
    faults: dict[str, str] = {}
    roots = installed(wanted, faults, given.own)
    servers = [server for server in wanted if server.name in roots]
    plan = Plan(servers, given.models, given.connections, given.seconds, given.rounds)
    comparison = Comparison(plan, roots, NICE if os.geteuid() == 0 else 0)
    comparison.run(folder)
    for (model, server), failures in comparison.faults.items():
        faults[f"{server} with {model}"] = failures[-1]
    text = report(comparison.results, plan, faults, command=command, where=where)
    print(f"\n{text}", flush=True)
    if not given.no_write:
        tables.write(given.document, text)
        print(f"\nwritten to {given.document}")
    return 1 if faults else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code. No process or temporary file of it stays."""
    given = options(arguments)
    command = shlex.join(["python", "-m", "bench.server.compare", *arguments])
    try:
        with machine.nothing_left("assay-bench-") as folder:
            return measure(given, command, folder)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (wrk.WrkError, tables.NoPlaceError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
