"""ModelClusters: from the hub to the registry of members, and their status back."""

import asyncio
import contextlib
import logging
from typing import Any

import pydantic

from assay.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    condition,
    update,
)
from assay.api.model_cluster import ModelClusterSpec, ModelClusterStatus
from assay.members.errors import ApiError, MemberError
from assay.members.registry import Registry
from assay.members.version import too_old
from assay.placement import Candidate

from . import metrics
from .hub import Hub, field_error
from .moment import now
from .profiles import Profiles

RETRY_SECONDS = 3.0

log = logging.getLogger(__name__)


class Clusters:
    """What a watch of ModelClusters writes to; keeps their status true.

    A watch of our own and not kopf's, which never reports what was deleted while it could not
    watch: placement would go on choosing a member that is gone.
    """

    def __init__(self, hub: Hub, registry: Registry, profiles: Profiles | None = None) -> None:
        self._hub = hub
        self._profiles = profiles
        self._registry = registry
        self._generations: dict[str, int] = {}
        self._written: dict[str, ModelClusterStatus] = {}
        self._invalid: dict[str, str] = {}
        self._woken = asyncio.Event()

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take the whole list."""
        names = {document["metadata"]["name"] for document in documents}
        for name in self._generations.keys() - names:
            self._forget(name)
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one that was added or changed."""
        metadata = document["metadata"]
        name = metadata["name"]
        self._generations[name] = metadata.get("generation", 0)
        with contextlib.suppress(pydantic.ValidationError):
            self._written[name] = ModelClusterStatus.model_validate(document.get("status") or {})
        try:
            spec = ModelClusterSpec.model_validate(document["spec"])
        except pydantic.ValidationError as error:
            self._invalid[name] = field_error(error)
            self._registry.remove(name)
        else:
            self._invalid.pop(name, None)
            self._registry.update(Candidate(name, metadata.get("labels") or {}, spec))
        self.changed()

    def remove(self, document: dict[str, Any]) -> None:
        """Forget one that was deleted."""
        self._forget(document["metadata"]["name"])

    def changed(self) -> None:
        """Note that some member is in another state."""
        self._woken.set()

    async def run(self) -> None:
        """Write each status that is not true any more, until cancelled."""
        while True:
            self._woken.clear()
            failed = False
            for name in list(self._generations):
                try:
                    await self._write(name)
                except (ApiError, MemberError) as error:
                    failed = True
                    log.warning("status of ModelCluster %s was not written: %s", name, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), RETRY_SECONDS if failed else None)

    async def _write(self, name: str) -> None:
        reachable, version = self._state(name)
        metrics.MEMBER_REACHABLE.labels(name).set(float(reachable.status == "True"))
        before = self._written.get(name, ModelClusterStatus())
        if before.conditions and reachable.status is ConditionStatus.UNKNOWN:
            return  # what was known before a restart stands until the member was tried again
        generation = self._generations[name]
        version = version or before.version
        # What tools look for that know nothing of members (kstatus): a member is ready when it answers.
        ready = reachable.model_copy(update={"type": ConditionType.READY.value})
        conditions = (ready, reachable, *_skew(version), *self._health(name))
        status = ModelClusterStatus(
            observed_generation=generation,
            conditions=update(before.conditions, conditions, generation, now()),
            version=version,
        )
        if status != before:
            await self._hub.write_cluster(name, status)
            self._written[name] = status

    def _state(self, name: str) -> tuple[Condition, str | None]:
        member = self._registry.get(name)
        if member is None:
            why = self._invalid.get(name, "not known yet")
            return condition(ConditionType.REACHABLE, False, Reason.INVALID_SPEC.value, why), None
        state = member.state
        known = state.reachable if member.settled.is_set() else None
        return (
            condition(ConditionType.REACHABLE, known, state.reason.value, state.message),
            state.version,
        )

    def _health(self, name: str) -> tuple[Condition, ...]:
        member = self._registry.get(name)
        ref = member.spec.cluster_source.cluster_profile_ref if member else None
        return self._profiles.health(ref) if self._profiles and ref else ()

    def _forget(self, name: str) -> None:
        for known in (self._generations, self._written, self._invalid):
            known.pop(name, None)
        metrics.MEMBER_REACHABLE.remove_by_labels({"member": name})
        self._registry.remove(name)


def _skew(version: str | None) -> tuple[Condition, ...]:
    if version is None or not (why := too_old(version)):
        return ()
    reason = Reason.KUBERNETES_TOO_OLD.value
    return (condition(ConditionType.UNSUPPORTED_VERSION, True, reason, why),)


class Secrets:
    """What a watch of the operator's Secrets writes to: which have changed, never what is in them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions: dict[str, str] = {}

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take the whole list."""
        names = {document["metadata"]["name"] for document in documents}
        for name in self._versions.keys() - names:
            del self._versions[name]
            self._registry.secret_changed(name)
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one that was added or changed."""
        name, version = document["metadata"]["name"], document["metadata"]["resourceVersion"]
        if self._versions.get(name) != version:
            self._versions[name] = version
            self._registry.secret_changed(name)

    def remove(self, document: dict[str, Any]) -> None:
        """Forget one that was deleted; the member's credentials are gone with it."""
        name = document["metadata"]["name"]
        self._versions.pop(name, None)
        self._registry.secret_changed(name)
