"""HTTP/2 on the same port, by prior knowledge (h2c): what Envoy speaks with appProtocol h2c."""

import json
import signal
import struct

import pytest

from tests.unit.assay_server.transport.http2 import PING, RST_STREAM, Client

FLOW_CONTROL_ERROR = 3
CANCEL = struct.pack("!I", 8)


@pytest.fixture
def client(server):
    with server.connect() as connection:
        yield Client(connection.socket)


def test_many_requests_share_a_connection(client):
    numbers = [
        client.request("POST", "/echo", b"%d" % number, content_length=str(len(str(number))))
        for number in range(100)
    ]
    for number, stream in enumerate(numbers):
        answer = client.answer(stream)
        assert (answer.status, answer.body) == (200, b"%d" % number)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("size", [0, 1, 60_000, 100_000])
def test_bodies_come_back_whole(client, declared, size):
    more = {"content_length": str(size)} if declared else {}
    answer = client.answer(client.request("POST", "/echo", b"x" * size, **more))
    assert (answer.status, answer.body) == (200, b"x" * size)


def test_a_body_may_come_in_pieces_and_end_with_an_empty_one(client):
    stream = client.request("POST", "/echo", b"1", end=False)
    client.data(stream, b"2", end=False)
    client.data(stream, b"")
    assert client.answer(stream).body == b"12"
    assert client.answer(client.request("PUT", "/echo")).body == b""


def test_unknown_routes_and_large_heads(client):
    answer = client.answer(client.request("GET", "/nowhere"))
    assert answer.status == 404
    assert json.loads(answer.body) == {"error": "there is nothing at this path"}
    refused = client.answer(client.request("GET", "/ready", x="a" * 70_000))
    assert refused.status is None  # 431 is in no table; it has no body
    assert (refused.body, refused.reset) == (b"", None)
    assert client.answer(client.request("GET", "/ready")).status == 200


def test_a_slow_request_does_not_hold_up_the_others(start):
    with start() as server, server.connect() as connection:
        client = Client(connection.socket)
        slow = client.request("GET", "/hold")
        assert client.answer(client.request("GET", "/ready")).status == 200
        assert not client.streams[slow].ended
        client.answer(client.request("GET", "/release"))
        assert client.answer(slow).body == b'"held"'


def test_streams_that_are_reset_and_lengths_that_are_wrong_hurt_nobody(client):
    for _ in range(20):
        held = client.request("GET", "/hold")
        cut = client.request("POST", "/echo", b"12", end=False)
        for stream in (held, cut):
            client.frame(RST_STREAM, 0, stream, CANCEL)
        wrong = client.request("POST", "/echo", b"12345", content_length="3")
        assert client.answer(wrong).reset is not None
    assert client.answer(client.request("GET", "/ready")).status == 200


def test_a_body_that_nobody_reads_is_held_back_by_its_window(start):
    """Two uploads hold the places for large bodies; the third may send its window and no more."""
    with start() as server, server.connect() as connection:
        client = Client(connection.socket)
        for _ in range(2):
            client.request("POST", "/echo", b"1" * 70_000, end=False)
        # Each stream has a task of its own in the server: the third may overtake the others.
        while client.answer(client.request("GET", "/places")).body != b"0":
            pass
        third = client.request("POST", "/echo", b"1" * 70_000, end=False)
        assert client.answer(client.request("GET", "/ready")).status == 200
        client.data(third, b"1" * 140_000, end=False)
        assert client.answer(third).reset == FLOW_CONTROL_ERROR
        assert client.goaway is None
        assert server.ask("GET", "/ready")[0] == 200


def test_pings_are_answered(client):
    client.frame(PING, 0, 0, bytes(8))
    while not client.pongs:
        assert client.receive()


def test_draining_ends_with_goaway_and_the_answers_to_what_has_started(start):
    with start(drain_seconds=0.2) as server, server.connect() as connection:
        client = Client(connection.socket)
        slow = client.request("GET", "/hold")
        assert client.answer(client.request("GET", "/ready")).status == 200
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: "draining" in server.text())
        client.answer(client.request("GET", "/release"))
        assert client.answer(slow).body == b'"held"'
        while client.receive():
            pass
        assert client.goaway == 0
        assert server.process.wait() == 0
