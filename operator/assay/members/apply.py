"""Makes a member be what its plan says: server-side apply, and nothing for what is so already."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from assay.render.member import MemberPlan
from assay.render.naming import COMPONENT_LABEL, SERVER, preview_name
from assay.render.serving import RevisionObjects

from . import resources
from .api import Api
from .cache import Cache, Key, digest, live_digest
from .errors import ApiError

RESYNC_SECONDS = 600.0
"""Kinds that are not watched are written again after so long, in case somebody changed them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What was applied last.

    Attributes
    ----------
    wanted
        Hash of what was sent.
    live
        Hash of our part of what came back.
    uid
        Of the object.
    at
        When (`time.monotonic`).
    """

    wanted: str
    live: str
    uid: str
    at: float


class Writer:
    """Writes to one member.

    Parameters
    ----------
    cache
        Says whether an object still is as it was written.
    origin
        Whose objects may be removed.
    """

    def __init__(self, api: Api, cache: Cache, origin: str) -> None:
        self._api = api
        self._cache = cache
        self._origin = origin
        self._written: dict[Key, Written] = {}
        self._pruned: dict[tuple[str, str], object] = {}

    async def forward(self, plan: MemberPlan) -> None:
        """Apply in the order in which nothing points to what is not there yet.

        Stops at the first refusal: weights do not change before the record says so.
        """
        await self.put(plan.record)
        await self._put_all(plan.ledger)
        await asyncio.gather(*(self._revision(item) for item in plan.revisions))
        if plan.route:
            await self.put(plan.route)
        # Last: no trial begins before the gateway has it, and what is refused holds up no traffic.
        namespace, name = _deployment(plan)
        await self._put_or_delete(plan.preview, "HTTPRoute", namespace, preview_name(name))
        if not self._cache.lacking("BackendTrafficPolicy"):
            await self._put_or_delete(plan.sticky, "BackendTrafficPolicy", namespace, name)
        await self._prune(plan)

    async def back(self, plan: MemberPlan) -> None:
        """Take the traffic away first, then leave the record, then the rest.

        The record is tried even when the route cannot be written: it is what a hub that restarts
        reads the rollback from.
        """
        route_error: Exception | None = None
        if plan.route:
            try:
                await self.put(plan.route, urgent=True)
            except Exception as error:  # noqa: BLE001  (raised again below)
                route_error = error
        await self.put(plan.record, urgent=True)
        if route_error:
            raise route_error
        await self.forward(plan)

    async def remove(self, namespace: str, name: str) -> None:
        """Remove everything of one ModelDeployment that this hub has made here, traffic first."""
        selector = f"{resources.DEPLOYMENT}={name},{resources.ORIGIN}={self._origin}"
        for kind in (*resources.OWNED, "ControllerRevision"):
            if self._cache.lacking(kind):
                continue
            await self._api.delete(resources.path(kind, namespace), labelSelector=selector)
        for key in [key for key in self._written if key[1] == namespace]:
            if key[2] == name or key[2].startswith((f"{name}-", f"{name}.")):
                del self._written[key]
        self._pruned.pop((namespace, name), None)

    async def put(self, document: dict[str, Any], *, urgent: bool = False) -> str:
        """Apply one object unless it is so already; return its uid."""
        metadata = document["metadata"]
        key = (document["kind"], metadata["namespace"], metadata["name"])
        wanted = digest(document)
        before = self._written.get(key)
        if before and before.wanted == wanted and self._intact(key, before):
            return before.uid
        answer = await self._api.apply(document, urgent=urgent)
        uid: str = answer["metadata"]["uid"]
        self._written[key] = Written(wanted, live_digest(answer), uid, time.monotonic())
        if key[0] in resources.WATCHED:
            self._cache.put(answer)
        log.debug("applied %s %s/%s in %s", *key, self._api.name)
        return uid

    def _intact(self, key: Key, before: Written) -> bool:
        if key[0] in resources.WATCHED:
            seen = self._cache.get(*key)
            return seen is not None and seen.digest == before.live
        return time.monotonic() - before.at < RESYNC_SECONDS

    async def _put_all(self, documents: Iterable[dict[str, Any]]) -> None:
        await asyncio.gather(*(self.put(document) for document in documents))

    async def _put_or_delete(
        self, document: dict[str, Any] | None, kind: str, namespace: str, name: str
    ) -> None:
        """Apply an object of a kind that is watched, or see to it that there is none."""
        if document:
            await self.put(document)
        elif self._cache.get(kind, namespace, name):
            await self._delete(kind, namespace, name)

    async def _revision(self, objects: RevisionObjects) -> None:
        uid = await self._anchor(objects.anchor)
        await self._put_all(objects.owned(uid))

    async def _anchor(self, document: dict[str, Any]) -> str:
        """Apply a ControllerRevision. Its data cannot change: another one takes its place.

        That happens only while the revision has never been ready (render.revision, rule 3), so
        no pod that serves is owned by it. What it owned is orphaned and adopted by the next.
        """
        try:
            return await self.put(document)
        except ApiError as error:
            if error.status != 422 or "immutable" not in error.message:
                raise
        await self._api.delete(resources.path_of(document), propagationPolicy="Orphan")
        return await self.put(document)

    async def _prune(self, plan: MemberPlan) -> None:
        """Remove revisions that nobody needs; asks the member only when the plan says otherwise."""
        namespace, name = _deployment(plan)
        state = (plan.keep_revisions, plan.run_revisions, self._running(namespace, name))
        if self._pruned.get((namespace, name)) == state:
            return
        # Whoever made them: a hub that adopts a deployment takes its place in the member.
        selector = f"{resources.DEPLOYMENT}={name},{COMPONENT_LABEL}={SERVER}"
        for kind, wanted in (
            ("Deployment", plan.run_revisions),
            ("Service", plan.run_revisions),
            ("ControllerRevision", plan.keep_revisions),
        ):
            found = await self._api.get(resources.path(kind, namespace), labelSelector=selector)
            for item in found["items"]:
                if item["metadata"]["labels"].get(resources.REVISION) not in wanted:
                    await self._delete(kind, namespace, item["metadata"]["name"])
        self._pruned[namespace, name] = state

    def _running(self, namespace: str, name: str) -> frozenset[str]:
        return frozenset(
            seen.revision
            for key, seen in self._cache.of(namespace, name).items()
            if key[0] == "Deployment"
        )

    async def _delete(self, kind: str, namespace: str, name: str) -> None:
        await self._api.delete(resources.path(kind, namespace, name))
        self._written.pop((kind, namespace, name), None)


def _deployment(plan: MemberPlan) -> tuple[str, str]:
    """Return namespace and name of the ModelDeployment that a plan is of."""
    metadata = plan.record["metadata"]
    return metadata["namespace"], metadata["labels"][resources.DEPLOYMENT]
