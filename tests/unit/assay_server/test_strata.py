"""What requests are counted under by a schedule, and for how long connections are kept meanwhile."""

import json
import math

import pytest

from assay_server.receipts import NO_STRATUM, Stratum
from assay_server.strata import CONNECTION_SECONDS, Schedule

FIRST, IDLE = Stratum("0123456789", 0), Stratum("idle", 0)


class World:
    """A file, the time of day, and a clock that tells when a second has gone by."""

    def __init__(self, path):
        self.path = path
        self.ticks = self.time = 1000.0
        self.schedule = Schedule(path, lambda: self.ticks, lambda: self.time)

    def write(self, *entries: tuple[str, float]) -> None:
        content = [{"stratum": stratum, "from": since} for stratum, since in entries]
        self.path.write_text(json.dumps(content))

    def later(self, seconds: float) -> None:
        self.ticks += seconds
        self.time += seconds


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "strata.json")


def test_without_a_file_there_is_none(world):
    assert world.schedule.present() is NO_STRATUM
    assert world.schedule.connection_seconds() == math.inf


def test_the_newest_whose_time_has_come_is_in_force(world):
    world.write(("0123456789/0", 1060), ("idle/0", 0))
    assert world.schedule.present() == IDLE
    world.later(59.5)
    assert world.schedule.present() == IDLE
    world.later(0.5)
    assert world.schedule.present() == FIRST
    assert world.schedule.present() is world.schedule.present()


def test_a_file_that_changes_is_read_again_once_a_second(world):
    world.write(("idle/0", 0))
    assert world.schedule.present() == IDLE
    world.write(("0123456789/0", 0))
    assert world.schedule.present() == IDLE
    world.later(1)
    assert world.schedule.present() == FIRST
    world.path.unlink()
    world.later(1)
    assert world.schedule.present() is NO_STRATUM


@pytest.mark.parametrize("content", [b"", b"{}", b"[7]", b'[{"stratum": "a/1"}]', b"\xff"])
def test_what_cannot_be_read_changes_nothing(world, content, capsys):
    world.write(("0123456789/0", 0))
    assert world.schedule.present() == FIRST
    world.path.write_bytes(content)
    world.later(1)
    assert world.schedule.present() == FIRST


def test_what_is_no_stratum_is_no_evidence(world):
    world.write(("rm -rf", 0))
    assert world.schedule.present() is NO_STRATUM


def test_connections_are_short_in_a_trial_only(world):
    world.write(("0123456789/0", 1060), ("idle/0", 0))
    assert world.schedule.connection_seconds() == math.inf
    world.later(60)
    assert world.schedule.connection_seconds() == CONNECTION_SECONDS
