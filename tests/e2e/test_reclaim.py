"""Spot nodes and what is different in members: pods go and come back, requests do not fail, the trial goes on."""

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import SERVER_IMAGE, Observed, Stage
from fleet import Cluster
from fleet.processes import CommandError
from tests.e2e.test_placement import change
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

STEPS = [{"weight": 30, "minSeconds": 120}]
SPOT = {
    "nodeSelector": {"example.com/spot": "true"},
    "tolerations": [{"key": "example.com/spot", "operator": "Exists"}],
}


@contextlib.contextmanager
def taken_back(cluster: Cluster) -> Iterator[None]:
    """The notice has come: no pod may start on the member's node. The next one comes afterwards."""
    [node] = cluster.kubectl("get", "nodes", "-o", "name").split()
    cluster.kubectl("cordon", node)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", node)


def serving_pods(trial: Trial, member: str, revision: str) -> list[str]:
    """The pods of a revision in a member that are not ending."""
    return [
        pod["metadata"]["name"]
        for pod in trial.objects(member, "pods", f"assay.dev/revision={revision}")
        if "deletionTimestamp" not in pod["metadata"]
    ]


def evict(cluster: Cluster, pod: str) -> bool:
    """Ask for the eviction of a pod, as a drain does; return whether the budget allows it now."""
    document = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    try:
        cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(document))
    except CommandError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def share_in(found: Observed, member: str) -> int:
    """The percent of a member's traffic that the canary has by status."""
    [cluster] = [item for item in found.status.clusters if item.name == member]
    return cluster.weight


def test_a_canary_whose_node_is_taken_back_and_a_drain_of_stable_lose_no_request(
    trial: Trial, stage: Stage
) -> None:
    changes: dict[str, Any] = {
        "serving.replicas": 4,
        "rollout.canary.steps": STEPS,
        "rollout.canary.scale": "Full",  # so that two pods of the canary go at once
    }
    trial.start(artifact(Version.FIRST), changes)
    east = stage.members["east"]
    with trial.stream(60.0) as stream:
        trial.apply(artifact(Version.GOOD), changes)
        found = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
        assert found.status.rollout is not None
        assert found.status.canary is not None
        assert found.status.stable is not None
        rollout, canary = found.status.rollout.id, found.status.canary.revision
        stable = found.status.stable.revision
        trial.until("a share in east", lambda it: share_in(it, "east") == 30)

        # A reclaim ends the pods with their grace and asks no budget.
        gone = serving_pods(trial, "east", canary)
        assert len(gone) == 2
        with taken_back(east):
            east.kubectl("delete", "pod", "-n", NAMESPACE, "--wait=false", *gone)
            trial.until("stable takes the share in east", lambda it: share_in(it, "east") == 0)
        trial.until("the share is the canary's again", lambda it: share_in(it, "east") == 30)
        assert not set(serving_pods(trial, "east", canary)) & set(gone)

        # A drain asks: one of two at a time, the next one when another pod is ready.
        before = serving_pods(trial, "east", stable)
        assert len(before) == 2
        assert evict(east, before[0])
        assert not evict(east, before[1]), "both at once would be an outage"
        wait_until("the next may go", functools.partial(evict, east, before[1]), 120.0)

        now = stage.read(trial.name)
        assert now is not None
        assert now.status.rollout is not None
        assert now.status.rollout.id == rollout
        assert now.status.rollout.decision is None, "still on trial"
        entry = trial.verdict(artifact(Version.GOOD))
    assert (entry.verdict, entry.id) == (Verdict.PROMOTE, rollout)
    assert stream.log.failures == []


def spec_of_pods(trial: Trial, member: str) -> list[dict[str, Any]]:
    found = trial.objects(member, "pods", "app.kubernetes.io/component=server")
    return [pod["spec"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


@pytest.fixture(name="with_spot")
def _with_spot(stage: Stage) -> Iterator[Stage]:
    """East has spot nodes; its one node is none."""
    change(stage, "east", spot=SPOT)
    yield stage
    change(stage, "east", spot=None)


def test_an_override_rolls_the_pods_of_its_member_only(trial: Trial, with_spot: Stage) -> None:
    first = artifact(Version.FIRST)
    trial.start(first, {"serving.replicas": 2})
    found = with_spot.read(trial.name)
    assert found is not None
    assert found.status.stable is not None
    stable = found.status.stable.revision
    before = trial.pods(stable)
    override: dict[str, Any] = {
        "clusterName": "east",
        "image": SERVER_IMAGE,
        "resources": {"requests": {"cpu": "110m", "memory": "200Mi"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
    }
    with trial.stream(40.0) as stream:
        changes = {
            "serving.replicas": 2,
            "placement.overrides": [override],
            "placement.spot": "Use",
        }
        trial.apply(first, changes)
        wait_until("other pods in east", lambda: _rolled(trial, stable, before), 120.0)
        [pod] = spec_of_pods(trial, "east")
        assert pod["containers"][0]["resources"]["requests"] == {"cpu": "110m", "memory": "200Mi"}
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert any(item.get("key") == "example.com/spot" for item in pod["tolerations"])
        assert "nodeAffinity" in pod["affinity"]

        # One that cannot be pulled leaves the old pod serving, and status says why.
        wrong = {**override, "image": "registry.invalid/assay-server:none"}
        trial.apply(first, {**changes, "placement.overrides": [wrong]})
        found = trial.until("told", lambda it: "registry.invalid" in _message_of_east(it))
        assert found.condition("Available")[0] == "True"
        trial.apply(first, {"serving.replicas": 2})
        wait_until("as before", lambda: "nodeSelector" not in spec_of_pods(trial, "east")[0], 120.0)
        trial.until("nothing to tell", lambda it: it.is_ready and not _message_of_east(it))
    after = trial.pods(stable)
    assert {name: pod for name, pod in after.items() if name.startswith("west")} == {
        name: pod for name, pod in before.items() if name.startswith("west")
    }
    now = with_spot.read(trial.name)
    assert now is not None
    assert now.status.history == found.status.history, "there was no trial"
    assert now.status.stable == found.status.stable
    assert stream.log.failures == []


def _rolled(trial: Trial, revision: str, before: dict[str, tuple[str, int]]) -> bool:
    now = trial.pods(revision)
    there = [name for name in now if name.startswith("east")]
    return len(there) == 1 and not set(there) & before.keys()


def _message_of_east(found: Observed) -> str:
    [east] = [item for item in found.status.clusters if item.name == "east"]
    return east.message
