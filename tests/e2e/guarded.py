"""An artifact store that asks for a token over TLS, with a certificate that nobody else signed."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from tests.certificates import self_signed


@dataclass(frozen=True)
class Guarded:
    """The store's address, and what a Secret must hold to get in."""

    url: str
    secret: dict[str, str]


@contextmanager
def guarded(directory: Path, address: str, token: str) -> Iterator[Guarded]:
    """Serve `directory` on `address` to whoever brings `token`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        @override
        def do_GET(self) -> None:
            if self.headers.get("authorization") == f"Bearer {token}":
                super().do_GET()
            else:
                self.send_error(401)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    authority, context = self_signed(directory.parent, address)
    handler = functools.partial(Handler, directory=str(directory))
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"https://{address}:{server.server_port}"
        yield Guarded(url, {"token": token, "ca.crt": authority})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
