"""The comparison itself, with servers of this environment only: nothing is installed for peers."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from bench.server import compare
from bench.server.comparison import environments, machine, tables, wrk
from bench.server.comparison.processes import ServerFailedError, running
from bench.server.comparison.servers import OWN, PEERS, own_root
from bench.server.comparison.workloads import HEADERS, WrongAnswerError, check, prepare

ROOT = Path(__file__).parents[3]
ASSAY, ECHO = OWN


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    found = prepare("cancer", tmp_path_factory.mktemp("workloads") / "cancer")
    (found.folder / "answer").write_bytes(b'{"answer":true}')
    return found


@pytest.fixture(scope="module")
def wrk_there():
    wrk.ensure()


@pytest.fixture
def command(tmp_path, wrk_there):
    """The comparison as a process that keeps all its files in a folder of this test."""
    (tmp_path / "tmp").mkdir()
    document = tmp_path / "document.md"
    document.write_text(f"{tables.BEGIN}{tables.END}\n")
    words = ["--peers", "", "--models", "cancer", "--connections", "64", "--seconds", "1"]
    words += ["--rounds", "1", "--document", str(document), "--own", str(own_root())]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.server.compare", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.terminate()


def left_behind(folder: Path) -> list[str]:
    """Return files in the folder and processes whose environment names it."""
    found = [str(path) for path in folder.iterdir()]
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if bytes(folder) in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue
    return found


def test_our_server_and_the_echo_are_measured_and_the_report_is_written(command, tmp_path):
    output, _ = command.communicate()
    assert command.returncode == 0, output
    report = (tmp_path / "document.md").read_text()
    assert report.removeprefix(tables.BEGIN).rpartition(tables.END)[0].strip() in output
    assert "--peers '' --models cancer" in report
    for server in OWN:
        (row,) = [line for line in report.splitlines() if line.startswith(f"| {server.title}")]
        rate, _latency, microseconds, errors, *_ = [cell.strip() for cell in row.split("|")[2:-1]]
        assert float(rate.removeprefix("~").replace(" ", "")) > 0
        assert float(microseconds.replace(" ", "")) > 0
        assert errors == "0"
    assert re.search(r"share of an empty echo +\| +>= 70% \| +~?\d+% \(echo\)", report), report
    assert re.search(r"times the best peer .*\| not measured \|", report)
    assert left_behind(tmp_path / "tmp") == []


def test_a_comparison_that_is_stopped_leaves_nothing_behind(command, tmp_path):
    lines = [command.stdout.readline() for _ in range(2)]
    assert "assay: right" in lines[1], lines
    command.send_signal(signal.SIGINT)
    assert command.wait() == 130
    assert left_behind(tmp_path / "tmp") == []


def test_a_server_runs_on_its_core_alone_and_ends_with_all_its_processes(workload):
    core = machine.cores().server
    with running(ECHO, workload, own_root(), core) as there:
        (process,) = machine.members(machine.sessions(there.pid))
        assert os.sched_getaffinity(process.pid) == {core}
        assert there.processor_seconds() > 0
        size = machine.memory(there.pid)
        assert 0 < size.proportional <= size.resident
    assert machine.members({there.pid}) == []
    assert os.sched_getaffinity(0) != {core} or os.cpu_count() == 1


def test_a_server_that_answers_otherwise_than_scikit_learn_is_not_measured(workload):
    other = replace(ECHO, is_echo=False)
    with (
        pytest.raises(ServerFailedError, match=r"echo: KeyError\('outputs'\)"),
        running(other, workload, own_root(), machine.cores().server),
    ):
        pass


@pytest.mark.parametrize(
    ("predicted", "shift", "fault"),
    [(0, 1e-8, "probabilities"), (1, 0.0, "predicted"), (0, 0.0, None)],
)
def test_an_answer_is_compared_with_scikit_learns(workload, predicted, shift, fault):
    outputs = [
        {"name": "predict", "data": [predicted]},
        {"name": "predict_proba", "data": (workload.probabilities[0] + shift).tolist()},
    ]
    content = json.dumps({"outputs": outputs}).encode()
    with pytest.raises(WrongAnswerError, match=fault) if fault else nullcontext():
        check(content, workload)


def test_a_server_that_does_not_start_says_what_its_log_says(workload):
    other = replace(workload, digest="0" * 64)
    with (
        pytest.raises(ServerFailedError, match=r"(?s)ended with 1 .*Digest"),
        running(ASSAY, other, own_root(), machine.cores().server),
    ):
        pass


def test_bad_answers_are_errors_and_no_requests(workload, wrk_there, tmp_path):
    script = tmp_path / "request.lua"
    script.write_text(wrk.script("no JSON", {"Content-Type": "application/json"}))
    with running(ECHO, workload, own_root(), machine.cores().server) as there:
        load = wrk.run(there.url, script, connections=2, seconds=1, core=machine.cores().load)
    assert load.errors > 0
    assert load.answers == 0
    assert load.processor > 0


def test_latencies_add_up_to_the_time_of_all_connections(workload, wrk_there, tmp_path):
    # Each connection waits for one answer or another all the time, and for no two at once.
    script = tmp_path / "request.lua"
    script.write_text(wrk.script(workload.request(), HEADERS))
    with running(ECHO, workload, own_root(), machine.cores().server) as there:
        load = wrk.run(there.url, script, connections=8, seconds=1, core=machine.cores().load)
    assert load.errors == 0
    assert 0 < load.p50 <= load.p99
    assert load.corrected_p99 > 0
    assert load.p50 * load.answers / 2 < 8 * load.seconds * 1e3


def test_wrk_that_reports_nothing_is_an_error(wrk_there, tmp_path):
    script = tmp_path / "request.lua"
    script.write_text("")
    with pytest.raises(wrk.WrkError):
        wrk.run("http://127.0.0.1:1/", script, connections=1, seconds=1, core=machine.cores().load)
    with pytest.raises(wrk.WrkError, match="did not report"):
        wrk.parse("Requests/sec: 12", 1, 0.0)


@pytest.mark.parametrize("server", PEERS, ids=lambda server: server.name)
def test_every_distribution_of_a_peer_is_pinned(server):
    text = (environments.REQUIREMENTS / f"{server.environment}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[a-z0-9._-]+==[^ ]+( ; .+)?", line) for line in lines)
    assert "scikit-learn 1" in server.versions()


def test_a_peer_that_cannot_be_installed_is_reported_and_left_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    faults = {}
    roots = compare.installed([ECHO, PEERS[-1]], faults, own_root())
    assert roots == {"echo": own_root()}
    assert faults["fastapi"].startswith("cannot be installed: ")
    assert "fastapi cannot be installed" in capsys.readouterr().out


def test_an_environment_is_made_once_and_again_when_its_pins_change(monkeypatch, tmp_path):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    pins = tmp_path / "nothing.txt"
    pins.write_text("# nothing\n")
    folder = environments.environment("nothing")
    made = (folder / "bin" / "python").lstat().st_ino
    assert folder == tmp_path / "bench" / "nothing"
    assert environments.environment("nothing") == folder
    assert (folder / "bin" / "python").lstat().st_ino == made
    (folder / "own").touch()
    pins.write_text("# nothing else\n")
    environments.environment("nothing")
    assert not (folder / "own").exists()


@pytest.mark.parametrize(
    "words", [["--peers", "flask"], ["--models", "cancer,iris"], ["--connections", "many"]]
)
def test_unknown_names_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        compare.options(words)
    assert words[0] in capsys.readouterr().err
