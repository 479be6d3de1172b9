"""``ModelCluster``: a member, one cluster that serves."""

from typing import Annotated

import pydantic

from .conditions import Condition
from .fields import Amount, Model, Name, ObjectName, Word, int32, rules
from .placement import CheckedToleration, Taint

_ONE = ".filter(there, there).size() == 1"


class InCluster(Model):
    """The cluster in which the operator runs."""


class KubeConfig(Model):
    """A kubeconfig in a Secret of the operator's own namespace."""

    secret_name: ObjectName = pydantic.Field(description="Name of the Secret.")
    key: ObjectName = pydantic.Field(
        "kubeconfig", description="Key of the kubeconfig in the Secret."
    )


class ClusterProfileRef(Model):
    """A ClusterProfile of the hub (multicluster.x-k8s.io)."""

    namespace: Name = pydantic.Field(description="Namespace of the ClusterProfile.")
    name: ObjectName = pydantic.Field(description="Name of the ClusterProfile.")


class ClusterSource(Model):
    """How the operator reaches the member. Exactly one of the fields is set."""

    in_cluster: InCluster | None = pydantic.Field(
        None, description="The cluster in which the operator runs."
    )
    kube_config: KubeConfig | None = pydantic.Field(
        None, description="A kubeconfig in a Secret of the operator's own namespace."
    )
    cluster_profile_ref: ClusterProfileRef | None = pydantic.Field(
        None,
        description="A ClusterProfile; an access provider of it that the operator allows is asked for credentials.",
    )


class Limits(Model):
    """How fast the operator may ask the member's API server. Rollbacks and Leases never wait."""

    requests_per_second: int = int32(200, "Requests per second in the long run.", ge=10, le=10_000)
    burst: int = int32(
        1000, "Requests that may follow each other at once after a rest.", ge=10, le=100_000
    )


class AllowedNamespaces(Model):
    """Namespaces whose ModelDeployments may serve from this member."""

    match_names: tuple[Name, ...] = pydantic.Field(
        (),
        description="Names of the namespaces; all of them when empty.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class PrometheusSource(Model):
    """The member's Prometheus. Exactly one of the fields is set."""

    service: str | None = pydantic.Field(
        None,
        description="namespace/name:port of its Service, reached through the member's API server.",
        max_length=200,
        pattern=r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*:[0-9]+$",
    )
    url: str | None = pydantic.Field(
        None,
        description="Its address as the operator can reach it; without user or password.",
        max_length=1024,
        pattern=r"^https?://[^@\s]+$",
    )
    scrape_interval_seconds: int = pydantic.Field(
        15,
        description="How often it scrapes; evidence older than three intervals is stale.",
        ge=1,
        le=300,
        json_schema_extra={"format": "int32"},
    )


class Cost(Model):
    """What serving in the member costs."""

    per_replica_hour: Amount = pydantic.Field(
        description='Price of one serving pod for an hour, in any currency that all ModelClusters share, as a decimal string such as "0.031".'
    )
    spot_per_replica_hour: Amount | None = pydantic.Field(
        None,
        description="The same on a spot node, for ModelDeployments with placement.spot Use; perReplicaHour when left out.",
    )


class SpotNodes(Model):
    """How pods get to the nodes that the provider takes back at short notice."""

    node_selector: dict[str, Annotated[str, pydantic.Field(max_length=63)]] = pydantic.Field(
        description="Labels of the spot nodes. Pods that may use them prefer them, and run elsewhere while there is none.",
        min_length=1,
        max_length=16,
    )
    tolerations: tuple[CheckedToleration, ...] = pydantic.Field(
        (),
        description="Taints of the spot nodes that pods have to tolerate.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Capacity(Model):
    """How much the member has room for."""

    replicas: int = int32(
        ...,
        "Serving pods of all ModelDeployments together that the member has room for. Placement keeps two for each replica, since in a trial stable and canary run side by side.",
        ge=0,
        le=100000,
    )


class ModelClusterSpec(Model):
    """How to reach a member and what is in it."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.cost) || !has(self.cost.spotPerReplicaHour) || has(self.spot)",
                "cost.spotPerReplicaHour needs spec.spot: which nodes they are",
            )
        )
    )

    cluster_source: ClusterSource = pydantic.Field(
        description="How the operator reaches the member.",
        json_schema_extra=rules(
            (
                "[has(self.inCluster), has(self.kubeConfig), has(self.clusterProfileRef)]" + _ONE,
                "exactly one of inCluster, kubeConfig and clusterProfileRef must be set",
            )
        ),
    )
    allowed_namespaces: AllowedNamespaces = pydantic.Field(
        AllowedNamespaces(), description="Whose ModelDeployments may serve here."
    )
    limits: Limits = pydantic.Field(
        Limits(), description="How fast the operator may ask the member's API server."
    )
    prometheus: PrometheusSource = pydantic.Field(
        description="Where the evidence is read.",
        json_schema_extra=rules(
            ("has(self.service) != has(self.url)", "exactly one of service and url must be set")
        ),
    )
    provider: Word | None = pydantic.Field(
        None, description="Cloud provider, for residency and spread constraints."
    )
    region: Word | None = pydantic.Field(
        None, description="Region, for residency and spread constraints."
    )
    zone: Word | None = pydantic.Field(None, description="Zone, for spread constraints.")
    cost: Cost | None = pydantic.Field(
        None,
        description="For placement.objective Cheapest; a member without it counts as dearer than any with it.",
    )
    spot: SpotNodes | None = pydantic.Field(
        None,
        description="Its spot nodes, for ModelDeployments with placement.spot Use; there are none when left out.",
    )
    capacity: Capacity | None = pydantic.Field(
        None, description="How much it has room for; no limit when left out."
    )
    taints: tuple[Taint, ...] = pydantic.Field(
        (),
        description="Keep ModelDeployments away that do not tolerate them.",
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["key", "effect"],
        },
    )
    feedback_url: (
        Annotated[str, pydantic.Field(max_length=1024, pattern=r"^https?://.+$")] | None
    ) = pydantic.Field(
        None,
        alias="feedbackURL",
        description="Where labels for this member are sent; told to whom sends them elsewhere.",
    )


class ModelClusterStatus(Model):
    """What the operator observed."""

    observed_generation: int = pydantic.Field(0, ge=0, json_schema_extra={"format": "int64"})
    conditions: tuple[Condition, ...] = pydantic.Field(
        (),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    version: str | None = pydantic.Field(None, max_length=64, description="Kubernetes version.")
