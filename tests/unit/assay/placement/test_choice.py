"""Which members may serve."""

from typing import Any

import pytest

from assay.placement import Candidate, Constraint, choose

from .clusters import a_cluster, a_spec


def a_taint(effect: str, key: str = "maintenance", **value: str) -> dict[str, Any]:
    return {"taints": [{"key": key, "effect": effect, **value}]}


SERVING = {"clusterSelector": {"matchLabels": {"tier": "serving"}}}
EUROPE = {"residency": {"regions": ["eu-west-1", "eu-central-1"]}}
TOLERANT = {"tolerations": [{"key": "maintenance", "operator": "Exists"}]}
GPU = {"tolerations": [{"key": "gpu", "value": "a100"}]}


@pytest.mark.parametrize(
    ("cluster", "placement"),
    [
        pytest.param(a_cluster("east", {"tier": "serving"}), SERVING, id="it has the label"),
        pytest.param(
            a_cluster("east", allowedNamespaces={"matchNames": ["ml"]}), {}, id="it allows us"
        ),
        pytest.param(a_cluster("east", region="eu-west-1"), EUROPE, id="it is in the region"),
        pytest.param(a_cluster("east", **a_taint("NoExecute")), TOLERANT, id="we tolerate it"),
        pytest.param(
            a_cluster("east", **a_taint("NoExecute")),
            {"tolerations": [{"operator": "Exists"}]},
            id="we tolerate everything",
        ),
        pytest.param(
            a_cluster("east", **a_taint("NoSchedule", "gpu", value="a100")),
            GPU,
            id="we tolerate this value",
        ),
    ],
)
def test_a_cluster_may_serve(cluster: Candidate, placement: dict[str, Any]) -> None:
    choice = choose([cluster], a_spec(**placement), "ml")

    assert [item.name for item in choice.members] == ["east"]
    assert (choice.refused, choice.closed) == ((), frozenset())


@pytest.mark.parametrize(
    ("cluster", "placement", "constraint", "message"),
    [
        pytest.param(
            a_cluster("east"),
            SERVING,
            Constraint.SELECTOR,
            "ModelCluster east has no label tier; placement wants tier=serving",
            id="the label is missing",
        ),
        pytest.param(
            a_cluster("east", {"tier": "batch"}),
            SERVING,
            Constraint.SELECTOR,
            "ModelCluster east has tier=batch; placement wants tier=serving",
            id="the label has another value",
        ),
        pytest.param(
            a_cluster("east", allowedNamespaces={"matchNames": ["web", "ops"]}),
            {},
            Constraint.NAMESPACE,
            "ModelCluster east does not allow namespace ml (spec.allowedNamespaces names web, ops)",
            id="the namespace is not allowed",
        ),
        pytest.param(
            a_cluster("east", region="us-east-1"),
            EUROPE,
            Constraint.RESIDENCY,
            "ModelCluster east is in region us-east-1; residency allows eu-west-1, eu-central-1",
            id="another region",
        ),
        pytest.param(
            a_cluster("east"),
            EUROPE,
            Constraint.RESIDENCY,
            "ModelCluster east names no spec.region; residency allows eu-west-1, eu-central-1",
            id="no region",
        ),
        pytest.param(
            a_cluster("east", region="eu-west-1", provider="gcp"),
            {"residency": {"regions": ["eu-west-1"], "providers": ["aws"]}},
            Constraint.RESIDENCY,
            "ModelCluster east is in provider gcp; residency allows aws",
            id="another provider",
        ),
        pytest.param(
            a_cluster("east", **a_taint("NoSchedule", value="now")),
            {},
            Constraint.TAINTS,
            "ModelCluster east has taint maintenance=now:NoSchedule, which is not tolerated",
            id="a taint",
        ),
        pytest.param(
            a_cluster("east", **a_taint("NoSchedule", "gpu", value="h100")),
            GPU,
            Constraint.TAINTS,
            "ModelCluster east has taint gpu=h100:NoSchedule, which is not tolerated",
            id="a taint of another value",
        ),
        pytest.param(
            a_cluster("east"),
            {"overrides": [{"clusterName": "east", "replicas": 0}]},
            Constraint.OVERRIDES,
            "spec.placement.overrides give ModelCluster east no replicas",
            id="an override of nothing",
        ),
    ],
)
def test_a_cluster_is_refused(
    cluster: Candidate, placement: dict[str, Any], constraint: Constraint, message: str
) -> None:
    choice = choose([cluster], a_spec(**placement), "ml")

    [refusal] = choice.refused
    assert choice.members == ()
    assert (refusal.constraint, refusal.message) == (constraint, message)
    assert choose([cluster], a_spec(**placement), "ml", without={constraint}).refused == ()


@pytest.mark.parametrize(("effect", "stays"), [("NoSchedule", True), ("NoExecute", False)], ids=str)
def test_a_taint_where_something_runs(effect: str, stays: bool) -> None:  # noqa: FBT001
    choice = choose([a_cluster("east", **a_taint(effect))], a_spec(), "ml", held={"east"})

    assert [item.name for item in choice.members] == (["east"] if stays else [])
    assert choice.closed == ({"east"} if stays else set())


@pytest.mark.parametrize(
    ("lost", "members", "refused"),
    [
        pytest.param({"east"}, ["west"], ["east"], id="one of two"),
        pytest.param({"east", "west"}, ["east", "west"], [], id="all: it is us who reach nobody"),
        pytest.param(set[str](), ["east", "west"], [], id="none"),
    ],
)
def test_who_cannot_be_reached_is_refused(
    lost: set[str], members: list[str], refused: list[str]
) -> None:
    choice = choose([a_cluster("west"), a_cluster("east")], a_spec(), "ml", lost=lost)

    assert [item.name for item in choice.members] == members
    assert [item.name for item in choice.refused] == refused
    assert {item.constraint for item in choice.refused} <= {Constraint.REACH}


def test_clusters_are_sorted_by_name() -> None:
    choice = choose([a_cluster("west"), a_cluster("east")], a_spec(), "ml")

    assert [item.name for item in choice.members] == ["east", "west"]
