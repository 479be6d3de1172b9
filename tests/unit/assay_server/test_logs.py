"""Log lines hold what was chosen for them, whoever writes."""

import json
import logging

import pytest

from assay_server.logs import JSONFormatter, event, failure, log, loop_failed


@pytest.fixture
def lines(monkeypatch):
    """Everything that is logged, as the process would write it."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.append(json.loads(self.format(record)))

    handler = Handler()
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    root.removeHandler(handler)


def test_an_event_is_its_name_and_its_fields(lines):
    event("fetched", bytes=7)
    assert lines[0].keys() == {"time", "level", "event", "bytes"}
    assert (lines[0]["event"], lines[0]["bytes"]) == ("fetched", 7)


def failed() -> Exception:
    try:
        raise ValueError("the secret 42")
    except ValueError as error:
        return error


def test_exceptions_are_told_by_type_and_place(lines):
    error = failed()
    log.error("broken", exc_info=error)
    assert lines[0]["error"] == "ValueError"
    assert "test_logs.py" in lines[0]["where"]
    assert "secret" not in str(lines) + str(failure(error))


def test_what_a_loop_complains_of_quotes_no_exception(lines):
    loop_failed(
        None, {"message": "Task failed: ValueError('the secret 42')", "exception": failed()}
    )
    loop_failed(None, {"message": "the secret 42"})
    assert [line["event"] for line in lines] == ["loop_failed"] * 2
    assert lines[0]["error"] == "ValueError"
    assert "secret" not in str(lines)


def test_of_other_libraries_only_the_fixed_part_of_a_message_is_written(lines):
    logging.getLogger("library").warning("cannot read %s", "the secret 42")
    assert lines[0]["event"] == "cannot read %s"
    assert lines[0]["logger"] == "library"
