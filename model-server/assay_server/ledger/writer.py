"""The writer: one thread that owns the store's connection.

It takes all that waits, writes it in one transaction, and pays for one flush of the disk however
much that is. In between it releases what has reached its age and deletes what has expired.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from assay_server.ledger.book import Book
from assay_server.ledger.counts import KEPT_STRATA, newest_strata
from assay_server.ledger.database import (
    Changes,
    Contents,
    Database,
    DatabaseError,
    Source,
    StoreError,
    UnavailableError,
)
from assay_server.ledger.entries import Result, Rules, result_name
from assay_server.ledger.jobs import (
    NOT_STORED,
    Erase,
    Exported,
    Job,
    JobQueue,
    Read,
    Reload,
    Write,
    refuse,
)
from assay_server.ledger.predictions import NO_KEY, Cell, StratumKey, key_of, mark_of
from assay_server.ledger.settlement import Settlement
from assay_server.ledger.totals import Additions, Sum, TotalKey, Totals
from assay_server.logs import event

TICK_SECONDS = 1.0
# At most so many rows are released or deleted at once: some 100 ms of work.
ROWS_PER_STEP = 10_000
# After a start nothing is released for so long: whoever was refused meanwhile sends again, and must
# not be late because of us.
GRACE_SECONDS = 30
# While another ledger has the store, or it cannot be reached.
WAIT_SECONDS = 0.2
# After a failed commit: clients are told to come back, and a full disk stays full for a while.
RETRY_SECONDS = 1.0
_DISK_FULL = "the ledger's disk is full: no label was counted; send them again when it has space"
_FOR_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction added, and how long it took.

    Attributes
    ----------
    cells
        Cells that are new, by number.
    results
        How many results of each kind, by their names in the store.
    pending
        Rows that are not released yet.
    """

    cells: Mapping[int, Cell]
    totals: Totals
    results: Mapping[str, int]
    pending: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the store has counted, as far as anybody looks at it.

    Attributes
    ----------
    store
        The store's own random id.
    cells
        All cells, by number.
    totals
        Of the strata that served last (`KEPT_STRATA`), and of what concerns no stratum.
    left_out
        The other strata, and when each served last.
    results
        Results since the store was made, by their names in the store.
    pending
        Rows that are not released yet.
    """

    store: str
    cells: Mapping[int, Cell]
    totals: Sequence[tuple[TotalKey, Sum]]
    left_out: Mapping[StratumKey, int]
    results: Mapping[str, int]
    pending: int


class Writer:
    """Writes what the queue brings until the queue ends or the store is beyond use.

    Parameters
    ----------
    jobs
        What is to be done.
    closing
        Set when nobody will wait any longer.
    on_rebuilt, on_committed, on_failed
        See `assay_server.ledger.store.Store`.
    clock
        Wall clock in Unix seconds.
    """

    def __init__(
        self,
        source: Source,
        rules: Rules,
        jobs: JobQueue,
        closing: threading.Event,
        *,
        on_rebuilt: Callable[[Rebuilt], None],
        on_committed: Callable[[Committed], None],
        on_failed: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._rules = rules
        self._jobs = jobs
        self._closing = closing
        self._on_rebuilt = on_rebuilt
        self._on_committed = on_committed
        self._on_failed = on_failed
        self._clock = clock
        self._book = Book(rules, {})
        self._opened = False
        self._deleted_until = NO_KEY
        self._next_delete = 0.0
        self._next_release = 0.0

    def run(self) -> None:
        """Write until the end; the whole life of the thread."""
        try:
            database = self._open()
            while database is not None:
                database = self._step(database)
        except (DatabaseError, StoreError, OSError) as error:
            self._on_failed(f"StoreFailed: {self._source}: {error}")
        except Exception as error:
            self._on_failed(f"StoreFailed: {self._source}: {type(error).__name__}")
            raise
        finally:
            self._jobs.refuse_waiting(end=True)

    def _step(self, database: Database) -> Database | None:
        """Do what waits; return the connection, a new one if need be, None at the end."""
        jobs, ended = self._jobs.take(max(0.0, self._next_work() - time.monotonic()))
        try:
            # First, because the labels may need the space.
            self._delete(database)
            self._do(database, jobs)
            self._release(database)
        except DatabaseError as error:
            event("commit_failed", level=40, cause=error.cause)
            database.close()
            # First, because a store that is gone may stay away for long.
            refuse(jobs, _DISK_FULL if error.full else NOT_STORED)
            reopened = self._open()
            self._closing.wait(RETRY_SECONDS)
            if ended and reopened is not None:
                reopened.close()
            return None if ended else reopened
        except BaseException:
            refuse(jobs)
            database.close()
            raise
        if ended:
            database.close()
            return None
        return database

    def _open(self) -> Database | None:
        """Open and count. Waits while the store cannot be had; None when told to close."""
        told = ""
        while True:
            try:
                database = self._source.connect()
                self._load(database)
            except UnavailableError as error:
                if error.event != told:
                    told = error.event
                    event(told, level=30, store=str(self._source), cause=error.cause)
                if self._opened:
                    self._jobs.refuse_waiting()
                if self._closing.wait(WAIT_SECONDS):
                    return None
            else:
                self._opened = True
                return database

    def _load(self, database: Database) -> None:
        try:
            contents = database.load()
            rebuilt = self._rebuilt(database, contents)
            book = self._book = Book(self._rules, dict(contents.cells))
            book.final_until = int(contents.meta.get("final_until", -1))
            book.released_until = key_of(contents.meta.get("released_until"))
            gone = [
                number
                for number, served_at in contents.newest.items()
                if served_at <= book.final_until and contents.cells[number].predicted is None
            ]
            if gone:
                database.begin()
                database.forget_users(gone)
                database.commit()
            if not self._rules.at_once:
                book.pending = database.count_after(book.released_until)
            database.check_space()
            self._on_rebuilt(replace(rebuilt, pending=book.pending))
            self._change_age(database, int(contents.meta.get("age", 0)))
        except DatabaseError as error:
            database.close()
            if error.lost:
                raise UnavailableError("store_unreachable", error.cause) from None
            raise
        except BaseException:
            database.close()
            raise
        grace = min(self._rules.age, GRACE_SECONDS)
        self._next_release = time.monotonic() + grace

    def _rebuilt(self, database: Database, contents: Contents) -> Rebuilt:
        """Read the totals of the strata that served last: the others would only fill the memory."""
        strata = {number: contents.cells[number].stratum for number in contents.newest}
        served: dict[StratumKey, int] = {}
        for number, stratum in strata.items():
            if stratum.rollout:
                served[stratum] = max(contents.newest[number], served.get(stratum, 0))
        kept = newest_strata(served, KEPT_STRATA)
        cells = [
            number for number, stratum in strata.items() if stratum in kept or not stratum.rollout
        ]
        left_out = {stratum: served[stratum] for stratum in served.keys() - kept}
        totals = database.totals(cells)
        return Rebuilt(
            contents.meta["store"], contents.cells, totals, left_out, contents.results, 0
        )

    def _change_age(self, database: Database, before: int) -> None:
        """Count at once what waited for its release, if labels are counted at once from now on."""
        if before == self._rules.age:
            return
        after = self._book.released_until
        while self._rules.at_once:
            rows = database.between(after, _FOR_EVER, ROWS_PER_STEP)
            if not rows:
                break
            after = rows[-1].key
            settlement = Settlement(self._book, database)
            database.begin()
            settlement.release(rows)
            self._commit(database, settlement, {}, {})
        database.begin()
        database.save(Changes({}, (), Additions(), {}, {"age": str(self._rules.age)}))
        database.commit()

    def _next_work(self) -> float:
        return (
            self._next_delete if self._rules.at_once else min(self._next_delete, self._next_release)
        )

    def _do(self, database: Database, jobs: Sequence[Job]) -> None:
        writes = [job for job in jobs if isinstance(job, Write)]
        if writes:
            self._write(database, writes)
        for job in jobs:
            if isinstance(job, Erase):
                settlement = Settlement(self._book, database)
                database.begin()
                count = sum(settlement.erase(request) for request in set(job.requests))
                self._commit(database, settlement, {}, {})
                job.done.set_result(count)
            elif isinstance(job, Reload):
                rebuilt = self._rebuilt(database, database.load())
                self._on_rebuilt(replace(rebuilt, pending=self._book.pending))
                job.done.set_result(None)
            elif isinstance(job, Read):
                job.done.set_result(self._read(database, job))

    def _write(self, database: Database, jobs: Sequence[Write]) -> None:
        settlement = Settlement(self._book, database)
        results: Counter[Result] = Counter()
        answers = []
        database.begin()
        settlement.read(entry for job in jobs for entry in job.entries)
        for job in jobs:
            answer = [settlement.take(entry) for entry in job.entries]
            results.update(answer)
            results.update(job.results)
            answers.append(answer)
        named = {result_name(result): count for result, count in results.items()}
        self._commit(database, settlement, named, {})
        for job, answer in zip(jobs, answers, strict=True):
            job.done.set_result(answer)

    def _read(self, database: Database, job: Read) -> list[Exported]:
        cells = self._book.cells
        return [
            (row, cells[row.cell], None if row.later is None else cells[row.later])
            for row in database.between(job.after, _FOR_EVER, job.limit)
        ]

    def _commit(
        self,
        database: Database,
        settlement: Settlement,
        results: dict[str, int],
        marks: dict[str, str],
    ) -> None:
        begin = time.perf_counter()
        changes = settlement.changes(results, marks)
        database.save(changes)
        database.commit()
        seconds = time.perf_counter() - begin
        pending = 0 if self._rules.at_once else self._book.pending
        self._on_committed(Committed(changes.cells, changes.totals, results, pending, seconds))

    def _release(self, database: Database) -> None:
        """Count a batch of the predictions that have reached the age."""
        if self._rules.at_once or time.monotonic() < self._next_release:
            return
        self._next_release = time.monotonic() + TICK_SECONDS
        until = math.floor(self._clock() - self._rules.age)
        rows = database.between(self._book.released_until, until, ROWS_PER_STEP)
        if rows:
            last = rows[-1].key
            settlement = Settlement(self._book, database)
            database.begin()
            settlement.release(rows)
            self._commit(database, settlement, {}, {"released_until": mark_of(last)})
            self._book.released_until = last
        if len(rows) < ROWS_PER_STEP:
            self._book.release_clock = until
        else:
            self._next_release = 0.0

    def _delete(self, database: Database) -> None:
        """Delete a batch of the oldest rows that nobody needs any more."""
        if time.monotonic() < self._next_delete:
            return
        self._next_delete = time.monotonic() + TICK_SECONDS
        # As in `Clerk`: a receipt is refused when served_at + window < now.
        before = math.ceil(self._clock() - self._rules.kept)
        last = database.oldest(before, ROWS_PER_STEP)
        if last is not None and not self._rules.at_once:
            # What is not released yet is evidence that is not counted yet.
            last = min(last, self._book.released_until)
        if last is None or last <= self._deleted_until:
            return
        marks = {"final_until": str(last[0])}
        database.begin()
        database.delete(last)
        database.save(Changes({}, (), Additions(), {}, marks))
        database.commit()
        self._book.final_until = last[0]
        self._deleted_until = last
