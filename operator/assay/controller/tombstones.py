"""Deletions that a member has not followed: it was let go of, and is cleaned when it comes back.

Absence never deletes: what is in a member and not on the hub may belong to a hub that was lost. So
before the finalizer of a deleted ModelDeployment goes, a tombstone is written on the hub for each
member that the annotation ``assay.dev/abandon`` lets go of. Only what a tombstone names is removed,
and only what this hub has made.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from assay.members import resources
from assay.members.errors import ApiError, MemberError
from assay.members.registry import Registry
from assay.render.naming import COMPONENT_LABEL

from .hub import Deployment, Hub, Key

_COMPONENT = "tombstone"
_SELECTOR = f"{COMPONENT_LABEL}={_COMPONENT},{resources.MANAGED}"
_RETRY_SECONDS = 15.0
_LONGEST_SECONDS = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tombstone:
    """One ModelDeployment that was deleted while `member` could not be cleaned."""

    member: str
    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> Key:
        """Namespace and name of the ModelDeployment."""
        return self.namespace, self.name

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Return the ConfigMap, in the operator's own `namespace`, that keeps it."""
        text = f"{self.member}/{self.namespace}/{self.name}"
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"assay-tombstone-{hashlib.sha256(text.encode()).hexdigest()[:16]}",
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "assay",
                    COMPONENT_LABEL: _COMPONENT,
                },
            },
            "data": {
                "member": self.member,
                "namespace": self.namespace,
                "name": self.name,
                "uid": self.uid,
            },
        }


class Tombstones:
    """All tombstones of the hub; what they name is removed as soon as its member answers.

    Parameters
    ----------
    namespace
        The operator's own.
    """

    def __init__(self, hub: Hub, members: Registry, namespace: str) -> None:
        self._hub = hub
        self._members = members
        self._namespace = namespace
        self._woken = asyncio.Event()

    async def write(self, item: Deployment, members: Iterable[str]) -> None:
        """Record that `item` is deleted and has to be removed from `members` one day.

        Raises `ApiError` and `MemberError`: without the record the object must not go.
        """
        for member in members:
            stone = Tombstone(member, item.namespace, item.name, item.uid)
            await self._hub.api.apply(stone.manifest(self._namespace))
            log.warning("member %s was let go of: it is cleaned when it comes back", member)
        self.wake()

    def wake(self) -> None:
        """Look again: a member is in another state, or there is another tombstone."""
        self._woken.set()

    async def run(self) -> None:
        """Clean the members that answer, until cancelled."""
        while True:
            self._woken.clear()
            try:
                done = await self.look()
            except (ApiError, MemberError) as error:
                log.warning("tombstones: %s", error)
                done = False
            with contextlib.suppress(TimeoutError):
                seconds = _LONGEST_SECONDS if done else _RETRY_SECONDS
                await asyncio.wait_for(self._woken.wait(), seconds)

    async def look(self) -> bool:
        """Follow every tombstone whose member answers; return whether none of them failed.

        Raises `ApiError` and `MemberError` if the hub does not answer.
        """
        path = resources.path("ConfigMap", self._namespace)
        found = await self._hub.api.get(path, labelSelector=_SELECTOR)
        return all([await self._follow(item) for item in found["items"]])

    async def _follow(self, document: dict[str, Any]) -> bool:
        try:
            stone = Tombstone(**document["data"])
        except (KeyError, TypeError):
            log.warning("%s is no tombstone that we know", document["metadata"]["name"])
            return True
        member = self._members.get(stone.member)
        if member is None or not member.state.reachable or not self._hub.looks_at(stone.namespace):
            return True
        # One that is there again has the same names: its own reconcile says what should be.
        if await self._hub.read(stone.key) is None:
            try:
                await member.remove(*stone.key)
            except (ApiError, MemberError) as error:
                log.warning("member %s: %s/%s: %s", stone.member, *stone.key, error)
                return False
            log.info("member %s: what was left of %s/%s is removed", stone.member, *stone.key)
        path = resources.path("ConfigMap", self._namespace, document["metadata"]["name"])
        await self._hub.api.delete(path)
        return True
