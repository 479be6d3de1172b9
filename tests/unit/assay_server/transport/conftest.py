"""A real process with a small service, and raw sockets to talk to it."""

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

APPLICATION = Path(__file__).with_name("application.py")
# Bytes, of the application.
LIMIT = 1024 * 1024
HEAD = b"POST /echo HTTP/1.1\r\nhost: x\r\n"


def chunked(*parts: bytes) -> bytes:
    """Return a chunked request for these parts, and its end."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


class Connection:
    """One connection; answers are read as they come."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self._reader = self.socket.makefile("rb")

    def send(self, content: bytes) -> "Connection":
        self.socket.sendall(content)
        return self

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers and body."""
        status, headers = self.head()
        return status, headers, self.read(int(headers.get("content-length", "0")))

    def read(self, size: int) -> bytes:
        """Read a part of a body; less only at the end of the connection."""
        return self._reader.read(size)

    def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer."""
        line = self._reader.readline()
        assert line, "the server closed the connection"
        headers = {}
        while (entry := self._reader.readline()) != b"\r\n":
            name, _, value = entry.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def ask(self, method: str, path: str, body: bytes = b"", **headers: object):
        """Send a request and return its answer. Header names have _ for -."""
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send("\r\n".join([*lines, "", ""]).encode() + body).answer()

    def is_closed(self) -> bool:
        """Wait for the server to close the connection; False if it sends something instead."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self, *, hard: bool = False) -> None:
        if hard:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._reader.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server:
    """An application process."""

    def __init__(self, log: Path, settings: dict) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, APPLICATION, json.dumps(settings)], stdout=output, stderr=output
            )
        self.context = None
        if "tls" in settings:
            self.context = ssl.create_default_context(cafile=settings["tls"][0])
            self.context.check_hostname = False

    def text(self) -> str:
        return self._log.read_text()

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.text().splitlines()]

    def until(self, condition: Callable[[], object]):
        """Poll until the condition holds and return what it gave; fail if the process ends."""
        while True:
            if found := condition():
                return found
            assert self.process.poll() is None, self.text()
            time.sleep(0.005)

    @property
    def port(self) -> int:
        def listening() -> int | None:
            lines = self.text().splitlines()
            ports = [json.loads(line).get("port") for line in lines if '"listening"' in line]
            return ports[0] if ports else None

        return self.until(listening)

    def connect(self) -> Connection:
        return Connection(self.port, self.context)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: object):
        """Send one request on a connection of its own."""
        with self.connect() as connection:
            return connection.ask(method, path, body, **headers)

    def connections(self) -> int:
        """Return how many connections the process holds."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        local, listens = f":{self.port:04X}", "0A"
        return sum(row[1].endswith(local) and row[3] != listens and row[9] != "0" for row in rows)

    def memory(self) -> int:
        """Return the largest resident size so far in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Callable:
    """Start an application for a `with` block: start(drain_seconds=1, set={...})."""

    @contextmanager
    def start(**settings: object) -> Iterator[Server]:
        server = Server(tmp_path_factory.mktemp("application") / "log", settings)
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()

    return start


@pytest.fixture(scope="session")
def server(start):
    with start() as server:
        yield server
