"""The HTTPRoute of a member, written and read.

It keeps one shape (design 5): its first rule has two backendRefs, both with a positive weight and a
filter of their own. The first is stable, the second the canary slot, which points to stable too
outside of a trial, and while one revision has all of the traffic in one. Measured on Envoy Gateway 1.9.1: changing positive weights and switching the
slot lose no request, adding and removing a backendRef does. A second rule brings labels to the
ledger where they may come through the Gateway.
"""

from typing import Any

from assay.api.model_deployment import Exposure, Traffic
from assay.rollout.observation import RouteView
from assay.rollout.traffic import PreviewView

from .naming import (
    ROUTE,
    Identity,
    Manifest,
    ledger_name,
    metadata,
    preview_name,
    revision_name,
    revision_of,
)

STRATUM_HEADER = "assay-stratum"

_PREVIEW_WEIGHT = 100

USER_BY_HEADER = "assay-user-by"
"""Tells servers where a request names its user: in the same write as the weight, so that both arms
count users from the first request of a step on and no pod restarts for it."""


def http_route(
    identity: Identity,
    traffic: Traffic,
    view: RouteView,
    version: str | None,
    exposure: Exposure = Exposure.INTERNAL,
) -> Manifest:
    """Return the HTTPRoute that does what `view` says; `version` is the one that serves as stable."""
    spec: dict[str, Any] = {
        "parentRefs": [item.to_dict() for item in traffic.parent_refs or ()],
        "rules": [
            {
                "matches": _matches(identity),
                "backendRefs": [
                    _backend(identity, view.stable, 100 - view.weight, view),
                    _backend(identity, view.canary_slot, view.weight, view),
                ],
            }
        ],
    }
    if traffic.hostnames:
        spec["hostnames"] = list(traffic.hostnames)
    if exposure is Exposure.GATEWAY:
        spec["rules"].append(_labels(identity))
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(identity, identity.name, ROUTE, view.stable, version),
        "spec": spec,
    }


def preview_route(identity: Identity, traffic: Traffic, view: PreviewView) -> Manifest:
    """Return the HTTPRoute by which testers reach the new version and nobody else does."""
    route = RouteView(view.revision, view.revision, _PREVIEW_WEIGHT, view.stratum)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(identity, preview_name(identity.name), ROUTE, view.revision),
        "spec": {
            "parentRefs": [item.to_dict() for item in traffic.parent_refs or ()],
            "hostnames": list(view.hostnames),
            "rules": [
                {
                    "matches": _matches(identity),
                    "backendRefs": [_backend(identity, view.revision, route.weight, route)],
                }
            ],
        },
    }


def _matches(identity: Identity) -> list[dict[str, Any]]:
    return [{"path": {"type": "PathPrefix", "value": f"/v2/models/{identity.name}"}}]


def _labels(identity: Identity) -> dict[str, Any]:
    path = f"/v2/models/{identity.name}/feedback"
    return {
        "matches": [{"path": {"type": "Exact", "value": path}, "method": "POST"}],
        "backendRefs": [{"name": ledger_name(identity.name), "port": 80}],
    }


def _backend(identity: Identity, revision: str, weight: int, view: RouteView) -> dict[str, Any]:
    return {
        "name": revision_name(identity.name, revision),
        "port": 80,
        "weight": weight,
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": _headers(view)}],
    }


def _headers(view: RouteView) -> dict[str, Any]:
    """Return what the route sets, and takes away from clients that would set it themselves."""
    stratum = {"name": STRATUM_HEADER, "value": view.stratum}
    if view.user_by is None:
        return {"set": [stratum], "remove": [USER_BY_HEADER]}
    return {"set": [stratum, {"name": USER_BY_HEADER, "value": view.user_by}]}


def read_route(manifest: Manifest) -> RouteView | None:
    """Return what an HTTPRoute in the API server does; None if it has not our shape (then it is written again)."""
    try:
        rule, *_ = manifest["spec"]["rules"]
        stable, canary = rule["backendRefs"]
        [modifier] = canary["filters"]
        headers = {each["name"]: each["value"] for each in modifier["requestHeaderModifier"]["set"]}
        return RouteView(
            revision_of(stable["name"]),
            revision_of(canary["name"]),
            int(canary["weight"]),
            str(headers[STRATUM_HEADER]),
            headers.get(USER_BY_HEADER),
        )
    except (KeyError, TypeError, ValueError):
        return None
