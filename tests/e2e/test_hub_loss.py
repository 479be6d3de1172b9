"""The hub is lost in the middle of a trial; a new one has the same manifests and nothing else."""

import functools
from collections.abc import Iterator

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact
from demo.stage import RELEASE, SYSTEM, Stage
from tests.e2e.trial import Trial, kill, wait_until

pytestmark = pytest.mark.e2e

STEPS = {
    "rollout.canary.steps": [{"weight": 20, "minSeconds": 10}, {"weight": 50}],
    "rollout.scaleDownDelaySeconds": 120,
}


def stop_operator(hub: Stage) -> None:
    """End it as a cluster that is lost ends it: nothing is let go of."""
    hub.hub.kubectl("scale", "deployment", "-n", SYSTEM, "--all", "--replicas=0")
    kill(hub.hub, "assay.controller")


def held_by_other(hub: Stage, member: str) -> bool:
    found = hub.hub.read(f"/apis/assay.dev/v1alpha1/modelclusters/{member}")
    conditions = found.get("status", {}).get("conditions", [])
    return any(item["reason"] == "HeldByOtherHub" for item in conditions)


@pytest.fixture
def new_hub(stage: Stage) -> Iterator[Stage]:
    """East, which has never been a hub, takes the place of the one that is lost; not installed yet."""
    new = Stage(stage.members["east"], stage.members)
    try:
        yield new
    finally:
        new.hub.kubectl("delete", "mdep", "--all", "-A", "--ignore-not-found", "--timeout=60s")
        new.hub.kubectl("delete", "modelclusters", "--all", "--ignore-not-found")
        new.hub.helm("uninstall", RELEASE, "-n", SYSTEM, "--wait", "--ignore-not-found")
        stage.hub.kubectl("scale", "deployment", "-n", SYSTEM, "--all", "--replicas=1")
        for member in stage.members:
            stage.wait_for_cluster(member)


def test_a_new_hub_adopts_what_runs(trial: Trial, stage: Stage, new_hub: Stage) -> None:
    trial.start(artifact(Version.FIRST))
    with trial.stream(60.0) as stream:
        trial.apply(artifact(Version.CORRUPTED))
        assert trial.verdict(artifact(Version.CORRUPTED)).verdict is Verdict.ROLLBACK
        trial.apply(artifact(Version.GOOD), STEPS)
        status = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value).status
        assert status.stable is not None
        assert status.canary is not None
        assert status.rollout is not None
        running = [status.stable.revision, status.canary.revision]
        before = [trial.pods(revision) for revision in running]
        stop_operator(stage)

        # Helm waits for the CRDs; members are reachable when the lost hub's Leases have ended.
        new_hub.install()
        adopting = Trial(new_hub, trial.store, trial.name)
        adopting.apply(artifact(Version.GOOD), STEPS)
        found = adopting.until("adoption", lambda it: it.status.rollout is not None).status
        assert found.rollout is not None
        assert found.rollout.id == status.rollout.id
        assert [trial.pods(revision) for revision in running] == before
        assert adopting.verdict(artifact(Version.GOOD)).verdict is Verdict.PROMOTE
        adopting.until("version that won serves", lambda it: it.is_ready)
        assert trial.pods(running[1]) == before[1]

        # What lost on the hub that is gone is not tried on this one.
        adopting.apply(artifact(Version.CORRUPTED))
        adopting.until("rejected still", lambda it: it.condition("Stalled")[1] == "RolledBack")

        # The lost hub comes back; its trial is long over and it is told so.
        routes = [trial.objects(member, "httproutes") for member in stage.members]
        stage.hub.kubectl("scale", "deployment", "-n", SYSTEM, "--all", "--replicas=1")
        for member in stage.members:
            wait_until(f"{member} kept from it", functools.partial(held_by_other, stage, member))
        assert [trial.objects(member, "httproutes") for member in stage.members] == routes
    assert stream.log.failures == []
    assert {"Adopted", "Promoted"} <= {event.reason for event in new_hub.events(trial.name)}
