"""What the kernel tells about processor time and memory, of the machine and of one server."""

import ctypes
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for servers, another for the load; the same one if the machine has only one."""

    server: int
    load: int


def cores() -> Cores:
    """Choose from the cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread on a core; what is started meanwhile inherits that for good."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_seconds() -> float:
    """Return the processor time that all cores have spent, on anything, since boot."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _wait, interrupts, soft, stolen, *_ = map(int, line.split()[1:])
    return (user + nice + system + interrupts + soft + stolen) / _TICKS


@dataclass(frozen=True, slots=True)
class Process:
    """A process that lives, and the processor seconds of it and its dead children."""

    pid: int
    parent: int
    session: int
    seconds: float


def processes() -> list[Process]:
    """Return all processes of the machine."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            seconds = sum(map(int, fields[11:15])) / _TICKS
            found.append(Process(int(folder.name), int(fields[1]), int(fields[3]), seconds))
    return found


def descendants(leader: int) -> list[Process]:
    """Return a process with its children, theirs and so on."""
    known = {process.pid: process for process in processes()}
    found = []
    for process in known.values():
        above: Process | None = process
        while above is not None and above.pid != leader:
            above = known.get(above.parent)
        if above is not None:
            found.append(process)
    return found


def sessions(leader: int) -> set[int]:
    """Return the sessions of a process and its descendants: some servers make more than one."""
    return {leader, *(process.session for process in descendants(leader))}


def members(of: set[int]) -> list[Process]:
    """Return the processes of some sessions."""
    return [process for process in processes() if process.session in of]


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a server in MiB: what is resident, and its share of it where pages are shared."""

    resident: float
    proportional: float


def memory(leader: int) -> Memory:
    """Return the memory of a server with all its processes."""
    kib = {"Rss": 0, "Pss": 0}
    for process in members(sessions(leader)):
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in kib:
                kib[name] += int(value.split()[0])
    return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, so that none can get away."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kill all descendants of this process and wait until they are gone."""
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = [process for process in descendants(os.getpid()) if process.pid != os.getpid()]
        if not left:
            return
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)


@contextmanager
def nothing_left(prefix: str) -> Iterator[Path]:
    """Yield a temporary folder; afterwards it is gone, and so are all descendants of this process.

    SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, once: a second one must not keep us from
    ending what was started. A signal may come while a process is being started or ended, so this is
    the net below whoever started it.
    """
    adopt_orphans()
    for number in _SIGNALS:
        signal.signal(number, _leave)
    folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    try:
        yield Path(folder.name)
    finally:
        end_descendants()
        folder.cleanup()


def _leave(*_: object) -> NoReturn:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def description() -> str:
    """Return the processor's name, its cores, the kernel's load and the memory, for a report."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    name = names[0] if names else os.uname().machine
    return f"{os.cpu_count()} cores ({name}), {gib:.0f} GiB, load average {os.getloadavg()[0]:.1f}"
