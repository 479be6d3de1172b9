"""Real processes of the model server and the ledger on loopback."""

import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests.fuzz import subjects
from tests.fuzz.subjects import Files

_LISTENING = re.compile(r'"listening", "port": (\d+)')
_LEAVING_SECONDS = 15
_RSS = re.compile(r"VmRSS:\s+(\d+)")
# Lines of the log that tell of a fault of the server.
_FAULT = re.compile(r'"(?:intake_failed|loop_failed)"|"level": ?"error"|"status": ?500')


class GoneError(Exception):
    """The process has ended; the message holds the end of its log."""


class Server:
    """A running `assay-server`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, name: str) -> None:
        self.name = name
        self.port = 0
        self._process = process
        self._log = log

    def ready(self) -> "Server":
        """Wait until it answers. Raises GoneError."""
        while not (found := _LISTENING.search(self._log.read_text())):
            self.check()
            time.sleep(0.02)
        self.port = int(found[1])
        while self.get("/v2/health/ready")[0] != 200:
            self.check()
            time.sleep(0.02)
        return self

    def check(self) -> None:
        """Raise GoneError if the process has ended."""
        code = self._process.poll()
        if code is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise GoneError(f"{self.name} ended with {code}\n{tail}")

    def gone(self) -> None:
        """Raise GoneError if it has ended, or is about to: it no longer listens then."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVING_SECONDS)
        self.check()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer, on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def resident(self) -> float:
        """Return its memory in MiB."""
        self.check()
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        match = _RSS.search(status)
        assert match is not None
        return int(match[1]) / 1024

    def faults(self) -> list[str]:
        """Return the lines of its log that tell of faults of its own."""
        with self._log.open(errors="replace") as lines:
            return [line.rstrip() for line in lines if _FAULT.search(line)]


@contextmanager
def _running(name: str, arguments: Sequence[object], folder: Path) -> Iterator[Server]:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "assay-server", name, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"ASSAY_TERMINATION_LOG": str(folder / "termination-log"), "PATH": ""},
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
    try:
        yield Server(process, log, name).ready()
    finally:
        process.kill()
        process.wait()


def serve(files: Files, folder: Path) -> AbstractContextManager[Server]:
    """Run the model server."""
    arguments = [
        *("--model-uri", files.artifact, "--digest", files.digest, "--revision", "r1"),
        *("--model-name", subjects.DEPLOYMENT, "--model-version", subjects.VERSION),
        *_origin(files),
    ]
    return _running("serve", arguments, folder)


def ledger(files: Files, folder: Path) -> AbstractContextManager[Server]:
    """Run the ledger on a new store."""
    arguments = [
        *("--store", f"sqlite:///{folder / 'labels.db'}", "--deployment", subjects.DEPLOYMENT),
        *("--export-token-file", files.tokens, *_origin(files)),
    ]
    return _running("ledger", arguments, folder)


def _origin(files: Files) -> list[object]:
    return [
        *("--keys-file", files.keys, "--member", subjects.MEMBER),
        *("--namespace", subjects.NAMESPACE, "--http-port", 0, "--host", "127.0.0.1"),
    ]


def counted(server: Server, rollout: str) -> int:
    """Return how many labels a ledger has counted under a rollout."""
    status, body = server.get("/metrics")
    assert status == 200
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in body.decode().splitlines()
        if line.startswith("assay_outcomes_total{") and f'rollout="{rollout}"' in line
    )
