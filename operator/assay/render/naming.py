"""Names and labels of everything that Assay owns in a member."""

import re
from dataclasses import dataclass
from typing import Any

from assay.api import GROUP

Manifest = dict[str, Any]
"""One Kubernetes object as it is sent to the API server."""

DEPLOYMENT_LABEL = f"{GROUP}/deployment"
REVISION_LABEL = f"{GROUP}/revision"
ORIGIN_LABEL = f"{GROUP}/origin"
COMPONENT_LABEL = "app.kubernetes.io/component"
SERVER, LEDGER, ROUTE = "server", "ledger", "route"
"""Values of the component label."""

HTTP_PORT = 8080


@dataclass(frozen=True)
class Identity:
    """Which ModelDeployment of which hub an object belongs to."""

    name: str
    namespace: str
    origin: str


def revision_name(name: str, revision: str) -> str:
    """Return the name of the ControllerRevision, Deployment and Service of one revision."""
    return f"{name}-{revision}"


def revision_of(object_name: str) -> str:
    """Return the revision in the name of a revision's object."""
    return object_name.rsplit("-", 1)[-1]


def preview_name(name: str) -> str:
    """Return the name of the HTTPRoute of the preview hosts; no other ModelDeployment can have it."""
    return f"{name}.preview"


def ledger_name(name: str) -> str:
    """Return the name of the ledger's StatefulSet and Service."""
    return f"{name}-ledger"


def receipts_name(name: str) -> str:
    """Return the name of the Secret with the receipt keys."""
    return f"{name}-receipts"


def tokens_name(name: str) -> str:
    """Return the name of the Secret with the tokens of those who label and export."""
    return f"{name}-labels"


def record_name(name: str) -> str:
    """Return the name of the ConfigMap with the member record."""
    return f"{name}-rollout"


def label_value(text: str) -> str:
    """Return `text` as a label value: versions are free text, label values are not."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:63].strip("_.-")


def pod_labels(
    name: str, component: str, revision: str | None = None, version: str | None = None
) -> dict[str, str]:
    """Return the labels of pods and volumes.

    Without the origin: a rebuilt hub has another one, and its adoption must restart no pod.
    """
    labels = {
        "app.kubernetes.io/name": "assay-model",
        "app.kubernetes.io/instance": name,
        COMPONENT_LABEL: component,
        "app.kubernetes.io/part-of": "assay",
        "app.kubernetes.io/managed-by": "assay",
        DEPLOYMENT_LABEL: name,
    }
    if version is not None:
        labels["app.kubernetes.io/version"] = label_value(version)
    if revision is not None:
        labels[REVISION_LABEL] = revision
    return labels


def metadata(
    identity: Identity,
    name: str,
    component: str,
    revision: str | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Return the metadata of an object named `name`, with the full label set."""
    return {
        "name": name,
        "namespace": identity.namespace,
        "labels": {
            **pod_labels(identity.name, component, revision, version),
            ORIGIN_LABEL: identity.origin,
        },
    }
