"""The member record: what a rebuilt hub needs to go on where the old one stopped."""

import json
from typing import Any

from assay.api.deployment_status import DecisionRecord, ModelDeploymentStatus
from assay.rollout.observation import RecordView
from assay.rollout.traffic import cluster_of

from .naming import ROUTE, Identity, Manifest, metadata, record_name

_KEY = "record.json"
_KEPT = ("stable", "canary", "rollout", "rejectedRevisions", "history", "lastRequest")
"""Fields of status that a hub cannot see for itself."""


def record(identity: Identity, uid: str, status: ModelDeploymentStatus, member: str) -> Manifest:
    """Return the ConfigMap with the record, written before weights change.

    Of the clusters it keeps the one entry of `member`, and of the others whose counts were judged
    only the names: a record that said more would have to be written everywhere when one changes.
    """
    document = status.to_dict()
    content = {
        "origin": identity.origin,
        "uid": uid,
        "judged": sorted(item.name for item in status.clusters if item.ledger_store is not None),
        "clusters": _own(status, member),
        **{name: document[name] for name in _KEPT if name in document},
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


def _own(status: ModelDeploymentStatus, member: str) -> list[dict[str, Any]]:
    cluster = cluster_of(status, member)
    if cluster is None:
        return []
    # How many pods there are and how the connection is a hub sees for itself: a record that said so
    # would be written whenever that changes.
    told = {
        "name": cluster.name,
        "reachable": True,
        "revision": cluster.revision,
        "weight": cluster.weight,
        "ledgerStore": cluster.ledger_store,
        "wave": cluster.wave,
        "heldReplicas": cluster.held_replicas,
        "strata": [item.to_dict() for item in cluster.strata or ()] or None,
    }
    return [{name: value for name, value in told.items() if value is not None}]


def read_record(manifest: Manifest) -> RecordView | None:
    """Return what the record in a member says of its rollout; None if it says nothing readable.

    Of a record in a form that is not known, an older or newer operator's, only the decision counts.
    """
    try:
        content = json.loads(manifest["data"][_KEY])
        rollout = content["rollout"]
        decision = rollout.get("decision")
        view = RecordView(
            rollout["id"], DecisionRecord.model_validate(decision) if decision else None
        )
    except (KeyError, TypeError, ValueError):
        return None
    try:
        kept = ModelDeploymentStatus.model_validate(content)
        return RecordView(view.rollout, view.decision, kept, frozenset(map(str, content["judged"])))
    except (KeyError, TypeError, ValueError):
        return view
