"""granian in this process's event loop: listening, limits, TLS, draining.

What each setting is for, and what hyper (granian's HTTP implementation) does with it, is measured
in the tests. Two things that cannot be had together: hyper has one timer for idle HTTP/1.1
connections and for heads that never end, from the end of one request to the end of the head of the
next. It must be longer than gateways keep idle connections (Envoy: one hour), because whoever
closes an idle connection first races with the request that the other side is just sending on it,
and that one is lost. So a half-sent head may stay for two hours; what bounds the harm is the number
of connections and the small buffer of each.
"""

import asyncio
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from granian import _granian
from granian.http import HTTP1Settings, HTTP2Settings

from assay_server.logs import event
from assay_server.transport.intake import Intake
from assay_server.transport.service import Service
from assay_server.transport.tls import TLS

# The stubs that granian ships are behind its code.
_native: Any = _granian

_SHUTDOWN_SECONDS = 10
_BACKLOG = 2048
# An idle one holds 21 kB, one with half a head or a small body on its way up to 90 kB.
_CONNECTIONS = 2048
# Descriptors that are not connections: files, the model, the store, the kernel's event queues.
_SPARE_DESCRIPTORS = 128
_IDLE_SECONDS = 2 * 3600
# Heads beyond this are refused (431). It is also what a connection can hold of what nobody reads,
# and the size of the parts in which large bodies come: smaller ones cost them time.
_HEAD_BYTES = 64 * 1024
# HTTP/2 clients may send this much of bodies that nobody reads yet.
_STREAM_BYTES = 128 * 1024
_CONNECTION_BYTES = 256 * 1024
_STREAMS = 128
# A peer that is gone without a word is noticed after this, also in the middle of an answer.
_DEAD_PEER_SECONDS = 120
_PROBE_SECONDS = 60
_PROBES = 3
_PING_SECONDS = 60
_PONG_SECONDS = 20


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


class _Granian:
    """granian's worker for RSGI, in this process's loop, on a socket of ours.

    The worker is what granian's own embedded server wraps. Without the wrapping there are no
    signals, output and logging settings of its own, no sockets that share their port with other
    processes (a port that is taken would be no error), and `Intake` schedules the requests.
    """

    def __init__(
        self, service: Service, listener: socket.socket, tls: TLS | None, connections: int
    ) -> None:
        http1 = HTTP1Settings(header_read_timeout=_IDLE_SECONDS * 1000, max_buffer_size=_HEAD_BYTES)
        http2 = HTTP2Settings(
            initial_connection_window_size=_CONNECTION_BYTES,
            initial_stream_window_size=_STREAM_BYTES,
            keep_alive_interval=_PING_SECONDS * 1000,
            keep_alive_timeout=_PONG_SECONDS,
            max_concurrent_streams=_STREAMS,
            max_headers_size=_HEAD_BYTES,
        )
        self._service = service
        self._stop = _native.WorkerSignal()
        self._worker = _native.RSGIWorker(
            1,
            (None, _native.SocketHolder(listener.detach(), False, _BACKLOG)),
            None,
            backpressure=connections,
            # These open and read files. The one thread for Python (py_threads) is what `Intake`
            # relies on.
            blocking_threads=2,
            http_mode="auto",
            http1_opts=http1,
            http2_opts=http2,
            ssl_enabled=tls is not None,
            ssl_cert=tls and str(tls.cert),
            ssl_key=tls and str(tls.key),
            # Envoy speaks 1.2 to upstreams unless it is told otherwise.
            ssl_protocol_min="tls1.2",
        )

    async def run(self) -> None:
        """Answer until `stop`, then until the connections have closed."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._stop.add_cb(lambda: loop.call_soon_threadsafe(stopped.set))
        intake = Intake(self._service)
        scheduler = _native.CallbackScheduler(loop, None, None, None, None)
        scheduler._schedule_fn = intake.take  # noqa: SLF001 - granian's subclasses set it too
        self._worker.serve_async(scheduler, loop, self._stop)
        try:
            await stopped.wait()
        finally:
            intake.close()

    def stop(self) -> None:
        """Accept no more connections and close those that are idle."""
        self._stop.set()


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
        if tls is not None:
            tls.check()
        self._service = service
        self._drain_seconds = drain_seconds
        self._tls = tls
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
        granian = _Granian(self._service, listener, self._tls, _affordable(self._connections))
        serving = asyncio.create_task(granian.run())
        leaving = asyncio.create_task(self._leaving.wait())
        draining = asyncio.create_task(self._drain())
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            leaving.cancel()
            draining.cancel()
            serving.result()
            raise RuntimeError("the HTTP server ended by itself")
        draining.cancel()
        granian.stop()
        await asyncio.wait({serving}, timeout=_SHUTDOWN_SECONDS)
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
    """Return how many connections the process may hold open, after asking for all descriptors.

    Without a descriptor for the next connection hyper tries to accept it again and again, and
    with TLS it never gets out of that: handshakes are not counted as connections.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= connections + _SPARE_DESCRIPTORS:
        return connections
    affordable = max(hard - _SPARE_DESCRIPTORS, 1)
    event("connections_limited", level=30, limit=affordable)
    return affordable
