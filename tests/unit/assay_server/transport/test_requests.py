"""Routes, errors and bodies over HTTP/1.1, byte by byte where that matters."""

import asyncio
import gzip
import json
import os
import socket
import zlib

import pytest

from assay_server.transport import Request, Response, Service, bodies
from tests.unit.assay_server.transport.conftest import HEAD, LIMIT, chunked


# PUT /echo answers at once if it can, POST /echo is a coroutine always.
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 100_000, LIMIT])
def test_a_body_comes_back_whole_whatever_its_size(server, method, size):
    body = os.urandom(size)
    with server.connect() as connection:
        for _ in range(2):
            status, headers, found = connection.ask(method, "/echo", body)
            assert (status, found) == (200, body)
            assert headers["content-type"] == "application/octet-stream"
            assert headers["server"] == "assay"
            assert "connection" not in headers


def test_a_chunked_body_comes_back_whole(server):
    parts = [os.urandom(size) for size in (1, 70_000, 3, 200_000)]
    with server.connect() as connection:
        for some in (parts[:1], parts, []):
            assert connection.send(chunked(*some)).answer()[::2] == (200, b"".join(some))


@pytest.mark.parametrize(
    ("method", "path", "status", "message", "allow"),
    [
        ("GET", "/nowhere", 404, "there is nothing at this path", None),
        ("GET", "/echo/", 404, "there is nothing at this path", None),
        ("GET", "/ECHO", 404, "there is nothing at this path", None),
        ("DELETE", "/echo", 405, "this path takes POST, PUT only", "POST, PUT"),
    ],
)
def test_only_exact_routes_answer(server, method, path, status, message, allow):
    found, headers, body = server.ask(method, path)
    assert found == status
    assert json.loads(body) == {"error": message}
    assert headers.get("allow") == allow
    assert headers["content-type"] == "application/json"


def test_a_quoted_path_is_the_path(server):
    assert server.ask("GET", "/%72eady?x=1")[0] == 200


def test_headers_and_query_are_read_by_name(server):
    assert server.ask("GET", "/header", X_NAME="a b")[2] == b'"a b"'
    assert server.ask("GET", "/header")[2] == b"null"
    assert server.ask("GET", "/query?a=1&a=%20x&b=")[2] == b'[" x", ""]'
    assert server.ask("GET", "/query?c=1")[2] == b"[null, null]"
    with server.connect() as connection:
        raw = b"GET /header HTTP/1.1\r\nx-name: \xff\r\n\r\n"
        assert connection.send(raw).answer()[2] == b"null"


@pytest.mark.parametrize("path", ["/fail", "/fail-later"])
def test_a_failing_handler_shows_the_client_nothing_and_the_log_where(server, path):
    with server.connect() as connection:
        status, _, body = connection.ask("GET", path)
        assert (status, body) == (500, b'{"error":"internal error"}')
        assert connection.ask("GET", "/ready")[0] == 200
    failed = [event for event in server.events() if event["level"] == "error"]
    assert failed[-1]["error"] == "RuntimeError"
    assert "application.py" in failed[-1]["where"]
    assert "secret of life" not in server.text()


@pytest.mark.parametrize("size", [0, 10, 200_000])
@pytest.mark.parametrize("path", ["/refuse", "/refuse-later"])
def test_an_error_says_more_to_machines(server, path, size):
    with server.connect() as connection:
        for _ in range(2):
            status, headers, body = connection.ask("POST", path, b"x" * size)
            assert (status, body) == (421, b'{"error":"not here","address":"there"}')
            assert "connection" not in headers


def test_errors_are_reported_by_status(server):
    before = json.loads(server.ask("GET", "/errors")[2])
    server.ask("GET", "/nowhere")
    server.ask("POST", "/echo", b"x", content_encoding="br")
    after = json.loads(server.ask("GET", "/errors")[2])
    assert after["404"] == before.get("404", 0) + 1
    assert after["415"] == before.get("415", 0) + 1


@pytest.mark.parametrize("size", [LIMIT + 1, 12 * LIMIT])
@pytest.mark.parametrize("how", ["declared", "chunked"])
def test_a_body_beyond_the_limit_is_413_and_the_answer_arrives(server, size, how):
    """The whole body is sent before the answer is read: it must be there, and no reset."""
    before = server.memory()
    with server.connect() as connection:
        if how == "declared":
            status, headers, body = connection.ask("POST", "/echo", b"1" * size)
        else:
            parts = (b"1" * 65_536,) * (size // 65_536) + (b"1",)
            status, headers, body = connection.send(chunked(*parts)).answer()
        assert status == 413
        assert json.loads(body) == {"error": f"the body is larger than {LIMIT} bytes"}
        assert headers["connection"] == "close"
        assert connection.is_closed()
    assert server.memory() - before < 8 * 1024


def test_a_body_that_nobody_wants_does_not_swallow_the_answer(server):
    with server.connect() as connection:
        assert connection.ask("POST", "/nowhere", b"1" * (16 * LIMIT))[0] == 404
        assert connection.ask("POST", "/echo", b"1" * LIMIT, content_encoding="br")[0] == 415
        assert connection.ask("GET", "/ready")[0] == 200


def test_who_asks_first_is_told_before_the_body_is_sent(server):
    expect = b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with server.connect() as connection:
        connection.send(HEAD + expect % (LIMIT + 1))
        assert connection.answer()[0] == 413
        assert connection.is_closed()
    with server.connect() as connection:
        connection.send(HEAD + expect % 100_000)
        assert connection.answer()[0] == 100
        assert connection.send(b"x" * 100_000).answer()[::2] == (200, b"x" * 100_000)


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_body_that_stalls_is_408(start, size):
    with start(set={"bodies.BODY_SECONDS": 0.1, "listener.SWEEP_SECONDS": 0.01}) as server:
        for head in (b"content-length: %d" % size, b"transfer-encoding: chunked"):
            with server.connect() as connection:
                status, headers, body = connection.send(HEAD + head + b"\r\n\r\n1").answer()
                assert status == 408
                assert json.loads(body)["error"].startswith("the body did not arrive within")
                assert headers["connection"] == "close"
                assert connection.is_closed()
        assert server.ask("POST", "/echo", b"1" * size)[0] == 200
        assert json.loads(server.ask("GET", "/errors")[2]) == {"408": 2}


def test_a_body_is_not_read_on_for_an_answer_that_closes(monkeypatch):
    """One that stalled was waited for twice: until it was 408, and to throw the rest away."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    answers, wanted = [], []

    class Client:
        def wanted(self) -> None:
            wanted.append(len(wanted))

        def answer(self, _request, status, *_) -> None:
            answers.append(status)

    async def ask() -> None:
        request = Request(Client(), "POST", "/", "", {})
        request.incoming = bodies.Body(Client())
        await Service({("POST", "/"): handler}).begin(request)

    async def handler(request: Request) -> Response:
        return Response(await request.body(LIMIT, bodies.Room(asyncio.Semaphore(1))))

    asyncio.run(ask())
    assert (answers, wanted) == ([408], [0])


def test_bodies_that_broke_off_leave_nothing(server):
    """Each left 15 kB: an exception, its traceback and the body in it held each other."""

    def break_off() -> None:
        with server.connect() as connection:
            connection.send(HEAD + b"content-length: 500\r\n\r\nabc")
            connection.socket.shutdown(socket.SHUT_WR)
            assert connection.is_closed() or connection.answer()

    for _ in range(500):
        break_off()
    before = server.memory()
    for _ in range(1500):
        break_off()
    assert server.memory() - before < 8 * 1024


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("size", [0, 1000, 65_536, 65_537, LIMIT])
def test_compressed_bodies_are_inflated(server, encode, size):
    body = b"12345678" * (size // 8) + b"x" * (size % 8)
    encoding = "gzip" if encode is gzip.compress else "deflate"
    for method in ("POST", "PUT"):
        answer = server.ask(method, "/echo", encode(body), content_encoding=encoding)
        assert answer[::2] == (200, body)


def test_large_compressed_bodies_are_inflated(server):
    body = os.urandom(LIMIT // 2)
    encoded = gzip.compress(body)
    assert server.ask("POST", "/echo", encoded, content_encoding="GZip")[::2] == (200, body)


def test_the_limit_is_one_of_inflated_bytes_and_bombs_are_stopped_early(server):
    bomb = gzip.compress(b"0" * (100 * LIMIT))
    assert len(bomb) < LIMIT
    before = server.memory()
    with server.connect() as connection:
        for body in (bomb, gzip.compress(b"0" * (LIMIT + 1))):
            status, _, answer = connection.ask("POST", "/echo", body, content_encoding="gzip")
            assert status == 413
            assert json.loads(answer) == {
                "error": f"the body is larger than {LIMIT} bytes when inflated"
            }
    assert server.memory() - before < 8 * 1024


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"1" * 1000, mtime=0)[:-1], "gzip", 400),
        (gzip.compress(b"1", mtime=0) + b"2", "gzip", 400),
        (gzip.compress(b"", mtime=0) * 2000, "gzip", 400),
        (b"", "gzip", 400),
        (b"x", "br", 415),
        (gzip.compress(gzip.compress(b"1", mtime=0), mtime=0), "gzip, gzip", 415),
        (b"x", "identity", 200),
    ],
)
def test_what_is_not_as_its_encoding_says_is_refused(server, body, encoding, status):
    found, headers, _ = server.ask("POST", "/echo", body, content_encoding=encoding)
    assert found == status
    assert headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)


def test_large_answers_are_compressed_for_clients_that_take_it(server):
    with server.connect() as connection:
        for size in (8192, 1_000_000):
            status, headers, body = connection.ask(
                "GET", f"/large?size={size}", accept_encoding="gzip"
            )
            assert (status, headers["content-encoding"]) == (200, "gzip")
            assert gzip.decompress(body) == b"x" * size
            assert len(body) < size / 50
            assert (headers["vary"], headers["x-more"]) == ("accept-encoding", "1")
        for accepted in ("identity", "gzip;q=0", "br"):
            _, headers, body = connection.ask("GET", "/large?size=8192", accept_encoding=accepted)
            assert "content-encoding" not in headers
            assert body == b"x" * 8192
        _, headers, body = connection.ask("GET", "/large?size=8191", accept_encoding="gzip")
        assert "content-encoding" not in headers
        assert body == b"x" * 8191
