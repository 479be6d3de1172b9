"""What handlers see: requests with bounded bodies, and responses."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from assay_server.transport import bodies
from assay_server.transport.bodies import Body, Room, inflated
from assay_server.transport.encoding import TAKEN
from assay_server.transport.errors import ClientGoneError, Header, HTTPError, stalled, too_large

JSON = "application/json"


class Response(msgspec.Struct, frozen=True, gc=False):
    """An answer: status, body, content type and further headers."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    headers: tuple[Header, ...] = ()


class Exchange(Protocol):
    """Where the answer to a request goes."""

    def answer(
        self,
        request: "Request",
        status: int,
        content_type: str,
        headers: tuple[Header, ...],
        body: bytes,
    ) -> None:
        """Send the answer."""
        ...


class Request:
    """A request and its body: whole if it was small, else in parts to come.

    Parameters
    ----------
    path
        Unquoted, without the query.
    query_string
        Still quoted.
    headers
        The first of each name, names in lower case.
    keeps_alive
        Whether the client would go on with the same connection.
    """

    __slots__ = (
        "_exchange",
        "_headers",
        "_small",
        "failure",
        "id_in_body",
        "incoming",
        "keeps_alive",
        "method",
        "path",
        "query_string",
        "start",
        "waits_for_continue",
    )

    def __init__(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        query_string: str,
        headers: Mapping[bytes, bytes],
        *,
        keeps_alive: bool = True,
    ) -> None:
        self._exchange = exchange
        self._headers = headers
        self._small: bytes | bytearray = b""
        self.method = method
        self.path = path
        self.query_string = query_string
        self.keeps_alive = keeps_alive
        # A body that is not small.
        self.incoming: Body | None = None
        # What it is answered without asking a handler.
        self.failure: HTTPError | None = None
        # Whether the client sends no body before it is asked to.
        self.waits_for_continue = False
        # By perf_counter, for the log; as is the id, which handlers may fill in.
        self.start = perf_counter()
        self.id_in_body: str | None = None

    def add(self, part: bytes) -> None:
        """Take in a part of a small body."""
        if not self._small:
            self._small = part
            return
        if isinstance(self._small, bytes):
            self._small = bytearray(self._small)
        self._small += part

    def header(self, name: str) -> str | None:
        """Return a header (name in lower case), None if it is missing or not ASCII."""
        value = self._headers.get(name.encode())
        if value is None:
            return None
        return value.decode() if value.isascii() else None

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, the last of several, None if it is missing."""
        values = parse_qs(self.query_string, keep_blank_values=True).get(name)
        return values[-1] if values else None

    def small_body(self, limit: int) -> bytes | None:
        """Return the body if it is here already, as it was sent; None if `body` must be awaited.

        Raises HTTPError 413 beyond `limit` bytes.
        """
        if self.incoming is not None or b"content-encoding" in self._headers:
            return None
        if len(self._small) > limit:
            raise too_large(limit)
        return bytes(self._small)

    async def body(self, limit: int, room: Room) -> bytes:
        """Return the body, inflated if it came compressed. Can be called once.

        Raises HTTPError: 413 beyond `limit` bytes (inflated), 408 when it stalls, 415 in another
        encoding, 400 when it is broken. Raises ClientGoneError.
        """
        small = self.small_body(limit)
        if small is not None:
            return small
        encoding = (self.header("content-encoding") or "identity").strip().lower()
        if encoding != "identity" and encoding not in TAKEN:
            raise HTTPError(
                415,
                f"content-encoding: {encoding[:32]!r} is not taken; send gzip, deflate or none",
                headers=(("accept-encoding", "gzip, deflate"),),
            )
        if self.waits_for_continue and int(self.header("content-length") or 0) > limit:
            raise too_large(limit)
        try:
            async with asyncio.timeout(bodies.BODY_SECONDS):
                body = bytes(self._small)
                if self.incoming is not None:
                    body = await self.incoming.read_all(limit, room)
                return body if encoding == "identity" else await inflated(body, limit, room)
        except TimeoutError:
            raise stalled(bodies.BODY_SECONDS) from None

    async def discard(self) -> bool:
        """Throw away a body that nobody read; return whether the connection is free of it."""
        if self.incoming is None:
            return True
        if self.waits_for_continue:
            return False
        try:
            async with asyncio.timeout(bodies.BODY_SECONDS):
                return await self.incoming.discard()
        except (TimeoutError, HTTPError, ClientGoneError):
            return False

    def answer(self, response: Response, headers: tuple[Header, ...]) -> None:
        """Send the response, with headers instead of its own."""
        self._exchange.answer(self, response.status, response.content_type, headers, response.body)
