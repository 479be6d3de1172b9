"""``ModelDeployment.spec.placement``: which members serve, and how many replicas each."""

import enum
from typing import Annotated

import pydantic

from .autoscaling import requests_cpu
from .fields import Model, Name, Word, int32, rules
from .resources import Image, Resources

TaintKey = Annotated[
    str,
    pydantic.Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
"""The key of a taint: a label key, with or without a prefix."""


class TaintEffect(enum.StrEnum):
    """What a taint does to ModelDeployments that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    """No more replicas; those that are there stay."""
    NO_EXECUTE = "NoExecute"
    """None at all: those that are there leave as soon as the others serve."""


class Taint(Model):
    """Keeps ModelDeployments away from a member unless they tolerate it."""

    key: TaintKey = pydantic.Field(description="What it is about, for instance maintenance.")
    value: Word | None = pydantic.Field(None, description="More about it.")
    effect: TaintEffect = pydantic.Field(
        description="NoSchedule: no more replicas come, those that are there stay. NoExecute: those that are there leave, too, as soon as other members serve."
    )


class ClusterSelector(Model):
    """Chooses ModelClusters by their labels."""

    match_labels: dict[str, Annotated[str, pydantic.Field(max_length=63)]] = pydantic.Field(
        default_factory=dict,
        description="All of these labels must be on the ModelCluster; none means every ModelCluster.",
        max_length=16,
    )


def _places(what: str) -> tuple[Word, ...] | None:
    field: tuple[Word, ...] | None = pydantic.Field(
        None,
        description=what,
        min_length=1,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    return field


class Residency(Model):
    """Where pods may be at all. Stronger than everything but the end of the service."""

    regions: tuple[Word, ...] | None = _places(
        "Only ModelClusters whose spec.region is one of these."
    )
    providers: tuple[Word, ...] | None = _places(
        "Only ModelClusters whose spec.provider is one of these."
    )


class TolerationOperator(enum.StrEnum):
    """How a toleration is compared with a taint."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class Toleration(Model):
    """Taints that are tolerated, as in a pod's spec."""

    key: TaintKey | None = pydantic.Field(
        None, description="Key of the taint; every key when left out, which needs operator Exists."
    )
    operator: TolerationOperator = pydantic.Field(
        TolerationOperator.EQUAL,
        description="Equal: the taint has this value, or neither has one. Exists: whatever its value.",
    )
    value: Word | None = pydantic.Field(None, description="Value of the taint, for Equal.")
    effect: TaintEffect | None = pydantic.Field(
        None, description="Effect of the taint; both when left out."
    )


CheckedToleration = Annotated[
    Toleration,
    pydantic.Field(
        json_schema_extra=rules(
            (
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without a key needs operator Exists",
            ),
            (
                "!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
                "a toleration with operator Exists has no value",
            ),
        )
    ),
]
"""A toleration, with the rules of Kubernetes for it."""


class SpreadField(enum.StrEnum):
    """What a ModelCluster is grouped by."""

    PROVIDER = "Provider"
    REGION = "Region"
    ZONE = "Zone"
    CLUSTER = "Cluster"


class SpreadConstraint(Model):
    """Over how many groups of members the replicas are spread."""

    spread_by_field: SpreadField = pydantic.Field(
        description="ModelClusters with the same spec.provider, region or zone are one group; Cluster: each is one."
    )
    min_groups: int = int32(1, "At least so many groups serve.", ge=1, le=500)
    max_groups: int | None = pydantic.Field(
        None,
        description="At most so many groups serve; no limit when left out.",
        ge=1,
        le=500,
        json_schema_extra={"format": "int32"},
    )


class Objective(enum.StrEnum):
    """What is best among the placements that are allowed."""

    SPREAD = "Spread"
    """Every member that may serve does, with the same number of replicas."""
    CHEAPEST = "Cheapest"
    """Replicas go where they cost least."""


class Spot(enum.StrEnum):
    """Whether pods may run on nodes that the provider takes back at short notice."""

    AVOID = "Avoid"
    USE = "Use"


class Override(Model):
    """What is different in one member. It makes no other revision: evidence is pooled over members."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.replicas) || has(self.image) || has(self.resources) || has(self.nodeSelector) || has(self.spot)",
                "an override must say what is different: replicas, image, resources, nodeSelector or spot",
            )
        )
    )

    cluster_name: Name = pydantic.Field(description="Name of the ModelCluster.")
    replicas: int | None = int32(
        None,
        "The member runs exactly so many pods per revision, if it may serve at all; the rest of serving.replicas is for the others. A share like any other's when left out.",
        ge=0,
        le=1000,
    )
    image: Image | None = pydantic.Field(
        None,
        description="Image of the model server in this member, in place of serving.image: the same server from another registry or for another kind of processor. It is no part of the revision and not tried; what may change a prediction belongs in serving.image.",
    )
    resources: Resources | None = pydantic.Field(
        None, description="Resources of each pod in this member, in place of serving.resources."
    )
    node_selector: dict[str, Annotated[str, pydantic.Field(max_length=63)]] | None = pydantic.Field(
        None,
        description="Pods in this member run only on nodes with all of these labels.",
        min_length=1,
        max_length=16,
    )
    spot: Spot | None = pydantic.Field(
        None, description="In this member, in place of placement.spot."
    )


class Placement(Model):
    """Which members serve, and how many replicas each (docs/placement.md)."""

    cluster_selector: ClusterSelector = pydantic.Field(
        ClusterSelector(), description="Which ModelClusters may serve."
    )
    residency: Residency | None = pydantic.Field(
        None,
        description="Where pods may be. A member elsewhere never gets any, and one that is elsewhere now is left as soon as another one serves.",
        json_schema_extra=rules(
            (
                "has(self.regions) || has(self.providers)",
                "placement.residency must name regions or providers",
            )
        ),
    )
    tolerations: tuple[CheckedToleration, ...] = pydantic.Field(
        (),
        description="Taints of ModelClusters that keep this ModelDeployment from none.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    spread_constraints: tuple[
        Annotated[
            SpreadConstraint,
            pydantic.Field(
                json_schema_extra=rules(
                    (
                        "!has(self.maxGroups) || !has(self.minGroups) || self.minGroups <= self.maxGroups",
                        "minGroups must not be larger than maxGroups",
                    )
                )
            ),
        ],
        ...,
    ] = pydantic.Field(
        (),
        description="Over how many providers, regions, zones or clusters the replicas are spread.",
        max_length=4,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["spreadByField"],
        },
    )
    objective: Objective = pydantic.Field(
        Objective.SPREAD,
        description="Spread: every member that may serve does, with equal shares. Cheapest: new replicas go where spec.cost of the ModelCluster is lowest, and no replica moves for its price alone.",
    )
    spot: Spot = pydantic.Field(
        Spot.AVOID,
        description="Use: pods may run on the spot nodes of ModelClusters that name some (spec.spot), and prefer them; objective Cheapest counts spec.cost.spotPerReplicaHour there. Avoid: pods tolerate no spot node's taint.",
    )
    toleration_seconds: int | None = pydantic.Field(
        None,
        description="A member that cannot be reached for so long is lost: its replicas are placed in the others until it is back. When left out they stay where they are.",
        ge=10,
        le=86400,
        json_schema_extra={"format": "int32"},
    )
    overrides: tuple[Override, ...] = pydantic.Field(
        (),
        description="What is different in single members. What changes the pods of a member rolls them there, and nowhere else.",
        max_length=100,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["clusterName"],
        },
    )

    def override(self, cluster: str) -> Override | None:
        """Return what is different in a member; None if nothing is."""
        return next((item for item in self.overrides if item.cluster_name == cluster), None)

    def uses_spot(self, cluster: str) -> bool:
        """Return whether pods may run on the spot nodes of a member."""
        override = self.override(cluster)
        own = override.spot if override else None
        return (own or self.spot) is Spot.USE


PLACEMENT_RULES = (
    (
        "!has(self.serving.autoscaling) || !self.placement.overrides.exists(item, has(item.replicas) && item.replicas > 0)",
        "placement.overrides[].replicas does not go with serving.autoscaling: each member has its share of minReplicas and maxReplicas (replicas: 0 keeps a member out)",
    ),
    (
        f"!has(self.serving.autoscaling) || self.placement.overrides.all(item, !has(item.resources) || {requests_cpu('item.resources')})",
        "placement.overrides[].resources.requests.cpu is needed with serving.autoscaling: the load is measured in percent of it",
    ),
    (
        "self.placement.overrides.filter(item, has(item.replicas)).map(item, item.replicas).sum() <= self.serving.replicas",
        "placement.overrides must not give more replicas than serving.replicas",
    ),
    (
        "self.placement.objective != 'Cheapest' || self.placement.spreadConstraints.all(item, item.minGroups <= (has(self.serving.autoscaling) ? self.serving.autoscaling.maxReplicas : self.serving.replicas))",
        "placement.objective Cheapest needs at least as many serving.replicas (or autoscaling.maxReplicas) as minGroups of each spread constraint",
    ),
)
"""CEL rules of the spec: they speak of placement and serving together."""
