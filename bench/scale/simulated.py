"""Controllers of a cluster without nodes: every pod that is asked for is ready at once.

Run as a process of its own (``python -m bench.scale.simulated KUBECONFIG...``), so that its CPU is not
a controller's. Deployments and StatefulSets of Assay and ReplicaSets of Argo Rollouts get the status that
Kubernetes would give them.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from assay.members import kubeconfig, resources
from assay.members.api import MERGE, Api
from assay.members.errors import ApiError, MemberError
from assay.members.kubeconfig import Credentials
from assay.members.watch import Watch

_PODS = ("replicas", "readyReplicas", "availableReplicas")
REPLICA_SETS = "/apis/apps/v1/replicasets"
ANSWERED = {
    resources.path("Deployment"): (resources.MANAGED, (*_PODS, "updatedReplicas")),
    resources.path("StatefulSet"): (resources.MANAGED, (*_PODS, "updatedReplicas")),
    REPLICA_SETS: ("rollouts-pod-template-hash", (*_PODS, "fullyLabeledReplicas")),
}
"""The workloads that are answered for: where, with which labels, and the counts in their status."""


class Controllers:
    """Answers for one kind of workload in one cluster."""

    def __init__(self, api: Api, kind: str) -> None:
        self._api = api
        self._kind = kind
        self._tasks: set[asyncio.Task[None]] = set()

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take a whole list."""
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one object."""
        generation = document["metadata"]["generation"]
        if (document.get("status") or {}).get("observedGeneration") == generation:
            return
        task = asyncio.create_task(self._ready(document))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def remove(self, document: dict[str, Any]) -> None:
        """Nothing is left to do."""

    async def _ready(self, document: dict[str, Any]) -> None:
        metadata, wanted = document["metadata"], document["spec"]["replicas"]
        prefix, _, plural = self._kind.rpartition("/")
        path = f"{prefix}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
        counts = ANSWERED[self._kind][1]
        status = {
            "observedGeneration": metadata["generation"],
            **dict.fromkeys(counts, wanted),
        }
        while True:
            try:
                await self._api.request(
                    "PATCH",
                    f"{path}/status",
                    body={"status": status},
                    content_type=MERGE,
                    seconds=60,
                )
            except (ApiError, MemberError) as error:
                if isinstance(error, ApiError) and error.missing:
                    return
                print(f"{self._api.name}: {path}: {error}, trying again", flush=True)
                await asyncio.sleep(1.0)
            else:
                return


async def main(members: dict[str, Credentials]) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    apis = [Api(credentials, name) for name, credentials in members.items()]
    watches = [
        asyncio.create_task(Watch(api, kind, Controllers(api, kind), selector=selector).run())
        for api in apis
        for kind, (selector, _) in ANSWERED.items()
    ]
    await stop.wait()
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    for api in apis:
        await api.close()


if __name__ == "__main__":
    asyncio.run(main({file: kubeconfig.parse(Path(file).read_text()) for file in sys.argv[1:]}))
