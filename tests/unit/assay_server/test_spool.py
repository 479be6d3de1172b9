"""The spool: nothing that was appended is lost, however the process ends; nothing grows for ever."""

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_server import spool as spool_module
from assay_server.spool import Spool


def lines(*numbers: int) -> tuple[bytes, int]:
    return b"".join(b"line %d\n" % number for number in numbers), len(numbers)


def drain(spool: Spool, size: int = 1000) -> list[int]:
    """Read and acknowledge all that waits."""
    found = []
    while batch := spool.read(size):
        found += [int(line.split()[1]) for line in batch.lines]
        spool.acknowledge(batch)
    return found


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 100)
    monkeypatch.setattr(spool_module, "_SMALL_BYTES", 50)


def test_lines_come_out_in_the_order_in_which_they_went_in(tmp_path, small):
    spool = Spool(tmp_path / "s", 10_000)
    assert spool.read(100) is None
    assert not (tmp_path / "s").exists()
    for number in range(50):
        spool.append(*lines(number))
    assert spool.waiting == 50
    assert len(list((tmp_path / "s").iterdir())) > 3
    assert drain(spool, 30) == list(range(50))
    assert spool.waiting == 0
    assert len(list((tmp_path / "s").iterdir())) <= 1


def test_without_acknowledgement_the_same_lines_come_again(tmp_path):
    spool = Spool(tmp_path, 10_000)
    spool.append(*lines(1, 2, 3))
    first = spool.read(16)
    assert spool.read(16) == first
    assert spool.waiting == 3
    spool.acknowledge(first)
    assert drain(spool) == [3]


def test_a_line_that_is_larger_than_a_batch_comes_alone(tmp_path):
    spool = Spool(tmp_path, 10_000)
    spool.append(b"x" * 500 + b"\n" + b"y\n", 2)
    batch = spool.read(10)
    assert batch.lines == [b"x" * 500]
    spool.acknowledge(batch)
    assert spool.read(10).lines == [b"y"]


def test_what_a_process_left_is_taken_over_from_its_beginning(tmp_path, small):
    """Killed at any moment: another process holds the files, and is gone without a word."""
    script = """
import os, sys
from pathlib import Path
from assay_server import spool as module
module.SEGMENT_BYTES = 100
spool = module.Spool(Path(sys.argv[1]), 10_000)
for number in range(30):
    spool.append(b"line %d\\n" % number, 1)
batch = spool.read(30)
spool.acknowledge(batch)
os.write(spool._current.file, b"line 9999")
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == -9
    spool = Spool(tmp_path, 10_000)
    assert spool.waiting == 30
    spool.append(*lines(30))
    assert drain(spool) == list(range(31))


def test_what_a_living_process_holds_is_left_alone(tmp_path):
    first = Spool(tmp_path, 10_000)
    first.append(*lines(1))
    second = Spool(tmp_path, 10_000)
    assert second.waiting == 0
    second.append(*lines(2))
    assert drain(first) == [1]
    assert drain(second) == [2]


def test_closing_leaves_what_was_not_acknowledged(tmp_path):
    spool = Spool(tmp_path, 10_000)
    spool.append(*lines(1, 2))
    spool.acknowledge(spool.read(8))
    spool.close()
    again = Spool(tmp_path, 10_000)
    assert drain(again) == [1, 2]  # from the beginning of the file
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_beyond_the_limit_the_oldest_goes(tmp_path, small):
    spool = Spool(tmp_path, 250)
    for number in range(100):
        spool.append(*lines(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 250 + 100
    left = drain(spool)
    assert left == list(range(100 - len(left), 100))
    assert spool.dropped == 100 - len(left) > 50


def test_a_batch_whose_lines_were_dropped_meanwhile_may_still_be_acknowledged(tmp_path, small):
    spool = Spool(tmp_path, 250)
    spool.append(*lines(*range(10)))
    batch = spool.read(1000)
    for number in range(10, 100):
        spool.append(*lines(number))
    spool.acknowledge(batch)
    assert spool.waiting == len(drain(spool))


def test_a_write_that_fails_leaves_no_half_line(tmp_path, monkeypatch):
    spool = Spool(tmp_path, 10_000)
    spool.append(*lines(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(OSError, match="the disk is full"):
        spool.append(*lines(2))
    monkeypatch.undo()
    spool.append(*lines(3))
    assert drain(spool) == [1, 3]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["append", "read", "acknowledge", "reopen"]), max_size=40))
def test_whatever_happens_all_lines_come_at_least_once_and_in_order(
    small, tmp_path_factory, operations
):
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 10**6)
    appended, batch, found = 0, None, set()
    for operation in operations:
        if operation == "append":
            spool.append(*lines(appended, appended + 1))
            appended += 2
        elif operation == "read":
            batch = spool.read(30)
            if batch:
                found |= {int(line.split()[1]) for line in batch.lines}
        elif operation == "acknowledge" and batch:
            spool.acknowledge(batch)
            batch = None
        elif operation == "reopen":
            spool.close()
            spool, batch = Spool(folder, 10**6), None
    rest = drain(spool)
    assert rest == sorted(rest)
    assert found | set(rest) == set(range(appended))


def test_many_threads_append_whole_lines(tmp_path, small):
    spool = Spool(tmp_path, 10**6)
    threads = [
        threading.Thread(
            target=lambda lane=lane: [spool.append(*lines(lane * 1000 + n)) for n in range(200)]
        )
        for lane in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = drain(spool)
    assert sorted(found) == [lane * 1000 + number for lane in range(4) for number in range(200)]
