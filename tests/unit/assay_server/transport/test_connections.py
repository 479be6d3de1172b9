"""Connections that last, stall, break off, pile up: what others notice of it."""

import json
import socket
from contextlib import ExitStack

import pytest

from assay_server.transport import connection as connection_module
from assay_server.transport import listen
from assay_server.transport import server as server_module
from tests.unit.assay_server.transport.conftest import HEAD

SWIFT = {"listener.SWEEP_SECONDS": 0.01}
ENVOY_KEEPS_IDLE_CONNECTIONS_SECONDS = 3600


def send_for_ever(connection) -> None:
    while True:
        connection.send(b"more of it" * 1000)


def test_the_server_closes_idle_connections_later_than_gateways_do():
    assert connection_module.IDLE_SECONDS > ENVOY_KEEPS_IDLE_CONNECTIONS_SECONDS


def test_idle_connections_are_closed_in_the_end(start):
    with start(set={"connection.IDLE_SECONDS": 0.1, **SWIFT}) as server, ExitStack() as stack:
        silent, idle = (stack.enter_context(server.connect()) for _ in range(2))
        assert idle.ask("GET", "/ready")[0] == 200
        assert idle.is_closed()
        assert silent.is_closed()


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, False), (60.0, True)])
def test_a_connection_that_is_too_old_ends_with_an_answer(start, seconds, kept):
    with start(connection_seconds=seconds) as server, server.connect() as connection:
        status, headers, _ = connection.ask("GET", "/ready")
        assert (status, headers.get("connection")) == (200, None if kept else "close")
        if kept:
            assert connection.ask("GET", "/ready")[0] == 200
        else:
            assert connection.is_closed()


def test_an_old_connection_loses_no_request_that_was_sent_ahead(start):
    with start(connection_seconds=0.0) as server, server.connect() as connection:
        connection.send(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
        answers = [connection.answer() for _ in range(3)]
        assert [status for status, *_ in answers] == [200] * 3
        assert [headers.get("connection") for _, headers, _ in answers] == [None, None, "close"]


def test_heads_that_never_end_are_given_up_and_what_is_idle_or_at_work_is_not(start):
    with start(set={"connection.HEAD_SECONDS": 0.1, **SWIFT}) as server, ExitStack() as stack:
        idle, half, second, held = (stack.enter_context(server.connect()) for _ in range(4))
        for each in (idle, second):
            assert each.ask("GET", "/ready")[0] == 200
        held.send(b"GET /hold HTTP/1.1\r\n\r\n")
        half.send(b"GET /ready HTTP/1.1\r\n")
        second.send(b"GET /ready")
        assert half.is_closed()
        assert second.is_closed()
        assert idle.ask("GET", "/release")[0] == 200
        assert held.answer()[2] == b'"held"'


def test_a_head_that_begins_behind_a_request_has_no_more_time_than_others(start):
    settings = {"connection.HEAD_SECONDS": 0.1, "connection.IDLE_SECONDS": 10, **SWIFT}
    with start(set=settings) as server, server.connect() as idle, server.connect() as half:
        half.send(b"GET /ready HTTP/1.1\r\n\r\nGET /ready").answer()
        assert half.is_closed()
        assert idle.ask("GET", "/ready")[0] == 200


def test_who_does_not_take_its_answers_is_given_up(start):
    """And meanwhile nothing more is done for it: sixteen answers would be 64 MB."""
    with start(set={"connection.ANSWER_SECONDS": 0.5, **SWIFT}) as server:
        assert server.ask("GET", "/ready")[0] == 200
        before = server.memory()
        with server.connect() as connection:
            connection.send(b"GET /large?size=4000000 HTTP/1.1\r\n\r\n" * 16)
            assert server.until(server.connections)
            assert server.until(lambda: not server.connections())
        assert server.memory() - before < 16 * 1024


def test_who_takes_its_answers_slowly_gets_them_all(server):
    with server.connect() as connection:
        connection.send(b"GET /large?size=4000000 HTTP/1.1\r\n\r\n" * 4)
        assert [len(connection.answer()[2]) for _ in range(4)] == [4_000_000] * 4


def pass_time(server) -> None:
    """Wait until an idle connection is closed."""
    with server.connect() as idle:
        assert idle.is_closed()


def test_who_takes_its_answer_slower_than_it_may_stall_gets_it(start):
    settings = {"connection.ANSWER_SECONDS": 1, "connection.IDLE_SECONDS": 0.3, **SWIFT}
    with start(set=settings) as server, server.connect() as connection:
        connection.send(b"GET /large?size=40000000 HTTP/1.1\r\n\r\n")
        status, headers = connection.head()
        assert (status, headers["content-length"]) == (200, "40000000")
        for _ in range(10):
            pass_time(server)
            assert len(connection.read(4_000_000)) == 4_000_000


def test_what_is_answered_before_the_end_may_be_taken_after_it(start):
    settings = {"connection.LINGER_SECONDS": 0.1, "connection.IDLE_SECONDS": 0.5, **SWIFT}
    with start(set=settings) as server, server.connect() as connection:
        connection.send(b"GET /large?size=20000000 HTTP/1.1\r\n\r\nnonsense\r\n\r\n")
        pass_time(server)
        assert len(connection.answer()[2]) == 20_000_000
        assert connection.answer()[0] == 400
        assert connection.is_closed()


def test_a_body_that_ends_does_not_keep_who_does_not_take_its_answer(start):
    settings = {"connection.ANSWER_SECONDS": 0.2, "connection.HEAD_SECONDS": 2, **SWIFT}
    with start(set=settings) as server, server.connect() as connection, server.connect() as half:
        request = b"GET /large?size=20000000 HTTP/1.1\r\ncontent-length: 70000\r\n\r\n"
        connection.send(request).head()
        connection.send(b"x" * 70_000)
        half.send(b"GET")
        assert half.is_closed()
        assert not server.connections()


def test_who_is_cut_off_in_a_body_may_go_on_sending_until_it_sees_why(start):
    with start() as server, server.connect() as connection:
        connection.send(HEAD + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n")
        assert connection.answer()[0] == 400
        assert connection.is_closed()
        assert server.connections() == 1


def test_a_closed_connection_is_not_kept_for_a_client_that_goes_on_sending(start):
    settings = {"connection.LINGER_SECONDS": 0.1, **SWIFT}
    with start(set=settings) as server, server.connect() as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert connection.answer()[0] == 400
        with pytest.raises(ConnectionError):
            send_for_ever(connection)


def test_requests_that_come_together_are_answered_in_order(server):
    requests = [HEAD + b"content-length: 1\r\n\r\n%d" % number for number in range(9)]
    requests.insert(4, b"GET /nowhere HTTP/1.1\r\n\r\n")
    requests.insert(6, HEAD + b"content-length: 70000\r\n\r\n" + b"x" * 70_000)
    with server.connect() as connection:
        connection.send(b"".join(requests))
        answers = [connection.answer() for _ in requests]
    assert [len(body) for _, _, body in answers] == [1, 1, 1, 1, 41, 1, 70_000, 1, 1, 1, 1]
    assert b"".join(body for _, _, body in answers if len(body) == 1) == b"012345678"


def test_a_slow_answer_holds_up_those_behind_it_on_its_connection_only(start):
    with start() as server, server.connect() as connection:
        connection.send(b"GET /hold HTTP/1.1\r\n\r\nGET /ready HTTP/1.1\r\n\r\n")
        assert server.ask("GET", "/ready")[0] == 200
        assert server.ask("GET", "/release")[0] == 200
        assert [connection.answer()[2] for _ in range(2)] == [b'"held"', b"{}"]


def test_many_slow_clients_do_not_hold_up_others(server):
    """Silent ones, heads that never end, small and large bodies that trickle: 1200 of them."""
    beginnings = [
        b"",
        b"GET /ready HTTP/1.1\r\nx: ",
        HEAD + b"content-length: 1000\r\n\r\n1",
        HEAD + b"content-length: 500000\r\n\r\n" + b"1" * 70_000,
    ]
    with ExitStack() as stack:
        slow = []
        for number in range(1200):
            connection = stack.enter_context(server.connect())
            slow.append(connection.send(beginnings[number % 4]))
        for _ in range(2):
            with server.connect() as connection:
                for _ in range(20):
                    assert connection.ask("POST", "/echo", b"x" * 1000)[0] == 200
            for connection in slow:
                connection.send(b"1")


def test_connections_beyond_the_limit_wait_their_turn(start):
    with start(connections=3) as server, ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in held:
            assert connection.ask("GET", "/ready")[0] == 200
        waiting = stack.enter_context(server.connect()).send(b"GET /ready HTTP/1.1\r\n\r\n")
        for connection in held:
            assert connection.ask("GET", "/ready")[0] == 200
        with pytest.raises(BlockingIOError):
            waiting.socket.recv(1, socket.MSG_DONTWAIT)
        held[1].close()
        assert waiting.answer()[0] == 200


def test_fewer_descriptors_make_fewer_connections(start):
    with start(descriptors=200) as server, ExitStack() as stack:
        limited = server.until(lambda: [event for event in server.events() if "limit" in event])
        assert limited[0]["limit"] == 200 - server_module._SPARE_DESCRIPTORS
        first = stack.enter_context(server.connect())
        assert first.ask("GET", "/ready")[0] == 200
        for _ in range(300):
            stack.enter_context(server.connect())
        assert first.ask("GET", "/ready")[0] == 200


@pytest.mark.parametrize("hard", [False, True])
def test_clients_that_go_away_in_the_middle_leave_nothing_behind(start, hard):
    requests = [
        b"GET /rea",
        HEAD + b"content-length: 50\r\n\r\nabc",
        HEAD + b"content-length: 500000\r\n\r\nabc",
        HEAD + b"content-length: 500000\r\n\r\n" + b"1" * 300_000,
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab",
        b"GET /hold HTTP/1.1\r\n\r\n",
        b"GET /large?size=5000000 HTTP/1.1\r\n\r\n",
    ]
    with start() as server:
        for _ in range(3):
            for request in requests:
                server.connect().send(request).close(hard=hard)
        # Both places for large bodies are free again, and all is well.
        for _ in range(3):
            assert server.ask("POST", "/echo", b"1" * 300_000)[0] == 200
        assert server.ask("GET", "/release")[0] == 200
        errors = json.loads(server.ask("GET", "/errors")[2])
        assert set(errors) <= {"400"}  # chunks that end too soon look like broken ones
        assert {event["level"] for event in server.events()} == {"info"}


def test_who_closes_its_half_of_the_connection_is_taken_as_gone(start):
    """No client of ours does that before it has its answer."""
    with start() as server, server.connect() as connection:
        connection.send(b"GET /hold HTTP/1.1\r\n\r\n").socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()


def test_a_taken_port_is_an_error_and_port_0_is_a_free_one():
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        ports = [listener.getsockname()[1] for listener in (first, second)]
        assert len({0, *ports}) == 3
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", ports[0])


def test_connections_inherit_what_finds_dead_peers():
    with listen("127.0.0.1", 0) as listener:
        client = socket.create_connection(listener.getsockname())
        listener.setblocking(True)
        connection, _ = listener.accept()
        with client, connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            for option in (
                socket.TCP_NODELAY,
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            ):
                found = connection.getsockopt(socket.IPPROTO_TCP, option)
                assert found == listener.getsockopt(socket.IPPROTO_TCP, option)


def test_ipv6():
    with listen("::1", 0) as listener:
        assert listener.family is socket.AF_INET6
