"""Which members serve, and how many pods each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate, Refusal, choose, divide


def a_cluster(name: str, *namespaces: str, **labels: str) -> Candidate:
    spec = {
        "clusterSource": {"inCluster": {}},
        "prometheus": {"url": "http://prometheus"},
        "allowedNamespaces": {"matchNames": list(namespaces)},
    }
    return Candidate(name, labels, ModelClusterSpec.model_validate(spec))


def a_spec(**labels: str) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": "https://models.example.com/7",
                "version": "7",
                "digest": "sha256:" + "7" * 64,
            },
            "traffic": {"parentRefs": [{"name": "models"}]},
            "placement": {"clusterSelector": {"matchLabels": labels}},
        }
    )


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        pytest.param(a_cluster("east", tier="serving"), None, id="label and namespace fit"),
        pytest.param(a_cluster("east", "ml", tier="serving"), None, id="the namespace is allowed"),
        pytest.param(
            a_cluster("east"),
            "ModelCluster east has no label tier; placement wants tier=serving",
            id="the label is missing",
        ),
        pytest.param(
            a_cluster("east", tier="batch"),
            "ModelCluster east has tier=batch; placement wants tier=serving",
            id="the label has another value",
        ),
        pytest.param(
            a_cluster("east", "web", "ops", tier="serving"),
            "ModelCluster east does not allow namespace ml (spec.allowedNamespaces names web, ops)",
            id="the namespace is not allowed",
        ),
    ],
)
def test_a_cluster_serves_unless_there_is_a_reason(cluster: Candidate, message: str | None) -> None:
    choice = choose([cluster], a_spec(tier="serving"), "ml")

    if message is None:
        assert (choice.members, choice.refused) == (("east",), ())
    else:
        assert (choice.members, choice.refused) == ((), (Refusal("east", message),))


def test_an_empty_selector_takes_every_cluster_sorted_by_name() -> None:
    choice = choose([a_cluster("west"), a_cluster("east")], a_spec(), "ml")

    assert choice.members == ("east", "west")


@pytest.mark.parametrize(
    ("replicas", "members", "shares"),
    [
        pytest.param(4, ["east", "west"], {"east": 2, "west": 2}, id="even"),
        pytest.param(5, ["west", "east"], {"east": 3, "west": 2}, id="the first by name gets more"),
        pytest.param(1, ["a", "b", "c"], {"a": 1, "b": 1, "c": 1}, id="everyone gets one"),
        pytest.param(3, [], {}, id="nobody gets nothing"),
    ],
)
def test_replicas_are_divided(replicas: int, members: list[str], shares: dict[str, int]) -> None:
    assert divide(replicas, members) == shares


@given(st.integers(1, 1000), st.sets(st.text("abc", min_size=1), min_size=1))
def test_shares_add_up_and_are_fair(replicas: int, members: set[str]) -> None:
    shares = divide(replicas, sorted(members))

    assert set(shares) == members
    assert sum(shares.values()) == max(replicas, len(members))
    assert min(shares.values()) >= 1
    assert max(shares.values()) - min(shares.values()) <= 1
