"""Network namespaces, the bridge that joins them, and the routes to pods and Services.

Every namespace has one cable to the fleet's bridge. The host and each namespace route pods and
Services of a cluster to that cluster's node, all on the bridge: nothing is forwarded by the host, so
its firewall and its settings stay as they are.
"""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import processes
from fleet.processes import run

if TYPE_CHECKING:
    from fleet.state import ClusterPlan, FleetPlan


def networks_in_use() -> list[IPv4Network]:
    """Return what this machine routes to and the addresses it uses, without the default route."""
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"]))
    targets = [route["dst"] for route in routes if route["dst"] not in {"default", "0.0.0.0/0"}]
    found = [IPv4Network(target, strict=False) for target in targets]
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                found.append(IPv4Network(words[1]))
    return found


def create_bridge(plan: FleetPlan) -> None:
    """Make the bridge and the host's routes."""
    network = plan.network
    lines = [
        f"link add {network.bridge} type bridge",
        f"addr add {network.bridge_address}/24 dev {network.bridge}",
        f"link set {network.bridge} up",
    ]
    for cluster in plan.cluster_plans:
        lines += _routes(cluster, network.bridge)
    _batch(lines)


def create_namespace(plan: FleetPlan, cluster: ClusterPlan) -> None:
    """Make one cluster's namespace with its cable, address and routes."""
    network = cluster.network
    cluster.netns.parent.mkdir(parents=True, exist_ok=True)
    cluster.netns.touch()
    # Not `ip netns add`: that one also leaves a shared mount of /run/netns behind.
    run(["unshare", f"--net={cluster.netns}", "true"])
    link, name = network.host_link, cluster.full_name
    _batch(
        [
            f"link add {link} type veth peer name eth0 netns {name}",
            f"link set {link} master {plan.network.bridge} up",
        ]
    )
    lines = [
        "link set lo up",
        f"addr add {network.node_address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {plan.network.bridge_address}",
    ]
    for other in plan.cluster_plans:
        if other != cluster:
            lines += _routes(other, "eth0")
    _batch(lines, name)
    settings = ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"]
    run(["nsenter", f"--net={cluster.netns}", "sysctl", "-qw", *settings])


def set_connected(cluster: ClusterPlan, *, connected: bool) -> None:
    """Plug a cluster's cable in or out: nobody outside reaches it then, nor it anybody."""
    run(["ip", "link", "set", cluster.network.host_link, "up" if connected else "down"])


def destroy_namespace(cluster: ClusterPlan) -> None:
    """Remove a cluster's namespace and kill what is still in it."""
    if cluster.netns.exists():
        if cluster.netns.is_file() and _is_namespace(cluster.netns):
            pids = processes.in_namespace("net", cluster.netns.stat().st_ino)
            processes.kill(pids)
            processes.wait_gone(pids)
            run(["umount", "--lazy", cluster.netns])
        cluster.netns.unlink(missing_ok=True)
    _delete_link(cluster.network.host_link)


def destroy_bridge(plan: FleetPlan) -> None:
    """Remove the bridge, and with it the host's routes."""
    _delete_link(plan.network.bridge)


def _routes(cluster: ClusterPlan, device: str) -> list[str]:
    network = cluster.network
    return [
        f"route replace {cidr} via {network.node_address} dev {device}"
        for cidr in (network.pod_cidr, network.service_cidr)
    ]


def _batch(lines: list[str], netns: str | None = None) -> None:
    where = ["-n", netns] if netns else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join(lines))


def _delete_link(name: str) -> None:
    if Path("/sys/class/net", name).exists():
        with suppress(processes.CommandError):  # it may be on its way out with its namespace
            run(["ip", "link", "delete", name])


def _is_namespace(path: Path) -> bool:
    return any(
        line.split()[4] == str(path)
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )
