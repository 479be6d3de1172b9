"""Choosing the members and dividing the replicas between them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec


@dataclass(frozen=True)
class Candidate:
    """A ModelCluster as placement sees it: its name, its labels and its spec."""

    name: str
    labels: Mapping[str, str]
    spec: ModelClusterSpec


@dataclass(frozen=True)
class Refusal:
    """A ModelCluster that does not serve, and why, for people."""

    name: str
    message: str


@dataclass(frozen=True)
class Choice:
    """The members that serve and the ones that were refused, both sorted by name."""

    members: tuple[str, ...]
    refused: tuple[Refusal, ...]


def choose(clusters: Iterable[Candidate], spec: ModelDeploymentSpec, namespace: str) -> Choice:
    """Return which of `clusters` serve a ModelDeployment with `spec` in `namespace`.

    A member must carry every label of ``spec.placement.clusterSelector`` (an empty selector
    matches every ModelCluster) and allow the namespace.
    """
    members = []
    refused = []
    for cluster in sorted(clusters, key=lambda item: item.name):
        why = _refusal(cluster, spec, namespace)
        if why is None:
            members.append(cluster.name)
        else:
            refused.append(Refusal(cluster.name, why))
    return Choice(tuple(members), tuple(refused))


def _refusal(cluster: Candidate, spec: ModelDeploymentSpec, namespace: str) -> str | None:
    for key, value in sorted(spec.placement.cluster_selector.match_labels.items()):
        found = cluster.labels.get(key)
        if found is None:
            return f"ModelCluster {cluster.name} has no label {key}; placement wants {key}={value}"
        if found != value:
            return f"ModelCluster {cluster.name} has {key}={found}; placement wants {key}={value}"
    allowed = cluster.spec.allowed_namespaces.match_names
    if allowed and namespace not in allowed:
        return (
            f"ModelCluster {cluster.name} does not allow namespace {namespace}"
            f" (spec.allowedNamespaces names {', '.join(allowed)})"
        )
    return None


def divide(replicas: int, members: Sequence[str]) -> dict[str, int]:
    """Return how many pods per revision each of `members` runs.

    Every member gets at least one, so that the sum is ``max(replicas, len(members))``; shares
    differ by one at most, and the first members by name get the larger ones. No member, no pods.
    """
    names = sorted(set(members))
    if not names:
        return {}
    share, rest = divmod(max(replicas, len(names)), len(names))
    return {name: share + (1 if index < rest else 0) for index, name in enumerate(names)}
