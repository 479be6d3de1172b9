"""Which members may serve at all, and why the others may not."""

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.api.placement import Placement, Taint, TaintEffect, Toleration, TolerationOperator


class Constraint(enum.Enum):
    """What keeps replicas from a member; the value is how messages call it."""

    SELECTOR = "spec.placement.clusterSelector"
    NAMESPACE = "allowedNamespaces of the ModelClusters"
    RESIDENCY = "spec.placement.residency"
    TAINTS = "taints that spec.placement.tolerations do not name"
    REACH = "the loss of members that cannot be reached"
    CAPACITY = "capacity.replicas of the ModelClusters"
    OVERRIDES = "spec.placement.overrides"
    SPREAD = "spec.placement.spreadConstraints"


@dataclass(frozen=True)
class Candidate:
    """A ModelCluster as placement sees it: its name, its labels and its spec."""

    name: str
    labels: Mapping[str, str]
    spec: ModelClusterSpec


@dataclass(frozen=True)
class Refusal:
    """A ModelCluster that does not serve, why, and why for people."""

    name: str
    constraint: Constraint
    message: str


@dataclass(frozen=True)
class Choice:
    """The members that may serve and the ones that were refused, both sorted by name.

    Attributes
    ----------
    closed
        Members that may keep what they run and get no more (a taint NoSchedule).
    """

    members: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]
    closed: frozenset[str] = frozenset()


def choose(
    clusters: Iterable[Candidate],
    spec: ModelDeploymentSpec,
    namespace: str,
    held: Collection[str] = (),
    without: Collection[Constraint] = (),
    lost: Collection[str] = (),
) -> Choice:
    """Return which of `clusters` may serve a ModelDeployment with `spec` in `namespace`.

    A member must carry every label of ``clusterSelector`` (an empty selector matches every
    ModelCluster), allow the namespace, lie within ``residency``, and have no taint that is not
    tolerated; one with NoSchedule may go on if it is among the `held`, the members that run
    something. ``overrides`` with no replicas refuse a member, too.

    Parameters
    ----------
    without
        Constraints that are left out, to find out what would be so without them.
    lost
        Members that cannot be reached for longer than is tolerated. They are refused unless
        nobody else may serve: then it is more likely that it is us who reach nobody.
    """
    members = []
    refused = []
    closed = []
    wanted = spec.placement
    nothing = {item.cluster_name for item in wanted.overrides if item.replicas == 0}
    for cluster in sorted(clusters, key=lambda item: item.name):
        refusal = _refusal(cluster, wanted, namespace, nothing, without)
        if refusal is not None:
            refused.append(refusal)
            continue
        taint = None if Constraint.TAINTS in without else _taint(cluster, wanted.tolerations)
        if taint is None:
            members.append(cluster)
        elif taint.effect is TaintEffect.NO_SCHEDULE and cluster.name in held:
            members.append(cluster)
            closed.append(cluster.name)
        else:
            refused.append(Refusal(cluster.name, Constraint.TAINTS, _tainted(cluster.name, taint)))
    choice = Choice(tuple(members), tuple(refused), frozenset(closed))
    return choice if Constraint.REACH in without else _reachable(choice, lost)


def _reachable(choice: Choice, lost: Collection[str]) -> Choice:
    there = tuple(item for item in choice.members if item.name not in lost)
    if not there:
        return choice
    gone = (
        Refusal(item.name, Constraint.REACH, f"ModelCluster {item.name} cannot be reached")
        for item in choice.members
        if item.name in lost
    )
    refused = sorted((*choice.refused, *gone), key=lambda item: item.name)
    return Choice(there, tuple(refused), choice.closed)


def _refusal(
    cluster: Candidate,
    placement: Placement,
    namespace: str,
    nothing: Collection[str],
    without: Collection[Constraint],
) -> Refusal | None:
    """Return the first reason, taints apart, against a member."""
    for constraint, why in (
        (Constraint.SELECTOR, _unlabelled(cluster, placement)),
        (Constraint.NAMESPACE, _closed_to(cluster, namespace)),
        (Constraint.RESIDENCY, _elsewhere(cluster, placement)),
        (
            Constraint.OVERRIDES,
            f"spec.placement.overrides give ModelCluster {cluster.name} no replicas"
            if cluster.name in nothing
            else None,
        ),
    ):
        if why is not None and constraint not in without:
            return Refusal(cluster.name, constraint, why)
    return None


def _unlabelled(cluster: Candidate, placement: Placement) -> str | None:
    for key, value in sorted(placement.cluster_selector.match_labels.items()):
        found = cluster.labels.get(key)
        if found is None:
            return f"ModelCluster {cluster.name} has no label {key}; placement wants {key}={value}"
        if found != value:
            return f"ModelCluster {cluster.name} has {key}={found}; placement wants {key}={value}"
    return None


def _closed_to(cluster: Candidate, namespace: str) -> str | None:
    allowed = cluster.spec.allowed_namespaces.match_names
    if not allowed or namespace in allowed:
        return None
    return (
        f"ModelCluster {cluster.name} does not allow namespace {namespace}"
        f" (spec.allowedNamespaces names {', '.join(allowed)})"
    )


def _elsewhere(cluster: Candidate, placement: Placement) -> str | None:
    residency = placement.residency
    if residency is None:
        return None
    for field, value, allowed in (
        ("region", cluster.spec.region, residency.regions),
        ("provider", cluster.spec.provider, residency.providers),
    ):
        if allowed and value not in allowed:
            has = f"is in {field} {value}" if value else f"names no spec.{field}"
            return f"ModelCluster {cluster.name} {has}; residency allows {', '.join(allowed)}"
    return None


def _taint(cluster: Candidate, tolerations: Collection[Toleration]) -> Taint | None:
    """Return the taint that keeps most away among those that are not tolerated."""
    found = [
        taint
        for taint in cluster.spec.taints
        if not any(_tolerates(toleration, taint) for toleration in tolerations)
    ]
    hard = [taint for taint in found if taint.effect is TaintEffect.NO_EXECUTE]
    return next(iter(hard or found), None)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Return whether a taint is tolerated, by the rules of Kubernetes for pods and nodes."""
    if toleration.effect not in {None, taint.effect}:
        return False
    if toleration.key not in {None, taint.key}:
        return False
    return toleration.operator is TolerationOperator.EXISTS or toleration.value == taint.value


def _tainted(name: str, taint: Taint) -> str:
    value = f"={taint.value}" if taint.value else ""
    return f"ModelCluster {name} has taint {taint.key}{value}:{taint.effect.value}, which is not tolerated"
