"""No gateway has a part in it: pods behind a Service make the shares, and servers know their strata by themselves."""

import time

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from assay.rollout.traffic import IDLE_STRATUM
from demo.log import Prediction
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import Observed
from demo.stream import Target
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

REPLICAS = 2
"""In each of the two members: beside them the canary has 1 at 20 % and 2 at 50 %."""

CHANGES: dict[str, object] = {
    "traffic": {"mode": "Replicas"},
    "serving.replicas": 2 * REPLICAS,
    "rollout.canary.steps": [{"weight": 20}, {"weight": 50, "minSeconds": 30}],
}
DECIDING = 600.0
"""Servers are told of everything ahead, and a step takes the longer for it."""


def entries(trial: Trial) -> list[Target]:
    """Where clients ask: the entry Service of each member."""
    return [
        Target(
            target.member,
            trial.stage.members[target.member].service_url(NAMESPACE, trial.name, 80),
            target.ledger,
        )
        for target in trial.stage.targets(trial.name)
    ]


def behind(trial: Trial, member: str) -> set[str]:
    """Revisions of the pods that the member's entry Service sends requests to."""
    pods = {pod["metadata"]["name"]: pod for pod in trial.objects(member, "pods")}
    found = trial.stage.members[member].read(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        f"?labelSelector=kubernetes.io/service-name%3D{trial.name}"
    )
    return {
        pods[each["targetRef"]["name"]]["metadata"]["labels"]["assay.dev/revision"]
        for item in found["items"]
        for each in item.get("endpoints") or ()
        if each["conditions"].get("ready") and each["targetRef"]["name"] in pods
    }


def shares(found: Observed) -> dict[str, int | None]:
    return {item.name: item.share for item in found.status.clusters}


def in_step(rows: list[Prediction], rollout: str, step: int) -> list[Prediction]:
    return [row for row in rows if (row.rollout, row.step) == (rollout, step)]


def test_pods_make_the_shares(trial: Trial) -> None:
    first, worse, good = (artifact(version) for version in Version)
    trial.start(first, CHANGES)
    stable = trial.until("it serves", lambda it: it.is_ready).status.stable
    assert stable is not None
    members = tuple(trial.stage.members)
    for member in members:
        assert trial.objects(member, "httproutes") == []
        assert behind(trial, member) == {stable.revision}

    with trial.stream(60.0, targets=entries(trial)) as stream:
        # A canary gets its share of the connections, and nothing of it counts yet.
        trial.apply(worse, CHANGES)
        mixed = trial.until(
            "both are behind the Service",
            lambda it: set(shares(it).values()) == {33},
            seconds=120.0,
        )
        assert mixed.status.share == 33
        canary = mixed.status.canary
        assert canary is not None
        for member in members:
            assert behind(trial, member) == {stable.revision, canary.revision}

        # Back to what the spec named before: the canary is behind no Service, and its pods end.
        trial.apply(first, CHANGES)
        trial.until("the trial has ended", lambda it: it.is_ready)
        wait_until(
            "answers of version 1 alone",
            lambda: {row.version for row in stream.log.recent(2.0)} == {"1"},
        )
        for member in members:
            assert behind(trial, member) == {stable.revision}
        early = [row for row in stream.log.rows() if row.version == worse.version]
        assert {f"{row.rollout}/{row.step}" for row in early} <= {IDLE_STRATUM}

        trial.apply(good, CHANGES)
        began = trial.until_stage(RolloutStage.TRIAL, good.version).status
        assert began.rollout is not None
        rollout = began.rollout.id
        announced = trial.until(
            "the first step is announced",
            lambda it: all(item.strata for item in it.status.clusters),
            seconds=60.0,
        )
        # Each member for itself, as soon as its pods are ready.
        since = {
            item.name: item.strata[-1].since.timestamp()
            for item in announced.status.clusters
            if item.strata
        }
        assert max(since.values()) > time.time(), "it is announced before it counts"
        second = trial.until(
            "the pods of the second step",
            lambda it: set(shares(it).values()) == {50},
            seconds=DECIDING,
        )
        assert second.status.share == 50
        entry = trial.until(
            "a verdict",
            lambda it: any(item.version == good.version for item in it.status.history),
            seconds=DECIDING,
        ).status.history[0]
        ended = time.time()
        trial.until("the new version serves", lambda it: it.is_ready)
        wait_until(
            "answers of version 3 alone",
            lambda: {row.version for row in stream.log.recent(2.0)} == {"3"},
        )

    assert (entry.verdict, entry.version) == (Verdict.PROMOTE, good.version), entry.message
    assert stream.log.failures == []
    rows = stream.log.rows()
    # kube-proxy draws lots for connections, of which each lasts some seconds: some fifty in the first step.
    first_step = [row.version for row in in_step(rows, rollout, 0)]
    assert abs(first_step.count("3") / len(first_step) - 1 / 3) < 0.25
    for step in (0, 1):
        assert {row.version for row in in_step(rows, rollout, step)} == {"1", "3"}
    for row in in_step(rows, rollout, 0):
        assert row.answered >= since[row.member] - 1
    # Between the steps nothing counts: that is when the pods change.
    last = max(row.answered for row in in_step(rows, rollout, 0))
    next_ = min(row.answered for row in in_step(rows, rollout, 1))
    between = [row for row in rows if last + 1 < row.answered < next_ - 1]
    assert between
    assert {row.rollout for row in between} == {"idle"}
    assert ended > next_
