"""From bytes to requests: llhttp says what they mean, this says how much of it is taken.

llhttp (Node.js's parser, through httptools) refuses what proxies might read in another way: none of
its leniencies is on.
"""

from collections import deque
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from assay_server.transport import bodies
from assay_server.transport.bodies import LARGE_BODY, Body, Source
from assay_server.transport.errors import broken
from assay_server.transport.heads import path_and_query
from assay_server.transport.messages import Exchange, Request

# What came in the same slice counts too.
HEAD_BYTES = 64 * 1024
# By name.
HEADERS = 100
# What the parser should get at once, but for bodies of known length: as many requests as fit into
# that are found before the first of them is answered.
SLICE_BYTES = 4096
# What may surround chunks, for each byte in them, beyond the size of a head.
_AROUND_A_BYTE = 16


class Client(Exchange, Source, Protocol):
    """Where requests come from and answers go: a connection."""


class RequestParser:
    """Finds the requests of one connection.

    Attributes
    ----------
    requests
        Found and not taken yet, in order. A large body, or one of unknown length, is still to come.
    reading
        The one whose body is coming.
    fed
        Bytes of the head that is coming; of a chunked body, bytes that came.
    refusal
        A status that ends the connection, after the answers to all requests.
    has_ended
        Whether there will be no more requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        # What is missing of a body of known length; not above 0 for others.
        self._missing = 0
        # A head that asked for another protocol, as if it had not.
        self._plain_head: bytes | None = None
        self.requests: deque[Request] = deque()
        self.reading: Request | None = None
        self.fed = 0
        self.refusal = 0
        self.has_ended = False

    @property
    def slice_bytes(self) -> int:
        """How much to feed at once."""
        return SLICE_BYTES if self.reading is None else max(SLICE_BYTES, self._missing)

    def feed(self, data: memoryview | bytes) -> None:
        """Take in what came. Not to be called once it has ended or refused."""
        self.fed += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except HttpParserError:
            self._break()
        request = self.reading
        if request is None:
            if self.fed > HEAD_BYTES:
                self.refusal = 431
        elif (
            request.incoming is not None
            and self._missing <= 0
            and self.fed > HEAD_BYTES + _AROUND_A_BYTE * request.incoming.size
        ):
            self._break()

    def give_up(self) -> Request | None:
        """End with the request whose body is coming, and return that."""
        request, self.reading = self.reading, None
        self.has_ended = True
        return request

    # What llhttp calls.

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        if self.reading is None:
            self._target += part
            # It may have begun behind another request in the same slice, which counted until then.
            self.fed = self.fed or len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers come here too, and count for nothing."""
        if self.reading is not None:
            return
        headers = self._headers
        name = name.lower()
        if name in headers:
            if name == b"transfer-encoding":
                self.refusal = 400
            return
        headers[name] = value
        if len(headers) > HEADERS:
            self.refusal = 431

    def on_headers_complete(self) -> None:
        """Take in a head."""
        if self._plain_head is not None or self.refusal:
            self._plain_head = None
            return
        target, headers = self._target, self._headers
        self._target, self._headers = b"", {}
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        method = self._parser.get_method().decode()
        path, query, self.refusal = self._understood(method, target, coding)
        if self.refusal:
            return
        if b"upgrade" in headers and self._parser.should_upgrade():
            framing = b"content-length: %b\r\n" % length if length else b""
            framing = b"transfer-encoding: chunked\r\n" if coding else framing
            self._plain_head = b"POST / HTTP/1.1\r\n%b\r\n" % framing
        keeps_alive = self._parser.should_keep_alive()
        request = Request(self._client, method, path, query, headers, keeps_alive=keeps_alive)
        self.reading = request
        self._missing = int(length or 0)
        if coding is not None or b"expect" in headers or self._missing > LARGE_BODY:
            self.fed = 0
            request.incoming = Body(self._client)
            # Clients of 1.0 know no answers before the answer.
            request.waits_for_continue = b"expect" in headers and self._is_1_1()
            self.requests.append(request)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        request = self.reading
        if request is None:
            return
        self._missing -= len(part)
        if request.incoming is None:
            request.add(part)
            return
        request.waits_for_continue = False
        request.incoming.add(part)
        if request.incoming.is_dropped and request.incoming.size > bodies.DISCARD_BYTES:
            self.has_ended = True

    def on_message_complete(self) -> None:
        """Take note that a request is complete."""
        request = self.reading
        if request is None or self._plain_head is not None:
            return
        self.reading = None
        self.fed = 0
        self.has_ended = not request.keeps_alive
        if request.incoming is None:
            self.requests.append(request)
        else:
            request.incoming.finish()

    def _understood(self, method: str, target: bytes, coding: bytes | None) -> tuple[str, str, int]:
        """Return path, query, and 0 or the status of a refusal."""
        if self.fed > HEAD_BYTES:
            return "", "", 431
        if method == "CONNECT":
            return "", "", 400
        if coding is not None and (coding.lower() != b"chunked" or not self._is_1_1()):
            return "", "", 400
        try:
            return *path_and_query(target), 0
        except ValueError:
            return "", "", 400

    def _is_1_1(self) -> bool:
        """Whether the head that is taken in says so: no other version knows chunks."""
        return self._parser.get_http_version() == "1.1"

    def _stay(self, rest: memoryview | bytes) -> None:
        """Go on in HTTP/1.1 with a request that asked for another protocol."""
        if self._plain_head is None:
            return  # CONNECT
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(self._plain_head)
        if rest:
            self.feed(rest)

    def _break(self) -> None:
        """Parse no further: this is no HTTP/1.1, or not in bounds."""
        request = self.reading
        if request is None or request.incoming is None:
            self.refusal = self.refusal or 400
        else:
            self.give_up()
            request.incoming.fail(broken())
