"""People and their rollouts: by kubectl-assay, as a user who may no more than operate."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from assay.api.deployment_status import RequestResult, Verdict
from assay.api.deployment_status import Stage as RolloutStage
from assay.cli.member_kubeconfig import document
from demo.manifests import NAMESPACE
from demo.models import Version, artifact, copy_of
from demo.stage import Stage
from tests.e2e.test_interruptions import kill_operator, operator_works
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

USER = f"system:serviceaccount:{NAMESPACE}:on-call"


class OnCall:
    """Somebody with the ClusterRole assay-operate in the namespace, and the command line."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        self._kubeconfig = kubeconfig

    def asks(self, verb: str, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        program = pathlib.Path(sys.executable).with_name("kubectl-assay")
        where = ("-n", NAMESPACE, "--kubeconfig", str(self._kubeconfig))
        command = [str(program), verb, name, *where, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def does(self, verb: str, name: str, *words: str) -> str:
        answer = self.asks(verb, name, *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


@pytest.fixture
def on_call(stage: Stage, tmp_path: pathlib.Path) -> Iterator[OnCall]:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "on-call", "namespace": NAMESPACE},
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "on-call", "namespace": NAMESPACE},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "assay-operate",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "on-call", "namespace": NAMESPACE}],
    }
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": [account, binding]})
    stage.hub.kubectl("apply", "--server-side", "-f", "-", input=items)
    token = stage.hub.kubectl("create", "token", "on-call", "-n", NAMESPACE).strip()
    [entry] = yaml.safe_load(
        stage.hub.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "yaml")
    )["clusters"]
    hub = entry["cluster"]
    path = tmp_path / "on-call.kubeconfig"
    found = document(hub["server"], hub["certificate-authority-data"], token, "on-call")
    path.write_text(yaml.safe_dump(found))
    yield OnCall(path)
    stage.hub.kubectl("delete", "-f", "-", input=items)


def test_approve_abort_and_retry(trial: Trial, on_call: OnCall) -> None:
    trial.start(artifact(Version.FIRST))
    with trial.stream(60.0) as stream:
        steps = [{"weight": 20}, {"pause": "Manual"}, {"weight": 50}]
        changes = {"rollout.canary.steps": steps}
        trial.apply(artifact(Version.GOOD), changes)
        trial.until(
            "a pause", lambda it: it.condition("Paused")[:2] == ("True", "WaitingForApproval")
        )
        # What GitOps tools compare by: nothing in a trial differs from what was asked for.
        manifest = json.dumps(trial.manifest(artifact(Version.GOOD), changes))
        compared = ("diff", "--server-side", "--force-conflicts", "-f", "-")
        assert trial.stage.hub.kubectl(*compared, input=manifest) == ""
        assert "kubectl assay approve" in on_call.does("status", trial.name)
        assert on_call.asks("resume", trial.name).returncode == 1
        assert "step 2 is approved" in on_call.does("approve", trial.name, "--reason", "seen")
        assert trial.verdict(artifact(Version.GOOD)).verdict is Verdict.PROMOTE

        again = copy_of(Version.GOOD)
        trial.apply(again, {"rollout.canary.steps": [{"weight": 50, "minSeconds": 3600}]})
        trial.until_stage(RolloutStage.TRIAL, again.version)
        judged = trial.until(
            "two hundred labels of the canary",
            lambda it: any(item.labels_canary > 200 for item in it.status.analysis),
        )
        on_call.does("abort", trial.name, "--reason", "page 4711")
        over = trial.until("rolled back", lambda it: it.condition("Stalled")[1] == "RolledBack")
        on_call.does("retry", trial.name)
        retried = trial.until(
            "a judgement on the labels from before, too",
            lambda it: (
                it.status.rollout is not None
                and it.status.rollout.stage is RolloutStage.TRIAL
                and bool(it.status.analysis)
            ),
        )
        on_call.does("promote", trial.name, "--full", "--reason", "the same model")
        entry = trial.until("taken", lambda it: it.is_ready).status.history[0]
        said = on_call.does("undo", trial.name, "--to-revision", Version.GOOD.value)
        back = trial.until("undone", lambda it: it.condition("Stalled")[1] == "RolledBack")
        wait_until(
            "answers of the earlier version alone",
            lambda: {item.version for item in stream.log.recent(1.0)} == {Version.GOOD.value},
        )

    assert judged.status.rollout is not None
    aborted = over.status.history[0]
    assert (aborted.reason, aborted.by) == ("AbortedByHand", USER)
    assert aborted.request_reason == "page 4711"
    assert retried.status.rollout is not None
    assert retried.status.rollout.earlier == (judged.status.rollout.id,)
    before = {item.metric: item.labels_canary for item in judged.status.analysis}
    assert all(item.labels_canary >= before[item.metric] for item in retried.status.analysis)
    assert (entry.reason, entry.by, entry.version) == ("PromotedByHand", USER, again.version)
    assert back.status.stable is not None
    assert back.status.stable.version == Version.GOOD.value
    assert artifact(Version.GOOD).digest in said
    assert stream.log.failures == []


def test_an_operator_that_is_killed_acts_once(trial: Trial, on_call: OnCall) -> None:
    trial.start(artifact(Version.FIRST))
    with trial.stream(30.0) as stream:
        steps = [{"weight": 20, "minSeconds": 3600}, {"weight": 50}]
        trial.apply(artifact(Version.GOOD), {"rollout.canary.steps": steps})
        trial.until_stage(RolloutStage.TRIAL, "3")
        on_call.asks("abort", trial.name, "--timeout", "0")
        kill_operator(trial.stage)
        wait_until("an operator that works again", lambda: operator_works(trial.stage))
        found = trial.until(
            "an answer and an end",
            lambda it: (
                it.status.last_request is not None and it.condition("Stalled")[1] == "RolledBack"
            ),
        )

    assert found.status.last_request is not None
    assert found.status.last_request.result is RequestResult.DONE
    assert [item.reason for item in found.status.history] == ["AbortedByHand", "FirstRevision"]
    assert stream.log.failures == []
