"""The store: every label once, on the disk before it is answered, counted the same afterwards."""

import os
import sqlite3
import threading
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.ledger import store as store_module
from assay_server.ledger.counts import Cell, Counts
from assay_server.ledger.feedback import Entry, Status
from assay_server.ledger.store import BusyError, Store, StoreError, store_path


class Book:
    """A store with the counts that the ledger would keep beside it."""

    def __init__(self, path) -> None:
        self.counts = Counts("fraud")
        self.results = Counter()
        self.store_id = ""
        self.failure = ""
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.store = Store(
            path, on_rebuilt=self.rebuilt, on_committed=self.committed, on_failed=self.failed
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
        return counts.outcomes, counts.scores, counts.labelled, counts.newest, counts.positive


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


labels = st.builds(
    entry,
    st.integers(0, 30),
    st.sampled_from("01"),
    st.sampled_from("01"),
    st.none() | st.integers(0, 3),
    st.integers(0, 9),
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
    """A connection whose first COMMIT of labels fails, as with a full disk."""

    failures = 1

    def __init__(self, connection):
        self._connection = connection
        self._labels = False

    def execute(self, statement, *parameters):
        self._labels |= "INTO labels" in statement
        if statement == "COMMIT" and self._labels and FailingOnce.failures:
            FailingOnce.failures -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name):
        return getattr(self._connection, name)


def test_a_failed_commit_counts_nothing_and_can_be_sent_again(tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: FailingOnce(connect(*a, **k)))
    with Book(tmp_path / "l.db") as book:
        with pytest.raises(StoreError):
            book.put(entry(1))
        assert book.counts.outcomes.total() == 0
        assert book.put(entry(1)) == ["counted"]
        assert book.counts.outcomes.total() == 1


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
        database.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")
    database.close()
    book = Book(path)
    book.store.start()
    book.ended.wait()
    assert book.failure == f"StoreFailed: {path}: the store has schema 2, not 1"


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:////data/l.db", "/data/l.db"), ("sqlite:///l.db", "l.db")]
)
def test_store_urls(url, path):
    assert store_path(url).as_posix() == path


@pytest.mark.parametrize("url", ["", "/data/l.db", "sqlite:///", "postgresql://h/d"])
def test_other_store_urls_are_refused(url):
    with pytest.raises(StoreError, match="must look like sqlite"):
        store_path(url)
