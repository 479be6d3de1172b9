"""What handlers see: requests with bounded bodies, responses, errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import perf_counter
from typing import Protocol, Self
from urllib.parse import parse_qs

import msgspec
from granian._granian import RSGIProtocolError

from assay_server.transport.encoding import TAKEN, EncodingError, Inflation

Header = tuple[str, str]

JSON = "application/json"
CLOSE: tuple[Header, ...] = (("connection", "close"),)
# Larger bodies share the memory set aside for them (see `Room`) and are worked on in a thread.
LARGE_BODY = 64 * 1024
# Beyond its limit a body is read and thrown away up to here, so that the client gets to see the
# answer 413 instead of a reset connection.
_DISCARD_BYTES = 64 * 1024 * 1024
# From the head to the end of the body, waiting for room included.
BODY_SECONDS = 30.0


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


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class Response(msgspec.Struct, frozen=True):
    """An answer: status, body, content type and further headers."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
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


class Headers(Protocol):
    """Request headers as granian holds them, by names in lower case."""

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a header."""
        ...

    def get(self, name: str, /) -> str | None:
        """Return the first value; None too when it is not ASCII."""
        ...


class Scope(Protocol):
    """A request's head (RSGI). `headers` makes a copy at every access."""

    @property
    def method(self) -> str:
        """The method, in upper case."""
        ...

    @property
    def path(self) -> str:
        """The path, unquoted, without the query."""
        ...

    @property
    def query_string(self) -> str:
        """The query, quoted."""
        ...

    @property
    def http_version(self) -> str:
        """One of 1, 1.1, 2."""
        ...

    @property
    def headers(self) -> Headers:
        """All headers."""
        ...


class Exchange(Protocol):
    """A request's body and where its answer goes (RSGI)."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the body in parts; see `Request` for how it ends."""
        ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        ...

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""
        ...


class Request:
    """A request and, if it was small, its body.

    `early` is a body of at most `LARGE_BODY` bytes that was read before the handler was called;
    None leaves the body unread until the handler asks for it.
    """

    __slots__ = ("_early", "_headers", "_scope", "exchange", "id_in_body", "is_read", "start")

    def __init__(
        self, scope: Scope, exchange: Exchange, headers: Headers, early: bytes | None
    ) -> None:
        self._scope = scope
        self._headers = headers
        self._early = early
        self.exchange = exchange
        self.is_read = early is not None
        # By perf_counter, for the log; as is the id, which handlers may fill in.
        self.start = perf_counter()
        self.id_in_body: str | None = None

    @property
    def route(self) -> tuple[str, str]:
        """Method and path, the path unquoted and without the query."""
        return self._scope.method, self._scope.path

    @property
    def is_http2(self) -> bool:
        """Whether it came over HTTP/2, where connections are closed by other means."""
        return self._scope.http_version == "2"

    def header(self, name: str) -> str | None:
        """Return a header (name in lower case), None if it is missing or not ASCII."""
        return self._headers.get(name)

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, the last of several, None if it is missing."""
        values = parse_qs(self._scope.query_string, keep_blank_values=True).get(name)
        return values[-1] if values else None

    def small_body(self, limit: int) -> bytes | None:
        """Return the body if it is here already, as it was sent; None if `body` must be awaited.

        Raises HTTPError 413 beyond `limit` bytes.
        """
        early = self._early
        if early is None or "content-encoding" in self._headers:
            return None
        if len(early) > limit:
            raise _too_large(limit)
        return early

    async def body(self, limit: int, room: Room) -> bytes:
        """Return the body, inflated if it came compressed. Can be called once.

        Raises HTTPError: 413 beyond `limit` bytes (inflated), 408 when it stalls, 415 in another
        encoding, 400 when it is broken. Raises ClientGoneError.
        """
        small = self.small_body(limit)
        if small is not None:
            return small
        encoding = (self._headers.get("content-encoding") or "identity").strip().lower()
        if encoding != "identity" and encoding not in TAKEN:
            raise HTTPError(
                415,
                f"content-encoding: {encoding[:32]!r} is not taken; send gzip, deflate or none",
                headers=(("accept-encoding", "gzip, deflate"),),
            )
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = self._early
                if body is None:
                    body = await self._read(limit, room)
                return body if encoding == "identity" else await _inflated(body, limit, room)
        except TimeoutError:
            raise stalled() from None

    async def discard(self) -> bool:
        """Throw away a body that nobody read; return whether the connection is free of it."""
        headers = self._headers
        if self.is_read:
            return True
        if "content-length" not in headers and "transfer-encoding" not in headers:
            return True
        if "expect" in headers:
            return False
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in self.exchange:
                    size += len(chunk)
                    if size > _DISCARD_BYTES:
                        return False
        except (TimeoutError, RSGIProtocolError):
            return False
        return True

    async def _read(self, limit: int, room: Room) -> bytes:
        length = self._headers.get("content-length")
        declared = None if length is None else int(length)
        if declared is not None and declared > limit and "expect" in self._headers:
            raise _too_large(limit)
        size = 0
        chunks = []
        ends = 0
        async for chunk in self.exchange:
            if not chunk:
                ends += 1
                continue
            size += len(chunk)
            if size <= limit:
                if size > LARGE_BODY:
                    await room.take()
                chunks.append(chunk)
            else:
                chunks.clear()
                if size > _DISCARD_BYTES:
                    break
        else:
            self.is_read = True
        if size > limit:
            raise _too_large(limit)
        if declared is not None and size != declared:
            raise ClientGoneError
        # An empty part ends a body. One more says that it broke off before (or that trailers
        # followed); in HTTP/2 it may also be an empty frame, and who breaks off hears no answer.
        if ends > 1 and declared is None and not self.is_http2:
            raise HTTPError(400, "the body broke off, or ends with trailers", headers=CLOSE)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _inflated(body: bytes, limit: int, room: Room) -> bytes:
    inflation = Inflation(body)
    try:
        if len(body) <= LARGE_BODY and inflation.up_to(min(limit, LARGE_BODY)):
            return inflation.result()
        await room.take()
        if await asyncio.to_thread(inflation.up_to, limit):
            return inflation.result()
    except EncodingError:
        raise HTTPError(
            400, "the body is not what its content-encoding says, or not all of it"
        ) from None
    raise HTTPError(413, f"the body is larger than {limit} bytes when inflated")


def stalled() -> HTTPError:
    """Return the answer to a request whose body stopped coming."""
    return HTTPError(408, f"the body did not arrive within {BODY_SECONDS:.0f} s", headers=CLOSE)


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"the body is larger than {limit} bytes", headers=CLOSE)
