"""The entry Service of a member (``traffic.mode: Replicas``), written and read.

It selects the pods of one revision, or of all that there are: a selector knows no "or", and the
rollout sees to it that there are only two then (assay.rollout.sharing). What it is for stands in an
annotation, in the same write as the selector; Services are watched by their metadata alone.
"""

import datetime
import json
from collections.abc import Sequence
from typing import Any

from assay.api import GROUP
from assay.rollout.observation import Announced, RouteView
from assay.rollout.traffic import IDLE_STRATUM

from .naming import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    REVISION_LABEL,
    ROUTE,
    SERVER,
    Identity,
    Manifest,
    metadata,
)
from .serving import service_port

TRAFFIC_ANNOTATION = f"{GROUP}/traffic"


def entry_service(identity: Identity, view: RouteView, version: str | None) -> Manifest:
    """Return the Service that does what `view` says; `version` is the one that serves as stable."""
    selector = {DEPLOYMENT_LABEL: identity.name, COMPONENT_LABEL: SERVER}
    if view.stable == view.canary_slot:
        selector[REVISION_LABEL] = view.stable
    about = metadata(identity, identity.name, ROUTE, view.stable, version)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**about, "annotations": {TRAFFIC_ANNOTATION: _text(view)}},
        "spec": {"type": "ClusterIP", "selector": selector, "ports": [service_port()]},
    }


def is_narrow(entry: Manifest) -> bool:
    """Return whether an entry Service has the pods of one revision only."""
    return REVISION_LABEL in entry["spec"]["selector"]


def read_entry(manifest: Manifest) -> RouteView | None:
    """Return what an entry Service, or the metadata of one, does; None if it says nothing readable."""
    annotations = manifest["metadata"].get("annotations") or {}
    try:
        content = json.loads(annotations[TRAFFIC_ANNOTATION])
        strata = tuple(
            Announced(each["stratum"], datetime.datetime.fromtimestamp(each["from"], datetime.UTC))
            for each in content["strata"]
        )
        return RouteView(
            str(content["stable"]),
            str(content["canary"]),
            int(content["weight"]),
            strata[-1].stratum if strata else IDLE_STRATUM,
            strata=strata,
        )
    except (KeyError, TypeError, ValueError, OSError, OverflowError):
        return None


def told_to_servers(strata: Sequence[Announced]) -> str:
    """Return strata.json: what servers count predictions under, and from when (Unix seconds)."""
    return _json(_told(strata) or [{"stratum": IDLE_STRATUM, "from": 0}])


def _text(view: RouteView) -> str:
    return _json(
        {
            "stable": view.stable,
            "canary": view.canary_slot,
            "weight": view.weight,
            "strata": _told(view.strata),
        }
    )


def _told(strata: Sequence[Announced]) -> list[dict[str, Any]]:
    return [{"stratum": each.stratum, "from": int(each.since.timestamp())} for each in strata]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
