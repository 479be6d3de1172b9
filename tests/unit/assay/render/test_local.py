"""What is different in the pods of one member, and that it makes no other revision."""

from typing import Any

import pytest

from assay.api.model_cluster import SpotNodes
from assay.render.member import MemberTarget, plan

from .builders import SEVEN, a_hash, a_spec, a_status, a_target

SPOT = SpotNodes.model_validate(
    {
        "nodeSelector": {"cloud.google.com/gke-spot": "true"},
        "tolerations": [
            {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
        ],
    }
)


def pods_in(member: str, nodes: SpotNodes | None = None, **placement: Any) -> dict[str, Any]:
    """The pod spec of version 7 in a member."""
    clusters = [{"name": member, "reachable": True, "revision": SEVEN}]
    target = a_target(a_status(clusters=clusters), spec=a_spec(placement=placement))
    [revision] = plan(target, MemberTarget(member, 2, nodes)).revisions
    assert revision.deployment is not None
    assert revision.anchor["data"]["template"] == target.templates[SEVEN], "the same everywhere"
    found: dict[str, Any] = revision.deployment["spec"]["template"]["spec"]
    return found


EAST = {
    "clusterName": "east",
    "image": "mirror.example.com/assay-server:1",
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
}


def test_an_override_changes_the_pods_of_its_member_and_of_no_other() -> None:
    east, west = pods_in("east", overrides=[EAST]), pods_in("west", overrides=[EAST])
    for container in (*east["initContainers"], *east["containers"]):
        assert container["image"] == "mirror.example.com/assay-server:1"
        assert container["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}
    assert east["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert west == pods_in("west")
    assert "nodeSelector" not in west


@pytest.mark.parametrize("what", ["image", "resources", "nodeSelector"])
def test_what_an_override_does_not_say_stays(what: str) -> None:
    plain = pods_in("east")
    found = pods_in("east", overrides=[{"clusterName": "east", what: EAST[what]}])
    for name in ("image", "resources"):
        same = found["containers"][0][name] == plain["containers"][0][name]
        assert same is (name != what)
    assert ("nodeSelector" in found) is (what == "nodeSelector")


def test_no_override_makes_another_revision() -> None:
    assert a_hash(placement={"overrides": [EAST], "spot": "Use"}) == a_hash()


def test_pods_that_may_use_spot_nodes_prefer_them_and_run_elsewhere_while_there_is_none() -> None:
    found = pods_in("east", SPOT, spot="Use")
    [preferred] = found["affinity"]["nodeAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert preferred["preference"]["matchExpressions"] == [
        {"key": "cloud.google.com/gke-spot", "operator": "In", "values": ["true"]}
    ]
    assert found["tolerations"] == [
        {
            "key": "cloud.google.com/gke-spot",
            "operator": "Equal",
            "value": "true",
            "effect": "NoSchedule",
        }
    ]
    assert "nodeSelector" not in found, "a node selector would keep pods pending"


@pytest.mark.parametrize(
    ("nodes", "placement"),
    [
        (SPOT, {}),
        (SPOT, {"spot": "Use", "overrides": [{"clusterName": "east", "spot": "Avoid"}]}),
        (SPOT, {"overrides": [{"clusterName": "west", "spot": "Use"}]}),
        (None, {"spot": "Use"}),
    ],
    ids=["by default", "avoided here", "used elsewhere only", "there are none"],
)
def test_pods_stay_away_from_spot_nodes(nodes: SpotNodes | None, placement: dict[str, Any]) -> None:
    assert pods_in("east", nodes, **placement) == pods_in("east")
