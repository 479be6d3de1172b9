"""The hub: the cluster where ModelDeployments live. Every read and write that goes there."""

import base64
import dataclasses
import datetime
import logging
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import pydantic

from assay.api import API_VERSION, FIELD_MANAGER, FINALIZER
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_cluster import ModelClusterStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.api.request import ANNOTATION, Request, Unreadable, parse
from assay.members import resources
from assay.members.api import MERGE, Api
from assay.members.errors import ApiError, MemberError
from assay.render.naming import COMPONENT_LABEL, Identity, revision_of
from assay.render.serving import controller_revision, stored_template
from assay.rollout.observation import Event

ABANDON = "assay.dev/abandon"
HISTORY = "history"
HUB_SECONDS = 5.0
"""A hub that does not answer by then is treated as away; rollbacks do not wait for it."""
TRIAL_SECONDS = 2.0
"""The same for reading while a rollout runs, which is judged on without the hub."""

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a ModelDeployment."""

Templates = dict[str, dict[str, dict[str, Any]]]
"""Pod templates by uid of their ModelDeployment and by revision."""


@dataclass(frozen=True)
class Deployment:
    """One ModelDeployment, read just now.

    Attributes
    ----------
    spec
        None when it is not valid; `invalid` says why.
    version
        Its resourceVersion: the precondition of the next write of status.
    abandoned
        Members that the user lets go of.
    request
        What the annotation assay.dev/request asks.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    deleting: bool
    finalizers: tuple[str, ...]
    abandoned: frozenset[str]
    spec: ModelDeploymentSpec | None
    invalid: str
    status: ModelDeploymentStatus
    request: Request | Unreadable | None = None

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


def deployment(document: dict[str, Any]) -> Deployment:
    """Return a ModelDeployment from the API server's JSON."""
    metadata = document["metadata"]
    spec, invalid = None, ""
    try:
        spec = ModelDeploymentSpec.model_validate(document.get("spec") or {})
    except pydantic.ValidationError as error:
        invalid = field_error(error)
    try:
        status = ModelDeploymentStatus.model_validate(document.get("status") or {})
    except pydantic.ValidationError as error:
        # Never guess what a status meant: a revision forgotten here would lose its traffic.
        spec, invalid = None, f"status.{field_error(error)}"
        status = ModelDeploymentStatus()
    annotations = metadata.get("annotations") or {}
    abandoned, asked = annotations.get(ABANDON, ""), annotations.get(ANNOTATION, "")
    return Deployment(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata["resourceVersion"],
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        abandoned=frozenset(filter(None, (item.strip() for item in abandoned.split(",")))),
        spec=spec,
        invalid=invalid,
        status=status,
        request=parse(asked) if asked else None,
    )


def version_of(document: dict[str, Any]) -> int:
    """Return when an object was written: later writes have larger versions."""
    return int(document["metadata"]["resourceVersion"])


def field_error(error: pydantic.ValidationError) -> str:
    """Return the first thing that is wrong as ``spec.field: what``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


class Hub:
    """The hub's API server, in terms of what the operator does there.

    Parameters
    ----------
    instance
        Our name in events.
    namespaces
        Where ModelDeployments are looked at; none: everywhere.
    """

    def __init__(self, api: Api, instance: str, namespaces: Iterable[str] = ()) -> None:
        self.api = api
        self._instance = instance
        self._namespaces = tuple(namespaces)
        self._listed: Templates = {}

    async def origin(self) -> str:
        """Return what identifies this hub to its members: the UID of its kube-system namespace."""
        found = await self.api.get("/api/v1/namespaces/kube-system")
        return str(found["metadata"]["uid"])

    async def read(
        self, key: Key, *, urgent: bool = False, known: Deployment | None = None
    ) -> Deployment | None:
        """Return a ModelDeployment as it is now; a watch may lag behind our own last write.

        None if there is none, `known` itself if it is still so. An urgent one gives up early and does
        not queue.
        """
        path = resources.path("ModelDeployment", *key)
        seconds = TRIAL_SECONDS if urgent else HUB_SECONDS
        try:
            found = await self.api.request("GET", path, seconds=seconds, urgent=urgent)
            same = known is not None and found["metadata"]["resourceVersion"] == known.version
            return known if same else deployment(found)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def read_all(self) -> list[Deployment]:
        """Return every ModelDeployment, some hundreds at a time."""
        return [deployment(document) async for document in self._each("ModelDeployment")]

    async def _each(self, kind: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every object of a kind where ModelDeployments are looked at."""
        for namespace in self._namespaces or (None,):
            async for document in self.api.each(resources.path(kind, namespace), **query):
                yield document

    def looks_at(self, namespace: str) -> bool:
        """Return whether ModelDeployments of `namespace` are looked at."""
        return not self._namespaces or namespace in self._namespaces

    async def write_status(self, item: Deployment, status: ModelDeploymentStatus) -> str:
        """Write status unless the object has changed since it was read; return its new version.

        Raises `ApiError` with `conflict` if it has.
        """
        answer = await self.api.apply(
            _status_of(
                "ModelDeployment",
                {"namespace": item.namespace, "name": item.name, "resourceVersion": item.version},
                status.to_dict(),
            ),
            subresource="/status",
            seconds=HUB_SECONDS,
            urgent=True,
        )
        return str(answer["metadata"]["resourceVersion"])

    async def hold(self, item: Deployment) -> Deployment:
        """Put our finalizer on the object, before anything is made in a member; return it so."""
        if FINALIZER in item.finalizers:
            return item
        finalizers = (*item.finalizers, FINALIZER)
        version = await self._set_finalizers(item, finalizers)
        return dataclasses.replace(item, finalizers=finalizers, version=version)

    async def release(self, item: Deployment) -> None:
        """Take our finalizer off: the object may go."""
        if FINALIZER in item.finalizers:
            rest = tuple(name for name in item.finalizers if name != FINALIZER)
            await self._set_finalizers(item, rest)

    async def list_templates(self) -> None:
        """Read the stored pod templates of all ModelDeployments, which `templates` then knows once.

        To ask for those of each alone lets the API server search all of them every time.
        """
        selector = f"{COMPONENT_LABEL}={HISTORY}"
        async for document in self._each("ControllerRevision", labelSelector=selector):
            _store(self._listed, document)

    async def templates(self, item: Deployment) -> dict[str, dict[str, Any]]:
        """Return the stored pod templates by revision."""
        if listed := self._listed.pop(item.uid, None):
            return listed
        found = await self.api.get(
            resources.path("ControllerRevision", item.namespace),
            labelSelector=f"{resources.DEPLOYMENT}={item.name},{COMPONENT_LABEL}={HISTORY}",
        )
        by_owner: Templates = {}
        for document in found["items"]:
            _store(by_owner, document)
        return by_owner.get(item.uid, {})

    async def store_template(
        self, item: Deployment, revision: str, template: dict[str, Any]
    ) -> None:
        """Keep a revision's pod template as a ControllerRevision that the ModelDeployment owns.

        It has a name of its own and no origin: on a hub that is a member too it stays when the
        hub serves no more.
        """
        document = controller_revision(Identity(item.name, item.namespace, ""), revision, template)
        labels = {**document["metadata"]["labels"], COMPONENT_LABEL: HISTORY}
        del labels[resources.ORIGIN]
        document["metadata"] |= {
            "name": _history_name(item.name, revision),
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "ModelDeployment",
                    "name": item.name,
                    "uid": item.uid,
                    "controller": True,
                }
            ],
        }
        await self.api.apply(document, seconds=HUB_SECONDS)

    async def drop_template(self, item: Deployment, revision: str) -> None:
        """Forget a revision."""
        name = _history_name(item.name, revision)
        await self.api.delete(resources.path("ControllerRevision", item.namespace, name))

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """Return the data of a Secret; None if there is none."""
        found = await self.api.find(resources.path("Secret", namespace, name))
        if found is None:
            return None
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    async def emit(self, item: Deployment, event: Event) -> None:
        """Post a Kubernetes Event about the ModelDeployment; a lost one is only logged."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        document = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "namespace": item.namespace,
                "name": f"{item.name}.{secrets.token_hex(8)}",
            },
            "eventTime": now,
            "type": event.type,
            "reason": event.reason,
            "action": "Reconcile",
            "note": event.message[:1024],
            "reportingController": "assay.dev/operator",
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": "ModelDeployment",
                "namespace": item.namespace,
                "name": item.name,
                "uid": item.uid,
            },
        }
        path = f"/apis/events.k8s.io/v1/namespaces/{item.namespace}/events"
        try:
            await self.api.request("POST", path, body=document, seconds=HUB_SECONDS)
        except (ApiError, MemberError) as error:
            log.warning("event %s was not posted: %s", event.reason, error)

    async def write_cluster(self, name: str, status: ModelClusterStatus) -> None:
        """Write a ModelCluster's status."""
        document = _status_of("ModelCluster", {"name": name}, status.to_dict())
        await self.api.apply(document, subresource="/status")

    async def _set_finalizers(self, item: Deployment, finalizers: tuple[str, ...]) -> str:
        """Write the list with the resourceVersion that it was read with; return the new one."""
        metadata = {"finalizers": list(finalizers), "resourceVersion": item.version}
        answer = await self.api.request(
            "PATCH",
            resources.path("ModelDeployment", *item.key),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": metadata},
            content_type=MERGE,
        )
        return str(answer["metadata"]["resourceVersion"])


def _status_of(kind: str, metadata: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status}


def _store(templates: Templates, document: dict[str, Any]) -> None:
    """Put the template in a ControllerRevision among those of its owner."""
    metadata = document["metadata"]
    try:
        revision, template = revision_of(metadata["name"]), stored_template(document)
    except (KeyError, TypeError):
        # Anybody may label one as ours; it must not stop the operator.
        log.warning("no template in ControllerRevision %(namespace)s/%(name)s", metadata)
        return
    for owner in metadata.get("ownerReferences") or ():
        templates.setdefault(owner.get("uid"), {})[revision] = template


def _history_name(name: str, revision: str) -> str:
    return f"{name}-{HISTORY}-{revision}"
