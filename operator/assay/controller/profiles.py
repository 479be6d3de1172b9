"""ClusterProfiles of the hub: read when a member is connected, watched for what changes that."""

from collections.abc import Callable
from typing import Any

from assay.api.conditions import Condition, ConditionType, Reason, condition
from assay.api.model_cluster import ClusterProfileRef
from assay.members import profile, resources
from assay.members.api import Api
from assay.members.cache import digest
from assay.members.errors import ApiError, MemberError

Key = tuple[str, str]
"""Namespace and name of a ClusterProfile."""

_GROUP_VERSION = f"/apis/{resources.API_VERSIONS['ClusterProfile']}"


class Profiles:
    """ClusterProfiles by namespace and name.

    Profiles are touched all the time (a cluster manager refreshes their properties): only another
    way in makes a connection anew, and only another state of health another condition.

    Parameters
    ----------
    api
        The hub's.
    changed
        Called with a profile's namespace and name when its member must be connected again.
    shown
        Called when what a profile says of its cluster's health changed.
    """

    def __init__(
        self, api: Api, changed: Callable[[str, str], None], shown: Callable[[], None]
    ) -> None:
        self._api = api
        self._changed = changed
        self._shown = shown
        self._used: dict[Key, str] = {}
        self._health: dict[Key, tuple[Any, ...] | None] = {}

    async def read(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ClusterProfile.

        Raises
        ------
        MemberError
            ``ClusterProfileMissing``, with what is not there.
        """
        self._used.setdefault((namespace, name), "")
        path = resources.path("ClusterProfile", namespace, name)
        try:
            found = await self._api.find(path)
            if found is None and await self._api.find(_GROUP_VERSION) is None:
                raise _missing(
                    "the hub does not know ClusterProfiles (multicluster.x-k8s.io/v1alpha1): "
                    "install the CustomResourceDefinition of the Cluster Inventory API"
                )
        except ApiError as error:
            if error.status != 403:
                raise
            raise _missing(
                f"ClusterProfile {namespace}/{name} may not be read: name its namespace in the "
                "chart value operator.clusterProfileNamespaces"
            ) from None
        if found is None:
            raise _missing(f"there is no ClusterProfile {namespace}/{name}")
        self._used[namespace, name] = _way(found)
        return found

    def health(self, ref: ClusterProfileRef) -> tuple[Condition, ...]:
        """Return what the profile says of the cluster's health, as a condition, if it says it."""
        found = self._health.get((ref.namespace, ref.name))
        if found is None:
            return ()
        status, reason = found
        message = f"as ClusterProfile {ref.namespace}/{ref.name} says; it decides nothing"
        shown = condition(ConditionType.CONTROL_PLANE_HEALTHY, None, reason, message)
        return (shown.model_copy(update={"status": status}),)

    def store(self, namespace: str) -> "NamespaceProfiles":
        """Return what a watch of one namespace writes to."""
        return NamespaceProfiles(self, namespace)

    def names(self, namespace: str) -> set[str]:
        """Return the names that are known in a namespace."""
        return {name for place, name in (*self._used, *self._health) if place == namespace}

    def put(self, document: dict[str, Any]) -> None:
        """Take a profile that was added or changed."""
        key = document["metadata"]["namespace"], document["metadata"]["name"]
        health = profile.health(document)
        if self._health.get(key) != health:
            self._health[key] = health
            self._shown()
        if key in self._used and self._used[key] != _way(document):
            self._used[key] = _way(document)
            self._changed(*key)

    def drop(self, key: Key) -> None:
        """Forget a profile that is gone; the credentials that it led to are gone with it."""
        if self._health.pop(key, None):
            self._shown()
        if self._used.get(key):
            self._used[key] = ""
            self._changed(*key)


class NamespaceProfiles:
    """The profiles of one namespace, as one watch sees them."""

    def __init__(self, profiles: Profiles, namespace: str) -> None:
        self._profiles = profiles
        self._namespace = namespace

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take the whole list."""
        listed = {document["metadata"]["name"] for document in documents}
        for name in self._profiles.names(self._namespace) - listed:
            self._profiles.drop((self._namespace, name))
        for document in documents:
            self._profiles.put(document)

    def put(self, document: dict[str, Any]) -> None:
        """Take one that was added or changed."""
        self._profiles.put(document)

    def remove(self, document: dict[str, Any]) -> None:
        """Forget one that was deleted."""
        self._profiles.drop((self._namespace, document["metadata"]["name"]))


def _way(document: dict[str, Any]) -> str:
    """Return a hash of everything in a profile by which its cluster is reached."""
    status = document.get("status") or {}
    return digest([status.get("credentialProviders"), status.get("accessProviders")])


def _missing(message: str) -> MemberError:
    return MemberError(Reason.CLUSTER_PROFILE_MISSING, message)
