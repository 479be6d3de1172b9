"""Where requests begin and end: framings, bounds of heads and chunks, versions of HTTP."""

import json
import os
import time
from contextlib import ExitStack
from email.utils import parsedate_to_datetime

import pytest

from tests.unit.assay_server.transport.conftest import HEAD, LIMIT, chunked


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /ready HTTP/1.1\r\nx: " + b"a" * 60_000, 200),
        (b"GET /ready HTTP/1.1\r\nx: " + b"a" * 66_000, 431),
        (b"GET /ready HTTP/1.1" + b"".join(b"\r\nx%d: a" % number for number in range(100)), 200),
        (b"GET /ready HTTP/1.1" + b"".join(b"\r\nx%d: a" % number for number in range(101)), 431),
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1", 431),
        (b"GET /ready HTTP/9.9", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 400),
        (b"get /ready HTTP/1.1", 400),
        (b"CONNECT x:1 HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /%ff HTTP/1.1", 400),
        (b"GET /ready\x00 HTTP/1.1", 400),
        (b"GET /ready HTTP/1.1\r\nx: a\x00b", 400),
        (b"GET /ready HTTP/1.1\nx: a", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (HEAD + b"content-length: 1\r\ncontent-length: 2", 400),
        (HEAD + b"content-length: +1", 400),
        (HEAD + b"content-length: 1, 1", 400),
        (HEAD + b"transfer-encoding: identity\r\ncontent-length: 1", 400),
        (HEAD + b"transfer-encoding: identity", 400),
        (HEAD + b"transfer-encoding: chunked, gzip", 400),
        (HEAD + b"transfer-encoding: gzip, chunked", 400),
        (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked", 400),
        (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5", 400),
        (HEAD.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked", 400),
        (HEAD + b"content-length : 1", 400),
        (b"GET /ready HTTP/1.1\r\nx: a\r\n b", 400),
    ],
)
def test_heads_out_of_bounds_are_refused(server, request_, status):
    """Without a body. What proxies might understand in another way is among it."""
    before = json.loads(server.ask("GET", "/errors")[2])
    with server.connect() as connection:
        found, headers, body = connection.send(request_ + b"\r\n\r\n").answer()
        assert found == status
        if status != 200:
            assert (headers["connection"], body) == ("close", b"")
            assert connection.is_closed()
            after = json.loads(server.ask("GET", "/errors")[2])
            assert after[str(status)] == before.get(str(status), 0) + 1
            [line] = [each for each in server.events() if each.get("id") == headers["x-request-id"]]
            assert (line["event"], line["status"]) == ("request_failed", status)


@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"1\r\nxx",
        b"0\n\n",
        b"1;" + b"x" * 70_000,
        (b"1;" + b"x" * 40 + b"\r\nx\r\n") * 4_000,
        b"0\r\nx: " + b"x" * 70_000,
    ],
)
def test_chunks_that_are_broken_or_out_of_bounds_are_refused(server, rest):
    with server.connect() as connection:
        start = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        status, headers, body = connection.send(start + rest).answer()
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body) == {"error": "the chunks of the body are broken"}
        assert connection.is_closed()


def test_trailers_count_for_nothing(server):
    with server.connect() as connection:
        head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
        for _ in range(2):
            connection.send(head + b"5\r\nhello\r\n0\r\ncontent-encoding: gzip\r\nx: 1\r\n\r\n")
            assert connection.answer()[::2] == (200, b"hello")


@pytest.mark.parametrize("size", [0, 5, 70_000])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(server, size, framing):
    """Java's client asks for HTTP/2 with its first request, and sends that one's body as usual."""
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n"
    body = os.urandom(size)
    if framing == "chunked":
        request = chunked(body) if size else chunked()
        request = request.replace(b"transfer", upgrade + b"transfer", 1)
    else:
        request = HEAD + upgrade + b"content-length: %d\r\n\r\n" % size + body
    with server.connect() as connection:
        for _ in range(2):
            assert connection.send(request).answer()[::2] == (200, body)


def test_requests_may_come_byte_by_byte(server):
    with server.connect() as connection:
        for request in (HEAD + b"content-length: 3\r\n\r\nabc", chunked(b"a", b"bc")):
            for byte in request:
                connection.send(bytes([byte]))
            assert connection.answer()[::2] == (200, b"abc")


def test_http_1_0_is_answered_and_closed(server):
    with server.connect() as connection:
        status, headers, _ = connection.send(b"GET /ready HTTP/1.0\r\n\r\n").answer()
        assert (status, headers["connection"]) == (200, "close")
        assert connection.is_closed()


def test_who_speaks_http_1_0_is_not_asked_for_its_body(server):
    """It would take `100 Continue` for the answer."""
    head = b"POST /echo HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
    with server.connect() as connection:
        connection.send(head)
        assert server.ask("GET", "/ready")[0] == 200
        assert connection.send(b"abc").answer()[::2] == (200, b"abc")


def test_what_comes_after_the_last_request_counts_for_nothing(server):
    with server.connect() as connection:
        last = b"GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n"
        connection.send(b"GET /ready HTTP/1.1\r\n\r\n" + last + b"GET /fail HTTP/1.1\r\n\r\n")
        assert [connection.answer()[0] for _ in range(2)] == [200, 200]
        assert connection.is_closed()


def test_answers_to_head_have_no_body(server):
    with server.connect() as connection:
        connection.send(b"HEAD /nowhere HTTP/1.1\r\n\r\n")
        status, headers = connection.head()
        assert (status, headers["content-length"]) == (404, "41")
        assert connection.ask("GET", "/ready")[0] == 200


def test_every_answer_tells_the_time(server):
    date = parsedate_to_datetime(server.ask("GET", "/ready")[1]["date"])
    assert abs(time.time() - date.timestamp()) < 60


def test_whole_addresses_are_taken_as_their_paths(server):
    assert server.ask("GET", "http://x:1/query?a=1")[2] == b'["1", null]'
    assert server.ask("GET", "http://x")[0] == 404
    assert server.ask("OPTIONS", "*")[0] == 404


def test_tiny_chunks_take_no_more_memory_than_others(start):
    """Kept part by part, two bytes took sixty; whether somebody took them or not."""
    tiny = chunked(*(b"ab",) * (LIMIT // 2))
    with start() as server, ExitStack() as stack:
        assert server.ask("GET", "/ready")[0] == 200
        before = server.memory()
        with server.connect() as connection:
            assert connection.send(tiny).answer()[::2] == (200, b"ab" * (LIMIT // 2))
        for _ in range(20):
            waiting = stack.enter_context(server.connect())
            waiting.send(b"GET /hold HTTP/1.1\r\n\r\n" + tiny[:300_000])
        assert server.ask("GET", "/ready")[0] == 200
        assert server.memory() - before < 16 * 1024
