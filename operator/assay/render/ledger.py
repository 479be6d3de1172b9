"""The ledger of a member: keys, tokens, Service and StatefulSet."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

from assay.api.model_deployment import Exposure, Feedback, JoinBy, MissingLabel
from assay.api.resources import ResourceAmounts, Resources

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
    tokens_name,
)
from .serving import service_port

TOKENS_DIRECTORY = "/etc/assay/tokens"

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
    strata: str | None = None,
) -> tuple[Manifest, ...]:
    """Return Secrets, Service and StatefulSet of the ledger in `member`.

    Parameters
    ----------
    keys
        Content of keys.json: the receipt keys of this ModelDeployment.
    image
        The operator's own server image: the ledger is no part of the revision.
    feedback_urls
        Where labels are sent, by member; the ledger names it to clients that come to a wrong one.
    strata
        Content of strata.json; None where a gateway tells servers the stratum of each request.
    """
    return (
        receipts_secret(identity, feedback, keys, strata),
        _secret(identity, tokens_name(identity.name), tokens(keys)),
        _service(identity),
        _stateful_set(identity, feedback, image, member, feedback_urls),
    )


def receipts_secret(
    identity: Identity, feedback: Feedback, keys: str, strata: str | None = None
) -> Manifest:
    """Return the Secret with all that running servers and the ledger must know: no pod restarts for it."""
    files = {"keys.json": keys, "feedback.json": _told_to_servers(feedback)}
    if strata is not None:
        files["strata.json"] = strata
    return _secret(identity, receipts_name(identity.name), files)


def tokens(keys: str) -> dict[str, str]:
    """Return the tokens that the ledger asks of who labels through a Gateway, and of who exports.

    They follow from the salt in keys.json, so they are the same in all members and need no place
    of their own.
    """
    salt = base64.b64decode(json.loads(keys)["salt"])
    return {
        f"{name}-token": base64.urlsafe_b64encode(
            hmac.digest(salt, f"assay {name} token".encode(), "sha256")[:24]
        ).decode()
        for name in ("label", "export")
    }


def _told_to_servers(feedback: Feedback) -> str:
    """Return what running servers must know of `feedback`."""
    by_id = feedback.join_by is JoinBy.REQUEST_ID
    all_rows = by_id or feedback.missing_label is MissingLabel.NEGATIVE
    return json.dumps({"ship": "All" if all_rows else "None"}, sort_keys=True)


def _secret(identity: Identity, name: str, files: Mapping[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(identity, name, LEDGER),
        "type": "Opaque",
        "data": {
            file: base64.b64encode(content.encode()).decode() for file, content in files.items()
        },
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
    own_volume = feedback.database_secret_name is None
    container = {
        "name": "ledger",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["ledger", "--http-port", "8080"],
        "env": [
            *pods.environment(
                namespace=identity.namespace,
                deployment=identity.name,
                member=member,
                keys_file=f"{pods.KEYS_DIRECTORY}/keys.json",
                missing_label=feedback.missing_label.value,
                label_age_seconds=str(feedback.label_age_seconds),
                label_window_seconds=str(feedback.label_window_seconds),
                members=json.dumps(dict(feedback_urls), sort_keys=True, separators=(",", ":")),
                label_token_file=f"{TOKENS_DIRECTORY}/label-token"
                if feedback.exposure is Exposure.GATEWAY
                else None,
                export_token_file=f"{TOKENS_DIRECTORY}/export-token",
            ),
            _store(feedback),
        ],
        "ports": [pods.http_port()],
        "resources": pods.resources(_RESOURCES),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # It counts its whole store before it answers.
        **pods.probes(start_seconds=600),
        "volumeMounts": [
            *([{"name": "data", "mountPath": "/data"}] if own_volume else []),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "tokens", "mountPath": TOKENS_DIRECTORY, "readOnly": True},
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
                    "volumes": [
                        {"name": "tmp", "emptyDir": {}},
                        pods.keys_volume(identity.name),
                        {
                            "name": "tokens",
                            "secret": {
                                "secretName": tokens_name(identity.name),
                                "defaultMode": 0o440,
                            },
                        },
                    ],
                },
            },
            **({"volumeClaimTemplates": [_claim(identity, feedback)]} if own_volume else {}),
        },
    }


def _store(feedback: Feedback) -> dict[str, Any]:
    """Return where the ledger keeps its labels; the address of a database holds a password."""
    if feedback.database_secret_name is None:
        return {"name": "ASSAY_STORE", "value": "sqlite:////data/ledger.db"}
    source = {"secretKeyRef": {"name": feedback.database_secret_name, "key": "url"}}
    return {"name": "ASSAY_STORE", "valueFrom": source}


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
