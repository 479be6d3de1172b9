"""API servers without nodes: a hub and its members, as etcd and kube-apiserver alone."""

import base64
import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.server.comparison.machine import processes
from fleet import Cluster, Fleet, addons
from fleet.processes import in_namespace
from fleet.progress import Silent

ROOT = Path(__file__).parents[2]
FLEET, HUB = "scale", "hub"
NAMESPACE, SYSTEM = "ml", "assay-system"
_OF_NODES = ("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager", "containerd")
_OF_CONTROL_PLANES = ("kube-apiserver", "etcd")
_ADDRESSES = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "ServiceCIDR",
    "metadata": {"name": "bench"},
    "spec": {"cidrs": ["172.20.0.0/16"]},
}
"""A fleet has 254 addresses for Services; nobody routes to these."""

_GATEWAY_KINDS = ("httproutes.gateway.networking.k8s.io",)
_WRITES = frozenset(("APPLY", "DELETE", "PATCH", "POST", "PUT"))
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@contextlib.contextmanager
def control_planes(members: Sequence[str]) -> Iterator[dict[str, Cluster]]:
    """Make the hub and `members`, with the kinds that Assay needs and nothing that runs pods.

    The hub may be a member, too.
    """
    fleet = Fleet.up(FLEET, tuple(dict.fromkeys((HUB, *members))), addons=False)
    try:
        clusters = dict(fleet.clusters)
        routes = [
            each
            for each in addons.prepare(Silent())[0]
            if each["metadata"]["name"] in _GATEWAY_KINDS
        ]
        assay = [
            yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))
        ]
        for name, cluster in clusters.items():
            for program in _OF_NODES:
                cluster.stop(program)
            cluster.api().create(_namespace(each) for each in (NAMESPACE, SYSTEM))
            cluster.api().create(assay if name == HUB else ())
            cluster.api().create(routes if name in members else ())
            cluster.kubectl("create", "-f", "-", input=json.dumps(_ADDRESSES))
        yield clusters
    finally:
        fleet.down()


def connect(hub: Cluster, members: Sequence[Cluster], prometheus: str) -> None:
    """Tell the hub of its members; all their evidence is at `prometheus` (a URL)."""
    for member in members:
        name = f"member-{member.name}"
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": SYSTEM},
            "data": {"kubeconfig": base64.b64encode(member.kubeconfig.read_bytes()).decode()},
        }
        cluster = {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ModelCluster",
            "metadata": {"name": member.name},
            "spec": {
                "clusterSource": {"kubeConfig": {"secretName": name}},
                "prometheus": {"url": prometheus, "scrapeIntervalSeconds": 10},
            },
        }
        for document in (secret, cluster):
            hub.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))


def requests_written(cluster: Cluster) -> int:
    """Return how many writes the API server has answered since it started."""
    return writes(cluster).total()


def writes(cluster: Cluster) -> Counter[str]:
    """Return how many writes of each kind of object the API server has answered since it started."""
    return written(cluster.kubectl("get", "--raw", "/metrics"))


def written(metrics: str) -> Counter[str]:
    """Return how many writes of each resource (`deployments/status`, say) an API server counts."""
    found: Counter[str] = Counter()
    for line in metrics.splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(_LABEL.findall(line))
        if labels["verb"] in _WRITES:
            resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            found[resource] += int(float(line.rsplit(" ", 1)[1]))
    return found


def control_plane_cpu_seconds(clusters: Iterable[Cluster]) -> float:
    """Return the CPU that the API servers and etcds of these clusters have taken."""
    theirs = set[int]()
    for cluster in clusters:
        inode = Path("/run/netns", cluster.netns).stat().st_ino
        theirs |= in_namespace("net", inode)
    return sum(
        each.seconds
        for each in processes()
        if each.pid in theirs and _program(each.pid) in _OF_CONTROL_PLANES
    )


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""  # it has ended


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
