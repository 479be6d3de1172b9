"""The operator is killed with -9 in the middle of each stage: same verdict, no stable pod restarted."""

import contextlib
import functools
import json
from collections.abc import Iterator

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact
from demo.stage import SYSTEM, Stage
from fleet import Cluster
from tests.e2e.trial import Trial, kill, wait_until

pytestmark = pytest.mark.e2e

STEPS = [{"weight": 20, "minSeconds": 3}, {"weight": 50, "minSeconds": 8}]


def kill_operator(stage: Stage) -> None:
    """Kill -9 it, and spare it kubelet's growing back-off: the pod that comes next is a new one."""
    assert kill(stage.hub, "assay.controller") > 0
    stage.hub.kubectl(
        *("delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"),
        *("--force", "--grace-period=0", "--wait=false"),
    )


def operator_works(stage: Stage) -> bool:
    found = stage.hub.kubectl(
        *("get", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "json")
    )
    pods = json.loads(found)["items"]
    return any(item["ready"] for pod in pods for item in pod["status"].get("containerStatuses", []))


def gives(trial: Trial, member: str, percent: int) -> bool:
    """Whether the member's own HTTPRoute gives the canary that much."""
    [route] = trial.objects(member, "httproutes")
    stable, slot = route["spec"]["rules"][0]["backendRefs"]
    on_trial: bool = slot["name"] != stable["name"]
    return on_trial and slot["weight"] >= percent


@contextlib.contextmanager
def frozen_route(cluster: Cluster, name: str) -> Iterator[None]:
    """A member that refuses every change of the route: the last stage cannot end."""
    meta = {"name": f"frozen-{name}"}
    rules = [
        {
            "apiGroups": ["gateway.networking.k8s.io"],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["httproutes"],
        }
    ]
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": meta,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "validations": [
                {"expression": f"object.metadata.name != '{name}'", "message": "frozen by a test"}
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": meta,
        "spec": {"policyName": meta["name"], "validationActions": ["Deny"]},
    }
    items = {"apiVersion": "v1", "kind": "List", "items": [policy, binding]}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(items))
    try:
        yield
    finally:
        cluster.kubectl("delete", "-f", "-", input=json.dumps(items))


@pytest.mark.parametrize(
    ("version", "verdict", "last", "last_weight"),
    [
        (Version.CORRUPTED, Verdict.ROLLBACK, RolloutStage.ROLLING_BACK, 20),
        (Version.GOOD, Verdict.PROMOTE, RolloutStage.PROMOTING, 50),
    ],
    ids=["rollback", "promotion"],
)
def test_killed_in_every_stage(
    trial: Trial, version: Version, verdict: Verdict, last: RolloutStage, last_weight: int
) -> None:
    trial.start(artifact(Version.FIRST))
    found = trial.stage.read(trial.name)
    assert found is not None
    assert found.status.stable is not None
    stable = found.status.stable.revision
    before = trial.pods(stable)
    with trial.stream(60.0) as stream:
        trial.apply(
            artifact(version),
            {"rollout.canary.steps": STEPS, "rollout.scaleDownDelaySeconds": 120},
        )
        trial.until_stage(RolloutStage.STARTING, version.value)
        kill_operator(trial.stage)
        trial.until_stage(RolloutStage.TRIAL, version.value)
        kill_operator(trial.stage)
        for member in trial.stage.members:
            wait_until(
                f"{last_weight} % in {member}",
                functools.partial(gives, trial, member, last_weight),
                seconds=180.0,
            )
        with frozen_route(trial.stage.members["west"], trial.name):
            trial.until(
                f"stage {last.value}",
                lambda it: it.status.rollout is not None and it.status.rollout.stage is last,
            )
            kill_operator(trial.stage)
            wait_until("an operator that works again", lambda: operator_works(trial.stage))
        entry = trial.verdict(artifact(version))
        trial.until(
            "told after the last kill",
            lambda it: (
                it.is_ready if verdict is Verdict.PROMOTE else it.condition("Stalled")[0] == "True"
            ),
        )

    assert entry.verdict is verdict
    assert trial.pods(stable) == before
    assert stream.log.failures == []
