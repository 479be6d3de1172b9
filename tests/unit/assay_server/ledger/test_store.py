"""The store: every label once, on the disk before it is answered, counted the same afterwards."""

import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from itertools import chain
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_server.ledger import store as store_module
from assay_server.ledger.bins import fine_from_base
from assay_server.ledger.counts import Cell, Counts
from assay_server.ledger.feedback import Entry, Status
from assay_server.ledger.store import BusyError, Store, StoreError, store_path

FOR_EVER = 10**10


class Book:
    """A store with the counts that the ledger would keep beside it."""

    def __init__(self, path, window=FOR_EVER) -> None:
        self.counts = Counts("fraud")
        self.results = Counter()
        self.store_id = ""
        self.failure = ""
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.store = Store(
            path,
            window=window,
            on_rebuilt=self.rebuilt,
            on_committed=self.committed,
            on_failed=self.failed,
        )

    def rebuilt(self, snapshot):
        self.counts = Counts("fraud")
        for total in snapshot.totals:
            self.counts.add(total.cell, total.count, total.served_at)
        self.results = Counter(snapshot.results)
        self.store_id = snapshot.store
        self.ready.set()

    def committed(self, committed):
        for entry in committed.entries:
            self.counts.add(entry.cell, 1, entry.served_at)
        self.results.update(committed.results)

    def failed(self, message):
        self.failure = message
        self.ended.set()

    def __enter__(self):
        self.store.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.store.close()

    def put(self, *entries, **results) -> list[str]:
        return self.store.submit(entries, {Status(k): v for k, v in results.items()}).result()

    def state(self) -> tuple:
        counts = self.counts
        return counts.outcomes, counts.parts, counts.labelled, counts.newest, counts.positive


def entry(number: int, label="1", predicted="1", score_bin=5, served_at=9) -> Entry:
    cell = Cell("r1", "x", 0, predicted, label, "1", score_bin)
    return Entry(number.to_bytes(16, "big"), cell, served_at)


def test_each_receipt_counts_once(tmp_path):
    with Book(tmp_path / "l.db") as book:
        assert book.put(entry(1), entry(1), entry(1, label="0"), entry(2)) == [
            "counted",
            "duplicate",
            "conflict",
            "counted",
        ]
        assert book.put(entry(1), entry(2, label="0")) == ["duplicate", "conflict"]
        assert book.counts.outcomes.total() == 2
        state, results, store_id = book.state(), book.results, book.store_id
    with Book(tmp_path / "l.db") as book:
        assert (book.state(), book.results, book.store_id) == (state, results, store_id)
        assert book.put(entry(1), entry(1, label="0")) == ["duplicate", "conflict"]


# The identity of a receipt is a signature over all that it says, so also over when it was served.
labels = st.builds(
    lambda number, *rest: entry(number, *rest, served_at=number % 10),
    st.integers(0, 30),
    st.sampled_from("01"),
    st.sampled_from("01"),
    st.none() | st.integers(0, 3),
)


@given(st.lists(st.lists(labels, max_size=8), max_size=8))
def test_incremental_counts_are_those_of_a_rebuild(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("store") / "l.db"
    with Book(path) as book:
        pending = [book.store.submit(batch, {}) for batch in batches]
        statuses = [future.result() for future in pending]
        state, results = book.state(), book.results
    first = {}
    for one, status in zip(chain(*batches), chain(*statuses), strict=True):
        if one.identity not in first:
            expected = "counted"
            first[one.identity] = one.cell.label
        else:
            same = first[one.identity] == one.cell.label
            expected = "duplicate" if same else "conflict"
        assert status == expected
    with Book(path) as book:
        assert (book.state(), +book.results) == (state, +results)
        assert book.counts.outcomes.total() == len(first)


def test_refusals_are_added_by_the_way(tmp_path):
    with Book(tmp_path / "l.db") as book:
        assert book.put(entry(1), forged=3) == ["counted"]
        assert book.put(forged=1) == []
    with Book(tmp_path / "l.db") as book:
        assert book.results == {"counted": 1, "forged": 4}


def test_closing_writes_what_is_queued(tmp_path):
    book = Book(tmp_path / "l.db")
    pending = [book.store.submit([entry(number)], {}) for number in range(100)]
    book.store.start()
    book.store.close()
    assert [future.result() for future in pending] == [["counted"]] * 100
    with pytest.raises(StoreError):
        book.store.submit([entry(1)], {}).result()


def test_one_commit_for_all_that_waits(tmp_path):
    book = Book(tmp_path / "l.db")
    commits = []
    book.committed = commits.append
    book.store._on_committed = commits.append
    pending = [book.store.submit([entry(number)], {}) for number in range(100)]
    with book:
        assert [future.result() for future in pending] == [["counted"]] * 100
    assert len(commits) == 1


def test_the_queue_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MAX_WAITING_LABELS", 3)
    book = Book(tmp_path / "l.db")
    pending = book.store.submit([entry(1), entry(2)], {})
    with pytest.raises(BusyError):
        book.store.submit([entry(3), entry(4)], {})
    with book:
        assert pending.result() == ["counted", "counted"]
        assert book.put(entry(3), entry(4), entry(5)) == ["counted"] * 3


def test_a_second_ledger_waits_for_the_first(tmp_path):
    path = tmp_path / "l.db"
    second = Book(path)
    with Book(path) as first:
        second.store.start()
        pending = second.store.submit([entry(1)], {})
        assert first.put(entry(1)) == ["counted"]
        assert not second.ready.is_set()
    assert pending.result() == ["duplicate"]
    assert second.counts.outcomes.total() == 1
    second.store.close()


def test_a_waiting_ledger_can_be_stopped(tmp_path):
    path = tmp_path / "l.db"
    with Book(path):
        second = Book(path)
        second.store.start()
        second.store.close()
        assert not second.ready.is_set()


class FailingOnce:
    """A connection whose first COMMIT of labels fails."""

    error: sqlite3.OperationalError | None = None

    def __init__(self, connection):
        self._connection = connection
        self._labels = False

    def execute(self, statement, *parameters):
        self._labels |= "INTO labels" in statement
        if statement == "COMMIT" and self._labels and FailingOnce.error:
            error, FailingOnce.error = FailingOnce.error, None
            raise error
        return self._connection.execute(statement, *parameters)

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
    monkeypatch.setattr(store_module, "RETRY_SECONDS", 0.0)
    with Book(tmp_path / "l.db") as book:
        with pytest.raises(StoreError, match=message):
            book.put(entry(1))
        assert book.counts.outcomes.total() == 0
        assert book.put(entry(1)) == ["counted"]
        assert book.counts.outcomes.total() == 1


@pytest.fixture
def clock(monkeypatch):
    """Wall clock of the store, to be set; every commit may delete, three rows at once."""
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(time=lambda: clock.now, monotonic=time.monotonic)
    monkeypatch.setattr(store_module, "time", fake)
    monkeypatch.setattr(store_module, "DELETE_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "DELETED_PER_COMMIT", 3)
    return clock


def rows(path) -> int:
    """Return how many labels a store that is not open holds one by one."""
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM labels").fetchone()
    database.close()
    return count


def killed(path, folder, number):
    """Return what a ledger finds that starts after kill -9 at this moment: the files as they are."""
    copy = folder / f"killed-{number}" / path.name
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with Book(copy) as book:
        return book.state(), +book.results, book.store_id


WINDOW = 4
served = st.builds(
    lambda number, late, *rest: (entry(number, *rest, served_at=number % 25), late),
    st.integers(0, 200),
    st.booleans(),
    st.sampled_from("01"),
    st.sampled_from("01"),
    st.none() | st.integers(0, 3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(served, max_size=10), st.integers(0, 12)), max_size=5))
def test_deleting_old_rows_changes_no_count_whenever_it_is_killed(clock, tmp_path_factory, steps):
    """Counts kept by commits = those of the labels that were counted = those after kill -9.

    A late label is one that waited while it expired; others pass the clerk, which knows the time.
    """
    folder = tmp_path_factory.mktemp("store")
    clock.now = 0.0
    first: dict[bytes, Entry] = {}
    with Book(folder / "l.db", WINDOW) as book:
        for number, (batch, seconds) in enumerate(steps):
            clock.now += seconds
            fresh = [one.served_at + WINDOW >= clock.now for one, _ in batch]
            sent = [
                (one, new) for (one, late), new in zip(batch, fresh, strict=True) if new or late
            ]
            statuses = book.put(*(one for one, _ in sent))
            for (one, new), status in zip(sent, statuses, strict=True):
                if one.identity not in first and (new or status != "expired"):
                    assert status == "counted"
                    first[one.identity] = one
                elif new or status != "expired":
                    same = first[one.identity].cell.label == one.cell.label
                    assert status == ("duplicate" if same else "conflict")
            expected = Counts("fraud")
            for one in first.values():
                expected.add(one.cell, 1, one.served_at)
            state = (
                *(expected.outcomes, expected.parts, expected.labelled),
                *(expected.newest, expected.positive),
            )
            found = (book.state(), +book.results, book.store_id)
            assert found[0] == state
            assert killed(folder / "l.db", folder, number) == found
        clock.now += 100
        for _ in range(len(first) // 3 + 1):
            book.put()
        last = entry(201, served_at=int(clock.now))
        assert book.put(last) == ["counted"]
        assert book.put(*first.values()) == ["expired"] * len(first)
        book.counts.add(last.cell, -1, 0)
        assert book.counts.outcomes.total() == len(first)
    assert rows(folder / "l.db") == 1


def test_what_is_final_stays_final_whatever_the_clock_and_the_window_say(tmp_path, clock):
    with Book(tmp_path / "l.db", WINDOW) as book:
        clock.now = 10
        assert book.put(entry(1, served_at=9), entry(2, served_at=10)) == ["counted"] * 2
        clock.now = 14
        assert book.put(entry(3, served_at=12)) == ["counted"]
    assert rows(tmp_path / "l.db") == 2
    clock.now = 5
    with Book(tmp_path / "l.db") as book:
        assert book.put(entry(1, served_at=9), entry(4, served_at=9)) == ["expired"] * 2
        assert book.put(entry(2, served_at=10)) == ["duplicate"]
        assert book.counts.outcomes.total() == 3


def test_a_clock_that_jumped_ahead_does_not_refuse_what_is_served_later(tmp_path, clock):
    with Book(tmp_path / "l.db", WINDOW) as book:
        clock.now = 10
        assert book.put(entry(1, served_at=10)) == ["counted"]
        clock.now = 1e9
        assert book.put(entry(1, served_at=10)) == ["expired"]
        clock.now = 12
        assert book.put(entry(2, served_at=11)) == ["counted"]


def test_the_store_stops_growing(tmp_path, clock, monkeypatch):
    """A steady stream of labels: after the first window the file keeps its size."""
    monkeypatch.setattr(store_module, "DELETED_PER_COMMIT", 1000)
    path = tmp_path / "l.db"
    sizes = []
    for start in range(0, 120, 20):
        with Book(path, window=20) as book:
            for second in range(start, start + 20):
                clock.now = second
                numbers = range(second * 300, second * 300 + 300)
                book.put(*(entry(number, served_at=second) for number in numbers))
        sizes.append(path.stat().st_size)
    assert book.counts.outcomes.total() == 120 * 300
    assert max(sizes[2:]) <= 1.1 * sizes[1]
    assert rows(path) < 22 * 300


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The store's disk, of which all but `pages` is reserved or used when a test begins."""
    disk = SimpleNamespace(pages=100)

    def usage(_path):
        used = sum(file.stat().st_size for file in tmp_path.iterdir())
        capacity = store_module.RESERVE_BYTES + disk.pages * 4096
        return SimpleNamespace(total=2**40, free=max(0, capacity - used))

    monkeypatch.setattr(store_module.shutil, "disk_usage", usage)
    monkeypatch.setattr(store_module, "RETRY_SECONDS", 0.0)
    return disk


def fill(book, served_at) -> int:
    """Send labels until they are refused; return how many were counted."""
    sent = 0
    refusal = ""
    while not refusal:
        numbers = range(served_at * 10**6 + sent, served_at * 10**6 + sent + 100)
        try:
            book.put(*(entry(number, served_at=served_at) for number in numbers))
            sent += 100
        except StoreError as error:
            refusal = str(error)
    assert refusal.startswith("the ledger's disk is full: no label was counted; send them again")
    return sent


def test_a_full_disk_refuses_loses_nothing_and_recovers(tmp_path, clock, disk, monkeypatch):
    monkeypatch.setattr(store_module, "DELETED_PER_COMMIT", 100_000)
    path = tmp_path / "l.db"
    with Book(path, WINDOW) as book:
        counted = fill(book, 1)
        assert counted > 5000
        assert book.counts.outcomes.total() == counted
        assert book.put(entry(1_000_000, served_at=1)) == ["duplicate"]
        state = book.state()
    with Book(path, WINDOW) as book:  # starts on a full disk, too
        assert book.state() == state
        left = fill(book, 2)  # in pages that are not full
        disk.pages *= 2
        left += fill(book, 3)  # learns of the space by failing once more
        assert left < 0.1 * counted
        more = fill(book, 3)
        assert more > 5000
        clock.now = 6  # second 1 expires; the disk stays as full as it is
        again = fill(book, 6)
        assert again > 0.9 * counted
        total = counted + left + more + again
        assert book.counts.outcomes.total() == total
    with Book(path, WINDOW) as book:
        assert book.counts.outcomes.total() == total


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_schema_is_taken_over(tmp_path, version):
    path = tmp_path / "l.db"
    with sqlite3.connect(path) as database:
        database.executescript({1: FIRST_SCHEMA, 2: SECOND_SCHEMA}[version])
    database.close()
    for _ in range(2):
        with Book(path) as book:
            assert book.store_id == "abc"
            assert book.results == {"counted": 6}
            expected = Counts("fraud")
            for number, base in ((1, 5), (2, 5), (3, None), (4, 0), (5, 512), (6, 1023)):
                score_bin = None if base is None else fine_from_base(base)
                expected.add(entry(number, score_bin=score_bin).cell, 1, number)
            assert book.counts.__dict__ == expected.__dict__
    with Book(path) as book:
        again = [entry(1, served_at=1), entry(2, label="0", served_at=2), entry(3, served_at=3)]
        assert book.put(*again) == ["duplicate", "conflict", "duplicate"]


FIRST_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cells (
  id INTEGER PRIMARY KEY, revision TEXT NOT NULL, rollout TEXT NOT NULL, step INTEGER NOT NULL,
  predicted TEXT NOT NULL, label TEXT NOT NULL, positive TEXT
);
CREATE TABLE labels (
  receipt BLOB PRIMARY KEY, cell INTEGER NOT NULL, bin INTEGER, served_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', '1'), ('store', 'abc');
INSERT INTO results VALUES ('counted', 6);
INSERT INTO cells VALUES (1, 'r1', 'x', 0, '1', '1', '1');
INSERT INTO labels VALUES
  (x'00000000000000000000000000000001', 1, 5, 1),
  (x'00000000000000000000000000000002', 1, 5, 2),
  (x'00000000000000000000000000000003', 1, NULL, 3),
  (x'00000000000000000000000000000004', 1, 0, 4),
  (x'00000000000000000000000000000005', 1, 512, 5),
  (x'00000000000000000000000000000006', 1, 1023, 6);
"""

# Base bin 512 is there because it is also the fine bin in the middle of base bin 0.
SECOND_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cells (
  id INTEGER PRIMARY KEY, revision TEXT NOT NULL, rollout TEXT NOT NULL, step INTEGER NOT NULL,
  predicted TEXT NOT NULL, label TEXT NOT NULL, positive TEXT
);
CREATE TABLE totals (
  cell INTEGER NOT NULL, bin INTEGER NOT NULL, total INTEGER NOT NULL, served_at INTEGER NOT NULL,
  PRIMARY KEY (cell, bin)
) WITHOUT ROWID;
CREATE TABLE labels (
  served_at INTEGER NOT NULL, receipt BLOB NOT NULL, cell INTEGER NOT NULL,
  PRIMARY KEY (served_at, receipt)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', '2'), ('store', 'abc');
INSERT INTO results VALUES ('counted', 6);
INSERT INTO cells VALUES (1, 'r1', 'x', 0, '1', '1', '1');
INSERT INTO totals VALUES (1, 5, 2, 2), (1, -1, 1, 3), (1, 0, 1, 4), (1, 512, 1, 5), (1, 1023, 1, 6);
INSERT INTO labels VALUES
  (1, x'00000000000000000000000000000001', 1),
  (2, x'00000000000000000000000000000002', 1),
  (3, x'00000000000000000000000000000003', 1),
  (4, x'00000000000000000000000000000004', 1),
  (5, x'00000000000000000000000000000005', 1),
  (6, x'00000000000000000000000000000006', 1);
"""


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "l.db"
    path.write_bytes(os.urandom(5000))
    book = Book(path)
    book.store.start()
    book.ended.wait()
    assert book.failure == f"StoreFailed: {path}: file is not a database"


def test_a_store_of_another_schema(tmp_path):
    path = tmp_path / "l.db"
    with Book(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
    database.close()
    book = Book(path)
    book.store.start()
    book.ended.wait()
    assert book.failure == f"StoreFailed: {path}: the store has schema 4, not 3"


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:////data/l.db", "/data/l.db"), ("sqlite:///l.db", "l.db")]
)
def test_store_urls(url, path):
    assert store_path(url).as_posix() == path


@pytest.mark.parametrize("url", ["", "/data/l.db", "sqlite:///", "postgresql://h/d"])
def test_other_store_urls_are_refused(url):
    with pytest.raises(StoreError, match="must look like sqlite"):
        store_path(url)
