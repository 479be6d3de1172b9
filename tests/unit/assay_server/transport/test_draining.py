"""From the signal to the exit: who is still answered, and with what code it ends."""

import signal

import pytest


def names(server) -> list[str]:
    """Return the names of what the server said of itself."""
    return [event["event"] for event in server.events() if "path" not in event]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_draining_answers_asks_to_close_and_ends_with_code_0(start, number):
    with start(drain_seconds=0.5) as server:
        with server.connect() as kept:
            assert kept.ask("GET", "/ready")[0] == 200
            server.process.send_signal(number)
            server.until(lambda: "draining" in names(server))
            status, headers, _ = kept.ask("GET", "/ready")
            assert (status, headers["connection"]) == (503, "close")
            assert kept.is_closed()
        status, headers, body = server.ask("POST", "/echo", b"x")
        assert (status, body, headers["connection"]) == (200, b"x", "close")
        status, headers, _ = server.ask("POST", "/echo", b"x" * 2**21)
        assert (status, headers["connection"]) == (413, "close")
        assert server.process.wait() == 0
        assert names(server) == ["listening", "draining", "stopped"]


def test_started_requests_are_answered_and_new_ones_find_nobody(start):
    with start() as server:
        started = [server.connect() for _ in range(2)]
        started[0].send(b"POST /echo HTTP/1.1\r\ncontent-length: 4\r\n\r\nab")
        started[1].send(b"POST /echo HTTP/1.1\r\ncontent-length: 70000\r\n\r\nab")
        behind = server.connect().send(b"GET /ready HTTP/1.1\r\n\r\nGET /ready")
        assert behind.answer()[0] == 200
        idle = server.connect()
        assert idle.ask("GET", "/ready")[0] == 200
        port = server.port
        server.process.send_signal(signal.SIGTERM)
        assert idle.is_closed()
        assert server.port == port
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert started[0].send(b"cd").answer()[::2] == (200, b"abcd")
        assert started[1].send(b"x" * 69_998).answer()[0] == 200
        assert behind.send(b" HTTP/1.1\r\n\r\n").answer()[0] == 503
        assert server.process.wait() == 0
        for connection in (*started, behind, idle):
            connection.close()


def test_a_second_signal_ends_the_drain_time(start):
    with start(drain_seconds=3600) as server:
        assert server.ask("GET", "/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: "draining" in names(server))
        assert server.ask("GET", "/ready")[0] == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait() == 0
        assert names(server) == ["listening", "draining", "stopped"]


def test_silent_connections_do_not_delay_the_end(start):
    with start(set={"server._SHUTDOWN_SECONDS": 3600}) as server:
        connections = [server.connect() for _ in range(20)]
        assert server.ask("GET", "/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait() == 0
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("request_", [b"GET /hold HTTP/1.1\r\n\r\n", b"GET /ready HTTP/1.1\r\n"])
def test_what_does_not_end_delays_it_for_a_bounded_time(start, request_):
    """An answer that does not come is 503 in the end; a head that does not come is let go of."""
    with (
        start(set={"server._SHUTDOWN_SECONDS": 0.2}) as server,
        server.connect() as connection,
    ):
        connection.send(request_)
        assert server.ask("GET", "/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        if b"hold" in request_:
            assert connection.answer()[0] == 503
        assert server.process.wait() == 0
