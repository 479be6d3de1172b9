"""One story on a hub and three members, told in chapters that each leave the world serving.

Every chapter can be run alone (``-k``); together they are one run under the same clients and the
same watch, and the last chapter says what never happened in any of the others.
"""

import contextlib
import datetime
import functools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from assay.members.resources import DEPLOYMENT, REVISION
from demo.manifests import NAMESPACE
from demo.models import Version, artifact, copy_of
from demo.stage import Observed
from fleet import Cluster
from tests.e2e.test_canary_scale import ERRORS, share
from tests.e2e.test_hands import OnCall
from tests.e2e.test_placement import shares
from tests.e2e.test_reclaim import evict, serving_pods, share_in, taken_back
from tests.e2e.trial import Trial, wait_until
from tests.e2e.witness import Witness, watched
from tests.world.report import Fact, Record
from tests.world.world import EVERYWHERE, FORBIDDEN, RESIDENT, RESIDENTS, UNUSED, Kept, World

pytestmark = pytest.mark.e2e

PILOT = {"name": "pilot", "clusterSelector": {"matchLabels": {"provider": "aws"}}}
OTHERS: dict[str, Any] = {"name": "others", "maxConcurrency": 1}
KILLED = "gcp-eu"


@contextlib.contextmanager
def deployments_of(trial: Trial) -> Iterator[dict[str, Witness]]:
    """Every version of the trial's Deployments, by member."""
    mine = f"{DEPLOYMENT}={trial.name}"
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(watched(cluster, NAMESPACE, "deployments", mine))
            for name, cluster in trial.stage.members.items()
        }


@contextlib.contextmanager
def without_power(cluster: Cluster) -> Iterator[None]:
    cluster.cut_power()
    try:
        yield
    finally:
        cluster.restore_power()


def waits_for_approval(found: Observed) -> bool:
    return found.condition("Paused")[:2] == ("True", "WaitingForApproval")


def came(seen: Witness, revision: str) -> datetime.datetime:
    """When the Deployment of a revision was made, in whole seconds."""
    [text] = {
        item["metadata"]["creationTimestamp"]
        for item in seen.seen
        if item["metadata"]["labels"][REVISION] == revision
    }
    return datetime.datetime.fromisoformat(text)


def got_ready(trial: Trial, member: str, revision: str) -> datetime.datetime:
    """When the one pod of a revision in a member got ready, in whole seconds."""
    [pod] = trial.objects(member, "pods", f"{REVISION}={revision}")
    [text] = {
        item["lastTransitionTime"]
        for item in pod["status"]["conditions"]
        if (item["type"], item["status"]) == ("Ready", "True")
    }
    return datetime.datetime.fromisoformat(text)


def test_waves_go_on_when_somebody_approves_one_member_at_a_time(
    world: World, record: Record
) -> None:
    trial, good = world.everywhere, artifact(Version.GOOD)
    began = time.monotonic()
    with deployments_of(trial) as seen:
        waves = [PILOT, {**OTHERS, "approval": "Manual"}]
        trial.apply(good, {**EVERYWHERE, "rollout.waves": waves})
        found = trial.until("a pilot that has won", waits_for_approval)
        assert found.status.rollout is not None
        assert found.status.rollout.latched is not None
        assert found.status.canary is not None
        canary, latched = found.status.canary.revision, found.status.rollout.latched
        won = time.monotonic() - began
        assert [name for name in seen if canary in seen[name].labels(REVISION)] == ["aws-eu"]

        approved = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        OnCall(world.stage.hub.kubeconfig).does("approve", trial.name)
        assert trial.verdict(good).verdict is Verdict.PROMOTE
        trial.until("the new version serves", lambda it: it.is_ready)
        took = time.monotonic() - began

    assert latched.verdict is Verdict.PROMOTE
    first, second = sorted(("gcp-eu", "gcp-us"), key=lambda name: came(seen[name], canary))
    assert came(seen[first], canary) >= approved
    assert came(seen[second], canary) >= got_ready(trial, first, canary)
    assert world.failures == []
    order = f"aws-eu, then {first}, then {second}"
    record.note(Fact.WAVES, f"{order}; verdict after {won:.0f} s, all of it {took:.0f} s")


def test_a_wave_beyond_its_budget_is_taken_back_and_one_within_it_goes_on(
    world: World, record: Record
) -> None:
    trial, copy = world.everywhere, copy_of(Version.GOOD)
    now = world.stage.read(trial.name)
    assert now is not None
    assert now.status.stable is not None
    stable = now.status.stable

    def wanted(failures: int) -> dict[str, object]:
        return {
            **EVERYWHERE,
            "rollout.waves": [PILOT, {**OTHERS, "maxFailures": failures}],
            "rollout.canary.steps": [{"weight": 50, "minSeconds": 3}],
            "rollout.progressDeadlineSeconds": 45,
            "rollout.analysis.metrics": [],
            "rollout.analysis.guards": [ERRORS],
        }

    with taken_back(world.stage.members["gcp-us"]):
        trial.apply(copy, wanted(0))
        entry = trial.verdict(copy)
        found = trial.until("told", lambda it: it.condition("Stalled")[0] == "True")
        assert (entry.verdict, entry.reason) == (Verdict.ROLLBACK, "ProgressDeadlineExceeded")
        assert found.status.stable == stable
        assert len(found.status.rejected_revisions) == 1
        refused = found.status.rejected_revisions[0].revision
        for member in world.stage.members:
            assert share(trial, member, refused) == 0
            assert share(trial, member, stable.revision) == 100

        # The same version once more, by another generation of the spec, and one member may fail.
        trial.apply(copy, wanted(1))
        found = trial.until(
            "promoted without gcp-us",
            lambda it: (
                it.status.stable is not None
                and it.status.stable.revision == refused
                and share(trial, "aws-eu", refused) == share(trial, "gcp-eu", refused) == 100
            ),
        )
        assert share(trial, "gcp-us", stable.revision) == 100, "its old version serves on"
    found = trial.until("gcp-us has followed", lambda it: it.is_ready)
    assert {item.revision for item in found.status.clusters} == {refused}
    assert share(trial, "gcp-us", refused) == 100
    assert world.failures == []
    record.note(
        Fact.BUDGET,
        "`maxFailures: 0`: taken back in all three; `maxFailures: 1`: promoted, it follows when it can",
    )


def test_the_replicas_of_a_killed_member_serve_elsewhere(world: World, record: Record) -> None:
    trials = {
        world.everywhere: {"aws-eu": 1, "gcp-eu": 1, "gcp-us": 1},
        world.resident: {"aws-eu": 2, "gcp-eu": 2},
    }
    stable: dict[Trial, str] = {}
    for trial, usual in trials.items():
        now = trial.until("at rest", lambda it: it.is_ready)
        assert shares(now) == usual
        assert now.status.stable is not None
        stable[trial] = now.status.stable.revision
    left = [name for name in world.stage.members if name != KILLED]
    world.leave(KILLED)
    before = world.requests
    began = time.monotonic()
    with without_power(world.stage.members[KILLED]):
        took: dict[str, float] = {}

        def moved() -> bool:
            for trial, usual in trials.items():
                ready = sum(trial.ready_pods(name, stable[trial]) for name in left)
                if ready >= sum(usual.values()):
                    took.setdefault(trial.name, time.monotonic() - began)
            return len(took) == len(trials)

        wait_until("all replicas Ready elsewhere", moved, 240.0)
        for trial, usual in trials.items():
            found = trial.until("told", lambda it: it.is_ready)
            assert found.condition("MembersReachable")[0] == "False"
            planned = sum(shares(found).get(name) or 0 for name in left)
            assert planned == sum(usual.values())
            _came_when_it_was_lost(trial, found, left, stable[trial])
        asked = world.requests - before
        assert world.failures == []
        returned = time.monotonic()
    for trial, usual in trials.items():
        trial.until("everybody back", functools.partial(_is_as_usual, usual))
    world.ask(KILLED)
    back = time.monotonic() - returned
    assert asked > 0
    seconds = ", ".join(f"`{name}` {value:.1f} s" for name, value in took.items())
    record.note(Fact.FAILOVER, seconds)
    record.note(Fact.OUTAGE, f"{asked}, 0 failed")
    record.note(Fact.RETURN, f"after {back:.0f} s")


def _is_as_usual(usual: dict[str, int], found: Observed) -> bool:
    reached = found.condition("MembersReachable")[0] == "True"
    return found.is_ready and reached and shares(found) == usual


def _came_when_it_was_lost(trial: Trial, found: Observed, members: list[str], stable: str) -> None:
    """No replica moves before the member was gone for tolerationSeconds."""
    [lost] = [item for item in found.status.clusters if item.name == KILLED]
    assert lost.unreachable_since is not None
    limit = lost.unreachable_since + datetime.timedelta(seconds=10)
    pods = [
        datetime.datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        for member in members
        for pod in trial.objects(member, "pods", f"{REVISION}={stable}")
    ]
    moved = [at for at in pods if at > lost.unreachable_since]
    assert moved
    assert min(moved) >= limit


def test_a_trial_outlives_a_node_that_is_taken_back_and_the_hub(
    world: World, record: Record
) -> None:
    trial, good, member = world.resident, artifact(Version.GOOD), "gcp-eu"
    steps = [{"weight": 20, "minSeconds": 3}, {"pause": "Manual"}, {"weight": 50}]
    trial.apply(
        good,
        {
            **RESIDENT,
            "rollout.canary.steps": steps,
            "rollout.scaleDownDelaySeconds": 120,  # so that old pods can be looked at to the end
        },
    )
    found = trial.until("a step that waits for a person", waits_for_approval)
    assert found.status.rollout is not None
    assert found.status.stable is not None
    assert found.status.canary is not None
    rollout = found.status.rollout
    canary, stable = found.status.canary.revision, found.status.stable.revision
    trial.until("a share", lambda it: share_in(it, member) == 20)

    away = _taken_back_and_drained(trial, member, canary, stable)
    reclaimed = trial.until("still on trial", lambda it: bool(it.status.analysis))
    assert reclaimed.status.rollout is not None
    assert reclaimed.status.rollout.id == rollout.id
    assert reclaimed.status.rollout.stage is RolloutStage.TRIAL
    assert world.failures == []
    record.note(Fact.RECLAIM, f"for {away:.0f} s, then it is the canary's again; same trial")

    before, others = world.pods(), world.stage.read(world.everywhere.name)
    labels = {item.metric: item.labels_canary for item in reclaimed.status.analysis}
    began = time.monotonic()
    world.lose_hub()
    adopted = trial.until(
        "a judgement on the same trial by the new hub",
        lambda it: it.status.rollout is not None and bool(it.status.analysis),
    )
    took = time.monotonic() - began
    assert adopted.status.rollout is not None
    assert adopted.status.rollout.id == rollout.id
    assert adopted.status.rollout.started_at == rollout.started_at
    assert adopted.status.rollout.step == rollout.step
    assert all(item.labels_canary >= labels[item.metric] for item in adopted.status.analysis)
    same = world.everywhere.until("the other one is adopted", lambda it: it.is_ready)
    assert others is not None
    assert same.status.stable == others.status.stable
    assert world.pods() == before

    trial.until("it waits for a person still", waits_for_approval)
    OnCall(world.stage.hub.kubeconfig).does("approve", trial.name)
    entry = trial.verdict(good)
    trial.until("the new version serves", lambda it: it.is_ready)
    assert (entry.verdict, entry.id) == (Verdict.PROMOTE, rollout.id)
    after = world.pods()
    assert {name: after.get(name) for name in before if canary in name} == {
        name: pod for name, pod in before.items() if canary in name
    }
    assert world.failures == []
    for one in (world.everywhere, world.resident):
        assert "Adopted" in {event.reason for event in world.stage.events(one.name)}
    record.note(
        Fact.HUB,
        f"judged again after {took:.0f} s under the same id; of {len(before)} pods 0 restarted",
    )


def _taken_back_and_drained(trial: Kept, member: str, canary: str, stable: str) -> float:
    """The canary's node ends on notice, then stable is drained; return how long the share was away."""
    cluster = trial.stage.members[member]
    gone = serving_pods(trial, member, canary)
    assert gone
    with taken_back(cluster):
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, "--wait=false", *gone)
        trial.until("stable takes the share", lambda it: share_in(it, member) == 0)
        began = time.monotonic()
    trial.until("the share is the canary's again", lambda it: share_in(it, member) == 20)
    away = time.monotonic() - began
    assert not set(serving_pods(trial, member, canary)) & set(gone)
    drained = serving_pods(trial, member, stable)
    assert len(drained) == 2
    assert evict(cluster, drained[0])
    assert not evict(cluster, drained[1]), "both at once would be an outage"
    wait_until("the next may go", functools.partial(evict, cluster, drained[1]), 120.0)
    for revision, number in ((stable, 2), (canary, len(gone))):
        whole = functools.partial(_is_whole, trial, member, revision, number)
        wait_until("as many pods as before", whole, 120.0)
    return away


def _is_whole(trial: Kept, member: str, revision: str, number: int) -> bool:
    """Whether a revision has so many pods in a member, all ready, and none that is ending."""
    there = len(trial.objects(member, "pods", f"{REVISION}={revision}"))
    return there == trial.ready_pods(member, revision) == number


def test_what_never_happened(world: World, record: Record) -> None:
    """At no moment an object of `resident` outside of its region, and not one failed request."""
    versions = 0
    for kind, witness in world.outside.items():
        owners = witness.labels(DEPLOYMENT)
        assert kind in UNUSED or world.everywhere.name in owners, f"the watch of {kind} is blind"
        assert world.resident.name not in owners, f"a {kind} came to {FORBIDDEN}"
        versions += len(witness.seen)
    for member in RESIDENTS:
        assert world.resident.objects(member, "deployments")
    assert world.failures == []
    assert world.requests > 500
    record.note(Fact.RESIDENCY, f"{versions}, of the one that must not come there 0")
    record.note(Fact.REQUESTS, f"{world.requests}, 0 failed")
