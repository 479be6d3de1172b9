"""A web server of one file, with everything that can go wrong on the way."""

import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = b"m" * 300_000


class Site:
    """What the server answers, and what it was asked.

    `/model` is the content, `/moved` a redirect to it, `/cut` half of it. `/elsewhere/URL` is a
    redirect to URL. `/flaky/N` breaks N times, 503 and half of the content in turn, and then works.
    `/private/model` needs `authorization`. `/model.sig` is `signature`.
    """

    def __init__(self) -> None:
        self.address = ""
        self.authorization = ""
        self.signature = b""
        self.asked: Counter[str] = Counter()
        self.credentials: dict[str, str | None] = {}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.split("?")[0]
        self.asked[path] += 1
        self.credentials[path] = handler.headers.get("authorization")
        if path == "/moved":
            self.redirect(handler, "/model")
        elif path.startswith("/elsewhere/"):
            self.redirect(handler, path.removeprefix("/elsewhere/"))
        elif path in ("/model", "/some%20model"):
            self.send(handler, CONTENT)
        elif path == "/model.sig" and self.signature:
            self.send(handler, self.signature)
        elif path == "/cut":
            self.send(handler, CONTENT, len(CONTENT) // 2)
        elif path.startswith("/flaky/"):
            self.flaky(handler, path, int(path.removeprefix("/flaky/")))
        elif path == "/private/model":
            allowed = handler.headers.get("authorization") == self.authorization
            self.send(handler, CONTENT) if allowed else handler.send_error(401)
        else:
            handler.send_error(404)

    def flaky(self, handler: BaseHTTPRequestHandler, path: str, breaks: int) -> None:
        if self.asked[path] > breaks:
            self.send(handler, CONTENT)
        elif self.asked[path] % 2:
            handler.send_error(503)
        else:
            self.send(handler, CONTENT, len(CONTENT) // 2)

    @staticmethod
    def redirect(handler: BaseHTTPRequestHandler, target: str) -> None:
        handler.send_response(302)
        handler.send_header("location", target)
        handler.send_header("content-length", "0")
        handler.end_headers()

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, content: bytes, cut: int | None = None) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:cut])


@contextmanager
def a_site(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    site.address = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
