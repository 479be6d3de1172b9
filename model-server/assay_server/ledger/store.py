"""The store of counted labels: SQLite, one writer, group commit.

Rules that everything else rests on:

* A label is answered only after the commit that holds it has reached the disk (WAL with
  synchronous FULL). Killed at any moment, the ledger has lost nothing that it answered.
* The receipt's identity is in the primary key: a label counts once, however often it is sent.
* A label and its share of the totals are written in one transaction. The counters are the totals:
  read at the start, they then follow each commit; a failed commit leads to another reading,
  because nobody can know how far it came.
* Rows only serve to tell what was counted already. Once their receipts are past the label window
  they are deleted, oldest first, and SQLite uses their pages again. `final_until` remembers, in
  the same transaction, up to when: no label of a prediction that old is ever counted again,
  whatever the clock or the window say later. The totals do not notice.

One thread owns the connection. It takes all requests that wait, writes them in one transaction,
and pays for one flush of the disk however many they are.
"""

import queue
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from assay_server.ledger.counts import Cell
from assay_server.ledger.feedback import Entry, Status
from assay_server.ledger.schema import ADD_TO_TOTALS, NO_BIN, SchemaError, prepare
from assay_server.logs import event

MAX_WAITING_LABELS = 100_000
# Together with the 10 000 of one request: if each falls on a page of its own, 60 MB of WAL.
_LABELS_PER_COMMIT = 5_000
# At most so many rows are deleted at once, and so often: one more flush, and some 20 ms.
DELETED_PER_COMMIT = 20_000
DELETE_SECONDS = 1.0
_LOCK_RETRY_SECONDS = 0.2
# After a failed commit: clients are told to come back, and a full disk stays full for a while.
RETRY_SECONDS = 1.0
# Kept free for the WAL: without it a full store could not even delete.
RESERVE_BYTES = 64 * 1024 * 1024
_KEPT_WAL_BYTES = 16 * 1024 * 1024
_NOT_STORED = "the labels could not be stored; send them again"
_DISK_FULL = "the ledger's disk is full: no label was counted; send them again when it has space"


class StoreError(Exception):
    """The store cannot be opened, or a label could not be written; the message is for clients."""


class BusyError(Exception):
    """More labels wait for the disk than the ledger will hold in memory."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many labels a cell holds, the newest of them served at `served_at`."""

    cell: Cell
    count: int
    served_at: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the store has counted since it was made."""

    store: str
    totals: Sequence[Total]
    results: Mapping[str, int]


@dataclass(slots=True)
class _Job:
    entries: Sequence[Entry]
    results: Mapping[Status, int]
    done: "Future[list[Status]]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Committed:
    """Labels that one transaction added, and how many results of each kind."""

    entries: Sequence[Entry]
    results: Mapping[Status, int]


def store_path(url: str) -> Path:
    """Return the path in `sqlite:///relative` or `sqlite:////absolute`. Raises StoreError."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or len(url) == len(prefix):
        raise StoreError(f"store {url!r} must look like sqlite:////data/ledger.db")
    return Path(url.removeprefix(prefix))


class Store:
    """Writes labels in its own thread.

    Parameters
    ----------
    path
        The database file; made if missing.
    window
        Seconds after which a receipt is refused by everybody and its row may go.
    on_rebuilt, on_committed, on_failed
        Called in the writer's thread: with the counts after opening and after a failed commit;
        after each commit, before its requests learn of it; and when the store is beyond use.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int,
        on_rebuilt: Callable[[Snapshot], None],
        on_committed: Callable[[Committed], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._path = path
        self._window = window
        self._on_rebuilt = on_rebuilt
        self._on_committed = on_committed
        self._on_failed = on_failed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._ended = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._cells: dict[Cell, int] = {}
        self._final_until = -1
        self._next_delete = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Open the store and count its rows in the writer's thread; `on_rebuilt` tells when."""
        self._thread.start()

    def submit(
        self, entries: Sequence[Entry], results: Mapping[Status, int]
    ) -> "Future[list[Status]]":
        """Queue labels; the future gives the status of each after the commit.

        `results` are refusals to be added to the totals by the way. The future raises StoreError
        if the labels could not be written. Raises BusyError when too many wait already.
        """
        job = _Job(entries, results)
        with self._lock:
            if self._waiting + len(entries) > MAX_WAITING_LABELS:
                raise BusyError
            if self._ended:
                _refuse([job])
                return job.done
            self._waiting += len(entries)
            self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Write what is queued and close; blocks until it is on the disk."""
        self._closing.set()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            database = self._open()
            while database is not None:
                jobs, last = self._next_jobs()
                try:
                    # First, because the labels may need the space.
                    self._delete_final(database)
                    self._write(database, jobs)
                except sqlite3.Error as error:
                    event("commit_failed", level=40, cause=error.sqlite_errorname)
                    full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
                    database.close()
                    database = self._open()
                    _refuse(jobs, _DISK_FULL if full else _NOT_STORED)
                    self._closing.wait(RETRY_SECONDS)
                if last and database is not None:
                    database.close()
                    database = None
        except (sqlite3.Error, OSError, SchemaError) as error:
            self._on_failed(f"StoreFailed: {self._path}: {error}")
        finally:
            self._refuse_rest()

    def _open(self) -> sqlite3.Connection | None:
        """Open and count. Waits while another process has the store; None when told to close."""
        waited = False
        while True:
            database = sqlite3.connect(self._path, isolation_level=None)
            try:
                # Exclusive: two ledgers on one volume would each miss the other's labels.
                database.execute("PRAGMA busy_timeout = 0")
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL_BYTES}")
                snapshot = self._rebuild(database)
                self._keep_reserve(database)
                self._on_rebuilt(snapshot)
            except sqlite3.OperationalError as error:
                database.close()
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            else:
                return database
            if not waited:
                event("store_locked", level=30, path=str(self._path))
                waited = True
            if self._closing.wait(_LOCK_RETRY_SECONDS):
                return None

    def _rebuild(self, database: sqlite3.Connection) -> Snapshot:
        database.execute("BEGIN IMMEDIATE")
        meta = prepare(database)
        database.execute("COMMIT")
        self._final_until = int(meta.get("final_until", -1))
        cells: dict[int, Cell] = {}
        for number, *key in database.execute(
            "SELECT id, revision, rollout, step, predicted, label, positive FROM cells"
        ):
            revision, rollout, step, predicted, label, positive = key
            cells[number] = Cell(revision, rollout, step, predicted, label, positive, None)
        self._cells = {cell: number for number, cell in cells.items()}
        totals = [
            Total(
                cells[number]._replace(score_bin=None if score_bin == NO_BIN else score_bin),
                count,
                served_at,
            )
            for number, score_bin, count, served_at in database.execute(
                "SELECT cell, bin, total, served_at FROM totals"
            )
        ]
        results = dict(database.execute("SELECT name, total FROM results"))
        return Snapshot(meta["store"], totals, results)

    def _keep_reserve(self, database: sqlite3.Connection) -> None:
        """Let the file grow only so far that the reserve stays free on its disk."""
        usage = shutil.disk_usage(self._path.parent)
        reserve = min(RESERVE_BYTES, usage.total // 4)
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
        room = max(0, usage.free - reserve) // page_bytes
        database.execute(f"PRAGMA max_page_count = {pages + room}")

    def _delete_final(self, database: sqlite3.Connection) -> None:
        """Delete a batch of the oldest rows whose receipts are past the window."""
        if time.monotonic() < self._next_delete:
            return
        self._next_delete = time.monotonic() + DELETE_SECONDS
        # As in `Clerk.examine`: a receipt is refused when served_at + window < now.
        batch = database.execute(
            "SELECT served_at, receipt FROM labels WHERE served_at < ?"
            " ORDER BY served_at, receipt LIMIT ?",
            (time.time() - self._window, DELETED_PER_COMMIT),
        ).fetchall()
        if not batch:
            return
        last = batch[-1]
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM labels WHERE (served_at, receipt) <= (?, ?)", last)
        database.execute("INSERT OR REPLACE INTO meta VALUES ('final_until', ?)", (str(last[0]),))
        database.execute("COMMIT")
        self._final_until = last[0]

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """Return all that waits (at least one job), and whether it was the end of the queue."""
        jobs: list[_Job] = []
        size = 0
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            size += len(job.entries)
            if size >= _LABELS_PER_COMMIT:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        with self._lock:
            self._waiting -= size
        return jobs, job is None

    def _write(self, database: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        added: list[Entry] = []
        results: Counter[Status] = Counter()
        answers = []
        database.execute("BEGIN IMMEDIATE")
        for job in jobs:
            statuses = [self._insert(database, entry, added) for entry in job.entries]
            results.update(statuses)
            results.update(job.results)
            answers.append(statuses)
        database.executemany(
            "INSERT INTO results VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET total = total + excluded.total",
            [(str(name), count) for name, count in results.items()],
        )
        database.execute("COMMIT")
        self._on_committed(Committed(added, results))
        for job, statuses in zip(jobs, answers, strict=True):
            job.done.set_result(statuses)

    def _insert(self, database: sqlite3.Connection, entry: Entry, added: list[Entry]) -> Status:
        # It waited while its row, if there was one, was deleted: nobody knows if it was counted.
        if entry.served_at <= self._final_until:
            return Status.EXPIRED
        cell = entry.cell
        number = self._cell(database, cell)
        row = (entry.served_at, entry.identity, number)
        if database.execute("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", row).rowcount:
            score_bin = NO_BIN if cell.score_bin is None else cell.score_bin
            database.execute(ADD_TO_TOTALS, (number, score_bin, entry.served_at))
            added.append(entry)
            return Status.COUNTED
        (label,) = database.execute(
            "SELECT label FROM labels JOIN cells ON cell = id"
            " WHERE labels.served_at = ? AND receipt = ?",
            row[:2],
        ).fetchone()
        return Status.DUPLICATE if label == cell.label else Status.CONFLICT

    def _cell(self, database: sqlite3.Connection, cell: Cell) -> int:
        key = cell._replace(score_bin=None)
        number = self._cells.get(key)
        if number is None:
            number = database.execute(
                "INSERT INTO cells (revision, rollout, step, predicted, label, positive)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                key[:-1],
            ).lastrowid
            assert number is not None
            self._cells[key] = number
        return number

    def _refuse_rest(self) -> None:
        """Answer what is still queued or comes from now on: nothing more will be written."""
        with self._lock:
            self._ended = True
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                _refuse([job])


def _refuse(jobs: Sequence[_Job], message: str = _NOT_STORED) -> None:
    for job in jobs:
        job.done.set_exception(StoreError(message))
