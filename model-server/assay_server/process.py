"""What the kernel knows of this process, under the names that every Prometheus client uses."""

import functools
import os
import resource
from pathlib import Path

from assay_server import exposition

_PROC = Path("/proc/self")
# Fields of /proc/self/stat behind the name of the program, which may hold anything (man 5 proc).
_START_TICKS = 19


def text() -> str:
    """Return CPU time, memory, file descriptors and start time; nothing where there is no /proc."""
    try:
        pages, resident, *_ = map(int, (_PROC / "statm").read_text().split())
        descriptors = sum(1 for _ in (_PROC / "fd").iterdir())
        started = _started()
    except OSError:
        return ""
    page = os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    times = os.times()
    cpu = {exposition.series("process_cpu_seconds_total", {}): times.user + times.system}
    return exposition.counters(
        "process_cpu_seconds_total", "CPU time used, of user and system.", cpu
    ) + "".join(
        exposition.gauges(name, help_text, {exposition.series(name, {}): value})
        for name, help_text, value in (
            ("process_resident_memory_bytes", "Memory that is resident.", resident * page),
            ("process_virtual_memory_bytes", "Address space in use.", pages * page),
            ("process_start_time_seconds", "Start, in seconds since the epoch.", started),
            ("process_open_fds", "File descriptors that are open.", descriptors),
            ("process_max_fds", "File descriptors that may be open.", limit),
        )
        if value != resource.RLIM_INFINITY
    )


@functools.cache
def _started() -> float:
    stat = (_PROC / "stat").read_text().rpartition(")")[2].split()
    ticks = int(stat[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + ticks
    return ticks
