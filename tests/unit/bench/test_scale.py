"""What bench.scale makes and counts, apart from clusters."""

from collections import Counter

import pytest

from bench.scale import argo, clusters
from bench.scale.argo import Figure

METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="",verb="APPLY"} 3
apiserver_request_total{code="409",group="apps",resource="deployments",subresource="",verb="PUT"} 1
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="status",verb="PATCH"} 5
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="",verb="LIST"} 7
apiserver_request_duration_seconds_count{resource="deployments",subresource="",verb="PUT"} 11
"""


def test_writes_are_counted_by_resource_whatever_became_of_them():
    assert clusters.written(METRICS) == {"deployments": 4, "deployments/status": 5}


def test_a_controllers_writes_are_without_the_users_and_those_of_the_simulation():
    total = Counter({"rollouts": 15, "rollouts/status": 20, "replicasets/status": 30, "leases": 4})
    assert argo.made(total, argo.ROLLOUTS, 10) == {"rollouts/status": 2.0, "rollouts": 0.5}


def workload(name, replicas):
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}}


@pytest.mark.parametrize(
    ("document", "mark"),
    [
        (workload("stable", 9), None),
        (workload("new", 0), None),
        (workload("new", 1), argo.CANARY),
    ],
    ids=["known", "without pods", "with pods"],
)
def test_a_canary_is_new_and_asks_for_pods(document, mark):
    assert argo.of_canaries(frozenset({"stable"}))(document) == mark


TEMPLATE = {"spec": {"containers": [{"name": "server", "image": "a"}, {"name": "other"}]}}


def test_a_rollout_selects_its_own_pods_and_waits_at_every_weight():
    made = argo.rollout(7, TEMPLATE)["spec"]
    assert made["selector"]["matchLabels"].items() <= made["template"]["metadata"]["labels"].items()
    steps = made["strategy"]["canary"]["steps"]
    assert [step for step in steps if "setWeight" in step] == [{"setWeight": 10}, {"setWeight": 50}]
    assert steps[1::2] == [{"pause": {}}, {"pause": {}}]


def test_another_version_is_another_image_of_the_first_container_alone():
    first, other = argo.renewed(TEMPLATE)["template"]["spec"]["containers"]
    assert first == {"name": "server", "image": argo.NEW_IMAGE}
    assert other == {"name": "other"}


@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        ({"generation": 2, "observedGeneration": "2", "phase": "Healthy"}, True),
        ({"generation": 2, "observedGeneration": "1", "phase": "Healthy"}, False),
        ({"generation": 2, "observedGeneration": "2", "phase": "Progressing"}, False),
        ({"generation": 2}, False),
    ],
    ids=["healthy", "of an older spec", "progressing", "not seen yet"],
)
def test_a_rollout_is_healthy_when_its_status_is_of_its_spec(status, healthy):
    assert argo.is_healthy(status) is healthy


def test_the_table_says_how_many_times_the_second_the_first_is():
    columns = {
        "ours": {"CPU": Figure(150.4, "ms"), "writes": Figure(3.0, "")},
        "theirs": {"CPU": Figure(75.2, "ms"), "writes": Figure(0.0, "")},
    }
    assert argo.table(columns).splitlines()[2:] == [
        "| CPU | 150 ms | 75.2 ms | 2.00 |",
        "| writes | 3.0 | 0.0 |  |",
    ]


def test_argo_rollouts_is_pinned_and_no_program_of_a_fleet():
    pins = (argo.PROGRAM.source / "go.mod").read_text()
    assert f"{argo.MODULE} {argo.VERSION} // indirect\n" in pins
    assert f"{argo.MODULE} {argo.VERSION} h1:" in (argo.PROGRAM.source / "go.sum").read_text()
    assert argo.PROGRAM not in argo.programs.ALL
