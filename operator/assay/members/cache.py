"""What the operator remembers of a member's objects: little, and never the objects themselves."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from assay.api import FIELD_MANAGER
from assay.render.entry import read_entry
from assay.render.route import read_route
from assay.render.sticky import read_policy
from assay.rollout.observation import RouteView, StickyView

from . import resources

Key = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as the member's API server holds it.

    Attributes
    ----------
    version
        Its resourceVersion.
    digest
        Of everything in it that we write; changes when somebody else changes that.
    deployment, revision
        The ModelDeployment and the revision that its labels name.
    desired, ready
        Pods asked for and ready at the current generation (Deployment, StatefulSet).
    rolling
        Whether pods of an older template are still there.
    scaled
        Whether the number of a Deployment's pods is not ours.
    waiting
        Since when it was not ready each time that it was seen (`time.monotonic`).
    unscaled
        Why a HorizontalPodAutoscaler does not scale, for people; its `desired` is the least that it
        keeps.
    """

    version: int
    digest: str
    deployment: str
    revision: str
    desired: int = 0
    ready: int = 0
    rolling: bool = False
    route: RouteView | None = None
    sticky: StickyView | None = None
    unscaled: str | None = None
    scaled: bool = False
    waiting: float = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether all pods of a workload are there, by its newest template."""
        return self.ready >= self.desired and not self.rolling


class Cache:
    """Objects of one member by kind, namespace and name; wakes whoever cares.

    Parameters
    ----------
    wake
        Called with (namespace, ModelDeployment name) when something that matters changed.
    """

    def __init__(self, wake: Callable[[str, str], None]) -> None:
        self._wake = wake
        self._seen: dict[Key, Seen] = {}
        # Thousands of objects are here, some ten of one ModelDeployment, which is looked at often.
        self._keys: dict[tuple[str, str], set[Key]] = {}
        self._lacking: dict[str, str] = {}

    def get(self, kind: str, namespace: str, name: str) -> Seen | None:
        """Return what was last seen of an object; None if it is not there."""
        return self._seen.get((kind, namespace, name))

    def of(self, namespace: str, deployment: str) -> dict[Key, Seen]:
        """Return everything that belongs to one ModelDeployment."""
        return {key: self._seen[key] for key in self._keys.get((namespace, deployment), ())}

    def put(self, document: dict[str, Any]) -> None:
        """Take an object from a watch or from the answer to a write; older news is dropped."""
        key, seen = _key(document), summary(document)
        before = self._seen.get(key)
        if before and before.version >= seen.version:
            return
        if before and before.digest == seen.digest and not _observed(document):
            # Only their number was changed, by whoever scales them: those that are ready still are.
            seen = replace(seen, ready=before.ready, rolling=before.rolling)
        if not seen.is_ready:
            # What was there before us may have waited for long.
            begins = before.is_ready if before else not _observed(document)
            since = before.waiting if before else 0.0
            seen = replace(seen, waiting=time.monotonic() if begins else since)
        if before and before.deployment != seen.deployment:
            self._drop(key, before)
            self._wake(key[1], before.deployment)
        self._seen[key] = seen
        self._keys.setdefault((key[1], seen.deployment), set()).add(key)
        if _meaning(before) != _meaning(seen):
            self._wake(key[1], seen.deployment)

    def remove(self, key: Key) -> None:
        """Forget an object."""
        if before := self._seen.pop(key, None):
            self._drop(key, before)
            self._wake(key[1], before.deployment)

    def lacks(self, kind: str, why: str | None) -> None:
        """Note why the member has no such kind for us, or None: it has. Everybody is woken."""
        before = self._lacking.pop(kind, None)
        if why is not None:
            self._lacking[kind] = why
        if before != why:
            for place in tuple(self._keys):
                self._wake(*place)

    def lacking(self, kind: str) -> str | None:
        """Return why the member has no such kind for us; None if it has."""
        return self._lacking.get(kind)

    def store(self, kind: str) -> "KindStore":
        """Return what a watch of one kind writes to."""
        return KindStore(self, kind)

    def keys(self, kind: str) -> set[Key]:
        """Return the keys of one kind."""
        return {key for key in self._seen if key[0] == kind}

    def _drop(self, key: Key, seen: Seen) -> None:
        place = (key[1], seen.deployment)
        self._keys[place].discard(key)
        if not self._keys[place]:
            del self._keys[place]


class KindStore:
    """The part of a cache that one watch fills."""

    def __init__(self, cache: Cache, kind: str) -> None:
        self._cache = cache
        self._kind = kind

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take a whole list; forget what is not in it."""
        listed = [self._with_kind(document) for document in documents]
        for key in self._cache.keys(self._kind) - {_key(document) for document in listed}:
            self._cache.remove(key)
        for document in listed:
            self._cache.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one object."""
        self._cache.put(self._with_kind(document))

    def remove(self, document: dict[str, Any]) -> None:
        """Forget one object."""
        self._cache.remove(_key(self._with_kind(document)))

    def _with_kind(self, document: dict[str, Any]) -> dict[str, Any]:
        # Items of a list carry no kind, and mere metadata another one.
        return {**document, "kind": self._kind}


def summary(document: dict[str, Any]) -> Seen:
    """Return what is kept of an object."""
    metadata = document["metadata"]
    labels = metadata.get("labels") or {}
    desired, ready = pods(document)
    return Seen(
        version=int(metadata["resourceVersion"]),
        digest=live_digest(document),
        deployment=labels.get(resources.DEPLOYMENT, ""),
        revision=labels.get(resources.REVISION, ""),
        desired=desired,
        ready=ready,
        rolling=rolling(document),
        route=_route(document),
        sticky=read_policy(document) if document["kind"] == "BackendTrafficPolicy" else None,
        unscaled=unscaled(document),
        scaled=scaled_by_others(document),
    )


def _route(document: dict[str, Any]) -> RouteView | None:
    if document["kind"] == "HTTPRoute":
        return read_route(document)
    return read_entry(document) if document["kind"] == "Service" else None


def digest(value: Any) -> str:
    """Return a short hash of any JSON value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def live_digest(document: dict[str, Any]) -> str:
    """Return a hash of the parts of a live object that we write.

    Status, what other managers own and their annotations change all the time and are left out, so
    an object whose digest is unchanged since our write still is as we wrote it. Where only metadata
    are looked at, the fields that we own stand for what is in them: who changes one takes it over.
    """
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    ours = {key: value for key, value in annotations.items() if key.startswith("assay.dev/")}
    content: Any
    if document["kind"] in resources.BY_METADATA:
        content = [
            entry.get("fieldsV1")
            for entry in metadata.get("managedFields") or ()
            if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        ]
    else:
        content = {
            key: value
            for key, value in document.items()
            if key not in ("apiVersion", "kind", "metadata", "status")
        }
        spec = content.get("spec") or {}
        # No pods at all is what no autoscaler asks for, and none would ever change: somebody did that.
        if scaled_by_others(document) and spec.get("replicas") != 0:
            content["spec"] = {key: spec[key] for key in spec if key != "replicas"}
    owners = [owner.get("uid") for owner in metadata.get("ownerReferences") or ()]
    return digest([metadata.get("labels"), ours, owners, content])


def pods(document: dict[str, Any]) -> tuple[int, int]:
    """Return pods asked for and ready; none are ready until the newest generation was observed.

    Nor are those that are being removed. Of a HorizontalPodAutoscaler the least that it asks for.
    """
    spec, status = document.get("spec") or {}, document.get("status") or {}
    if document["kind"] == "HorizontalPodAutoscaler":
        return int(spec.get("minReplicas", 1)), 0
    if document["kind"] not in resources.WORKLOADS:
        return 0, 0
    desired = int(spec.get("replicas", 1))
    if not _observed(document) or document["metadata"].get("deletionTimestamp"):
        return desired, 0
    ready = min(int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0)))
    return desired, ready


def rolling(document: dict[str, Any]) -> bool:
    """Return whether a Deployment's pods are being replaced by those of another template."""
    status = document.get("status") or {}
    old = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    return document["kind"] == "Deployment" and old > 0


def scaled_by_others(document: dict[str, Any]) -> bool:
    """Return whether the number of a Deployment's pods is not ours although the rest of it is."""
    if document["kind"] != "Deployment":
        return False
    fields = [
        (entry.get("fieldsV1") or {}).get("f:spec") or {}
        for entry in document["metadata"].get("managedFields") or ()
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
    ]
    ours = any("f:replicas" in spec for spec in fields)
    return bool(fields) and not ours


def unscaled(document: dict[str, Any]) -> str | None:
    """Return why a HorizontalPodAutoscaler does not scale; None while it does, or nobody knows yet."""
    if document["kind"] != "HorizontalPodAutoscaler":
        return None
    for item in (document.get("status") or {}).get("conditions") or ():
        if item.get("type") == "ScalingActive" and item.get("status") == "False":
            why = item.get("message") or item.get("reason")
            return f"the number of pods does not follow the load: {why}"
    return None


def _observed(document: dict[str, Any]) -> bool:
    """Return whether status speaks of the newest generation."""
    seen = (document.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= document["metadata"].get("generation", 0))


def _key(document: dict[str, Any]) -> Key:
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


def _meaning(seen: Seen | None) -> tuple[object, ...] | None:
    if seen is None:
        return None
    return seen.digest, seen.desired, seen.ready, seen.rolling, seen.sticky, seen.unscaled
