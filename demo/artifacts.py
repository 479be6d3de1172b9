"""Serves a directory of model artifacts over HTTP, as an artifact store would."""

import functools
import http.server
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one directory; quiet, because pods fetch while a live view is on screen."""

    protocol_version = "HTTP/1.1"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class ArtifactServer:
    """An HTTP server of one directory, in a thread, from `with` to its end.

    Parameters
    ----------
    directory
        What is served. Files written later are served too.
    address
        Address to listen on; pods reach a fleet's host on `Fleet.bridge_address`.
    port
        0 takes a free one.
    """

    def __init__(self, directory: Path, address: str, port: int = 0) -> None:
        self.directory = directory
        handler = functools.partial(_Handler, directory=str(directory))
        self._server = http.server.ThreadingHTTPServer((address, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="artifacts"
        )

    @property
    def url(self) -> str:
        """Address of the directory, without a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
