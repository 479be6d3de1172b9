"""The objects of one revision in a member: ControllerRevision, and what it owns."""

from dataclasses import dataclass
from typing import Any

from .local import Local, local_template
from .naming import (
    DEPLOYMENT_LABEL,
    HTTP_PORT,
    REVISION_LABEL,
    SERVER,
    Identity,
    Manifest,
    metadata,
    revision_name,
)


@dataclass(frozen=True)
class Range:
    """From how many to how many pods, and the percent of the requested CPU that they should use."""

    least: int
    most: int
    cpu_percent: int


@dataclass(frozen=True)
class RevisionObjects:
    """What one revision needs in a member.

    Attributes
    ----------
    anchor
        The ControllerRevision. Applied first: it owns the rest, so that removing a revision is one
        delete. Its ``data`` is immutable in the API server; it differs only while the revision has
        never been ready (`revision` rule 3), and then the object is deleted and made again.
    deployment, service, budget
        None when the revision has no pods here: a rejected or remembered one has its anchor only.
    autoscaler
        The HorizontalPodAutoscaler; None while the number of pods is fixed. With one the Deployment
        names no number.
    """

    revision: str
    anchor: Manifest
    deployment: Manifest | None
    service: Manifest | None
    budget: Manifest | None = None
    autoscaler: Manifest | None = None

    @property
    def running(self) -> bool:
        """Whether the revision has pods here."""
        return self.deployment is not None

    def owned(self, owner_uid: str) -> tuple[Manifest, ...]:
        """Return Deployment, Service, PodDisruptionBudget and HorizontalPodAutoscaler, owned by the anchor.

        Parameters
        ----------
        owner_uid
            ``metadata.uid`` of the anchor in the API server's answer to its apply. An owner exists
            only within its own cluster, which is why the uid cannot be known here.
        """
        reference = {
            "apiVersion": self.anchor["apiVersion"],
            "kind": self.anchor["kind"],
            "name": self.anchor["metadata"]["name"],
            "uid": owner_uid,
        }
        return tuple(
            {**item, "metadata": {**item["metadata"], "ownerReferences": [reference]}}
            for item in (self.deployment, self.service, self.budget, self.autoscaler)
            if item is not None
        )


def revision_objects(
    identity: Identity,
    revision: str,
    template: dict[str, Any],
    where: Local,
    replicas: int | None,
    scaling: Range | None = None,
) -> RevisionObjects:
    """Return the objects of `revision` in a member; without pods when `replicas` is None.

    With `scaling` it is not `replicas` that says how many there are.
    """
    runs = replicas is not None
    return RevisionObjects(
        revision,
        controller_revision(identity, revision, template),
        _deployment(identity, revision, template, where, None if scaling else replicas)
        if runs
        else None,
        _service(identity, revision, template) if runs else None,
        _budget(identity, revision, template) if runs else None,
        _autoscaler(identity, revision, template, scaling)
        if runs and scaling is not None
        else None,
    )


def controller_revision(identity: Identity, revision: str, template: dict[str, Any]) -> Manifest:
    """Return the ControllerRevision that keeps the template of `revision`; the hub has one too."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": _metadata(identity, revision, template),
        "revision": 1,
        "data": {"template": template},
    }


def stored_template(manifest: Manifest) -> dict[str, Any]:
    """Return the pod template in a ControllerRevision that `controller_revision` made."""
    template: dict[str, Any] = manifest["data"]["template"]
    return template


def _metadata(identity: Identity, revision: str, template: dict[str, Any]) -> dict[str, Any]:
    version = template["metadata"]["labels"].get("app.kubernetes.io/version")
    name = revision_name(identity.name, revision)
    return metadata(identity, name, SERVER, revision, version)


def _selector(identity: Identity, revision: str) -> dict[str, str]:
    """Return labels that never change: selectors are immutable."""
    return {DEPLOYMENT_LABEL: identity.name, REVISION_LABEL: revision}


def _deployment(
    identity: Identity, revision: str, template: dict[str, Any], where: Local, replicas: int | None
) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(identity, revision, template),
        "spec": {
            # What is not sent is not ours: a HorizontalPodAutoscaler writes it (docs/decisions/0027).
            **({} if replicas is None else {"replicas": replicas}),
            "revisionHistoryLimit": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "selector": {"matchLabels": _selector(identity, revision)},
            "template": local_template(template, where),
        },
    }


def _service(identity: Identity, revision: str, template: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(identity, revision, template),
        "spec": {
            "type": "ClusterIP",
            "selector": _selector(identity, revision),
            "ports": [service_port()],
        },
    }


def _budget(identity: Identity, revision: str, template: dict[str, Any]) -> Manifest:
    """Return what keeps a node that is drained from taking all pods of a revision at once.

    A quarter, and one at least: a single pod may be evicted, or its node would never be free.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(identity, revision, template),
        "spec": {
            "maxUnavailable": "25%",
            "selector": {"matchLabels": _selector(identity, revision)},
            # Pods that are not ready serve nobody: they hold no node up.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _autoscaler(
    identity: Identity, revision: str, template: dict[str, Any], scaling: Range
) -> Manifest:
    """Return the HorizontalPodAutoscaler of the Deployment that has the same name."""
    target = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(identity, revision, template),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": revision_name(identity.name, revision),
            },
            "minReplicas": scaling.least,
            "maxReplicas": max(scaling.most, scaling.least),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def service_port() -> dict[str, Any]:
    """Return the one port that every Service of Assay has."""
    return {"name": "http", "port": 80, "protocol": "TCP", "targetPort": HTTP_PORT}
