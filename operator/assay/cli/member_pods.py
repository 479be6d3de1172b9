"""The pods of a ModelDeployment in a member, as a person with the right to read them sees them."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.render.naming import COMPONENT_LABEL, DEPLOYMENT_LABEL, LEDGER, REVISION_LABEL

from .cluster import Cluster, Refused

_SECONDS = 5.0
"""A member that does not answer must not freeze a screen."""


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes
    ----------
    revision
        Which it serves; empty for the ledger's.
    state
        ``ready``, or why not, as `kubectl get pods` has it.
    """

    name: str
    revision: str
    ready: bool
    state: str
    restarts: int
    started_at: datetime.datetime | None

    @property
    def order(self) -> tuple[bool, str]:
        """The ledger comes last."""
        return not self.revision, self.name

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "revision": self.revision or None,
            "ready": self.ready,
            "state": self.state,
            "restarts": self.restarts,
            "startedAt": self.started_at.isoformat() if self.started_at else None,
        }


@dataclass(frozen=True)
class Pods:
    """What a member said.

    Attributes
    ----------
    problem
        Why its pods are not known; empty if they are.
    """

    pods: tuple[Pod, ...] = ()
    problem: str = ""


def read_pods(member: Cluster, namespace: str, name: str) -> Pods:
    """Ask a member for the pods of a ModelDeployment."""
    query = {"labelSelector": f"{DEPLOYMENT_LABEL}={name}"}
    try:
        answer = member.request(
            "GET", f"/api/v1/namespaces/{namespace}/pods", query, seconds=_SECONDS
        )
    except Refused as error:
        return Pods(problem=error.message)
    found = (pod_of(item) for item in answer.get("items") or ())
    return Pods(tuple(sorted(found, key=lambda each: each.order)))


def pod_of(document: Mapping[str, Any]) -> Pod:
    """Read what an API server says of a pod."""
    metadata, status = document["metadata"], document.get("status") or {}
    labels = metadata.get("labels") or {}
    containers = status.get("containerStatuses") or []
    ready = any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or ()
    )
    revision = "" if labels.get(COMPONENT_LABEL) == LEDGER else labels.get(REVISION_LABEL, "")
    started = status.get("startTime")
    return Pod(
        metadata["name"],
        revision,
        ready and "deletionTimestamp" not in metadata,
        _state(metadata, status, ready=ready),
        sum(item.get("restartCount", 0) for item in containers),
        datetime.datetime.fromisoformat(started) if started else None,
    )


def _state(metadata: Mapping[str, Any], status: Mapping[str, Any], *, ready: bool) -> str:
    if "deletionTimestamp" in metadata:
        return "ends"
    if ready:
        return "ready"
    every = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    for item in every:
        state = item.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        ended = state.get("terminated") or {}
        if waiting and waiting != "PodInitializing":
            return str(waiting)
        if ended.get("exitCode"):
            return str(ended.get("reason") or f"exit code {ended['exitCode']}")
    return str(status.get("reason") or status.get("phase") or "unknown")
