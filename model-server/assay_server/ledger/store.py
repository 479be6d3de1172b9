"""The store of labelled predictions, as the rest of the ledger sees it.

Rules that everything else rests on:

* A label is answered only after the commit that holds it has reached the disk. Killed at any
  moment, the ledger has lost nothing that it answered.
* The receipt's identity is in the primary key: a label counts once, however often it is sent.
* Rows and their share of the totals are written in one transaction. The counters are the totals:
  read at the start, they then follow each commit; a failed commit leads to another reading,
  because nobody can know how far it came.
* Release counts rows in the order of time and moves the mark `released_until` in the same
  transaction: no row is counted twice, none is left out, wherever it is interrupted.
* Rows only serve to tell what was counted, and as the log. Once they are past window and retention
  they are deleted, oldest first. `final_until` remembers, in the same transaction, up to when: no
  label of a prediction that old is ever counted again, whatever the clock or the window say later.
  The totals do not notice.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from assay_server.ledger.database import Source, StoreError
from assay_server.ledger.entries import Entry, Result, Rules
from assay_server.ledger.jobs import Erase, Exported, JobQueue, Read, Reload, Write
from assay_server.ledger.predictions import Key
from assay_server.ledger.sqlite import SQLiteSource
from assay_server.ledger.writer import Committed, Rebuilt, Writer

_FILE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def source_of(url: str, owner: str) -> Source:
    """Return the store of a URL.

    `sqlite:///relative` or `sqlite:////absolute`, or `postgresql://...`, where `owner` names this
    ledger among those that share the database. Raises StoreError.
    """
    if url.startswith(_POSTGRES):
        # Not needed, and not loaded, for a file.
        from assay_server.ledger.postgres import PostgresSource  # noqa: PLC0415

        return PostgresSource(url, owner)
    if not url.startswith(_FILE) or len(url) == len(_FILE):
        raise StoreError(
            "the store must look like sqlite:////data/ledger.db or"
            " postgresql://user:password@host:5432/database"
        )
    return SQLiteSource(Path(url.removeprefix(_FILE)))


class Store:
    """Writes labels in a thread of its own.

    Parameters
    ----------
    source
        Where the tables are.
    rules
        How labels count.
    on_rebuilt, on_committed, on_failed
        Called in the writer's thread: after opening and after a failed commit, with what the store
        has counted; after each commit, before its requests learn of it; and when it is beyond use.
    clock
        Wall clock in Unix seconds.
    """

    def __init__(
        self,
        source: Source,
        rules: Rules,
        *,
        on_rebuilt: Callable[[Rebuilt], None],
        on_committed: Callable[[Committed], None],
        on_failed: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = JobQueue()
        self._closing = threading.Event()
        writer = Writer(
            source,
            rules,
            self._jobs,
            self._closing,
            on_rebuilt=on_rebuilt,
            on_committed=on_committed,
            on_failed=on_failed,
            clock=clock,
        )
        self._thread = threading.Thread(target=writer.run, name="ledger-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """Labels and shipments that wait for the disk."""
        return self._jobs.waiting

    def start(self) -> None:
        """Open the store and count its rows in the writer's thread; `on_rebuilt` tells when."""
        self._thread.start()

    def submit(
        self, entries: Sequence[Entry], results: Mapping[Result, int]
    ) -> Future[list[Result]]:
        """Queue labels and shipments; the future gives what became of each, after the commit.

        `results` are refusals to be added to the totals by the way. The future raises StoreError
        if they could not be written. Raises BusyError when too many wait already.
        """
        job = Write(entries, results)
        self._jobs.put(job)
        return job.done

    def erase(self, requests: Sequence[str]) -> Future[int]:
        """Delete what says whose requests these were; the future gives how many rows they had."""
        job = Erase(requests)
        self._jobs.put(job)
        return job.done

    def page(self, after: Key, limit: int) -> Future[list[Exported]]:
        """Return the rows after a key in the order of keys, `limit` at most.

        Each comes with its cell and, if a label came after release, with that label's cell. Erased
        rows are among them, empty.
        """
        job = Read(after, limit)
        self._jobs.put(job)
        return job.done

    def reload(self) -> None:
        """Have `on_rebuilt` called once more: strata that were left out have served again."""
        self._jobs.put(Reload())

    def close(self) -> None:
        """Write what is queued and close; blocks until it is on the disk."""
        self._closing.set()
        self._jobs.end()
        self._thread.join()
