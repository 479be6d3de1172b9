"""One HTTP/1.1 connection: requests are answered in order, in bounds of memory and time."""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from assay_server.transport import bodies
from assay_server.transport.bodies import LARGE_BODY
from assay_server.transport.errors import CLOSE, ClientGoneError, Header, stalled
from assay_server.transport.heads import CONTINUE, answer_head
from assay_server.transport.messages import Request
from assay_server.transport.parser import SLICE_BYTES, RequestParser

if TYPE_CHECKING:
    from assay_server.transport.listener import Listener

# Longer than gateways keep idle connections (Envoy: one hour): whoever closes an idle one first
# races with the request that the other side is just sending on it, and that one is lost.
IDLE_SECONDS = 2 * 3600.0
HEAD_SECONDS = 30.0
# Without the client taking any of its answer.
ANSWER_SECONDS = 120.0
# How long a client may go on sending what is thrown away, after it was told of the end.
LINGER_SECONDS = 5.0
# A client that does not say goodbye in TLS is not waited for longer, once it has everything. As of
# the last sweep, so that it is one second at least.
GOODBYE_SECONDS = 2.0
_NEVER = float("inf")
# Of Linux's tcp_info: segments not acknowledged, bytes acknowledged, bytes not sent yet.
_TCP_INFO = struct.Struct("=24xI92xQ16xI")


class Connection(asyncio.BufferedProtocol):
    """Reads requests, has them answered one after the other, closes in good order.

    Attributes
    ----------
    is_made
        Whether it was ever there: not before the handshake.
    deadline
        When `expire` is to be called, by the listener's clock.
    """

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._parser = RequestParser(self)
        self._current: Request | None = None
        # What is not parsed before what is complete has been answered.
        self._held = b""
        self._is_closing = False
        self._is_advancing = False
        self._is_paused = False
        # Whether the client has to take what it was sent first.
        self._is_full = False
        # How much of it the client had taken when it was last looked at.
        self._taken = 0
        self._since = 0.0
        self.is_made = False
        self.deadline = _NEVER

    def stop(self) -> None:
        """Begin no further request: close now if there is none, else after its answer."""
        parser = self._parser
        is_idle = self._current is None and not parser.requests
        if self._is_closing or (is_idle and parser.reading is None and not parser.fed):
            self.end()

    def end(self) -> None:
        """Close whatever is going on."""
        self._close(lingers=False)

    def expire(self) -> None:
        """Lose patience."""
        reading = self._parser.reading
        if self._is_closing or self._is_full:
            if self._transport is None:
                return
            if self._is_taking(self._transport):
                self.deadline = self._listener.now + ANSWER_SECONDS
            else:
                self._transport.abort()
        elif reading is not None and reading.incoming is None:
            reading.failure = stalled(bodies.BODY_SECONDS)
            self._parser.give_up()
            self._parser.requests.append(reading)
            self._advance()
        else:
            self.end()

    def wanted(self) -> None:
        """Go on reading the body of the request that is worked on."""
        request = self._current
        if self._transport is None or request is None or request is not self._parser.reading:
            return
        if request.waits_for_continue:
            request.waits_for_continue = False
            self._transport.write(CONTINUE)
        self._advance()

    def answer(
        self,
        request: Request,
        status: int,
        content_type: str,
        headers: tuple[Header, ...],
        body: bytes,
    ) -> None:
        """Send the answer to the request that is worked on. Does nothing if the client is gone."""
        transport, listener, parser = self._transport, self._listener, self._parser
        if transport is None or request is not self._current:
            return
        unread = request is parser.reading
        closes = (
            not request.keeps_alive
            or CLOSE in headers
            or (unread and request.waits_for_continue)
            or (
                (listener.stopping or self._since <= listener.kept_since)
                and not parser.requests
                and (unread or parser.reading is None)
            )
        )
        if closes and CLOSE not in headers:
            headers += (CLOSE,)
        head = answer_head(status, content_type, len(body), listener.clock.header, headers)
        if request.method == "HEAD":
            transport.write(head)
        elif len(body) < LARGE_BODY:
            transport.write(head + body)
        else:
            transport.writelines([head, body])
        self._current = None
        if closes:
            incoming = request.incoming
            is_cut = request.failure or (incoming is not None and not incoming.is_complete)
            self._close(lingers=bool(is_cut or self._held))
            return
        if unread and request.incoming is not None:
            request.incoming.drop()
        self._wait()
        if self._held or parser.requests or parser.refusal or parser.has_ended:
            self._advance()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._since = self._listener.now
        self.is_made = True
        self._wait()
        self._listener.connections.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; what is being worked on ends unheard."""
        self._transport = None
        self._is_closing = True
        self._held = b""
        self._parser.requests.clear()
        request = self._parser.give_up()
        if request is not None and request.incoming is not None:
            request.incoming.fail(ClientGoneError())
        self._listener.lost(self)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where what comes next is to go: one place for all, it is used at once."""
        return self._listener.buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came."""
        parser = self._parser
        if self._is_closing or parser.has_ended or parser.refusal:
            return
        data = self._listener.buffer[:nbytes]
        if nbytes > SLICE_BYTES or self._held or not self._wants_input:
            self._held += bytes(data)
        else:
            self._feed(data)
        self._advance()

    @override
    def eof_received(self) -> bool:
        """Take who closes its half as gone: no client of ours does that before its answer."""
        return False

    @override
    def pause_writing(self) -> None:
        """Begin nothing new: the client does not take what it has been sent."""
        self._is_full = True
        self.deadline = self._listener.now + ANSWER_SECONDS

    @override
    def resume_writing(self) -> None:
        """Go on."""
        self._is_full = False
        if self._is_closing:
            self.deadline = self._listener.now + LINGER_SECONDS
            return
        if self._current is None:
            self._wait()
        self._advance()

    @property
    def _wants_input(self) -> bool:
        """Whether the parser is to get more: not before what is complete has been answered."""
        parser = self._parser
        if parser.has_ended or parser.refusal or self._is_closing:
            return False
        if parser.reading is None:
            return self._current is None and not parser.requests and not self._is_full
        return parser.reading.incoming is None or not parser.reading.incoming.is_full

    def _feed(self, data: memoryview | bytes) -> None:
        parser = self._parser
        reading, fed = parser.reading, parser.fed
        parser.feed(data)
        if self._current is not None or parser.requests:
            return
        if not fed or parser.reading is not reading:
            self._wait()

    def _wait(self) -> None:
        """Set the deadline for what the client is to send next, once it has taken its answers."""
        if self._is_full:
            return
        if self._parser.reading is not None:
            seconds = bodies.BODY_SECONDS
        else:
            seconds = HEAD_SECONDS if self._parser.fed else IDLE_SECONDS
        self.deadline = self._listener.now + seconds

    def _advance(self) -> None:
        """Begin what can be begun and parse what can be parsed."""
        if self._is_advancing:
            return
        self._is_advancing = True
        parser = self._parser
        while True:
            while parser.requests and self._current is None and not self._is_full:
                self._begin(parser.requests.popleft())
            if not self._held or not self._wants_input:
                break
            size = parser.slice_bytes
            data, self._held = self._held[:size], self._held[size:]
            self._feed(data)
        self._is_advancing = False
        if self._is_closing or self._transport is None:
            return
        is_done = self._current is None and not parser.requests
        if is_done and parser.refusal:
            headers = (CLOSE, self._listener.service.refused(parser.refusal))
            date = self._listener.clock.header
            self._transport.write(answer_head(parser.refusal, "", 0, date, headers))
            self._close(lingers=True)
        elif is_done and parser.has_ended:
            self._close(lingers=True)
        elif self._is_paused is not bool(self._held):
            self._is_paused = not self._is_paused
            if self._is_paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _begin(self, request: Request) -> None:
        self._current = request
        self.deadline = _NEVER
        service = self._listener.service
        if request.failure is None:
            rest = service.begin(request)
        else:
            rest = service.refuse(request, request.failure)
        if rest is not None:
            self._listener.start(rest)

    def _close(self, *, lingers: bool) -> None:
        """Close as soon as everything that was written has been taken.

        To close while the client is still sending resets the connection, and what was answered may
        never be seen: a connection that lingers waits for the client to close it (RFC 9112, 9.6).
        """
        transport = self._transport
        self._is_closing = True
        self._held = b""
        self._parser.requests.clear()
        if transport is None:
            return
        seconds = ANSWER_SECONDS
        if not transport.can_write_eof():  # TLS
            seconds = GOODBYE_SECONDS
            transport.close()
        elif lingers:
            seconds = LINGER_SECONDS
            transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()
        self.deadline = self._listener.now + (ANSWER_SECONDS if self._is_full else seconds)

    def _is_taking(self, transport: asyncio.Transport) -> bool:
        """Whether there is something left to take, and some was taken since this was last asked."""
        peer = transport.get_extra_info("socket")
        if peer is None:
            return False
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        sent, taken, unsent = _TCP_INFO.unpack(info.ljust(_TCP_INFO.size, b"\0"))
        before, self._taken = self._taken, taken
        return taken > before and bool(sent or unsent or transport.get_write_buffer_size())
