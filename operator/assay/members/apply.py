"""Makes a member be what its plan says: server-side apply, and nothing for what is so already."""

import asyncio
import logging
import time
import zlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from assay.api import SCALE_MANAGER
from assay.api.conditions import Reason
from assay.render.entry import is_narrow
from assay.render.member import MemberPlan
from assay.render.naming import COMPONENT_LABEL, SERVER, Manifest, preview_name
from assay.render.serving import RevisionObjects

from . import resources
from .api import METADATA, METADATA_LIST, Api
from .cache import Cache, Key, digest, live_digest, scaled_by_others
from .errors import ApiError, MemberError
from .written import (
    Applied,
    Written,
    deployment_of,
    documents,
    key_of,
    proof_of,
    sent_digest,
    unwatched,
)

CHECK_SECONDS = 60.0
"""Between two looks at the metadata of what is not watched, if there is anything to look for."""

CHECK_SHARE = 4.0
"""With many ModelDeployments it is so many seconds times their number, for those whose pods are ready:
asking for what is not watched of one takes 5 ms of CPU in each member (docs/benchmarks.md). It is half
of that for some and one and a half for others: an operator that starts looks at all at once."""

RESYNC_SECONDS = 600.0
"""What can be neither watched nor looked at is written again after so long."""

log = logging.getLogger(__name__)


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
        self._checked: dict[tuple[str, str], float] = {}
        self._applied: dict[tuple[str, str], Applied] = {}
        # What an operator before us applied, until what is not watched of it was looked at.
        self._trusted: dict[tuple[str, str], Applied] = {}
        self._begun: set[tuple[str, str]] = set()

    def proof(self, namespace: str, name: str) -> str | None:
        """Return the proof of the plan that is applied; None while none is."""
        done = self._applied.get((namespace, name))
        return done.proof if done else None

    def has_applied(self, namespace: str, name: str, mark: str, proof: str | None = None) -> bool:
        """Return whether the plan with this mark was applied and nothing has changed since.

        Nothing is rendered to find that out: most looks find everything as it should be. `proof` is
        what an operator left that applied it before this one was started.
        """
        if proof and (namespace, name) not in self._begun:
            self._trust(namespace, name, mark, proof)
        done = self._applied.get((namespace, name))
        return (
            done is not None
            and done.mark == mark
            and not self._check_due(namespace, name)
            and done.watched == self._watched(namespace, name)
            and done.lacking == self._lacking()
            and all(self._holds(key) for key in done.keys)
        )

    async def forward(self, plan: MemberPlan, mark: str = "") -> None:
        """Apply in the order in which nothing points to what is not there yet.

        Stops at the first refusal: weights do not change before the record says so. `mark` stands
        for all that the plan was made of, to ask `has_applied` for.
        """
        namespace, name = place = deployment_of(plan)
        self._begun.add(place)
        before = self._applied.pop(place, None)
        if trusted := self._trusted.pop(place, None):
            await self._take_over(plan, mark, trusted)
        if before is None or before.mark == mark:
            await self._check(plan)  # else it stays due: a change does not wait for it
        await self.put(plan.record)
        await self._put_all(plan.ledger)
        if plan.entry and is_narrow(plan.entry):
            # Before there are pods of a third revision that an entry for all pods would have.
            await self._put_entry(plan.entry)
        await asyncio.gather(*(self._revision(item) for item in plan.revisions))
        if plan.entry:
            await self._put_entry(plan.entry)
            if self._has("HTTPRoute"):
                await self._put_or_delete(None, "HTTPRoute", namespace, name)
        elif plan.route:
            await self._put_route(plan.route)
            entry = self._cache.get("Service", namespace, name)
            if entry and entry.route:
                await self._delete("Service", namespace, name)
        # Last: no trial begins before the gateway has it, and what is refused holds up no traffic.
        if self._has("HTTPRoute"):
            await self._put_or_delete(plan.preview, "HTTPRoute", namespace, preview_name(name))
        if self._has("BackendTrafficPolicy"):
            await self._put_or_delete(plan.sticky, "BackendTrafficPolicy", namespace, name)
        await self._prune(plan)
        keys = tuple(key_of(item) for item in documents(plan) if self._has(item["kind"]))
        by_metadata = {key: self._written[key].live for key in unwatched(plan)}
        proof = f"{self._watched_proof(place, mark)}.{proof_of(by_metadata)}"
        self._applied[place] = Applied(mark, keys, self._watched(*place), self._lacking(), proof)

    async def back(self, plan: MemberPlan) -> None:
        """Take the traffic away first, then leave the record, then the rest.

        The record is tried even when the route cannot be written: it is what a hub that restarts
        reads the rollback from.
        """
        route_error: Exception | None = None
        if plan.route or plan.entry:
            try:
                if plan.route:
                    await self.put(plan.route, urgent=True)
                if plan.entry:
                    await self._put_entry(plan.entry, urgent=True)
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
            if not self._has(kind):
                continue
            await self._api.delete(resources.path(kind, namespace), labelSelector=selector)
        for key in [key for key in self._written if key[1] == namespace]:
            if key[2] == name or key[2].startswith((f"{name}-", f"{name}.")):
                del self._written[key]
        for known in (self._pruned, self._checked, self._applied, self._trusted):
            known.pop((namespace, name), None)

    async def _put_route(self, document: dict[str, Any]) -> None:
        if why := self._cache.lacking("HTTPRoute"):
            raise MemberError(Reason.APPLY_FAILED, why)
        await self.put(document)

    async def _put_entry(self, document: dict[str, Any], *, urgent: bool = False) -> None:
        """Apply the entry Service; one of that name that is somebody else's is not taken over."""
        if why := self._cache.lacking("Service"):
            raise MemberError(Reason.APPLY_FAILED, f"upgrade Assay's chart there: {why}")
        ours = self._cache.get(*key_of(document)) is not None
        await self.put(document, urgent=urgent, force=ours)

    async def put(
        self, document: dict[str, Any], *, urgent: bool = False, force: bool = True
    ) -> str:
        """Apply one object unless it is so already; return its uid.

        Without `force` it is an error if somebody else has written what we would change.
        """
        key, wanted = key_of(document), sent_digest(document)
        before = self._written.get(key)
        if before and before.wanted == wanted and self._intact(key, before):
            return before.uid
        answer = await self._api.apply(document, urgent=urgent, force=force)
        uid: str = answer["metadata"]["uid"]
        self._written[key] = Written(wanted, live_digest(answer), uid, time.monotonic())
        if key[0] in resources.WATCHED:
            self._cache.put(answer)
        log.debug("applied %s %s/%s in %s", *key, self._api.name)
        return uid

    def _has(self, kind: str) -> bool:
        """Return whether the member has objects of a kind for us."""
        return kind not in resources.OPTIONAL or self._cache.lacking(kind) is None

    def _watched(self, namespace: str, name: str) -> frozenset[Key]:
        return frozenset(self._cache.of(namespace, name))

    def _lacking(self) -> frozenset[str]:
        return frozenset(kind for kind in resources.OPTIONAL if not self._has(kind))

    def _ready(self, namespace: str, name: str) -> bool:
        """Return whether all pods that are wanted are ready."""
        seen = self._cache.of(namespace, name)
        return all(one.is_ready for key, one in seen.items() if key[0] in resources.WORKLOADS)

    def _intact(self, key: Key, before: Written) -> bool:
        if key[0] in resources.CHECKED:
            return True  # else it would have been forgotten (`_check`)
        if self._cache.lacking(key[0]):
            return time.monotonic() - before.at < RESYNC_SECONDS
        seen = self._cache.get(*key)
        return seen is not None and seen.digest == before.live

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

    async def _check(self, plan: MemberPlan) -> None:
        """Forget of what is not watched whatever is not as it was written: it is written again."""
        namespace, name = deployment_of(plan)
        if not self._check_due(namespace, name):
            return
        now = time.monotonic()
        keys = unwatched(plan) & self._written.keys()
        found = await self._unwatched_now(namespace, name, keys)
        for key in keys:
            if key not in found or found[key].live != self._written[key].live:
                log.warning("%s %s/%s in %s was changed by somebody", *key, self._api.name)
                del self._written[key]
        self._checked[namespace, name] = now

    def checks_in(self, namespace: str, name: str) -> float:
        """Return the seconds until what is not watched is to be looked at again.

        Soon while pods are not ready: they may miss just that.
        """
        seconds = CHECK_SECONDS
        if self._ready(namespace, name):
            seconds = max(seconds, CHECK_SHARE * len(self._checked) * _phase(namespace, name))
        done = self._applied.get((namespace, name))
        if done and any(map(self._cache.lacking, {kind for kind, *_ in done.keys})):
            seconds = min(seconds, RESYNC_SECONDS)
        now = time.monotonic()
        return max(self._checked.get((namespace, name), now - seconds) + seconds - now, 0.0)

    def _check_due(self, namespace: str, name: str) -> bool:
        return self.checks_in(namespace, name) <= 0.0

    async def _unwatched_now(
        self, namespace: str, name: str, keys: AbstractSet[Key]
    ) -> dict[Key, Written]:
        """Return how those of some objects are that are there, as if we had written them so."""
        found = await self._anchors(namespace, name) if keys else {}
        alone = [key for key in keys if key[0] != "ControllerRevision"]
        paths = (resources.path(*key) for key in alone)
        # From the server's cache: what is a moment old is found the next time.
        ask = (self._api.find(path, accept=METADATA, resourceVersion="0") for path in paths)
        found |= dict(zip(alone, await asyncio.gather(*ask), strict=True))
        now = time.monotonic()
        return {
            key: Written(
                "", live_digest({**document, "kind": key[0]}), document["metadata"]["uid"], now
            )
            for key, document in found.items()
            if document and key in keys
        }

    def _trust(self, namespace: str, name: str, mark: str, proof: str) -> None:
        """Take a plan as applied if all that is watched of it still is as the `proof` says.

        What is not watched is looked at when that is due next (`_take_over`), so that a thousand
        ModelDeployments are not all looked at in the moment in which an operator starts.
        """
        place = namespace, name
        self._begun.add(place)
        if proof.partition(".")[0] != self._watched_proof(place, mark):
            return
        now = time.monotonic()
        seen = self._cache.of(namespace, name)
        self._written |= {key: Written("", each.digest, "", now) for key, each in seen.items()}
        done = Applied(mark, tuple(seen), frozenset(seen), self._lacking(), proof)
        self._applied[place] = self._trusted[place] = done
        self._checked[place] = now

    async def _take_over(self, plan: MemberPlan, mark: str, trusted: Applied) -> None:
        """Learn what an operator before us wrote, if `plan` is what it applied and all is so."""
        keys = unwatched(plan)
        found = await self._unwatched_now(*deployment_of(plan), keys)
        live = {key: found[key].live for key in keys & found.keys()}
        if mark != trusted.mark or proof_of(live) != trusted.proof.partition(".")[2]:
            return
        uids = {key[2]: written.uid for key, written in found.items()}
        for document in documents(plan, uids):
            key = key_of(document)
            if before := found.get(key) or self._written.get(key):
                self._written[key] = replace(before, wanted=sent_digest(document))
        self._checked[deployment_of(plan)] = time.monotonic()

    def _watched_proof(self, place: tuple[str, str], mark: str) -> str:
        """Return a digest of all that is watched, of what lacks here and of what it was made of."""
        seen = {key: each.digest for key, each in self._cache.of(*place).items()}
        return digest([mark, sorted(self._lacking()), proof_of(seen)])

    async def _anchors(self, namespace: str, name: str) -> dict[Key, Manifest | None]:
        kind, selector = "ControllerRevision", f"{resources.DEPLOYMENT}={name}"
        listed = await self._api.get(
            resources.path(kind, namespace),
            accept=METADATA_LIST,
            labelSelector=selector,
            resourceVersion="0",
        )
        return {(kind, namespace, item["metadata"]["name"]): item for item in listed["items"]}

    async def _revision(self, objects: RevisionObjects) -> None:
        # Who removes an anchor has its Deployment and Service removed by the garbage collector. What
        # is put back under an owner that is not there any more would be removed again.
        owned = [key for item in objects.owned("") if (key := key_of(item)) in self._written]
        if not all(map(self._holds, owned)):
            await self._look_for(key_of(objects.anchor))
        uid = await self._anchor(objects.anchor)
        if objects.deployment and objects.autoscaler:
            [deployment, *_] = objects.owned(uid)
            await self._hand_over(deployment, objects.autoscaler["spec"]["minReplicas"])
        elif objects.deployment and self._has("HorizontalPodAutoscaler"):
            # Gone before the number is ours again, or it would be written twice and differently.
            _, namespace, name = key_of(objects.deployment)
            await self._put_or_delete(None, "HorizontalPodAutoscaler", namespace, name)
        await self._put_all(item for item in objects.owned(uid) if self._has(item["kind"]))

    async def _hand_over(self, document: Manifest, least: int) -> None:
        """See to it that the number of a Deployment's pods has an owner when we own it no more.

        A field that its last owner does not send any more falls back to its default, which would
        be one pod until a HorizontalPodAutoscaler notices. So another manager takes the number that
        is there first; who scales then takes it from that one. A new Deployment begins with `least`,
        and one that somebody has scaled to nothing comes back with it: no autoscaler would do that.
        """
        key = key_of(document)
        seen = self._cache.get(*key)
        if seen is not None and seen.scaled and seen.desired > 0:
            return
        found = await self._live(document)
        if found is None:
            spec = {**document["spec"], "replicas": least}
            found = await self._api.apply({**document, "spec": spec})
        elif scaled_by_others(found) and found["spec"].get("replicas") != 0:
            return  # the cache is behind
        number = max(int(found["spec"].get("replicas", 1)), least)
        metadata = {name: document["metadata"][name] for name in ("name", "namespace")}
        held = {**document, "metadata": metadata, "spec": {"replicas": number}}
        await self._api.apply(held, manager=SCALE_MANAGER)

    async def _live(self, document: Manifest) -> Manifest | None:
        """Return an object as the server holds it now, by the right to list its kind."""
        kind, namespace, name = key_of(document)
        path = resources.path(kind, namespace)
        listed = await self._api.get(path, fieldSelector=f"metadata.name={name}")
        found = (item for item in listed["items"] if item["metadata"]["name"] == name)
        return next(({**item, "kind": kind} for item in found), None)

    def _holds(self, key: Key) -> bool:
        """Return whether an object is as we wrote it."""
        before = self._written.get(key)
        return before is not None and self._intact(key, before)

    async def _look_for(self, key: Key) -> None:
        """Forget an object that is gone."""
        before = self._written.get(key)
        found = await self._api.find(resources.path(*key), accept=METADATA)
        if before and (found is None or found["metadata"]["uid"] != before.uid):
            del self._written[key]

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
        namespace, name = deployment_of(plan)
        state = (plan.keep_revisions, plan.run_revisions, self._running(namespace, name))
        if self._pruned.get((namespace, name)) == state:
            return
        # Whoever made them: a hub that adopts a deployment takes its place in the member.
        selector = f"{resources.DEPLOYMENT}={name},{COMPONENT_LABEL}={SERVER}"
        # Behind an entry Service may be whatever pods there are: a Deployment is seen until they end.
        how = "Foreground" if plan.entry else "Background"
        for kind, wanted in plan.staying:
            if not self._has(kind):
                continue
            found = await self._api.get(resources.path(kind, namespace), labelSelector=selector)
            for item in found["items"]:
                if item["metadata"]["labels"].get(resources.REVISION) not in wanted:
                    await self._delete(kind, namespace, item["metadata"]["name"], how=how)
        self._pruned[namespace, name] = state

    def _running(self, namespace: str, name: str) -> frozenset[str]:
        return frozenset(
            seen.revision
            for key, seen in self._cache.of(namespace, name).items()
            if key[0] == "Deployment"
        )

    async def _delete(
        self, kind: str, namespace: str, name: str, *, how: str = "Background"
    ) -> None:
        await self._api.delete(resources.path(kind, namespace, name), propagationPolicy=how)
        self._written.pop((kind, namespace, name), None)


def _phase(namespace: str, name: str) -> float:
    """Return a number from 0.5 to 1.5 that is the ModelDeployment's own."""
    return 0.5 + zlib.crc32(f"{namespace}/{name}".encode()) / 2**32
