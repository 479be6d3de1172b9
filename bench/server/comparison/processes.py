"""One server at a time: start it on its core, wait for its first right answer, end all of it."""

import http.client
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.server.comparison.machine import members, pinned, sessions
from bench.server.comparison.servers import Server, base_environment
from bench.server.comparison.workloads import (
    PATH,
    NotServedError,
    Workload,
    WrongAnswerError,
    ask,
    check,
)

# A first start also makes bytecode, on one core.
START_SECONDS = 300.0
STOP_SECONDS = 15.0
# What a server that is not up yet makes a client see, and what else can be wrong with one.
NOT_YET = (OSError, http.client.HTTPException, NotServedError)
FAULTS = (*NOT_YET, WrongAnswerError)
_PORT = re.compile(r'"listening".*?"port": ?(\d+)')


class ServerFailedError(Exception):
    """A server did not start; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    pid: int
    port: int
    # From exec to the first right answer.
    cold_seconds: float

    @property
    def url(self) -> str:
        """Where predictions are to be had."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def processor_seconds(self) -> float:
        """Return the processor time that the server has taken so far, with all its processes."""
        return sum(process.seconds for process in members(sessions(self.pid)))


@contextmanager
def running(
    server: Server, workload: Workload, root: Path, core: int, *, nice: int = 0
) -> Iterator[Running]:
    """Run a server and check its answers; none of its processes or files stay.

    Raises ServerFailedError if it ends, or is not there in time, or answers what is wrong.
    """
    with tempfile.TemporaryDirectory(dir=workload.folder, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        start = server.start(workload, folder, root)
        log = folder / "log"
        begin = time.perf_counter()
        with log.open("wb") as output, pinned(core):
            # A session of its own finds its children again, and keeps Ctrl-C for us.
            process = subprocess.Popen(
                ["nice", "-n", str(nice), *start.command],
                cwd=folder,
                env=base_environment(root, folder) | start.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            try:
                port = _wait(process, start.port, log, workload, echo=server.is_echo)
                cold = time.perf_counter() - begin
                if not server.is_echo:
                    for row in range(len(workload.rows)):
                        check(ask(port, workload.request(row)), workload, row)
            except FAULTS as error:
                tail = log.read_text(errors="replace").strip()[-1500:]
                raise ServerFailedError(f"{server.name}: {error}\n{tail}") from error
            yield Running(process.pid, port, cold)
        finally:
            _stop(process)


def _wait(
    process: subprocess.Popen[bytes],
    port: int | None,
    log: Path,
    workload: Workload,
    *,
    echo: bool,
) -> int:
    """Return the port once the first right answer came from there."""
    body = workload.request()
    deadline = time.monotonic() + START_SECONDS
    fault: Exception | None = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise WrongAnswerError(f"ended with {process.returncode} before it answered")
        if port is None and (found := _PORT.search(log.read_text(errors="replace"))):
            port = int(found[1])
        if port is not None:
            try:
                answer = ask(port, body)
                if not echo:
                    check(answer, workload)
                return port
            except NOT_YET as error:
                fault = error
        time.sleep(0.01)
    raise WrongAnswerError(f"no right answer within {START_SECONDS:.0f} s, last: {fault}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all its processes."""
    mine = sessions(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    # Also after a good end: workers may outlive the process that made them.
    while left := members(mine):
        for other in left:
            with suppress(ProcessLookupError):
                os.kill(other.pid, signal.SIGKILL)
        process.poll()
        time.sleep(0.01)
    process.wait()
