"""What one write costs an API server: a ModelDeployment's status and spec, a ModelCluster's, a Deployment.

Run: ``python -m bench.scale.write_cost`` (Linux, root; two minutes). API servers without nodes, as
in `operator_load`; CPU of all of them and their etcds, while one kind of write is repeated alone.
"""

import asyncio
import copy
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from assay.members import resources
from assay.members.api import Api
from fleet import Cluster

from . import deployments
from .clusters import HUB, NAMESPACE, connect, control_plane_cpu_seconds, control_planes
from .controller import Controller, Simulated
from .deployments import client, name_of
from .operator_load import LONGEST_SECONDS, MEMBERS, NOBODY

WRITES = 60


async def cost(
    clusters: dict[str, Cluster], what: str, write: Callable[[int], Awaitable[object]]
) -> None:
    """Print the CPU of one write."""
    before = control_plane_cpu_seconds(clusters.values())
    for number in range(WRITES):
        await write(number)
    taken = (control_plane_cpu_seconds(clusters.values()) - before) / WRITES
    print(f"{what:44} {1000 * taken:.1f} ms of CPU", flush=True)


async def apply_status(api: Api, document: dict[str, Any], number: int) -> None:
    """Write status with another message in its first condition."""
    status = copy.deepcopy(document["status"])
    status["conditions"][0]["message"] = f"write {number}"
    kind = {key: document[key] for key in ("apiVersion", "kind")}
    metadata = {key: document["metadata"].get(key) for key in ("name", "namespace")}
    await api.apply({**kind, "metadata": metadata, "status": status}, subresource="/status")


async def measure(clusters: dict[str, Cluster]) -> None:
    """Let the operator make a ModelDeployment, stop it, and write what it wrote."""
    hub, member = client(clusters[HUB]), client(clusters[MEMBERS[0]])
    log = Path(tempfile.gettempdir()) / "assay-write-cost.log"
    controller = Controller.start(clusters[HUB], log)
    simulated = Simulated.start([clusters[name] for name in MEMBERS])
    try:
        await deployments.create(hub, range(1), len(MEMBERS))
        await deployments.until(hub, "ready", deployments.is_ready, LONGEST_SECONDS)
    finally:
        controller.stop()
        simulated.stop()
    try:
        ours = await hub.get(resources.path("ModelDeployment", NAMESPACE, name_of(0)))
        cluster = await hub.get(resources.path("ModelCluster", None, MEMBERS[0]))
        [found] = (await member.get(resources.path("Deployment", NAMESPACE)))["items"]
        plain = {"name": "plain", "namespace": NAMESPACE}
        workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": plain}

        async def scale(number: int) -> None:
            await member.apply({**workload, "spec": {**found["spec"], "replicas": number}})

        async def patch(number: int) -> None:
            await deployments.patch(hub, name_of(0), {"serving": {"replicas": 3 + number % 5}})

        await cost(clusters, "a ModelDeployment's status", partial(apply_status, hub, ours))
        await cost(clusters, "a ModelDeployment's spec", patch)
        await cost(clusters, "a ModelCluster's status", partial(apply_status, hub, cluster))
        await cost(clusters, "a Deployment", scale)
    finally:
        await hub.close()
        await member.close()


def main() -> None:
    """Measure on API servers of our own."""
    with control_planes(MEMBERS) as clusters:
        connect(clusters[HUB], [clusters[name] for name in MEMBERS], NOBODY)
        asyncio.run(measure(clusters))


if __name__ == "__main__":
    main()
