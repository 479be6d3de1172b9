"""What is different in the pods of one member: its name, its override, its spot nodes.

A revision has one template in all members (`revision` rule 4); what is local is put on top of it when
a Deployment is made of it. So it belongs to no revision and starts no trial, it follows the spec at
once, and stable and canary of a member always have the same: their comparison stays fair.
"""

from dataclasses import dataclass
from typing import Any

from assay.api.model_cluster import SpotNodes
from assay.api.placement import Override, Placement

from . import pods
from .naming import Manifest

_STRONGEST = 100


@dataclass(frozen=True)
class Local:
    """One member.

    Attributes
    ----------
    override
        What is different there; None: nothing.
    spot
        The nodes that pods should prefer; None: they may run on no spot node.
    """

    member: str
    override: Override | None = None
    spot: SpotNodes | None = None


def local(placement: Placement, member: str, spot: SpotNodes | None) -> Local:
    """Return what `placement` says of `member`, whose spot nodes are `spot`."""
    uses = placement.uses_spot(member)
    return Local(member, placement.override(member), spot if uses else None)


def local_template(template: dict[str, Any], where: Local) -> dict[str, Any]:
    """Return the pod template of a revision as pods are made from it in one member.

    What is the same everywhere is shared with `template`, not copied: a plan is made for each member.
    """
    spec = dict(template["spec"])
    for kind in ("initContainers", "containers"):
        if kind in spec:
            spec[kind] = [dict(container) for container in spec[kind]]
    [server] = [item for item in spec["containers"] if item["name"] == "server"]
    server["env"] = [*server["env"], *pods.environment(member=where.member)]
    if where.override is not None:
        _override(spec, where.override)
    if where.spot is not None:
        spec |= _on_spot(where.spot)
    return {**template, "spec": spec}


def _override(spec: Manifest, override: Override) -> None:
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if override.image is not None:
            container["image"] = override.image
        if override.resources is not None:
            container["resources"] = pods.resources(override.resources)
    if override.node_selector is not None:
        spec["nodeSelector"] = dict(sorted(override.node_selector.items()))


def _on_spot(nodes: SpotNodes) -> Manifest:
    """Return what brings pods to spot nodes: preferred, so that they run on while there is none."""
    expressions = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in sorted(nodes.node_selector.items())
    ]
    preferred = {"weight": _STRONGEST, "preference": {"matchExpressions": expressions}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}
    return {
        "affinity": affinity,
        "tolerations": [item.to_dict() for item in nodes.tolerations],
    }
