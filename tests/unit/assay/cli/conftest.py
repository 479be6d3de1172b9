"""A hub in this process that commands reach by a kubeconfig; each module says what it answers."""

import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import yaml
from typing_extensions import override


class Hub(Protocol):
    """What a module's fixture `hub` is."""

    content_types: list[str | None]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Return status and document for a request."""


@pytest.fixture
def kubeconfig(hub: Hub, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            hub.content_types.append(self.headers.get("Content-Type"))
            body = json.loads(self.rfile.read(length) or b"{}")
            status, document = hub.answer(self.command, self.path, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    path = tmp_path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "hub", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "alice", "user": {"token": "t"}}],
        "contexts": [
            {"name": "hub", "context": {"cluster": "hub", "user": "alice", "namespace": "ml"}}
        ],
        "current-context": "hub",
    }
    path.write_text(yaml.safe_dump(document))
    try:
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
