"""The table that ``fleet status`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from fleet import cgroups
from fleet.cluster import LocalCluster, condition
from fleet.errors import FleetError

if TYPE_CHECKING:
    from fleet.cluster import Cluster
    from fleet.local import Fleet

GOOD, BAD = "[green]", "[red]"


def table(fleet: Fleet) -> Table:
    """Return one row per cluster of a fleet, as it is now."""
    columns = ("cluster", "node", "API", "pods", "memory", "gateway", "prometheus")
    title = f"fleet {fleet.name}"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for cluster in fleet.clusters.values():
        shown.add_row(*row(cluster))
    return shown


def row(cluster: Cluster) -> tuple[str, ...]:
    """Return the cells of one cluster."""
    memory = _memory(cluster)
    try:
        nodes = cluster.read("/api/v1/nodes")["items"]
        pods = cluster.read("/api/v1/pods")["items"]
    except (FleetError, OSError) as error:
        return (cluster.name, "", f"{BAD}{_short(error)}", "", memory, "", "")
    running = [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
    ready = sum(condition(pod, "Ready") for pod in running)
    node_ready = bool(nodes) and all(condition(node, "Ready") for node in nodes)
    return (
        cluster.name,
        f"{GOOD if node_ready else BAD}{'Ready' if node_ready else 'NotReady'}",
        f"{GOOD}{cluster.address}",
        f"{GOOD if ready == len(running) else BAD}{ready}/{len(running)}",
        memory,
        _address(cluster.gateway_url),
        _address(cluster.prometheus_url),
    )


def _memory(cluster: Cluster) -> str:
    if not isinstance(cluster, LocalCluster):
        return ""
    return f"{cgroups.memory_bytes(cluster.netns) / 2**20:.0f} MiB"


def _address(read: object) -> str:
    assert callable(read)
    try:
        return f"{GOOD}{str(read()).removeprefix('http://').removesuffix(':80')}"
    except (FleetError, LookupError, OSError):
        return "[dim]none"


def _short(error: Exception) -> str:
    return str(error).splitlines()[-1][:60]
