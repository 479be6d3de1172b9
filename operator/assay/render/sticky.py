"""The BackendTrafficPolicy of a member that keeps every user in one arm, written and read.

Envoy Gateway then draws the lot of a user by a hash of the key: the share of the canary is one end
of the range of hashes, so a larger share moves users to the canary only. That holds because every
backendRef of the route has a filter of its own; without one the gateway would put the pods of both
versions on one hash ring and pass over the weights (design 6).
"""

from typing import Any

from assay.api.model_deployment import StickyBy
from assay.rollout.observation import StickyView

from .naming import ROUTE, Identity, Manifest, metadata

KIND = "BackendTrafficPolicy"
_REFUSALS = frozenset({("Accepted", False), ("Overridden", True)})
"""Conditions with which a gateway says that the policy does not hold, or not for the whole route."""

API_VERSION = "gateway.envoyproxy.io/v1alpha1"


def sticky_policy(identity: Identity, sticky_by: StickyBy) -> Manifest:
    """Return the policy for the HTTPRoute of the ModelDeployment."""
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": identity.name}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(identity, identity.name, ROUTE),
        "spec": {
            "targetRefs": [target],
            # What a policy of the whole Gateway says (time-outs, retries) goes on to hold here.
            "mergeType": "StrategicMerge",
            "loadBalancer": {"type": "ConsistentHash", "consistentHash": _hash(sticky_by)},
        },
    }


def _hash(sticky_by: StickyBy) -> dict[str, Any]:
    if sticky_by.header is not None:
        return {"type": "Headers", "headers": [{"name": sticky_by.header.lower()}]}
    # Without a ttl: the gateway gives out no cookie. One that it made up would reach the server a
    # request late.
    return {"type": "Cookie", "cookie": {"name": sticky_by.cookie}}


def read_policy(manifest: Manifest) -> StickyView:
    """Return what a policy in the API server does by what its gateways say: nothing until they do."""
    try:
        by = _read_hash(manifest["spec"]["loadBalancer"]["consistentHash"])
    except (KeyError, TypeError, ValueError):
        return StickyView(problem="its BackendTrafficPolicy is not as it was written")
    generation = manifest["metadata"].get("generation", 0)
    taken = False
    for ancestor in (manifest.get("status") or {}).get("ancestors") or ():
        for said in ancestor.get("conditions") or ():
            if said.get("observedGeneration", 0) < generation:
                continue
            kind, holds = said.get("type"), said.get("status") == "True"
            if (kind, holds) in _REFUSALS:
                why = f"{said.get('reason', '')}: {said.get('message', '')}"
                return StickyView(problem=f"its gateway refuses the BackendTrafficPolicy: {why}")
            taken |= kind == "Accepted"
    return StickyView(by if taken else None)


def _read_hash(spec: dict[str, Any]) -> StickyBy:
    if spec["type"] == "Cookie":
        return StickyBy(cookie=spec["cookie"]["name"])
    [header] = spec["headers"]
    return StickyBy(header=header["name"])
