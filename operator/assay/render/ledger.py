"""The ledger of a member: keys, Service and StatefulSet."""

import base64
import json
from collections.abc import Mapping

from assay.api.model_deployment import Feedback, ResourceAmounts, Resources

from . import pods
from .naming import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    LEDGER,
    Identity,
    Manifest,
    ledger_name,
    metadata,
    pod_labels,
    receipts_name,
)
from .serving import service_port

_RESOURCES = Resources(
    requests=ResourceAmounts(cpu="50m", memory="96Mi"), limits=ResourceAmounts(memory="256Mi")
)


def ledger_objects(
    identity: Identity,
    feedback: Feedback,
    keys: str,
    image: str,
    member: str,
    feedback_urls: Mapping[str, str | None],
) -> tuple[Manifest, ...]:
    """Return Secret, Service and StatefulSet of the ledger in `member`.

    Parameters
    ----------
    keys
        Content of keys.json: the receipt keys of this ModelDeployment.
    image
        The operator's own server image: the ledger is no part of the revision.
    feedback_urls
        Where labels are sent, by member; the ledger names it to clients that come to a wrong one.
    """
    return (
        _keys(identity, keys),
        _service(identity),
        _stateful_set(identity, feedback, image, member, feedback_urls),
    )


def _keys(identity: Identity, keys: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(identity, receipts_name(identity.name), LEDGER),
        "type": "Opaque",
        "data": {"keys.json": base64.b64encode(keys.encode()).decode()},
    }


def _selector(identity: Identity) -> dict[str, str]:
    return {DEPLOYMENT_LABEL: identity.name, COMPONENT_LABEL: LEDGER}


def _service(identity: Identity) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(identity, ledger_name(identity.name), LEDGER),
        "spec": {
            "type": "ClusterIP",
            "selector": _selector(identity),
            "ports": [service_port()],
        },
    }


def _stateful_set(
    identity: Identity,
    feedback: Feedback,
    image: str,
    member: str,
    feedback_urls: Mapping[str, str | None],
) -> Manifest:
    container = {
        "name": "ledger",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["ledger", "--store", "sqlite:////data/ledger.db", "--http-port", "8080"],
        "env": pods.environment(
            namespace=identity.namespace,
            deployment=identity.name,
            member=member,
            keys_file=f"{pods.KEYS_DIRECTORY}/keys.json",
            label_window_seconds=str(feedback.label_window_seconds),
            members=json.dumps(dict(feedback_urls), sort_keys=True, separators=(",", ":")),
        ),
        "ports": [pods.http_port()],
        "resources": pods.resources(_RESOURCES),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # It counts its whole store before it answers.
        **pods.probes(start_seconds=600),
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            pods.keys_mount(),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(identity, ledger_name(identity.name), LEDGER),
        "spec": {
            "serviceName": ledger_name(identity.name),
            # One: every prediction is counted once because one process counts.
            "replicas": 1,
            # OrderedReady would wait for ever for a pod that cannot start to become ready, before
            # it took the template that mends it.
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": _selector(identity)},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Delete",
                "whenScaled": "Retain",
            },
            "template": {
                "metadata": {
                    "labels": pod_labels(identity.name, LEDGER),
                    "annotations": pods.scrape_annotations(),
                },
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": pods.GRACE_SECONDS,
                    "securityContext": pods.security(),
                    "containers": [container],
                    "volumes": [{"name": "tmp", "emptyDir": {}}, pods.keys_volume(identity.name)],
                },
            },
            "volumeClaimTemplates": [_claim(identity, feedback)],
        },
    }


def _claim(identity: Identity, feedback: Feedback) -> Manifest:
    # Immutable in the API server, hence labels that do not change with the hub.
    claim: Manifest = {
        "metadata": {"name": "data", "labels": pod_labels(identity.name, LEDGER)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": feedback.storage.size}},
        },
    }
    if feedback.storage.storage_class_name is not None:
        claim["spec"]["storageClassName"] = feedback.storage.storage_class_name
    return claim
