"""What callers want of the writer, and the bounded queue in which it waits."""

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from assay_server.ledger.database import StoreError
from assay_server.ledger.entries import Entry, Result
from assay_server.ledger.predictions import Cell, Key, Row

MAX_WAITING = 100_000
# Together with the 10 000 of one request: if each falls on a page of its own, 60 MB of WAL.
ENTRIES_PER_COMMIT = 5_000
NOT_STORED = "the labels could not be stored; send them again"

# A row with its cell and the cell of its later label.
Exported = tuple[Row, Cell, Cell | None]


class BusyError(Exception):
    """More labels wait for the disk than the ledger will hold in memory."""


@dataclass(slots=True)
class Write:
    """Entries to be written down, and refusals to be counted by the way."""

    entries: Sequence[Entry]
    results: Mapping[Result, int]
    done: "Future[list[Result]]" = field(default_factory=Future)


@dataclass(slots=True)
class Erase:
    """Requests whose traces are to be deleted."""

    requests: Sequence[str]
    done: "Future[int]" = field(default_factory=Future)


@dataclass(slots=True)
class Read:
    """A page of rows after a key."""

    after: Key
    limit: int
    done: "Future[list[Exported]]" = field(default_factory=Future)


@dataclass(slots=True)
class Reload:
    """The totals are wanted again, of the strata that now served last."""

    done: "Future[None]" = field(default_factory=Future)


Job = Write | Erase | Read | Reload


class JobQueue:
    """Jobs in the order in which they came; bounded by the entries that wait."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self.waiting = 0

    def put(self, job: Job) -> None:
        """Queue a job. Raises BusyError when too much waits; refuses it after the end."""
        size = _size(job)
        with self._lock:
            if self.waiting + size > MAX_WAITING:
                raise BusyError
            if self._ended:
                refuse([job])
                return
            self.waiting += size
            self._jobs.put(job)

    def end(self) -> None:
        """Mark the end: whoever takes jobs learns when it is reached."""
        self._jobs.put(None)

    def take(self, seconds: float) -> tuple[list[Job], bool]:
        """Return all that waits up to a commit's size, and whether the end is reached.

        Waits so long for a first job; then there may be none. Jobs whose callers have gone are left
        out.
        """
        jobs: list[Job] = []
        size = 0
        try:
            job = self._jobs.get(timeout=seconds) if seconds > 0 else self._jobs.get_nowait()
            while job is not None:
                size += _size(job)
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
                if size >= ENTRIES_PER_COMMIT:
                    break
                job = self._jobs.get_nowait()
            ended = job is None
        except queue.Empty:
            ended = False
        with self._lock:
            self.waiting -= size
        return jobs, ended

    def refuse_waiting(self, *, end: bool = False) -> None:
        """Refuse what waits, and with `end` all that comes from now on."""
        with self._lock:
            self._ended = self._ended or end
        while True:
            jobs, ended = self.take(0.0)
            refuse(jobs)
            if ended and not end:
                self.end()  # it is for whoever takes jobs
            if ended or not jobs:
                return


def _size(job: Job) -> int:
    return len(job.entries) if isinstance(job, Write) else 0


def refuse(jobs: Sequence[Job], message: str = NOT_STORED) -> None:
    """Tell callers that nothing was written."""
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(StoreError(message))
