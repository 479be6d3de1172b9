"""The ModelDeployments of the benchmark, made and changed over one asyncio client."""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from assay.members import kubeconfig, resources
from assay.members.api import MERGE, Api
from assay.members.watch import Watch
from fleet import Cluster

from .clusters import NAMESPACE, ROOT

EXAMPLE = ROOT / "examples/breast-cancer/modeldeployment.yaml"
AT_ONCE = 16
INTERVAL_SECONDS = 10
MODEL_DEPLOYMENTS = resources.path("ModelDeployment", NAMESPACE)
DEPLOYMENTS = resources.path("Deployment", NAMESPACE)


def name_of(place: int) -> str:
    """Return the name of one ModelDeployment."""
    return f"model-{place:04d}"


def manifest(place: int, members: int) -> dict[str, Any]:
    """Return the ModelDeployment number `place`, with a replica in each member."""
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(EXAMPLE.read_text()))
    document["metadata"] = {"name": name_of(place), "namespace": NAMESPACE}
    spec = document["spec"]
    spec["serving"]["replicas"] = members
    spec.pop("placement", None)
    spec["rollout"]["analysis"]["intervalSeconds"] = INTERVAL_SECONDS
    spec["rollout"]["maxSeconds"] = 86400
    spec["rollout"]["progressDeadlineSeconds"] = 3600  # all canaries begin at once
    return document


def client(cluster: Cluster) -> Api:
    """Open a client to `cluster`."""
    return Api(kubeconfig.parse(Path(cluster.kubeconfig).read_text()), cluster.name)


async def all_of(work: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do everything, some at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[object]]) -> None:
        async with slots:
            await job()

    await asyncio.gather(*map(one, work))


async def create(hub: Api, places: Sequence[int], members: int) -> None:
    """Create the ModelDeployments."""
    await all_of([partial(hub.apply, manifest(place, members)) for place in places])


async def patch(
    hub: Api, name: str, spec: dict[str, Any], collection: str = MODEL_DEPLOYMENTS
) -> None:
    """Merge `spec` into a ModelDeployment's, or another object's in `collection`."""
    await hub.request(
        "PATCH",
        f"{collection}/{name}",
        body={"spec": spec},
        content_type=MERGE,
        seconds=60,
    )


async def statuses(hub: Api, collection: str = MODEL_DEPLOYMENTS) -> list[dict[str, Any]]:
    """Return the status of every object in `collection`, with its generation."""
    found: list[dict[str, Any]] = []
    query = {"limit": "500"}
    while True:
        answer = await hub.request("GET", collection, query=query, seconds=60)
        found += [
            {"generation": each["metadata"]["generation"], **(each.get("status") or {})}
            for each in answer["items"]
        ]
        if not (token := answer["metadata"].get("continue")):
            return found
        query["continue"] = token


def is_ready(status: dict[str, Any]) -> bool:
    """Whether what the spec asks for serves."""
    return status.get("observedGeneration") == status["generation"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in status["conditions"]
    )


def on_trial(status: dict[str, Any]) -> bool:
    """Whether a canary gets traffic."""
    return (status.get("rollout") or {}).get("stage") == "Trial"


async def until(
    hub: Api,
    what: str,
    how: Callable[[dict[str, Any]], bool],
    seconds: float,
    collection: str = MODEL_DEPLOYMENTS,
) -> float:
    """Wait until all objects in `collection` are so; return the seconds it took."""
    began = time.monotonic()
    while True:
        found = await statuses(hub, collection)
        count = sum(map(how, found))
        print(
            f"\r  {count} of {len(found)} {what}, {time.monotonic() - began:.0f} s ",
            end="",
            flush=True,
        )
        if count == len(found):
            print()
            return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{count} of {len(found)} {what} after {seconds:.0f} s")
        await asyncio.sleep(1.0)


class Applied:
    """When each workload was first seen with a mark; one watch per cluster.

    The mark is an annotation or the number of replicas: whatever `mark_of` returns. A workload goes
    by its own name unless `name_of` returns another.
    """

    def __init__(
        self,
        mark_of: Callable[[dict[str, Any]], object],
        name_of: Callable[[dict[str, Any]], str] = lambda document: document["metadata"]["name"],
    ) -> None:
        self._mark_of = mark_of
        self._name_of = name_of
        self.seen: dict[tuple[str, object], float] = {}

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take a whole list."""
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one object."""
        key = self._name_of(document), self._mark_of(document)
        self.seen.setdefault(key, time.monotonic())

    def remove(self, document: dict[str, Any]) -> None:
        """Nothing is measured."""


async def watched(
    apis: Sequence[Api], applied: Sequence[Applied], collection: str = DEPLOYMENTS
) -> list[asyncio.Task[None]]:
    """Watch the Deployments of each cluster, or other workloads."""
    tasks = []
    for api, store in zip(apis, applied, strict=True):
        watch = Watch(api, collection, store)
        tasks.append(asyncio.create_task(watch.run()))
        await watch.synced.wait()
    return tasks
