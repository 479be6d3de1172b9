"""What is written to disk about every fleet before anything of it exists.

A plan names all that a fleet will make on the machine, so that ``down`` can remove it whatever
happened in between. Plans are in ``/run/assay-fleet`` (gone after a restart of the machine, like all
that they describe), bulky files under the cache directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet.addresses import ClusterNetwork, FleetNetwork
from fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = Path("/run/assay-fleet")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")
# A Unix socket's path may have 107 bytes.
MAX_SOCKET_PATH = 107


class StateError(FleetError):
    """A name is unusable, or a fleet is missing or in use."""


@dataclass(frozen=True)
class ClusterPlan:
    """What one cluster makes on the machine, and where."""

    fleet: str
    name: str
    network: ClusterNetwork
    directory: Path

    @property
    def full_name(self) -> str:
        """Name of the network namespace and of the control groups."""
        return f"assay-{self.fleet}-{self.name}"

    @property
    def netns(self) -> Path:
        """File that keeps the network namespace."""
        return Path("/run/netns") / self.full_name

    @property
    def node(self) -> str:
        """Name of the only node."""
        return self.name

    @property
    def containerd_socket(self) -> Path:
        """Socket of the cluster's containerd."""
        return self.directory / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig with all rights, certificates inside."""
        return self.directory / "admin.kubeconfig"


@dataclass(frozen=True)
class FleetPlan:
    """A fleet: which clusters, which addresses, where its files are, how far it has come."""

    name: str
    block: int
    clusters: tuple[str, ...]
    directory: str
    addons: bool = True
    scrape_interval: str = "1s"
    ready: bool = False

    @property
    def network(self) -> FleetNetwork:
        """Addresses of the fleet."""
        return FleetNetwork(self.block)

    @property
    def cluster_plans(self) -> tuple[ClusterPlan, ...]:
        """The clusters in the order in which they were named."""
        return tuple(
            ClusterPlan(self.name, name, self.network.cluster(index), Path(self.directory) / name)
            for index, name in enumerate(self.clusters)
        )

    def as_ready(self) -> FleetPlan:
        """Return this plan, with every cluster up."""
        return replace(self, ready=True)


def cache_directory() -> Path:
    """Return where programs, images and the clusters' files are kept."""
    given = os.environ.get("ASSAY_CACHE")
    return Path(given).absolute() if given else Path.home() / ".cache" / "assay"


def check_names(fleet: str, clusters: tuple[str, ...]) -> None:
    """Refuse names that cannot be names of hosts, files and network interfaces.

    Raises
    ------
    StateError
        Names the first unusable one.
    """
    for name in (fleet, *clusters):
        if not NAME.fullmatch(name):
            raise StateError(
                f"{name!r} is no usable name: at most 20 lower-case letters, digits and dashes"
            )
    if not clusters or len(set(clusters)) != len(clusters):
        raise StateError("name at least one cluster, and each only once")


def check_paths(plan: FleetPlan) -> None:
    """Refuse a directory so deep that sockets in it cannot be opened."""
    for cluster in plan.cluster_plans:
        if len(str(cluster.containerd_socket)) > MAX_SOCKET_PATH:
            raise StateError(
                f"the path {cluster.containerd_socket} is longer than a socket's may be "
                f"({MAX_SOCKET_PATH} bytes); set ASSAY_CACHE to a shorter one"
            )


def directory_of(fleet: str) -> Path:
    """Return where the files of a fleet with this name are, if it uses our cache directory."""
    return cache_directory() / "fleets" / fleet


def read(name: str) -> FleetPlan | None:
    """Return the plan of a fleet, or None if there is none."""
    try:
        values = json.loads(_path(name).read_text())
    except FileNotFoundError:
        return None
    return FleetPlan(**{**values, "clusters": tuple(values["clusters"])})


def read_all() -> list[FleetPlan]:
    """Return the plans of all fleets of this machine, by name."""
    plans = (read(path.stem) for path in sorted(RUN.glob("*.json")))
    return [plan for plan in plans if plan is not None]


def write(plan: FleetPlan) -> None:
    """Write a plan, all of it or nothing."""
    path = _path(plan.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(plan), indent=1))
    temporary.replace(path)


def remove(name: str) -> None:
    """Forget a fleet; to be called by whoever holds its lock."""
    _path(name).unlink(missing_ok=True)
    fleet_lock(name).unlink(missing_ok=True)


@contextmanager
def locked(path: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock; it ends with the process that holds it, however that ends.

    ``waiting`` is called once, with the holder's process id, when the lock is not free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if waiting is not None:
                    waiting(file.read().strip())
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_current(path, file.fileno()):
                continue  # the holder before us removed the file
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            return


def fleet_lock(name: str) -> Path:
    """Return the lock file of a fleet."""
    return lock_of(f"fleet-{name}")


def lock_of(what: str) -> Path:
    """Return the lock file for something of this machine."""
    return RUN / f"{what}.lock"


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _path(name: str) -> Path:
    return RUN / f"{name}.json"
