"""HTTP for the model server and the ledger: ASGI in, bounded bodies, errors as JSON, draining.

The only module that knows the HTTP server (uvicorn). A service gives it exact routes and
handlers; a handler gets a `Request` and returns a `Response` or raises `HTTPError`.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import uvicorn
from typing_extensions import override

from assay_server.logs import event, log

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
# Larger bodies share the memory set aside for them (see `Room`) and are worked on in a thread.
LARGE_BODY = 64 * 1024
# Beyond its limit a body is read and thrown away up to here, so that the client gets to see the
# answer 413 instead of a reset connection.
_DISCARD_BYTES = 64 * 1024 * 1024
_BODY_SECONDS = 30.0
_SHUTDOWN_SECONDS = 10
# Longer than gateways keep an idle connection (Envoy: one hour). Whoever closes an idle connection
# first races with the request that the other side is just sending on it, and that one is lost.
_KEEP_ALIVE_SECONDS = 2 * 3600


class HTTPError(Exception):
    """An answer other than success, with a message for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: tuple[Header, ...] = (),
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode({"error": message, **(more or {})})
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, body, content type and further headers."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()


class Room:
    """A share of the memory for large bodies, taken when a body turns out to be large.

    At most `semaphore` many are held at once; the others wait unread, so that many clients with
    large bodies cannot fill the memory together. Small bodies never wait.
    """

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._taken = False

    async def take(self) -> None:
        """Wait for a share, unless one is held already."""
        if not self._taken:
            await self._semaphore.acquire()
            self._taken = True

    def __enter__(self) -> Self:
        """Hold nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the share back."""
        if self._taken:
            self._semaphore.release()


class Request:
    """A request whose body has not been read yet."""

    __slots__ = ("_receive", "_scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive

    def header(self, name: bytes) -> str | None:
        """Return a header (name in lower case), None if it is missing."""
        for key, value in self._scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    async def body(self, limit: int, room: Room) -> bytes:
        """Return the body. Raises HTTPError 413 beyond `limit` bytes and 408 when it stalls."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                return await self._read(limit, room)
        except TimeoutError:
            raise HTTPError(
                408, f"the body did not arrive within {_BODY_SECONDS:.0f} s", headers=CLOSE
            ) from None

    async def _read(self, limit: int, room: Room) -> bytes:
        size = 0
        chunks = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= limit:
                if size > LARGE_BODY:
                    await room.take()
                chunks.append(chunk)
            else:
                chunks.clear()
            if not message.get("more_body", False) or size > _DISCARD_BYTES:
                break
        if size > limit:
            raise HTTPError(413, f"the body is larger than {limit} bytes", headers=CLOSE)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)
Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """An ASGI application of exact routes that can be told to drain.

    Parameters
    ----------
    routes
        Handlers by (method, path).
    on_error
        Called with the status of every answer of 400 and more.
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], Handler],
        on_error: Callable[[int], None] | None = None,
    ) -> None:
        self._routes = dict(routes)
        self._on_error = on_error
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI entry point)."""
        try:
            handler = self._routes.get((scope["method"], scope["path"]))
            if handler is None:
                raise self._no_route(scope["path"])
            response = await handler(Request(scope, receive))
        except HTTPError as error:
            response = Response(error.body, error.status, headers=error.headers)
        except ClientGoneError:
            return
        except Exception:  # noqa: BLE001 - no request may end the process or show a stack trace
            log.error("request_failed", exc_info=True)
            response = Response(b'{"error":"internal error"}', 500)
        if response.status >= 400 and self._on_error is not None:
            self._on_error(response.status)
        headers = [
            (b"content-type", response.content_type),
            (b"content-length", b"%d" % len(response.body)),
            *response.headers,
        ]
        if self.draining and not any(name == b"connection" for name, _ in response.headers):
            # Ask clients and gateways to let go of their pooled connections while we still answer.
            headers.append(CLOSE[0])
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _no_route(self, path: str) -> HTTPError:
        methods = sorted(method for method, known in self._routes if known == path)
        if not methods:
            return HTTPError(404, "there is nothing at this path")
        allowed = ", ".join(methods)
        allow = (b"allow", allowed.encode())
        return HTTPError(405, f"this path takes {allowed} only", headers=(allow,))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """Serves a service; SIGTERM drains first and the process then ends by itself, with code 0.

    From the signal on the service is unready and asks clients to close their connections, but
    goes on answering for `drain_seconds`: gateways and kube-proxy need that long to look away.
    """

    def __init__(self, service: Service, drain_seconds: float) -> None:
        config = uvicorn.Config(
            service,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self._service = service
        self._drain_seconds = drain_seconds

    async def answer(self, listener: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT; return with all started requests answered."""
        event("listening", port=listener.getsockname()[1])
        await self.serve(sockets=[listener])
        event("stopped")

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        yield

    def stop(self) -> None:
        """Turn unready now and leave after the drain time; at once if asked a second time."""
        if self._service.draining:
            self.leave()
            return
        self._service.draining = True
        event("draining", seconds=self._drain_seconds)
        asyncio.get_running_loop().call_later(self._drain_seconds, self.leave)

    def leave(self) -> None:
        """Stop listening, finish the requests that have started, and return from `answer`."""
        self._service.draining = True
        self.should_exit = True
