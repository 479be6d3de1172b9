"""The model server of this tree beside that of an earlier commit, in pairs.

    .venv/bin/python -m bench.server.pairs COMMIT [--connections 1,16,64] [--pairs 12]

Both servers run all the time on one core; wrk, on another, asks them in turn for a second each, so that a
noisy machine hits both alike. Printed are medians, and the medians over pairs of two ratios to the earlier
commit: of requests per second, and of the server's processor time per answer, which other work on the
machine disturbs least. Before each second of measuring comes one of warming.
"""

import argparse
import io
import subprocess
import tarfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.server.compare import counts
from bench.server.comparison import machine, wrk
from bench.server.comparison.environments import own_environment
from bench.server.comparison.processes import Running, running
from bench.server.comparison.servers import OWN, Server, Start
from bench.server.comparison.workloads import HEADERS, MODELS, Workload, prepare

TREE = Path(__file__).parents[2]
SECONDS = 1


def checkout(commit: str, folder: Path) -> Path:
    """Write the files of a commit to a folder."""
    packed = subprocess.run(
        ["git", "-C", TREE, "archive", commit], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def server_of(tree: Path) -> Server:
    """Return our server with its code from a tree, and all else from the environment."""
    ours = OWN[0]

    def start(workload: Workload, folder: Path, root: Path) -> Start:
        given = ours.start(workload, folder, root)
        code = "from assay_server.cli import main; main()"
        command = [root / "bin" / "python", "-c", code, *given.command[1:]]
        path = f"{tree / 'model-server'}:{tree / 'operator'}"
        return replace(
            given, command=command, environment={**given.environment, "PYTHONPATH": path}
        )

    return replace(ours, start=start)


@dataclass(frozen=True, slots=True)
class Measured:
    """A second of load, and the server's processor time per answer in microseconds."""

    load: wrk.Load
    microseconds: float


def measure(server: Running, script: Path, connections: int, core: int) -> Measured:
    """Warm the server up and measure it for a second."""
    for _ in range(2):
        before = server.processor_seconds()
        load = wrk.run(
            server.url, script, connections=connections, seconds=SECONDS, core=core, nice=-10
        )
        spent = server.processor_seconds() - before
    assert load.errors == 0
    return Measured(load, spent / load.answers * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.server.pairs")
    parser.add_argument("commit", help="the earlier one")
    parser.add_argument("--model", choices=list(MODELS), default="cancer")
    parser.add_argument("--connections", type=counts, default="1,16,64")
    parser.add_argument("--pairs", type=int, default=12)
    given = parser.parse_args()
    wrk.ensure()
    root, cores = own_environment(), machine.cores()
    with machine.nothing_left("assay-pairs-") as folder, ExitStack() as stack:
        workload = prepare(given.model, folder / given.model)
        trees = {given.commit: checkout(given.commit, folder / "tree"), "now": TREE}
        servers = {
            name: stack.enter_context(
                running(server_of(tree), workload, root, cores.server, nice=-10)
            )
            for name, tree in trees.items()
        }
        script = folder / "request.lua"
        script.write_text(wrk.script(workload.request(), HEADERS))
        head = ("req/s", "p50 ms", "p99 ms", "wrk's", "us CPU", "ratio", "of CPU")
        print(f"{'connections':>11} {'tree':>12} " + " ".join(f"{each:>7}" for each in head))
        for connections in given.connections:
            found: dict[str, list[Measured]] = defaultdict(list)
            for number in range(given.pairs):
                for name in sorted(servers, reverse=number % 2 == 1):
                    one = measure(servers[name], script, connections, cores.load)
                    found[name].append(one)
            for name, own in found.items():
                pairs = list(zip(own, found[given.commit], strict=True))
                shown = (
                    f"{median(each.load.rate for each in own):7.0f}",
                    f"{median(each.load.p50 for each in own):7.2f}",
                    f"{median(each.load.p99 for each in own):7.2f}",
                    f"{median(each.load.corrected_p99 for each in own):7.2f}",
                    f"{median(each.microseconds for each in own):7.1f}",
                    f"{median(one.load.rate / other.load.rate for one, other in pairs):7.2f}",
                    f"{median(one.microseconds / other.microseconds for one, other in pairs):7.3f}",
                )
                print(f"{connections:11} {name[:12]:>12} {' '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
