"""Bodies of requests: large ones come in parts, read no faster than somebody takes them."""

import asyncio
from typing import Protocol, Self

from assay_server.transport.encoding import EncodingError, Inflation
from assay_server.transport.errors import HTTPError, too_large

# Larger bodies share the memory set aside for them (see `Room`) and are worked on in a thread.
LARGE_BODY = 64 * 1024
# Beyond its limit a body is read and thrown away up to here, so that the client gets to see the
# answer 413 instead of a reset connection.
DISCARD_BYTES = 64 * 1024 * 1024
# From the head to the end of the body, waiting for room included.
BODY_SECONDS = 30.0
# So much is read of a body before somebody takes it.
_AHEAD_BYTES = 64 * 1024


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


class Source(Protocol):
    """Where a body comes from."""

    def wanted(self) -> None:
        """Go on reading."""
        ...


class Body:
    """A body that comes in parts. Belongs to one event loop and has one reader."""

    def __init__(self, source: Source) -> None:
        self._source = source
        # In one piece: parts of two bytes each would take thirty times as much.
        self._ahead = bytearray()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.is_dropped = False
        # Bytes that came, taken or not.
        self.size = 0
        self.is_complete = False

    @property
    def is_full(self) -> bool:
        """Whether somebody has to take something before more is read."""
        return len(self._ahead) >= _AHEAD_BYTES

    def add(self, part: bytes) -> None:
        """Take in what came."""
        self.size += len(part)
        if not self.is_dropped:
            self._ahead += part
            self._wake()

    def finish(self) -> None:
        """Take note that this was all."""
        self.is_complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Take note that the rest will not come: whoever reads on gets the error."""
        self._failure = error
        self._wake()

    def drop(self) -> None:
        """Keep nothing: it has been answered."""
        self.is_dropped = True
        self._ahead.clear()

    async def read(self) -> bytearray:
        """Return the next part, empty after the last. Raises what it failed with."""
        while not self._ahead:
            if self._failure is not None:
                raise self._failure
            if self.is_complete:
                break
            self._waiter = asyncio.get_running_loop().create_future()
            self._source.wanted()
            await self._waiter
        part, self._ahead = self._ahead, bytearray()
        return part

    async def read_all(self, limit: int, room: Room) -> bytes:
        """Return everything. Raises HTTPError 413 beyond `limit` bytes, and what it failed with."""
        size = 0
        body = bytearray()
        while part := await self.read():
            size += len(part)
            if size <= limit:
                if size > LARGE_BODY:
                    await room.take()
                body += part
            else:
                body.clear()
                if size > DISCARD_BYTES:
                    break
        if size > limit:
            raise too_large(limit)
        return bytes(body)

    async def discard(self) -> bool:
        """Read and throw away what is left of it; return whether that was the end of it."""
        while await self.read():
            if self.size > DISCARD_BYTES:
                return False
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def inflated(body: bytes, limit: int, room: Room) -> bytes:
    """Return what a compressed body holds.

    Raises HTTPError: 413 beyond `limit` bytes, 400 when it is broken.
    """
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
