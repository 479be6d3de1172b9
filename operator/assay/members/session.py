"""What is open to a member while it is connected: client, watches, writer, Lease, Prometheus."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable

from assay.api.conditions import Reason
from assay.api.model_cluster import ModelClusterSpec
from assay.render.naming import ledger_name
from assay.rollout.observation import PodsView, RouteView, StickyView

from . import pods, resources
from .api import Api, Fence
from .apply import Writer
from .cache import Cache
from .errors import ApiError, MemberError, refused
from .evidence import PrometheusReader
from .kubeconfig import Credentials
from .lease import Lease
from .records import Records
from .watch import Watch

LEASE_NAMESPACE = "assay-system"
LEASE_NAME = "assay"
LEASE_SECONDS = 30
SYNC_SECONDS = 15.0
STARTING_SECONDS = 2.0
"""Pods that are ready by then are not asked what is wrong with them."""

_PODS_LOOKED_AT = "50"

log = logging.getLogger(__name__)


class Session:
    """One connection to a member.

    Parameters
    ----------
    origin
        Identity of this hub.
    wake
        Called with (namespace, ModelDeployment name) when something changed in the member.
    fences
        Leases besides the member's own without which nothing is written there.
    """

    def __init__(
        self,
        name: str,
        spec: ModelClusterSpec,
        credentials: Credentials,
        origin: str,
        wake: Callable[[str, str], None],
        fences: tuple[Fence, ...] = (),
    ) -> None:
        self._name = name
        self.api = Api(credentials, name, spec.limits)
        self.lease = Lease(self.api, LEASE_NAMESPACE, LEASE_NAME, origin, seconds=LEASE_SECONDS)
        self.api.fences = (self.lease.fence, *fences)
        self.cache = Cache(wake)
        self.writer = Writer(self.api, self.cache, origin)
        self.prometheus = PrometheusReader(spec.prometheus, credentials)
        self._watches = [
            Watch(
                self.api,
                resources.path(kind),
                self.cache.store(kind),
                selector=resources.MANAGED,
                metadata_only=kind in resources.BY_METADATA,
                lacks=self._lacking(kind),
            )
            for kind in resources.WATCHED
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self.records = Records(self.api)

    async def version(self, seconds: float) -> str:
        """Return the member's Kubernetes version; the cheapest proof that it answers."""
        answer = await self.api.request("GET", "/version", seconds=seconds, urgent=True)
        return str(answer.get("gitVersion", ""))

    async def watch(self) -> None:
        """Start, or start again, to watch; return when everything was seen once.

        Raises `MemberError` if that takes too long; the message is that of the watch which fails.
        """
        await self._stop_watching()
        self._tasks = [asyncio.create_task(watch.run()) for watch in self._watches]
        waits = [watch.synced.wait() for watch in self._watches]
        try:
            await asyncio.wait_for(asyncio.gather(*waits), SYNC_SECONDS)
        except TimeoutError:
            raise self._not_synced() from None

    async def close(self) -> None:
        """Close everything."""
        await self._stop_watching()
        self.records.close()
        self.prometheus.close()
        await self.api.close()

    async def revisions(self, namespace: str, name: str) -> dict[str, PodsView]:
        """Return the pods of every revision of a ModelDeployment that runs here."""
        views = {}
        lacks = self.cache.lacking("HorizontalPodAutoscaler")
        if lacks is not None:
            lacks = f"no autoscaling, upgrade Assay's chart there (role=member): {lacks}"
        for key, seen in self.cache.of(namespace, name).items():
            if key[0] != "Deployment":
                continue
            failure = None
            if not seen.is_ready and time.monotonic() - seen.waiting >= STARTING_SECONDS:
                failure = await self._failure(namespace, name, seen.revision)
            scaler = self.cache.get("HorizontalPodAutoscaler", namespace, key[2])
            views[seen.revision] = PodsView(
                seen.desired,
                seen.ready,
                failure,
                seen.rolling,
                least=scaler.desired if scaler else None,
                unscaled=scaler.unscaled if scaler else lacks,
            )
        return views

    def route(self, namespace: str, name: str) -> RouteView | None:
        """Return the ModelDeployment's HTTPRoute."""
        seen = self.cache.get("HTTPRoute", namespace, name)
        return seen.route if seen else None

    def entry(self, namespace: str, name: str) -> RouteView | None:
        """Return the ModelDeployment's entry Service."""
        seen = self.cache.get("Service", namespace, name)
        return seen.route if seen and seen.deployment == name else None

    def sticky(self, namespace: str, name: str) -> StickyView:
        """Return what the gateway here does to keep the users of a ModelDeployment."""
        if why := self.cache.lacking("BackendTrafficPolicy"):
            return StickyView(None, why)
        seen = self.cache.get("BackendTrafficPolicy", namespace, name)
        return seen.sticky if seen and seen.sticky else StickyView()

    def ledger_ready(self, namespace: str, name: str) -> bool:
        """Return whether the ledger answers."""
        seen = self.cache.get("StatefulSet", namespace, ledger_name(name))
        return seen is not None and 0 < seen.desired <= seen.ready

    def _lacking(self, kind: str) -> Callable[[ApiError | None], None] | None:
        """Return who is told if a kind may not be watched; None: then the member cannot be used."""
        if kind == "BackendTrafficPolicy":
            return functools.partial(self._lacks, kind)
        if kind == "HTTPRoute":
            return functools.partial(self._no_gateway, kind)
        older = kind in {"Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
        return functools.partial(self._may_not, kind) if older else None

    def _may_not(self, kind: str, error: ApiError | None) -> None:
        # A member with an older chart, which gives no right to watch them, serves all the same.
        why = None if error is None else error.message
        if why and why != self.cache.lacking(kind):
            log.warning("member %s: no %s, upgrade its chart: %s", self._name, kind, why)
        self.cache.lacks(kind, why)

    def _no_gateway(self, kind: str, error: ApiError | None) -> None:
        why = None
        if error is not None and error.missing:
            why = (
                f"no {kind} in member {self._name}; install the Gateway API there or write"
                " traffic.mode: Replicas"
            )
        elif error is not None:
            why = (
                f"the hub may not use {kind} in member {self._name}; upgrade Assay's chart there"
                f" (role=member): {error.message}"
            )
        self.cache.lacks(kind, why)

    def _lacks(self, kind: str, error: ApiError | None) -> None:
        why = None
        if error is not None and error.missing:
            why = (
                f"no {kind} in member {self._name}; install Envoy Gateway 1.9 there or take "
                "traffic.stickyBy away"
            )
        elif error is not None:
            why = (
                f"the hub may not use {kind} in member {self._name}; upgrade Assay's chart there "
                f"(role=member) or take traffic.stickyBy away: {error.message}"
            )
        self.cache.lacks(kind, why)

    async def _failure(self, namespace: str, name: str, revision: str) -> str | None:
        selector = f"{resources.DEPLOYMENT}={name},{resources.REVISION}={revision}"
        found = await self.api.get(
            resources.path("Pod", namespace), labelSelector=selector, limit=_PODS_LOOKED_AT
        )
        return pods.failure(found["items"])

    def _not_synced(self) -> MemberError:
        for watch in self._watches:
            if isinstance(watch.error, MemberError):
                return watch.error
            if not watch.synced.is_set() and isinstance(watch.error, ApiError):
                return refused(watch.error)
        return MemberError(
            Reason.MEMBERS_UNREACHABLE, f"no list of objects within {SYNC_SECONDS:g} s"
        )

    async def _stop_watching(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
