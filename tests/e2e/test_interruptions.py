"""The operator is killed with -9 in the middle of each stage: same verdict, no stable pod restarted."""

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact
from demo.stage import SYSTEM, Observed, Stage
from tests.e2e.trial import Trial, kill

pytestmark = pytest.mark.e2e


def kill_operator(stage: Stage) -> int:
    """Kill -9 it, and spare it kubelet's growing back-off: the pod that comes next is a new one."""
    killed = kill(stage.hub, "assay.controller")
    stage.hub.kubectl(
        *("delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"),
        *("--force", "--grace-period=0", "--wait=false"),
    )
    return killed


@pytest.mark.parametrize(
    ("version", "verdict", "stages"),
    [
        (
            Version.CORRUPTED,
            Verdict.ROLLBACK,
            (RolloutStage.STARTING, RolloutStage.TRIAL, RolloutStage.ROLLING_BACK),
        ),
        (
            Version.GOOD,
            Verdict.PROMOTE,
            (RolloutStage.STARTING, RolloutStage.TRIAL, RolloutStage.PROMOTING),
        ),
    ],
    ids=["rollback", "promotion"],
)
def test_killed_in_every_stage(
    trial: Trial, version: Version, verdict: Verdict, stages: tuple[RolloutStage, ...]
) -> None:
    trial.start(artifact(Version.FIRST))
    found = trial.stage.read(trial.name)
    assert found is not None
    assert found.status.stable is not None
    stable = found.status.stable.revision
    before = trial.pods(stable)
    kills = 0
    with trial.stream(60.0) as stream:
        trial.apply(artifact(version), {"rollout.scaleDownDelaySeconds": 120})
        seen: set[RolloutStage] = set()

        def kill_once_in_each_stage(found: Observed) -> bool:
            nonlocal kills
            rollout = found.status.rollout
            if rollout is None or found.status.observed_generation != found.generation:
                return False
            if rollout.stage in stages and rollout.stage not in seen:
                seen.add(rollout.stage)
                kills += kill_operator(trial.stage)
            return any(item.version == version.value for item in found.status.history)

        trial.until("a verdict", kill_once_in_each_stage)
        entry = trial.verdict(artifact(version))
        # Stages that pass between two looks are caught once the verdict is in: kill there as well.
        kills += kill_operator(trial.stage)
        trial.until(
            "told after the last kill",
            lambda it: (
                it.is_ready if verdict is Verdict.PROMOTE else it.condition("Stalled")[0] == "True"
            ),
        )

    assert {RolloutStage.STARTING, RolloutStage.TRIAL} <= seen
    assert kills >= 3
    assert entry.verdict is verdict
    assert trial.pods(stable) == before
    assert stream.log.failures == []
