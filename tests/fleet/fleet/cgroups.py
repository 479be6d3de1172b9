"""One control group per cluster, in which every process of the cluster runs.

``<name>/system`` holds the control plane and the container shims, ``<name>/pods`` is what the
kubelet divides among the pods. Works with cgroup v1 (one directory in every hierarchy) and v2.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = "system"
PODS = "pods"


def is_v2() -> bool:
    """Tell whether this machine has the unified hierarchy only."""
    return not any(kind == "cgroup" for kind, _ in _mounts())


def hierarchies() -> list[Path]:
    """Return the mount points in which a cluster needs a directory.

    With v1 that includes the unified hierarchy beside the others: runc uses it too.
    """
    return [Path(point) for kind, point in _mounts() if kind in {"cgroup", "cgroup2"}]


def create(name: str) -> None:
    """Make the control groups of a cluster."""
    for root in hierarchies():
        if is_v2():
            _enable_controllers(root)
        for directory in (root / name, root / name / SYSTEM, root / name / PODS):
            directory.mkdir(exist_ok=True)
            _copy_cpuset(directory)
        if is_v2():
            _enable_controllers(root / name)


def entrances(name: str) -> list[Path]:
    """Return the files into which a process writes its id to join ``<name>/system``."""
    return [root / name / SYSTEM / "cgroup.procs" for root in hierarchies()]


def members(name: str) -> set[int]:
    """Return the ids of all processes in a cluster's control groups."""
    found: set[int] = set()
    for root in hierarchies():
        for file in _files(root / name, "cgroup.procs"):
            with suppress(OSError):
                found.update(int(line) for line in file.read_text().split())
    return found


def first_process(name: str) -> int | None:
    """Return the id (as the host sees it) of the first process of the cluster's namespace."""
    for root in hierarchies()[:1]:
        with suppress(OSError):
            for pid in (root / name / SYSTEM / "cgroup.procs").read_text().split():
                if _place_in_namespace(int(pid)) == [1]:
                    return int(pid)
    return None


def others(name: str) -> set[int]:
    """Return all processes in the cluster's process namespace but the first, on which all depend."""
    return {pid for pid in members(name) if _place_in_namespace(pid) not in {[], [1]}}


def destroy(name: str) -> None:
    """Kill whatever runs in a cluster's control groups and remove them.

    Raises
    ------
    CommandError
        If something cannot be killed.
    """
    end = time.monotonic() + 20
    while any((root / name).exists() for root in hierarchies()):
        for root in hierarchies():
            for freezer in _files(root / name, "freezer.state"):
                with suppress(OSError):
                    freezer.write_text("THAWED")  # a frozen process cannot die
            for freezer in _files(root / name, "cgroup.freeze"):
                with suppress(OSError):
                    freezer.write_text("0")
        pids = members(name)
        processes.kill(pids)
        processes.wait_gone(pids, 5)
        for root in hierarchies():
            _remove(root / name)
        if time.monotonic() > end:
            raise processes.CommandError(f"control group {name} cannot be removed: {members(name)}")


def memory_bytes(name: str) -> int:
    """Return how much memory a cluster holds, without what the kernel may drop (page cache)."""
    for root in hierarchies():
        stat = root / name / "memory.stat"
        if stat.exists():
            values = dict(line.split() for line in stat.read_text().splitlines())
            return int(values.get("total_rss", values.get("anon", "0")))
    return 0


def _mounts() -> list[tuple[str, str]]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [(line.split()[2], line.split()[1]) for line in lines]


def _place_in_namespace(pid: int) -> list[int]:
    """Return a process's ids in the process namespaces below ours; none if it is in ours, or gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[2:]]
    return []


def _enable_controllers(directory: Path) -> None:
    available = (directory / "cgroup.controllers").read_text().split()
    for controller in available:
        with suppress(OSError):  # one that is in use elsewhere is not needed
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _copy_cpuset(directory: Path) -> None:
    """A new cpuset of cgroup v1 is empty and takes no process until it is filled."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, parent = directory / name, directory.parent / name
        if not is_v2() and own.exists() and not own.read_text().strip():
            own.write_text(parent.read_text())


def _files(top: Path, name: str) -> Iterator[Path]:
    """Yield the files of a name below a control group; groups go while we walk, which is no error."""
    for directory, _, names in os.walk(top):
        if name in names:
            yield Path(directory) / name


def _remove(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
