"""How threads are scheduled: as a batch while requests come fast, by the kernel's default else."""

import os
from pathlib import Path

import pytest

from assay_server.transport.pace import BUSY_RATE, QUIET_RATE, Pace

BATCH, DEFAULT = os.SCHED_BATCH, os.SCHED_OTHER


@pytest.mark.parametrize(
    ("rates", "policies"),
    [
        ([0, BUSY_RATE - 1], []),
        ([BUSY_RATE], [BATCH]),
        ([BUSY_RATE, QUIET_RATE, BUSY_RATE], [BATCH]),
        ([BUSY_RATE, QUIET_RATE - 1], [BATCH, DEFAULT]),
        ([BUSY_RATE, 0, QUIET_RATE, BUSY_RATE], [BATCH, DEFAULT, BATCH]),
    ],
)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 7.0])
def test_the_policy_follows_the_rate(rates, policies, seconds):
    applied = []
    pace = Pace(applied.append)
    for rate in rates:
        pace.note(int(rate * seconds), int(2 * rate * seconds), seconds)
    assert applied == policies
    assert pace.is_busy is (policies[-1:] == [BATCH])


def test_a_lone_client_is_no_crowd_however_fast_it_is():
    applied = []
    pace = Pace(applied.append)
    for others in (0, 9_999, 10_000, 9_999):
        pace.note(10_000, others, 1.0)
    assert applied == [BATCH, DEFAULT]


def test_where_it_is_forbidden_nothing_changes_and_the_log_says_so_once(caplog):
    asked = []

    def refuse(policy: int) -> None:
        asked.append(policy)
        raise PermissionError(1, "no")

    pace = Pace(refuse)
    caplog.set_level("INFO")
    for _ in range(3):
        pace.note(int(BUSY_RATE), int(BUSY_RATE), 1.0)
    assert asked == [BATCH]
    assert not pace.is_busy
    assert [record.getMessage() for record in caplog.records] == ["scheduling_unchanged"]
    assert caplog.records[0].fields == {"cause": "PermissionError", "code": 1}


def test_all_threads_of_a_server_follow(start):
    def policies() -> set[int]:
        threads = Path(f"/proc/{server.process.pid}/task").iterdir()
        return {os.sched_getscheduler(int(thread.name)) for thread in threads}

    swift = {"pace.BUSY_RATE": 1.0, "pace.QUIET_RATE": 1.0, "pace.CROWD": 0.0}
    swift["intake._SWEEP_SECONDS"] = 0.05
    with start(set=swift) as server:
        assert server.ask("GET", "/ready")[0] == 200

        def is_batch() -> bool:
            for path in ("/ready", "/places"):
                assert server.ask("GET", path)[0] == 200
            return policies() == {BATCH}

        assert server.until(is_batch)
        assert server.until(lambda: policies() == {DEFAULT})
