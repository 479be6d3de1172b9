"""The connections of a server: accepted up to a limit, watched, let go of in the end."""

import asyncio
import errno
import socket
from collections.abc import Coroutine

from assay_server.logs import event
from assay_server.transport.connection import GOODBYE_SECONDS, Connection
from assay_server.transport.heads import Clock
from assay_server.transport.service import Service
from assay_server.transport.tls import Renewals

_BACKLOG = 2048
# Deadlines are looked at this often.
SWEEP_SECONDS = 1.0
HANDSHAKE_SECONDS = 30.0
# Never: uvloop would count what was not taken yet as no goodbye. Connections have deadlines.
_SHUTDOWN_SECONDS = 24 * 3600.0
_READ_BYTES = 64 * 1024
# Accepted in one go, before those that are open get their turn.
_ACCEPT_AT_ONCE = 64
_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# A peer that is gone without a word is noticed after this, also in the middle of an answer.
_DEAD_PEER_SECONDS = 120
_PROBE_SECONDS = 60
_PROBES = 3


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    # The sockets of connections inherit these.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_SECONDS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS // _PROBES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_SECONDS * 1000)
    return listener


class Listener:
    """Accepts connections for a service. Belongs to the running event loop.

    Parameters
    ----------
    limit
        Of connections that are open at once; further ones wait in the kernel's queue.
    """

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        limit: int,
        renewals: Renewals | None = None,
    ) -> None:
        self.service = service
        self.connections: set[Connection] = set()
        self.clock = Clock()
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.stopping = False
        self._socket = listener
        self._free = limit
        self._renewals = renewals
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._is_accepting = False
        self._ended = asyncio.Event()
        # By the loop's clock, as of the last sweep.
        self.now = self._loop.time()
        # Connections that are older end with their next answer.
        self.kept_since = self.now - service.connection_seconds()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self._accept_more()

    def start(self, rest: Coroutine[None, None, None]) -> None:
        """Run what is left of a request."""
        task = self._loop.create_task(rest)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lost(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        self.connections.discard(connection)
        self._release()

    async def stop(self, seconds: float) -> None:
        """Accept no more and close all connections, each after the answer to what it has begun.

        What has not ended after some seconds is answered 503.
        """
        self.stopping = True
        self._pause_accepting()
        self._socket.close()
        for task in list(self._handshakes):
            task.cancel()
        for connection in list(self.connections):
            connection.stop()
        await self._until_ended(seconds)
        for rest in list(self._tasks):
            rest.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.end()
        await self._until_ended(GOODBYE_SECONDS)
        self._timer.cancel()

    async def _until_ended(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self.connections:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            pass

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            if self._free <= 0:
                self._pause_accepting()
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                # It stays in the queue; the next sweep tries again.
                event("connection_not_accepted", level=30, code=error.errno)
                self._pause_accepting()
                return
            accepted.setblocking(False)
            self._free -= 1
            task = self._loop.create_task(self._open(accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _open(self, accepted: socket.socket) -> None:
        connection = Connection(self)
        context = self._renewals.context if self._renewals else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS if context else None,
            )
        except OSError:
            pass  # a failed handshake is the client's affair
        finally:
            if not connection.is_made:
                accepted.close()
                self._release()

    def _release(self) -> None:
        self._free += 1
        self._ended.set()
        self._accept_more()

    def _accept_more(self) -> None:
        """Accept again, if there is room and it was paused."""
        if not self._is_accepting and not self.stopping and self._free > 0:
            self._is_accepting = True
            self._loop.add_reader(self._socket, self._accept)

    def _pause_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._socket)

    def _sweep(self) -> None:
        # First of all: whatever goes wrong below, deadlines go on.
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self.now = now = self._loop.time()
        self.kept_since = now - self.service.connection_seconds()
        self.clock.tick()
        if self._renewals is not None:
            self._renewals.look()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.expire()
        self._accept_more()
