"""The plan: what is never broken, what stays where it is, and what is said when it does not fit."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import PODS_PER_REPLICA, Candidate, Constraint, Holding, plan

from .clusters import a_cluster, a_spec

REGIONS = {"aws": ("eu-west-1", "us-east-1"), "gcp": ("europe-west4", "us-central1")}


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for name in "abcdef"[: draw(st.integers(1, 6))]:
        provider = draw(st.sampled_from(sorted(REGIONS)))
        spec: dict[str, Any] = {
            "provider": provider,
            "region": draw(st.sampled_from(REGIONS[provider])),
        }
        if draw(st.booleans()):
            spec["capacity"] = {"replicas": draw(st.integers(0, 12))}
        if draw(st.booleans()):
            spec["cost"] = {"perReplicaHour": draw(st.sampled_from(["0.01", "0.025", "3"]))}
            if draw(st.booleans()):
                spec["spot"] = SPOT
                spec["cost"]["spotPerReplicaHour"] = draw(st.sampled_from(["0.005", "0.02"]))
        if draw(st.integers(0, 4)) == 0:
            effect = draw(st.sampled_from(["NoSchedule", "NoExecute"]))
            spec["taints"] = [{"key": "maintenance", "effect": effect}]
        found.append(a_cluster(name, {"tier": draw(st.sampled_from("ab"))}, **spec))
    return found


SPOT = {"nodeSelector": {"example.com/spot": "true"}}
CHEAP_SPOT = {"perReplicaHour": "0.020", "spotPerReplicaHour": "0.006"}


@st.composite
def specs(draw: st.DrawFn) -> ModelDeploymentSpec:
    placement: dict[str, Any] = {"objective": draw(st.sampled_from(["Spread", "Cheapest"]))}
    if draw(st.booleans()):
        regions = sorted(region for regions in REGIONS.values() for region in regions)
        placement["residency"] = {
            "regions": draw(st.lists(st.sampled_from(regions), min_size=1, unique=True))
        }
    if draw(st.booleans()):
        placement["clusterSelector"] = {"matchLabels": {"tier": "a"}}
    if draw(st.booleans()):
        placement["spreadConstraints"] = [
            {
                "spreadByField": draw(st.sampled_from(["Provider", "Region", "Zone", "Cluster"])),
                "minGroups": 1,
                "maxGroups": draw(st.integers(1, 3)),
            }
        ]
    if draw(st.integers(0, 3)) == 0:
        placement["overrides"] = [
            {"clusterName": draw(st.sampled_from("abc")), "replicas": draw(st.integers(0, 1))},
            {"clusterName": draw(st.sampled_from("def")), "spot": "Avoid"},
        ]
    placement["spot"] = draw(st.sampled_from(["Avoid", "Use"]))
    return a_spec(draw(st.integers(1, 12)), **placement)


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 6))


def places(cluster: Candidate) -> int:
    capacity = cluster.spec.capacity
    return 10**6 if capacity is None else capacity.replicas // PODS_PER_REPLICA


@settings(max_examples=120, deadline=None)
@given(candidates(), specs(), counts, counts, st.booleans())
def test_what_is_never_broken(
    clusters: list[Candidate],
    spec: ModelDeploymentSpec,
    held: Mapping[str, int],
    taken: Mapping[str, int],
    on_trial: bool,  # noqa: FBT001
) -> None:
    found = plan(clusters, spec, "ml", Holding(held, taken, on_trial))
    by_name = {cluster.name: cluster for cluster in clusters}

    for name, share in found.shares.items():
        cluster, running = by_name[name], held.get(name, 0)
        assert share > 0
        # Never beyond capacity; more than that only if it is there already and nothing else fits.
        room = max(places(cluster) - taken.get(name, 0), 0)
        assert share <= (room if found.fault is None else max(room, running))
        residency = spec.placement.residency
        assert residency is None or cluster.spec.region in (residency.regions or ())
        effects = {taint.effect for taint in cluster.spec.taints}
        assert "NoExecute" not in effects
        assert "NoSchedule" not in effects or share <= running
        for key, value in spec.placement.cluster_selector.match_labels.items():
            assert cluster.labels[key] == value
    wanted = spec.serving.replicas
    total = sum(found.shares.values())
    if found.fault is None:
        assert wanted <= total <= max(wanted, len(found.shares), wanted + len(found.shares) - 1)
        if spec.placement.objective == "Cheapest":
            assert total == wanted or on_trial
    assert {*found.shares, *(item.name for item in found.refused)} <= by_name.keys()


@settings(max_examples=120, deadline=None)
@given(candidates(), specs(), counts, counts, st.booleans(), st.booleans())
def test_planning_again_moves_nothing(
    clusters: list[Candidate],
    spec: ModelDeploymentSpec,
    held: Mapping[str, int],
    taken: Mapping[str, int],
    on_trial: bool,  # noqa: FBT001
    then_on_trial: bool,  # noqa: FBT001
) -> None:
    first = plan(clusters, spec, "ml", Holding(held, taken, on_trial))
    if on_trial and not then_on_trial:
        return  # what waited for the end of the trial moves then
    again = plan(list(reversed(clusters)), spec, "ml", Holding(first.shares, taken, then_on_trial))

    assert again.shares == first.shares


@settings(max_examples=100, deadline=None)
@given(candidates(), specs(), counts, counts)
def test_what_does_not_fit_takes_nothing_away(
    clusters: list[Candidate],
    spec: ModelDeploymentSpec,
    held: Mapping[str, int],
    taken: Mapping[str, int],
) -> None:
    found = plan(clusters, spec, "ml", Holding(held, taken))
    if found.fault is None or found.fault.constraint is Constraint.SPREAD:
        return
    refused = {item.name for item in found.refused}
    fixed = {
        item.cluster_name: item.replicas
        for item in spec.placement.overrides
        if item.replicas is not None
    }
    running = {
        name: min(count, fixed.get(name, count))
        for name, count in held.items()
        if name in {cluster.name for cluster in clusters} - refused
    }
    lost = sum(max(count - found.shares.get(name, 0), 0) for name, count in running.items())

    assert lost == 0 or sum(found.shares.values()) >= spec.serving.replicas


def of(capacity: int, **spec: Any) -> dict[str, Any]:
    return {"capacity": {"replicas": capacity}, **spec}


EUROPE = {"residency": {"regions": ["eu"]}}


@pytest.mark.parametrize(
    ("clusters", "spec", "holding", "shares", "constraint", "message"),
    [
        pytest.param(
            [a_cluster("east", **of(20)), a_cluster("west", **of(8))],
            a_spec(8),
            Holding(taken={"east": 7, "west": 2}),
            {"east": 3, "west": 2},
            Constraint.CAPACITY,
            "8 replicas wanted, members allow 5: east 3 beside 7 of others; west 2 beside 2 of "
            "others. It would fit without capacity.replicas of the ModelClusters",
            id="too little room",
        ),
        pytest.param(
            [a_cluster("east", **of(4, region="eu")), a_cluster("west", region="us")],
            a_spec(4, **EUROPE),
            Holding(),
            {"east": 2},
            Constraint.CAPACITY,
            "4 replicas wanted, members allow 2: east 2. It would fit without capacity.replicas of "
            "the ModelClusters or without spec.placement.residency. Refused: ModelCluster west is "
            "in region us; residency allows eu",
            id="too little room where it may be",
        ),
        pytest.param(
            [a_cluster("west", region="us")],
            a_spec(4, **EUROPE),
            Holding(held={"west": 4}),
            {},
            Constraint.RESIDENCY,
            "4 replicas wanted, members allow 0. It would fit without spec.placement.residency. "
            "Refused: ModelCluster west is in region us; residency allows eu",
            id="nowhere",
        ),
        pytest.param(
            [
                a_cluster(
                    "west", region="us", taints=[{"key": "maintenance", "effect": "NoExecute"}]
                )
            ],
            a_spec(4, **EUROPE),
            Holding(),
            {},
            Constraint.TAINTS,
            "4 replicas wanted, members allow 0. It would fit without taints that "
            "spec.placement.tolerations do not name and spec.placement.residency. Refused: "
            "ModelCluster west is in region us; residency allows eu",
            id="two to blame",
        ),
        pytest.param(
            [a_cluster("east", provider="aws"), a_cluster("west", provider="aws")],
            a_spec(4, spreadConstraints=[{"spreadByField": "Provider", "minGroups": 2}]),
            Holding(),
            {"east": 2, "west": 2},
            Constraint.SPREAD,
            "Spread by Provider: at least 2 wanted, in use 1: aws",
            id="one provider of two",
        ),
        pytest.param(
            [a_cluster("east", **of(4)), a_cluster("west", **of(4))],
            a_spec(4, spreadConstraints=[{"spreadByField": "Cluster", "maxGroups": 1}]),
            Holding(),
            {"east": 2, "west": 2},
            Constraint.SPREAD,
            "Spread by Cluster: at most 1 wanted, in use 2: east; west. It would fit without "
            "capacity.replicas of the ModelClusters",
            id="more clusters than there may be",
        ),
        pytest.param(
            [a_cluster("east")],
            a_spec(4, overrides=[{"clusterName": "east", "replicas": 3}]),
            Holding(),
            {"east": 3},
            Constraint.OVERRIDES,
            "4 replicas wanted, members allow 3: east 4, 3 by override. It would fit without "
            "spec.placement.overrides",
            id="nobody for the rest",
        ),
        pytest.param(
            [a_cluster("east"), a_cluster("west", **of(4))],
            a_spec(4),
            Holding(held={"east": 2, "west": 2}, lost=frozenset({"east"})),
            {"west": 2},
            Constraint.REACH,
            "4 replicas wanted, members allow 2: west 2. It would fit without the loss of members "
            "that cannot be reached or without capacity.replicas of the ModelClusters. Refused: "
            "ModelCluster east cannot be reached",
            id="no room for the lost ones",
        ),
        pytest.param(
            [],
            a_spec(1),
            Holding(),
            {},
            Constraint.SELECTOR,
            "1 replica wanted, members allow 0",
            id="no clusters",
        ),
        pytest.param(
            [a_cluster("east", **of(4)), a_cluster("west", **of(2))],
            a_spec(8),
            Holding(held={"east": 4}),
            {"east": 4, "west": 1},
            Constraint.CAPACITY,
            "8 replicas wanted, members allow 3: east 2; west 1. It would fit without "
            "capacity.replicas of the ModelClusters",
            id="less room than what runs",
        ),
    ],
)
def test_what_is_to_blame(
    clusters: list[Candidate],
    spec: ModelDeploymentSpec,
    holding: Holding,
    shares: dict[str, int],
    constraint: Constraint,
    message: str,
) -> None:
    found = plan(clusters, spec, "ml", holding)

    assert found.shares == shares
    assert found.fault is not None
    assert found.fault.constraint is constraint
    assert found.fault.message == message


@pytest.mark.parametrize(
    ("clusters", "placement", "holding", "shares"),
    [
        pytest.param(
            [a_cluster("east"), a_cluster("west")], {}, Holding(), {"east": 2, "west": 2}, id="even"
        ),
        pytest.param(
            [a_cluster("east", **of(4)), a_cluster("west")],
            {},
            Holding(taken={"east": 1}),
            {"east": 1, "west": 3},
            id="two places for each replica",
        ),
        pytest.param(
            [a_cluster(name) for name in ("a", "b", "c")],
            {"overrides": [{"clusterName": "b", "replicas": 2}]},
            Holding(),
            {"a": 1, "b": 2, "c": 1},
            id="a number of its own",
        ),
        pytest.param(
            [
                a_cluster("aws-1", provider="aws", cost={"perReplicaHour": "0.010"}),
                a_cluster("aws-2", provider="aws", cost={"perReplicaHour": "0.011"}),
                a_cluster("gcp-1", provider="gcp", cost={"perReplicaHour": "0.031"}),
                a_cluster("gcp-2", provider="gcp"),
            ],
            {
                "objective": "Cheapest",
                "spreadConstraints": [{"spreadByField": "Provider", "minGroups": 2}],
            },
            Holding(),
            {"aws-1": 3, "gcp-1": 1},
            id="cheapest over two providers",
        ),
        pytest.param(
            [
                a_cluster("a", cost={"perReplicaHour": "0.010"}),
                a_cluster("b", cost=CHEAP_SPOT, spot=SPOT),
                a_cluster("c", cost=CHEAP_SPOT, spot=SPOT),
            ],
            {"objective": "Cheapest"},
            Holding(),
            {"a": 4},
            id="spot prices are no matter to who avoids spot nodes",
        ),
        pytest.param(
            [
                a_cluster("a", cost={"perReplicaHour": "0.010"}),
                a_cluster("b", cost=CHEAP_SPOT, spot=SPOT),
                a_cluster("c", cost=CHEAP_SPOT, spot=SPOT),
            ],
            {
                "objective": "Cheapest",
                "spot": "Use",
                "overrides": [{"clusterName": "b", "spot": "Avoid"}],
            },
            Holding(),
            {"c": 4},
            id="spot prices where spot nodes may be used",
        ),
        pytest.param(
            [a_cluster("a"), a_cluster("b")],
            {"overrides": [{"clusterName": "b", "image": "mirror.example.com/server:1"}]},
            Holding(),
            {"a": 2, "b": 2},
            id="an override without a number shares like the others",
        ),
        pytest.param(
            [a_cluster(f"{region}-{n}", region=region) for region in ("eu", "us") for n in (1, 2)],
            {"spreadConstraints": [{"spreadByField": "Region", "maxGroups": 1}]},
            Holding(held={"us-1": 2, "us-2": 2}),
            {"us-1": 2, "us-2": 2},
            id="stays in the region where it is",
        ),
        pytest.param(
            [a_cluster("east"), a_cluster("west")],
            {},
            Holding(held={"east": 4}, on_trial=True),
            {"east": 4},
            id="a member that joins in a trial waits",
        ),
        pytest.param(
            [a_cluster("east", provider="aws"), a_cluster("west", provider="gcp")],
            {"spreadConstraints": [{"spreadByField": "Provider", "minGroups": 2}]},
            Holding(held={"east": 4}, on_trial=True),
            {"east": 4},
            id="a spread that can be met after the trial is no fault",
        ),
        pytest.param(
            [
                a_cluster("east", taints=[{"key": "gone", "effect": "NoSchedule"}]),
                a_cluster("west"),
            ],
            {},
            Holding(held={"east": 1, "west": 1}),
            {"east": 1, "west": 3},
            id="no more where it is tainted",
        ),
    ],
)
def test_where_replicas_go(
    clusters: list[Candidate],
    placement: dict[str, Any],
    holding: Holding,
    shares: dict[str, int],
) -> None:
    found = plan(clusters, a_spec(4, **placement), "ml", holding)

    assert (found.shares, found.fault) == (shares, None)


def test_a_member_that_is_lost_and_one_that_is_back() -> None:
    clusters = [a_cluster("east"), a_cluster("south"), a_cluster("west")]
    here = {"east": 2, "west": 2}
    lost = plan(clusters, a_spec(), "ml", Holding(here, {}, True, frozenset({"east"})))
    assert (lost.shares, lost.lost) == ({"west": 4}, {"east"})  # where the trial is

    back = plan(clusters, a_spec(), "ml", Holding({**here, **lost.shares}))
    assert back.shares == {"east": 2, "south": 1, "west": 1}


def test_members_outside_of_the_residency_are_forbidden() -> None:
    clusters = [a_cluster("east", region="eu"), a_cluster("west", region="us")]
    found = plan(clusters, a_spec(**EUROPE), "ml", Holding(held={"east": 2, "west": 2}))

    assert (found.shares, found.forbidden) == ({"east": 4}, {"west"})
    assert found.summary == "4 replicas: east 4"
