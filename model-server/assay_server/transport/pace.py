"""How the kernel is to schedule this process's threads: for a lone client, or for many requests.

A request passes through granian's threads and the event loop. By default a thread that is woken
takes the processor from the one that woke it, which costs two switches and the caches for every
request and every answer. As a batch (`SCHED_BATCH`, man 7 sched) a thread that is woken waits until
the other one sleeps: what arrives meanwhile is worked on together. Both get the same share of the
processor. But where other pods keep it busy, a batch waits for the end of their time slice each
time, so a lone client waits longer; for few requests, or one at a time, the default stays.
"""

import os
from collections.abc import Callable
from pathlib import Path

from assay_server.logs import event

# Requests per second from which on threads are scheduled as a batch, and below which no longer.
BUSY_RATE = 2000.0
QUIET_RATE = 1000.0
# On the way when a request arrives, on average: with a lone client there is none.
CROWD = 1.0

_THREADS = Path("/proc/self/task")


def schedule(policy: int) -> None:
    """Have all threads of this process scheduled by a policy, like `os.SCHED_BATCH`.

    Raises OSError where that is not allowed or not known.
    """
    for thread in _THREADS.iterdir():
        try:
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))
        except ProcessLookupError:
            continue  # it has ended


class Pace:
    """Chooses the policy by how many requests came of late."""

    def __init__(self, apply: Callable[[int], None] = schedule) -> None:
        self.is_busy = False
        self._apply: Callable[[int], None] | None = apply

    def note(self, requests: int, others: int, seconds: float) -> None:
        """Tell how many requests came in the last seconds, and how many others each met, added up."""
        if self._apply is None:
            return
        rate = QUIET_RATE if self.is_busy else BUSY_RATE
        busy = requests >= rate * seconds and others >= CROWD * requests
        if busy is self.is_busy:
            return
        try:
            self._apply(os.SCHED_BATCH if busy else os.SCHED_OTHER)
        except OSError as error:
            # Sandboxes may forbid it; then all goes on as it did.
            self._apply = None
            event("scheduling_unchanged", cause=type(error).__name__, code=error.errno)
            return
        self.is_busy = busy
