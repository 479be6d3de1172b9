"""Enough of HTTP/2 (RFC 9113) for the tests: requests, answers, pings, resets. No library does it
for us in the development environment.
"""

import struct
from dataclasses import dataclass, field

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
WINDOW_UPDATE, CONTINUATION = 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Entries of HPACK's static table that stand alone for a status.
STATUSES = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def _literal(name: str, value: str) -> bytes:
    """Encode a header that enters no table (RFC 7541, 6.2.2); plain lengths to 127 bytes or more."""

    def string(text: str) -> bytes:
        size = len(text)
        if size < 127:
            return bytes([size]) + text.encode()
        size -= 127
        encoded = b"\x7f"
        while size >= 128:
            encoded += bytes([size % 128 + 128])
            size //= 128
        return encoded + bytes([size]) + text.encode()

    return b"\x00" + string(name) + string(value)


@dataclass
class Stream:
    """What has come of one answer."""

    status: int | None = None
    body: bytes = b""
    ended: bool = False
    reset: int | None = None


@dataclass
class Client:
    """An HTTP/2 connection over a socket that is connected."""

    socket: object
    streams: dict[int, Stream] = field(default_factory=dict)
    goaway: int | None = None
    pongs: int = 0
    _next: int = 1
    _news_of_windows: int = 0

    def __post_init__(self) -> None:
        self.socket.sendall(PREFACE)
        self.frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 2**30))
        self.frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 2**30))
        # Until the server has said so, its windows are smaller than it likes: for streams by its
        # settings, for the connection by an update.
        while self._news_of_windows < 2:
            assert self.receive()

    def frame(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        head = struct.pack("!I", len(payload))[1:] + bytes([kind, flags])
        self.socket.sendall(head + struct.pack("!I", stream) + payload)

    def request(
        self, method: str, path: str, body: bytes | None = None, *, end: bool = True, **headers: str
    ) -> int:
        """Start a request and return its stream; `end` False leaves its body open."""
        number, self._next = self._next, self._next + 2
        fields = {":method": method, ":scheme": "http", ":path": path, ":authority": "x"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        block = b"".join(_literal(*item) for item in fields.items())
        parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
        for place, part in enumerate(parts):
            flags = END_HEADERS if place == len(parts) - 1 else 0
            if place == 0 and body is None:
                flags |= END_STREAM
            self.frame(CONTINUATION if place else HEADERS, flags, number, part)
        self.streams[number] = Stream()
        if body is not None:
            self.data(number, body, end=end)
        return number

    def data(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send data in frames of 16 KiB, without a look at the window: keep it small."""
        parts = [body[at : at + 16384] for at in range(0, len(body), 16384)] or [b""]
        for number, part in enumerate(parts):
            last = end and number == len(parts) - 1
            self.frame(DATA, END_STREAM if last else 0, stream, part)

    def receive(self) -> bool:
        """Take in one frame; False when the server has closed the connection."""
        head = self._exactly(9)
        if head is None:
            return False
        kind, flags, number = head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF
        payload = self._exactly(int.from_bytes(head[:3])) or b""
        if number == 0:
            self._of_the_connection(kind, flags, payload)
        elif number in self.streams:
            self._of_a_stream(self.streams[number], kind, flags, payload)
        return True

    def _of_the_connection(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.frame(SETTINGS, ACK, 0)
            self._news_of_windows += 1
        elif kind == WINDOW_UPDATE:
            self._news_of_windows += 1
        elif kind == PING and flags & ACK:
            self.pongs += 1
        elif kind == PING:
            self.frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8])

    @staticmethod
    def _of_a_stream(stream: Stream, kind: int, flags: int, payload: bytes) -> None:
        if kind == HEADERS:
            stream.status = STATUSES.get(payload[0])
        elif kind == DATA:
            stream.body += payload
        elif kind == RST_STREAM:
            stream.reset = int.from_bytes(payload)
            stream.ended = True
        if kind in {DATA, HEADERS} and flags & END_STREAM:
            stream.ended = True

    def answer(self, number: int) -> Stream:
        """Wait for the end of an answer."""
        while not self.streams[number].ended:
            assert self.receive(), "the server closed the connection"
        return self.streams[number]

    def _exactly(self, size: int) -> bytes | None:
        content = b""
        while len(content) < size:
            part = self.socket.recv(size - len(content))
            if not part:
                return None
            content += part
        return content
