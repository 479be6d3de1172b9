"""Micro-batching: requests that arrive together reach the model together.

All that is submitted in one turn of the event loop goes into one call of the model, at most
`max_rows` rows of it; what arrives meanwhile is the next batch. A lone request does not wait, and
under load batches grow by themselves. Models that answer within a millisecond run right here,
others in one thread, so that health and metrics stay alive meanwhile. Jobs with more rows than a
batch run by themselves in another thread.

Jobs are taken in the order in which they came. Those that were cancelled are dropped. When a batch
fails, its halves are tried by themselves, so that a job fails by its own fault only.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from assay_server import exposition
from assay_server.models.errors import OverloadedError

MAX_QUEUE_ROWS = 8192
"""By default: a second or so of a forest's work."""

_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Job(Protocol):
    """What is submitted; `count` is its number of rows."""

    @property
    def count(self) -> int: ...  # noqa: D102


J = TypeVar("J", bound=Job)
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class BatchMetrics:
    """How large batches are, how much waits, how much was turned away."""

    def __init__(self) -> None:
        self.waiting_rows = 0
        self.jobs = 0
        """Jobs that were taken in and have no result yet."""
        self.rejected = 0
        self._counts = [0] * (len(_EDGES) + 1)
        self._rows = 0

    def batch(self, rows: int) -> None:
        """Count a call of the model."""
        self._counts[bisect_left(_EDGES, rows)] += 1
        self._rows += rows

    def text(self, labels: Mapping[str, str]) -> str:
        """Return the families in the Prometheus text format."""
        name = "assay_batch_rows"
        edges = [*map(str, _EDGES), "+Inf"]
        totals = list(accumulate(self._counts))
        samples = [
            exposition.series(f"{name}_bucket", {**labels, "le": edge}) + str(total)
            for edge, total in zip(edges, totals, strict=True)
        ]
        samples.append(exposition.series(f"{name}_sum", labels) + str(self._rows))
        samples.append(exposition.series(f"{name}_count", labels) + str(totals[-1]))
        waiting, rejected = "assay_queue_rows", "assay_rejected_total"
        return (
            exposition.family(name, "histogram", "Rows in one call of the model.", samples)
            + exposition.family(
                waiting,
                "gauge",
                "Rows that wait for the model.",
                [exposition.series(waiting, labels) + str(self.waiting_rows)],
            )
            + exposition.counters(
                rejected,
                "Requests answered 503 because too many rows waited.",
                {exposition.series(rejected, labels): self.rejected},
            )
        )


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests are batched.

    Attributes
    ----------
    max_queue
        While so many rows wait, jobs are refused. At most one job more than that is ever waiting.
    wait_seconds
        How long a job waits for others to come along. 0: it takes along what is there.
    """

    max_queue: int = MAX_QUEUE_ROWS
    wait_seconds: float = 0.0


class Reply(Protocol[R_contra]):
    """Where a job's result goes: a future, or something that is less work."""

    def done(self) -> bool:
        """Tell whether nobody wants the result any more."""
        ...

    def set_result(self, result: R_contra, /) -> None:
        """Take the result. Raises nothing."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """Take what the job failed with. Raises nothing."""
        ...


class Batcher(Generic[J, R]):
    """Runs jobs in batches. Belongs to the event loop in which jobs are submitted.

    Parameters
    ----------
    run
        Answers jobs in their order, one result each; may be called from `worker` and `large_worker`
        at the same time as from the loop. What it raises goes to the reply of the job.
    worker
        A single thread for a model that is slow; None runs batches in the loop.
    large_worker
        A thread for jobs with more than `max_rows` rows.
    answered
        Called in the loop with the jobs of a batch and their results, or what they failed with,
        before these go to the replies.
    """

    def __init__(
        self,
        run: Callable[[Sequence[J]], Sequence[R]],
        batching: Batching,
        *,
        worker: Executor | None,
        large_worker: Executor,
        max_rows: int,
        answered: Callable[[Sequence[J], Sequence[R | BaseException]], None] | None = None,
    ) -> None:
        self._run = run
        self._worker = worker
        self._large_worker = large_worker
        self._max_rows = max_rows
        self._answered = answered
        self._max_queue = batching.max_queue
        self._wait_seconds = batching.wait_seconds
        self._queue: deque[tuple[J, Reply[R]]] = deque()
        # Whether a call of `_next` is on its way: scheduled, or when the worker is done.
        self._pending = False
        # Jobs that waited when the next batch was about to run.
        self._looked = 0
        self.metrics = BatchMetrics()

    def ask(self, job: J) -> asyncio.Future[R]:
        """Submit a job and return its result to come. Raises OverloadedError."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(job, future)
        return future

    def submit(self, job: J, reply: Reply[R]) -> None:
        """Take a job in. Raises OverloadedError."""
        metrics = self.metrics
        if metrics.waiting_rows >= self._max_queue and not self._forget_cancelled():
            metrics.rejected += 1
            raise OverloadedError
        metrics.waiting_rows += job.count
        metrics.jobs += 1
        if job.count > self._max_rows:
            self._start([(job, reply)], self._large_worker)
            return
        self._queue.append((job, reply))
        if not self._pending:
            self._pending = True
            loop = asyncio.get_running_loop()
            if self._wait_seconds:
                loop.call_later(self._wait_seconds, self._next)
            else:
                loop.call_soon(self._next)

    def _next(self) -> None:
        """Run the next batch, and see to it that the one after is run too."""
        if self._is_growing():
            asyncio.get_running_loop().call_soon(self._next)
            return
        self._pending = False
        batch, rows = self._taken()
        if not batch:
            return
        if self._worker is None:
            self.metrics.waiting_rows -= rows
            self.metrics.batch(rows)
            self._deliver(batch, self._results([job for job, _ in batch]))
            self._go_on()
        else:
            self._pending = True
            self._start(batch, self._worker)

    def _is_growing(self) -> bool:
        """Tell whether several jobs wait, and more than when this was last asked.

        Then the loop looks at its sockets once more, which costs microseconds: who only just misses
        a batch waits for the whole of it, and so do the clients that find it in their way.
        """
        before, self._looked = self._looked, len(self._queue)
        if self._worker is None and max(before, 1) < self._looked < self._max_rows:
            return True
        self._looked = 0
        return False

    def _go_on(self) -> None:
        if self._queue and not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._next)

    def _taken(self) -> tuple[list[tuple[J, Reply[R]]], int]:
        """Take a batch from the front of the queue; return it and its number of rows."""
        queue = self._queue
        if self.metrics.waiting_rows <= self._max_rows:
            batch = list(queue)
            if not any([reply.done() for _, reply in batch]):  # noqa: C419 - a list is faster
                queue.clear()
                return batch, sum([job.count for job, _ in batch])
        batch = []
        rows = 0
        while queue:
            job, reply = queue[0]
            if reply.done():
                self._drop(job)
                queue.popleft()
            elif rows + job.count > self._max_rows:
                break
            else:
                rows += job.count
                batch.append(queue.popleft())
        return batch, rows

    def _forget_cancelled(self) -> bool:
        """Drop cancelled jobs anywhere in the queue; return whether there is room then."""
        kept: deque[tuple[J, Reply[R]]] = deque()
        for job, reply in self._queue:
            if reply.done():
                self._drop(job)
            else:
                kept.append((job, reply))
        self._queue = kept
        return self.metrics.waiting_rows < self._max_queue

    def _drop(self, job: J) -> None:
        """Forget a job that was cancelled."""
        self.metrics.waiting_rows -= job.count
        self.metrics.jobs -= 1

    def _start(self, batch: list[tuple[J, Reply[R]]], executor: Executor) -> None:
        """Run a batch in a thread."""
        jobs = [job for job, _ in batch]
        rows = sum([job.count for job in jobs])
        self.metrics.batch(rows)
        working = asyncio.get_running_loop().run_in_executor(executor, self._results, jobs)

        def done(finished: asyncio.Future[list[R | BaseException]]) -> None:
            self.metrics.waiting_rows -= rows
            if executor is self._worker:
                self._pending = False
                self._go_on()
            if not finished.cancelled():
                self._deliver(batch, finished.result())

        working.add_done_callback(done)

    def _results(self, jobs: Sequence[J]) -> list[R | BaseException]:
        """Return a result per job, an exception for those that fail by themselves."""
        try:
            return list(self._run(jobs))
        except Exception as error:  # noqa: BLE001 - it goes to those whose job it was
            if len(jobs) == 1:
                return [error]
        half = len(jobs) // 2
        return self._results(jobs[:half]) + self._results(jobs[half:])

    def _deliver(
        self, batch: Sequence[tuple[J, Reply[R]]], results: Sequence[R | BaseException]
    ) -> None:
        self.metrics.jobs -= len(batch)
        if self._answered is not None:
            self._answered([job for job, _ in batch], results)
        for (_, reply), result in zip(batch, results, strict=True):
            if reply.done():  # cancelled
                continue
            if isinstance(result, BaseException):
                reply.set_exception(result)
            else:
                reply.set_result(result)
