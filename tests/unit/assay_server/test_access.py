"""Lines about requests: what is in them, and what never is."""

import http.client
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.access import LINES_PER_SECOND, MAX_ID, AccessLog, Logged, clean_id

INFER = "/v2/models/fraud/infer"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.text(min_size=1))
def test_an_id_fits_a_log_line_and_a_header(text):
    cleaned = clean_id(text)
    assert len(cleaned) == min(len(text), MAX_ID)
    assert cleaned.isascii()
    assert cleaned.isprintable()
    assert " " not in cleaned
    assert clean_id(cleaned) == cleaned


def test_usual_ids_stay_as_they_are():
    for usual in ("0af7651916cd43dd8448eb211c80319c", "a-b_c.d:e/f+g=h@i", "7"):
        assert clean_id(usual) == usual
    assert clean_id(None) is clean_id("") is None


def written(caplog) -> list[dict]:
    return [{"event": record.getMessage(), **record.fields} for record in caplog.records]


def test_a_line_says_what_when_how_long_and_nothing_else(caplog):
    with caplog.at_level("INFO", "assay"):
        AccessLog().write("POST", INFER, 400, 0.0012346, "q-1", failed=True)
    assert written(caplog) == [
        {
            "event": "request_failed",
            "method": "POST",
            "path": INFER,
            "status": 400,
            "ms": 1.235,
            "id": "q-1",
        }
    ]


def test_methods_that_nobody_knows_are_not_quoted(caplog):
    with caplog.at_level("INFO", "assay"):
        AccessLog().write("SECRET", "unknown", 404, 0.0, "q-1", failed=True)
    assert written(caplog)[0]["method"] == "other"


def test_what_succeeds_is_logged_only_if_all_is(caplog):
    with caplog.at_level("INFO", "assay"):
        AccessLog().write("GET", "/v2", 200, 0.0, None, failed=False)
        AccessLog(Logged.ALL).write("GET", "/v2", 200, 0.0, None, failed=False)
    assert [line["event"] for line in written(caplog)] == ["request"]


def test_a_flood_of_failures_is_counted_where_it_is_not_written(caplog):
    clock = Clock()
    access = AccessLog(clock=clock)
    with caplog.at_level("INFO", "assay"):
        for _ in range(LINES_PER_SECOND + 7):
            access.write("GET", "unknown", 404, 0.0, "q", failed=True)
        assert len(written(caplog)) == LINES_PER_SECOND
        clock.now = 1.0
        access.write("GET", "unknown", 404, 0.0, "q", failed=True)
        access.write("GET", "unknown", 404, 0.0, "q", failed=True)
    assert [line.get("left_out") for line in written(caplog)[-2:]] == [7, None]


SECRET = "S3CR3T"


def tensor(data, *, shape=(1, 6), name="x", datatype="FP64", **more) -> bytes:
    content = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [content], **more}).encode()


@pytest.fixture(scope="module")
def server(start, serve_arguments):
    with start(*serve_arguments) as process:
        yield process


def requests_with_secrets():
    numbers = [123456.789] * 6
    infer = ("POST", INFER)
    yield (*infer, tensor(numbers[:5], shape=[1, 5]), {})
    yield (*infer, tensor([SECRET] * 6), {})
    yield (*infer, tensor([SECRET] * 6, datatype="BYTES"), {})
    yield (*infer, tensor(numbers, name=SECRET, shape=[1]), {})
    yield (*infer, tensor(numbers, datatype=SECRET), {})
    yield (*infer, tensor(numbers, outputs=[{"name": SECRET}]), {})
    yield (*infer, tensor(["1e999"] * 6).replace(b'"1e999"', b"1e999"), {})
    yield (*infer, f'{{"{SECRET}": 123456.789'.encode(), {})
    yield (*infer, SECRET.encode() * 9 * 1024 * 1024, {})
    yield (*infer, b"{", {"inference-header-content-length": SECRET})
    yield (*infer, tensor(numbers), {"content-encoding": SECRET})
    yield (*infer, SECRET.encode(), {"content-encoding": "gzip"})
    yield ("POST", f"/v2/models/{SECRET}/infer", tensor(numbers), {})
    yield ("POST", f"{INFER}?token={SECRET}", b"{", {"authorization": f"Bearer {SECRET}"})
    yield ("GET", f"/{SECRET}", None, {"cookie": SECRET, "assay-stratum": SECRET})
    yield (SECRET, INFER, None, {})
    label = {"labels": [{"receipt": SECRET, "label": SECRET}]}
    yield ("POST", "/v2/models/fraud/feedback", json.dumps(label).encode(), {})


@pytest.mark.parametrize("number", range(len([*requests_with_secrets()])))
def test_a_failing_request_leaves_a_line_with_none_of_what_was_sent(server, number):
    method, path, body, headers = [*requests_with_secrets()][number]
    identity = f"id-{number}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(method, path, body, {**headers, "x-request-id": identity})
    reply = connection.getresponse()
    assert reply.status >= 400
    if method == SECRET:  # no such method: none of its headers is read
        identity = reply.headers["x-request-id"]
    assert reply.headers["x-request-id"] == identity
    connection.close()
    [line] = [event for event in server.events() if event.get("id") == identity]
    assert line["event"] == "request_failed"
    assert line["status"] == reply.status
    assert line["path"] in {INFER, "/v2/models/fraud/feedback", "unknown"}
    assert set(line) == {"time", "level", "event", "method", "path", "status", "ms", "id"}
    text = server.text()
    assert SECRET not in text
    assert "123456" not in text


def test_the_id_is_that_of_the_header_else_of_the_body_else_a_new_one(server):
    twice = tensor([1e308] * 6, id="of the body", outputs=[{"name": "nothing"}])
    named = server.request("POST", INFER, twice, {"x-request-id": "of-the-header"})
    assert named.headers["x-request-id"] == "of-the-header"
    unnamed = server.request("POST", INFER, b"{")
    assert len(unnamed.headers["x-request-id"]) == 16
    found = {event.get("id") for event in server.events()}
    assert {"of-the-header", unnamed.headers["x-request-id"]} <= found


def test_an_id_cannot_break_out_of_its_line(server):
    reply = server.request("POST", INFER, b"{", {"x-request-id": 'a"} {"event": "x' + "y" * 100})
    identity = reply.headers["x-request-id"]
    assert identity.startswith("a_____event_:__x")
    assert len(identity) == MAX_ID


def test_an_answer_brings_back_the_id_it_was_asked_with_and_no_line(server, artifact):
    body = tensor(artifact.rows[0].tolist())
    reply = server.request("POST", INFER, body, {"x-request-id": "fine"})
    assert (reply.status, reply.headers["x-request-id"]) == (200, "fine")
    assert "x-request-id" not in server.request("POST", INFER, body).headers
    assert "fine" not in {event.get("id") for event in server.events()}


def test_all_requests_are_logged_if_asked_and_still_without_values(
    start, serve_arguments, terminate
):
    with start(*serve_arguments, "--log-requests", "All", "--drain-seconds", 0) as server:
        reply = server.request("POST", INFER, tensor([123456.789] * 6, id="order-7"))
        assert reply.status == 200
        server.request("POST", INFER, tensor([987654.321] * 5, shape=[1, 5]))
        server.signal(terminate)
        server.wait()
        lines = [event for event in server.events() if event.get("path") == INFER]
        assert [line["event"] for line in lines] == ["request", "request_failed"]
        assert [line["status"] for line in lines] == [200, 400]
        assert lines[0]["id"] == "order-7"
        assert {event["level"] for event in server.events()} == {"info"}
        text = server.text()
        assert "123456" not in text
        assert "987654" not in text
        assert reply.headers["assay-receipt"][:24] not in text
