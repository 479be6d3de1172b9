"""Trouble with the disk: nothing is counted that was not stored, nothing is lost that was."""

import sqlite3
from types import SimpleNamespace

import pytest

from assay_server.ledger import sqlite as sqlite_module
from assay_server.ledger import writer
from assay_server.ledger.database import StoreError
from assay_server.ledger.entries import Rules
from tests.unit.assay_server.ledger.keeper import Keeper, label

RULES = Rules(window=4)


class FailingOnce:
    """A connection whose first COMMIT of labels fails."""

    error: sqlite3.OperationalError | None = None

    def __init__(self, connection):
        self._connection = connection
        self._labels = False

    def execute(self, statement, *parameters):
        if statement == "COMMIT" and self._labels and FailingOnce.error:
            error, FailingOnce.error = FailingOnce.error, None
            raise error
        return self._connection.execute(statement, *parameters)

    def executemany(self, statement, rows):
        self._labels |= "INTO predictions" in statement
        return self._connection.executemany(statement, rows)

    def __getattr__(self, name):
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SQLITE_IOERR_FSYNC", "the labels could not be stored; send them again"),
        ("SQLITE_FULL", "the ledger's disk is full: no label was counted"),
    ],
)
def test_a_failed_commit_counts_nothing_and_can_be_sent_again(tmp_path, monkeypatch, name, message):
    connect = sqlite3.connect
    FailingOnce.error = sqlite3.OperationalError("disk trouble")
    FailingOnce.error.sqlite_errorname = name
    FailingOnce.error.sqlite_errorcode = getattr(sqlite3, name)
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: FailingOnce(connect(*a, **k)))
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    with Keeper(f"sqlite:///{tmp_path}/l.db") as keeper:
        with pytest.raises(StoreError, match=message):
            keeper.put(label(1))
        assert keeper.confusion() == {}
        assert keeper.put(label(1)) == ["counted"]
        assert keeper.confusion() == {("1", "1"): 1}


@pytest.fixture
def disk(tmp_path, monkeypatch, instant):
    """The store's disk, of which all but `pages` is reserved or used when a test begins."""
    disk = SimpleNamespace(pages=100)

    def usage(_path):
        used = sum(file.stat().st_size for file in tmp_path.iterdir())
        capacity = sqlite_module.RESERVE_BYTES + disk.pages * 4096
        return SimpleNamespace(total=2**40, free=max(0, capacity - used))

    monkeypatch.setattr(sqlite_module.shutil, "disk_usage", usage)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(writer, "ROWS_PER_STEP", 100_000)
    return disk


def fill(keeper, served_at) -> int:
    """Send labels until they are refused; return how many were counted."""
    sent = 0
    refusal = ""
    while not refusal:
        numbers = range(served_at * 10**6 + sent, served_at * 10**6 + sent + 100)
        try:
            keeper.put(*(label(number, served_at=served_at) for number in numbers))
            sent += 100
        except StoreError as error:
            refusal = str(error)
    assert refusal.startswith("the ledger's disk is full: no label was counted; send them again")
    return sent


def test_a_full_disk_refuses_loses_nothing_and_recovers(tmp_path, disk):
    url = f"sqlite:///{tmp_path}/l.db"
    clock = SimpleNamespace(now=0)
    with Keeper(url, RULES, clock) as keeper:
        counted = fill(keeper, 1)
        assert counted > 4000
        assert keeper.confusion() == {("1", "1"): counted}
        assert keeper.put(label(1_000_000, served_at=1)) == ["duplicate"]
        state = keeper.state()
    with Keeper(url, RULES, clock) as keeper:  # starts on a full disk, too
        assert keeper.state() == state
        left = fill(keeper, 2)  # in pages that are not full
        disk.pages *= 2
        more = fill(keeper, 3)  # learns of the space by failing once more, unless it knows already
        more += fill(keeper, 4)
        assert more > 4000
        clock.now = 6  # second 1 expires; the disk stays as full as it is
        again = fill(keeper, 6)
        assert again > 0.9 * counted
        total = counted + left + more + again
        assert keeper.confusion() == {("1", "1"): total}
    with Keeper(url, RULES, clock) as keeper:
        assert keeper.confusion() == {("1", "1"): total}
