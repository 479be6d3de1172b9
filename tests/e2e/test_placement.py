"""Residency and capacity in real members: who must not serve leaves, and a steady stream loses nothing."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from demo.manifests import NAMESPACE, secret_name
from demo.models import Version, artifact
from demo.stage import SYSTEM, Observed, Stage, member_kubeconfig
from tests.e2e.trial import Trial, wait_until
from tests.e2e.witness import watched

pytestmark = pytest.mark.e2e


def shares(found: Observed) -> dict[str, int | None]:
    return {item.name: item.replicas for item in found.status.clusters}


def change(stage: Stage, member: str, **spec: Any) -> None:
    """Change what a ModelCluster says of its member; None takes a field away."""
    stage.hub.kubectl(
        *("patch", "modelcluster", member, "--type=merge", "-p", json.dumps({"spec": spec}))
    )


def pods(trial: Trial, member: str) -> set[str]:
    """The uids of the serving pods in a member."""
    found = trial.objects(member, "pods", "app.kubernetes.io/component=server")
    return {pod["metadata"]["uid"] for pod in found}


@contextlib.contextmanager
def out_of_reach(stage: Stage, member: str) -> Iterator[None]:
    """A member whose API server the hub cannot find any more; its pods know nothing of it."""
    kubeconfig = member_kubeconfig(stage.members[member])
    document = yaml.safe_load(kubeconfig)
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    _set_kubeconfig(stage, member, yaml.safe_dump(document))
    try:
        yield
    finally:
        _set_kubeconfig(stage, member, kubeconfig)


def _set_kubeconfig(stage: Stage, member: str, kubeconfig: str) -> None:
    data = {"stringData": {"kubeconfig": kubeconfig}}
    name = secret_name(member)
    stage.hub.kubectl(
        *("patch", "secret", name, "-n", SYSTEM, "--type=merge", "-p", json.dumps(data))
    )


@pytest.fixture(name="roomy")
def _roomy(stage: Stage) -> Iterator[Stage]:
    yield stage
    change(stage, "west", capacity=None)


def test_who_must_not_serve_leaves_and_what_does_not_fit_says_so(
    trial: Trial, roomy: Stage
) -> None:
    first = artifact(Version.FIRST)
    trial.start(first, {"serving.replicas": 2})
    assert shares(found := trial.until("placed", lambda it: it.is_ready)) == {"east": 1, "west": 1}
    assert found.condition("Placed") == ("True", "ReplicasPlaced", "2 replicas: east 1; west 1")
    stream = trial.stream(50.0, members=["west"])
    in_east = pods(trial, "east")
    servers = f"assay.dev/deployment={trial.name},app.kubernetes.io/component=server"
    with stream, watched(roomy.members["east"], NAMESPACE, "pods", servers) as witness:
        witness.wait_for(*in_east)
        # East lies outside of the residency from now on: its pod leaves, and no other one comes.
        trial.apply(first, {"serving.replicas": 2, "placement.residency": {"regions": ["west"]}})
        wait_until("no pod in east", lambda: not pods(trial, "east"))
        found = trial.until("moved", lambda it: it.is_ready and shares(it) == {"west": 2})
        assert found.condition("Placed")[2] == "2 replicas: west 2"
        in_west = pods(trial, "west")

        # West has less room than what runs there: that stays, and status says what is to blame.
        change(roomy, "west", capacity={"replicas": 2})
        found = trial.until("told", lambda it: it.condition("Placed")[0] == "False")
        assert found.condition("Placed")[1:] == (
            "CapacityExceeded",
            "2 replicas wanted, members allow 1: west 1. It would fit without capacity.replicas of "
            "the ModelClusters or without spec.placement.residency. Refused: ModelCluster east is in "
            "region east; residency allows west",
        )
        assert found.condition("Stalled")[:2] == ("True", "CapacityExceeded")
        assert found.condition("Available")[0] == "True"

        # Nowhere at all: what serves goes on, where it is.
        trial.apply(first, {"serving.replicas": 2, "placement.residency": {"regions": ["mars"]}})
        found = trial.until(
            "nowhere", lambda it: it.condition("Stalled")[:2] == ("True", "OutsideResidency")
        )
        assert pods(trial, "west") == in_west
        assert witness.uids == in_east, "a pod came to a member outside of the residency"

        # Allowed everywhere again: one replica each has room.
        trial.apply(first, {"serving.replicas": 2})
        trial.until("back", lambda it: it.is_ready and shares(it) == {"east": 1, "west": 1})
    assert stream.log.failures == []
    assert stream.log.rows()


def test_the_replicas_of_a_lost_member_move_and_come_back(trial: Trial, stage: Stage) -> None:
    changes = {"serving.replicas": 2, "placement.tolerationSeconds": 10}
    trial.start(artifact(Version.FIRST), changes)
    in_east = pods(trial, "east")
    with out_of_reach(stage, "east"):
        trial.until("unreachable", lambda it: it.condition("MembersReachable")[0] == "False")
        began = time.monotonic()
        found = trial.until("moved", lambda it: it.is_ready and shares(it)["west"] == 2)
        took = time.monotonic() - began
        assert found.condition("MembersReachable")[0] == "False"
        assert pods(trial, "east") == in_east  # they serve on, although nobody can ask them
    trial.until(
        "back",
        lambda it: (
            it.is_ready
            and shares(it) == {"east": 1, "west": 1}
            and it.condition("MembersReachable")[0] == "True"
        ),
    )
    assert pods(trial, "east") == in_east
    print(f"replicas served elsewhere {took:.1f} s after the loss was seen")
