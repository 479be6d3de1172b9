"""A server's life: it serves until a signal, drains, ends."""

import asyncio
import resource
import signal
import socket
from collections.abc import Awaitable, Callable

from assay_server.logs import event
from assay_server.transport.listener import Listener
from assay_server.transport.service import Service
from assay_server.transport.tls import TLS, Renewals

_SHUTDOWN_SECONDS = 10
_CONNECTIONS = 2048
# Descriptors that are not connections: files, the model, the store, the kernel's event queues.
_SPARE_DESCRIPTORS = 128


class Server:
    """Serves a service; SIGTERM drains first and the process then ends by itself, with code 0.

    From the signal on the service is unready and asks clients to close their connections, but
    goes on answering for `drain_seconds`: gateways and kube-proxy need that long to look away.

    At most `connections` are open at once; further ones wait in the kernel's queue until one
    closes, and those that are open are answered meanwhile.

    `before_leaving` is awaited after the drain time, while all requests are still answered.

    Raises TLSError at once if the certificate cannot be used.
    """

    def __init__(
        self,
        service: Service,
        drain_seconds: float,
        tls: TLS | None = None,
        connections: int = _CONNECTIONS,
        before_leaving: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._service = service
        self._drain_seconds = drain_seconds
        self._renewals = Renewals(tls) if tls is not None else None
        self._connections = connections
        self._before_leaving = before_leaving
        self._stopping = asyncio.Event()
        self._leaving = asyncio.Event()

    async def answer(self, listener: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT; return with all started requests answered."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        event("listening", port=listener.getsockname()[1])
        front = Listener(self._service, listener, _affordable(self._connections), self._renewals)
        draining = asyncio.create_task(self._drain())
        await self._leaving.wait()
        draining.cancel()
        await front.stop(_SHUTDOWN_SECONDS)
        event("stopped")

    def stop(self) -> None:
        """Turn unready now and leave after the drain time; at once if asked a second time."""
        if self._service.draining:
            self.leave()
            return
        self._service.draining = True
        self._stopping.set()
        event("draining", seconds=self._drain_seconds)

    def leave(self) -> None:
        """Stop listening, finish the requests that have started, and return from `answer`."""
        self._service.draining = True
        self._leaving.set()

    async def _drain(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self._drain_seconds)
        try:
            if self._before_leaving is not None:
                await self._before_leaving()
        finally:
            self.leave()


def _affordable(connections: int) -> int:
    """Return how many connections the process may hold open, after asking for all descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= connections + _SPARE_DESCRIPTORS:
        return connections
    affordable = max(hard - _SPARE_DESCRIPTORS, 1)
    event("connections_limited", level=30, limit=affordable)
    return affordable
