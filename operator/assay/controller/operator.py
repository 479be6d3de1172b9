"""The operator as one process: start, run until told to stop, stop cleanly."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import kopf
from typing_extensions import override

from assay.api import GROUP, VERSION
from assay.members import kubeconfig, resources
from assay.members.api import Api, Fence
from assay.members.errors import ApiError, MemberError
from assay.members.registry import Registry
from assay.members.watch import Watch

from .act import Hands
from .clusters import Clusters, Secrets
from .drift import Drifts
from .health import Health
from .hub import Hub, Key
from .leader import Leader
from .memory import Memory
from .profiles import Profiles
from .program import program
from .reconcile import Next, reconcile
from .reservations import Reservations
from .settings import Settings
from .tombstones import Tombstones
from .worker import Workers

# Releases of Helm are large and change at every upgrade.
_NO_RELEASES = "type!=helm.sh/release.v1"
_START_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Backoffs:
    """Seconds between kopf's attempts, for ever: its own list ends, and it is blind meanwhile."""

    def __iter__(self) -> Iterator[float]:
        """Return the first ones, then one second again and again."""
        return itertools.chain((0.1, 0.2, 0.5), itertools.repeat(1.0))


class NoDiffs(kopf.DiffBaseStorage):
    """kopf's memory of what objects were: none of our handlers asks for a difference."""

    @override
    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing: the copy that kopf makes of every object took a twentieth of the CPU."""
        return kopf.BodyEssence()

    @override
    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Return nothing."""
        return None

    @override
    def store(self, **_: Any) -> None:
        """Keep nothing."""


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        health = Health(settings.metrics_port)
        await health.start()
        stack.push_async_callback(health.stop)
        api = Api(kubeconfig.local(dict(os.environ)), "hub")
        stack.push_async_callback(api.close)
        hub = Hub(api, settings.identity, settings.namespaces)
        await _unless(stop, _serve(stack, hub, api, settings, health, stop))
    log.info("ended")


async def _serve(
    stack: contextlib.AsyncExitStack,
    hub: Hub,
    api: Api,
    settings: Settings,
    health: Health,
    stop: asyncio.Event,
) -> None:
    origin = await _origin(hub)
    health.ready = True
    fences: tuple[Fence, ...] = ()
    if settings.leader_election:
        leader = Leader(api, settings.namespace, settings.identity)
        stack.push_async_callback(leader.release)
        await leader.acquire()
        fences = (leader.fence,)
    workers: Workers

    def wake(namespace: str, name: str) -> None:
        workers.wake(namespace, name)

    def changed(_: str) -> None:
        clusters.changed()
        tombstones.wake()
        workers.wake_all()

    def profile_changed(namespace: str, name: str) -> None:
        members.profile_changed(namespace, name)

    def shown() -> None:
        clusters.changed()

    profiles = Profiles(api, profile_changed, shown)
    members = Registry(
        origin,
        lambda name: hub.secret(settings.namespace, name),
        wake,
        changed,
        fences,
        profiles.read,
        settings.providers,
    )
    clusters = Clusters(hub, members, profiles)
    tombstones = Tombstones(hub, members, settings.namespace)
    hands = Hands(
        hub,
        members,
        origin,
        settings.server_image,
        wake,
        tombstones,
        settings.policy,
        Reservations(wake),
        program(),
        settings.stratum_lead_seconds,
    )

    async def look(key: Key, memory: Memory) -> Next:
        return await reconcile(hands, key, memory)

    workers = Workers(look)
    stack.push_async_callback(members.close)
    await _watch_hub(stack, api, settings, health, clusters, Secrets(members))
    _watch_profiles(stack, api, settings, health, profiles)
    drifts = Drifts(members, workers.memories, wake)
    for work, name in (
        (clusters, "status of ModelClusters"),
        (tombstones, "tombstones"),
        (drifts, "drift"),
    ):
        background = asyncio.create_task(work.run(), name=name)
        _cancelled_at_exit(stack, health.watch(background))
    hands.reservations.fill(await hub.read_all())
    await hub.list_templates()
    await members.settle()
    await kopf.operator(
        registry=_registry(workers, members, stop),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop,
    )


async def _watch_hub(
    stack: contextlib.AsyncExitStack,
    api: Api,
    settings: Settings,
    health: Health,
    clusters: Clusters,
    secrets: Secrets,
) -> None:
    """Watch ModelClusters and our own Secrets; return when both were seen once."""
    secret_path = resources.path("Secret", settings.namespace)
    for watch in (
        Watch(api, secret_path, secrets, fields=_NO_RELEASES),
        Watch(api, resources.path("ModelCluster"), clusters),
    ):
        task = asyncio.create_task(watch.run(), name="watch of the hub")
        _cancelled_at_exit(stack, health.watch(task))
        await watch.synced.wait()


def _watch_profiles(
    stack: contextlib.AsyncExitStack,
    api: Api,
    settings: Settings,
    health: Health,
    profiles: Profiles,
) -> None:
    """Watch ClusterProfiles where they may be read; nobody waits for them, they may not exist."""
    for namespace in settings.profile_namespaces:
        path = resources.path("ClusterProfile", namespace)
        watch = Watch(api, path, profiles.store(namespace))
        task = asyncio.create_task(watch.run(), name=f"watch of ClusterProfiles in {namespace}")
        _cancelled_at_exit(stack, health.watch(task))


def _registry(workers: Workers, members: Registry, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """Return kopf's handlers. They only take notice: kopf writes nothing to any object."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def _start(settings: kopf.OperatorSettings, **_: Any) -> None:
        # Ours is assay.dev/cleanup, set and removed by the reconcile. kopf must know another one,
        # or it would remove ours: no handler of its own needs it.
        settings.persistence.finalizer = f"{GROUP}/unused-by-kopf"
        settings.persistence.diffbase_storage = NoDiffs()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.networking.request_timeout = 15
        settings.networking.connect_timeout = 5
        settings.networking.error_backoffs = Backoffs()
        settings.watching.server_timeout = 290
        settings.watching.client_timeout = 300
        settings.watching.connect_timeout = 5
        settings.process.ultimate_exiting_timeout = 10

    @kopf.on.cleanup(registry=registry)
    async def _end(**_: Any) -> None:
        # Here and not after kopf: it waits 5 s for tasks that began while it ran, its own that
        # waits for the stop flag among them.
        stop.set()
        await workers.close()
        await members.close()

    @kopf.on.login(registry=registry)
    def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if os.environ.get("KUBECONFIG"):
            return kopf.login_with_kubeconfig(**kwargs)
        return kopf.login_with_service_account(**kwargs)

    @kopf.on.event(GROUP, VERSION, "modeldeployments", registry=registry)
    async def _event(
        event: kopf.RawEvent, namespace: str | None, name: str, meta: kopf.Meta, **_: Any
    ) -> None:
        document = None if event["type"] == "DELETED" else dict(event["object"])
        workers.see(namespace or "", name, str(meta.get("resourceVersion")), document)

    return registry


async def _origin(hub: Hub) -> str:
    """Return the hub's identity, once it answers and knows our kinds."""
    said = ""
    while True:
        try:
            await hub.api.get(f"/apis/{GROUP}/{VERSION}")
            return await hub.origin()
        except (ApiError, MemberError) as error:
            if str(error) != said:
                log.warning("waiting for the hub and its CustomResourceDefinitions: %s", error)
            said = str(error)
            await asyncio.sleep(_START_RETRY_SECONDS)


async def _unless(stop: asyncio.Event, work: Any) -> None:
    """Run `work`; cancel it if it has not come as far as kopf, which minds `stop` itself."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        _, late = await asyncio.wait((task,), timeout=5)
        for item in late:
            item.cancel()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _cancelled_at_exit(stack: contextlib.AsyncExitStack, task: asyncio.Task[None]) -> None:
    async def cancel() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(cancel)
