"""The operator as a process: started, measured from outside, stopped.

``python -m bench.scale.controller`` is the operator itself; with ``BENCH_NO_QUERIES=1`` its
members' Prometheus is never asked, which leaves what ticking costs by itself.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from assay.controller.__main__ import main as operator
from assay.evidence import errors
from assay.evidence.errors import EvidenceUnavailable
from assay.members.evidence import PrometheusReader
from bench.server.comparison.machine import processes
from fleet import Cluster

from .clusters import SYSTEM

_LOOKS = "assay_reconcile_duration_seconds_count"
NO_QUERIES = "BENCH_NO_QUERIES"


@dataclass
class Controller:
    """A process that is measured.

    Attributes
    ----------
    port
        Of its metrics.
    counter
        The metric that counts its looks.
    """

    process: subprocess.Popen[bytes]
    port: int
    counter: str = _LOOKS

    @classmethod
    def start(cls, hub: Cluster, log: Path, *, queries: bool = True) -> Self:
        """Start the operator on `hub`; it writes its log to `log`."""
        port = free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(hub.kubeconfig),
            "ASSAY_NAMESPACE": SYSTEM,
            "ASSAY_SERVER_IMAGE": "localhost/assay-server:bench",
            "ASSAY_METRICS_PORT": str(port),
            "ASSAY_LOG_LEVEL": "warning",
            # An image has bytecode; its first start makes it here.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(log.with_suffix(".bytecode")),
            **({} if queries else {NO_QUERIES: "1"}),
        }
        command = [sys.executable, "-m", "bench.scale.controller"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        return cls(process, port)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        self.process.wait(60)

    @property
    def cpu_seconds(self) -> float:
        """User and system time since it started; one that has ended measures nothing."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the controller has ended with code {self.process.returncode}")
        return sum(each.seconds for each in processes() if each.pid == self.process.pid)

    @property
    def memory(self) -> float:
        """Resident set in MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024.0

    async def share(self, seconds: float) -> float:
        """Return the share of a core that it takes in the next `seconds`."""
        before, began = self.cpu_seconds, time.monotonic()
        await asyncio.sleep(seconds)
        return (self.cpu_seconds - before) / (time.monotonic() - began)

    def looks(self) -> float:
        """Return how many looks it has taken; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/metrics", timeout=5
            ) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(self.counter)
        )


@dataclass
class Simulated:
    """The process that says of every workload that it is ready."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, members: Sequence[Cluster]) -> Self:
        """Start it for these members."""
        files = [str(cluster.kubeconfig) for cluster in members]
        return cls(subprocess.Popen([sys.executable, "-m", "bench.scale.simulated", *files]))

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        self.process.wait(30)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def _nothing(*_: object, **__: object) -> None:
    raise EvidenceUnavailable(errors.PROMETHEUS_UNREACHABLE, "the benchmark asks nothing")


if __name__ == "__main__":
    if os.environ.get(NO_QUERIES):
        PrometheusReader.read = _nothing  # type: ignore[method-assign,assignment]
    raise SystemExit(operator())
