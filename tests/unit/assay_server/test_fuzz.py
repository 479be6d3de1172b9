"""A short slice of `make fuzz` with fixed dice, and proof that it finds what is wrong."""

import http.server
import threading

import pytest

from assay_server.ledger import feedback
from tests.fuzz import cases, guided, report, servers, targets, wire
from tests.fuzz.conversations import LedgerSpeaker, ServeSpeaker
from tests.fuzz.findings import Finding, Tally
from tests.fuzz.subjects import Files

RUNS = {"protocol": 4000, "receipts": 4000, "labels": 4000, "artifacts": 300}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files.written(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def model_server(files, tmp_path_factory):
    with servers.serve(files, tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.mark.parametrize("name", targets.NAMES)
def test_nothing_undocumented_comes_out_of(name):
    tally = guided.fuzz(name, runs=RUNS[name], seed=1)
    assert not tally.findings
    assert tally.inputs >= RUNS[name]
    assert tally.remarks["coverage"] > 50


@pytest.mark.parametrize("name", targets.NAMES)
def test_what_once_was_a_finding_is_none(name):
    target = targets.load(name)
    for data in [*target.seeds(), *targets.regressions(name)]:
        target(data)


def test_an_injected_bug_is_found_and_repeats(tmp_path):
    tally = guided.fuzz("injected", runs=1_000_000, seed=1)
    [finding] = tally.findings
    assert finding.inputs[0].startswith(b"bug!")
    assert finding.what.endswith("ValueError: injected")
    written = Finding.read(finding.written(tmp_path))
    assert written == finding
    with pytest.raises(ValueError, match="injected"):
        guided.repeat(written)


@pytest.mark.parametrize("name", targets.NAMES)
def test_a_bug_behind_a_target_is_found(name, monkeypatch):
    target = targets.load(name)
    module = type(target).__module__
    entrance = {
        "protocol": "error_body",
        "receipts": "Verifier.verify",
        "labels": "parse",
        "artifacts": "Scorer",
    }

    def broken(*_arguments):
        raise LookupError("injected")

    monkeypatch.setattr(f"{module}.{entrance[name]}", broken)
    inputs = [*target.seeds(), b"\0\0\0\0{"]
    with pytest.raises(LookupError, match="injected"):
        [target(data) for data in inputs]


def test_the_labels_target_would_have_found_deep_nesting(monkeypatch):
    """The first finding: `RecursionError` from a body, which was answered 500."""
    monkeypatch.setattr(feedback, "_NO_JSON", (feedback.msgspec.DecodeError, UnicodeDecodeError))
    target = targets.load("labels")
    for path in (targets.REGRESSIONS / "labels").glob("*-nested-too-deeply"):
        with pytest.raises(RecursionError):
            target(path.read_bytes())


@pytest.mark.parametrize("seed", [1, 2])
def test_broken_requests_harm_no_model_server(model_server, seed):
    tally = wire.attack(model_server, ServeSpeaker(), 1500, seed=seed)
    assert not tally.findings
    assert tally.inputs >= 1500
    assert tally.remarks["good"] > 500
    assert tally.remarks["refused"] > 100


def test_broken_requests_harm_no_ledger(files, tmp_path):
    with servers.ledger(files, tmp_path) as server:
        tally = wire.attack(server, LedgerSpeaker(), 1500, seed=1)
    assert not tally.findings
    assert tally.remarks["good"] > 500


def test_cases_from_the_document_are_answered(model_server):
    tally = cases.call(model_server, 60, seed=1)
    assert not tally.findings
    assert tally.inputs == 60


class _Faulty(http.server.BaseHTTPRequestHandler):
    """Answers everything with 500."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_arguments):
        pass


class _Stand(servers.Server):
    """A server in this process in the place of one of ours."""

    def __init__(self, port):
        self.name = "serve"
        self.port = port

    def check(self):
        pass

    def resident(self):
        return 1.0

    def faults(self):
        return []


@pytest.fixture
def faulty():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Faulty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield _Stand(server.server_port)
        server.shutdown()


def test_a_server_that_fails_is_found_over_sockets(faulty):
    tally = wire.attack(faulty, ServeSpeaker(), 100, seed=1)
    assert any("answered 500" in finding.what for finding in tally.findings)
    assert wire.repeat(faulty, Finding("serve", "", (b"GET / HTTP/1.1\r\n\r\n",))) == [500]


def test_a_server_that_fails_is_found_by_cases(faulty):
    tally = cases.call(faulty, 10, seed=1)
    [finding] = tally.findings
    assert "answered 500" in finding.what
    assert finding.inputs[0].startswith(b"GET ")


def test_a_part_that_is_run_alone_leaves_the_results_of_others(tmp_path):
    document, path = tmp_path / "page.md", tmp_path / "results.json"
    document.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n")
    grown = {"first_mib": 50.0, "last_mib": 51.0}
    openapi = Tally("openapi", 7, 1.0, {"statuses": "200: 7", **grown}, ())
    serve = [Tally("serve", inputs, 2.0, {"good": 5, **grown}, ()) for inputs in (8, 9)]
    runs = ([serve[0], openapi], [serve[1]])
    for place, tallies in enumerate(runs):
        report.write(report.results(tallies, f"run {place}", "here"), path, document)
    text = document.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert [row.split("|")[2].strip() for row in rows] == ["inputs", "9", "7"]
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.index("- `run 1`, ") < text.index("- `run 0`, ")
