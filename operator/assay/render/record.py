"""The member record: what a rebuilt hub needs to go on where the old one stopped."""

import json
from typing import Any

from assay.api.deployment_status import DecisionRecord, ModelDeploymentStatus, RevisionRef
from assay.rollout.observation import RecordView

from .naming import ROUTE, Identity, Manifest, metadata, record_name

_KEY = "record.json"


def record(identity: Identity, uid: str, status: ModelDeploymentStatus) -> Manifest:
    """Return the ConfigMap with the record, written before weights change."""
    content = {
        "origin": identity.origin,
        "uid": uid,
        "generation": status.observed_generation,
        "stable": _ref(status.stable),
        "canary": _ref(status.canary),
        "rejected": [item.to_dict() for item in status.rejected_revisions],
        "rollout": _rollout(status),
    }
    stable = status.stable
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(
            identity,
            record_name(identity.name),
            ROUTE,
            stable.revision if stable else None,
            stable.version if stable else None,
        ),
        "data": {_KEY: json.dumps(content, sort_keys=True, separators=(",", ":"))},
    }


def _ref(ref: RevisionRef | None) -> dict[str, Any] | None:
    return None if ref is None else ref.to_dict()


def _rollout(status: ModelDeploymentStatus) -> dict[str, Any] | None:
    if status.rollout is None:
        return None
    document = status.rollout.to_dict()
    # The settings are long and the hub's manifest has them.
    del document["settings"]
    return document


def read_record(manifest: Manifest) -> RecordView | None:
    """Return what the record in a member says of its rollout; None if it says nothing readable."""
    try:
        rollout = json.loads(manifest["data"][_KEY])["rollout"]
        if rollout is None:
            return None
        decision = rollout.get("decision")
        return RecordView(
            rollout["id"], DecisionRecord.model_validate(decision) if decision else None
        )
    except (KeyError, TypeError, ValueError):
        return None
