"""One task per ModelDeployment that looks when it is woken, or when the time it asked for has come.

This is not `@kopf.daemon`: kopf starts no daemon for an object that is being deleted already when
the operator starts, and takes its finalizer off at once (read in kopf 1.45.2,
`processing.process_spawning_cause`), so a deletion during an outage would leave everything in the
members. These tasks look at whatever is there.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from assay.members.errors import ApiError, MemberError

from . import logs, metrics
from .hub import Key
from .memory import Memory
from .reconcile import Next, on_trial

LONGEST_SECONDS = 900.0
"""Everything is looked at this often although nothing seems to change."""

KNOWN_SECONDS = 60.0
"""For so long what was read of the hub counts as known while no event says otherwise.

A watch may be blind for about as long; a thousand trials that read every few seconds are a load.
"""

GATHER_SECONDS = 0.2
"""What members say within so long after a look is looked at together; news of the hub wait for nothing.

One change of ours comes back in several events from each member.
"""

_FIRST_RETRY = 0.1
_LONGEST_RETRY = 15.0

log = logging.getLogger(__name__)

Look = Callable[[Key, Memory], Awaitable[Next]]


class Worker:
    """One ModelDeployment."""

    def __init__(self, key: Key, look: Look) -> None:
        self.key = key
        self.memory = Memory()
        self._look = look
        self._woken = asyncio.Event()
        self._due = 0.0
        self._news = asyncio.Event()
        self._news.set()
        self._read = 0.0

    def see(self, version: str, document: dict[str, Any] | None = None) -> None:
        """Take notice of the object's resourceVersion; our own last write is no news.

        `document` is the object, if it is there: then it need not be read.
        """
        if self.memory.version != version:
            self.memory.news = document
            self._news.set()
            self.wake()

    def wake(self) -> None:
        """Look soon."""
        self._woken.set()

    async def run(self) -> None:
        """Look until the object is gone."""
        logs.deployment.set("/".join(self.key))
        self._due = time.monotonic()
        while True:
            if self._woken.is_set():
                self.memory.rest = None  # something changed, whatever it was
            self._woken.clear()
            found = await self._one()
            ended = time.monotonic()
            if found.gone:
                if self._woken.is_set():
                    continue  # it was made again while we read that it was not there
                return
            seconds = LONGEST_SECONDS if found.seconds is None else found.seconds
            # Counted from when this look was due and not from when it ended: a tick keeps its pace.
            self._due = max(self._due + min(seconds, LONGEST_SECONDS), time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._due - time.monotonic())
                self._due = time.monotonic()
                await asyncio.wait_for(self._news.wait(), ended + GATHER_SECONDS - self._due)

    async def _one(self) -> Next:
        """Look once; an error is tried again a little later each time."""
        began = time.monotonic()
        self.memory.unchanged = not self._news.is_set() and began - self._read < KNOWN_SECONDS
        if not self.memory.unchanged:
            self._news.clear()
            self._read = began
        try:
            with metrics.RECONCILE_SECONDS.time():
                found = await self._look(self.key, self.memory)
        except ApiError as error:
            # A conflict is no trouble: what was decided on is not so any more.
            return self._again(began, None if error.conflict else error)
        except MemberError as error:
            return self._again(began, error)
        except Exception as error:  # one ModelDeployment must not stop the others
            log.exception("unexpected error")
            return self._again(began, error)
        self.memory.attempts = 0
        if self.memory.last is not None:
            metrics.show_problems(*self.key, self.memory.last.status.conditions)
        return found

    def _again(self, began: float, error: Exception | None) -> Next:
        self._news.set()
        self.memory.rest = None  # what was known may be what is wrong
        if error is not None:
            metrics.RECONCILE_ERRORS.labels(*self.key).inc()
            log.warning("to be tried again: %s", error)
        self._due = began  # what the look took is part of the delay
        delay = min(_FIRST_RETRY * 2**self.memory.attempts, _LONGEST_RETRY)
        self.memory.attempts = min(self.memory.attempts + 1, 10)
        return Next(min(delay * random.uniform(0.7, 1.3), self._pace()))  # noqa: S311

    def _pace(self) -> float:
        """Return the interval of a rollout under way: it is judged on whatever else fails."""
        last = self.memory.last
        if last is None or last.status.rollout is None or not on_trial(last.status):
            return LONGEST_SECONDS
        return float(last.status.rollout.settings.analysis.interval_seconds)


class Workers:
    """All ModelDeployments."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._workers: dict[Key, Worker] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def see(
        self, namespace: str, name: str, version: str, document: dict[str, Any] | None = None
    ) -> None:
        """Take notice of an object that exists; see `Worker.see`."""
        key = (namespace, name)
        worker = self._workers.get(key)
        if worker is None or self._tasks[key].done():
            worker = self._workers[key] = Worker(key, self._look)
            task = asyncio.create_task(worker.run(), name=f"deployment {namespace}/{name}")
            task.add_done_callback(lambda _: self._ended(key, worker))
            self._tasks[key] = task
        worker.see(version, document)

    def wake(self, namespace: str, name: str) -> None:
        """Something changed for one ModelDeployment."""
        if worker := self._workers.get((namespace, name)):
            worker.wake()

    def wake_all(self) -> None:
        """Something changed for all."""
        for worker in self._workers.values():
            worker.wake()

    def memories(self) -> list[tuple[Key, Memory]]:
        """Return what is remembered of every ModelDeployment."""
        return [(key, worker.memory) for key, worker in self._workers.items()]

    async def close(self) -> None:
        """Stop; what was begun in members goes on or is repeated after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Key, worker: Worker) -> None:
        if self._workers.get(key) is worker:
            del self._workers[key]
            del self._tasks[key]
            metrics.forget(*key)
            metrics.show_problems(*key, ())
