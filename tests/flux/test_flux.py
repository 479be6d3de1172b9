"""Flux applies from git, waits, and says of every end of a rollout what a person would say."""

import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.manifests import NAMESPACE
from demo.models import Artifact, Version, artifact
from demo.stage import Stage
from fleet import Cluster
from tests.e2e.trial import Trial
from tests.flux.controller import Controller
from tests.flux.source import Source

pytestmark = pytest.mark.e2e

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "gitops/flux/health-checks.yaml").read_text())
TIMEOUT_SECONDS = 30
"""Of both waits, the least that Flux takes. A trial lasts longer, as one of a day lasts longer than any timeout."""
FOLDER = "apps/fraud"
OTHER = f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: other, namespace: {NAMESPACE}}}}}\n"
LONG = {"rollout.canary.steps": [{"weight": 20, "minSeconds": 86000}]}


class Kustomization:
    """One Kustomization of Flux in the namespace of the models."""

    def __init__(self, hub: Cluster, name: str, source: str, **spec: Any) -> None:
        self.name = name
        self._hub = hub
        document = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "interval": "10m",
                "retryInterval": "5s",
                "timeout": f"{TIMEOUT_SECONDS}s",
                "sourceRef": {"kind": "GitRepository", "name": source},
                **spec,
            },
        }
        hub.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))

    def ready(self) -> tuple[str, str, str]:
        """Status, reason and message of its condition Ready."""
        document = json.loads(
            self._hub.kubectl("get", "kustomization", self.name, "-n", NAMESPACE, "-o", "json")
        )
        for item in document.get("status", {}).get("conditions", ()):
            if item["type"] == "Ready":
                return item["status"], item["reason"], item["message"]
        return "", "", ""

    def until(
        self, what: str, holds: Callable[[tuple[str, str, str]], bool]
    ) -> tuple[str, str, str]:
        """Wait until its condition Ready `holds`."""
        deadline = time.monotonic() + 240
        while not holds(found := self.ready()):
            assert time.monotonic() < deadline, f"{what} did not come: {found}"
            time.sleep(0.5)
        return found

    def look(self) -> None:
        """Have it applied and waited for now, and return when that is over."""
        token = str(time.time())
        self._hub.kubectl(
            *("annotate", "kustomization", self.name, "-n", NAMESPACE, "--overwrite"),
            f"reconcile.fluxcd.io/requestedAt={token}",
        )
        path = "-o=jsonpath={.status.lastHandledReconcileAt}"
        deadline = time.monotonic() + 240
        while (
            self._hub.kubectl("get", "kustomization", self.name, "-n", NAMESPACE, path) != token
            or self.ready()[0] == "Unknown"
        ):
            assert time.monotonic() < deadline, f"{self.name} was not looked at: {self.ready()}"
            time.sleep(0.5)

    def delete(self) -> None:
        self._hub.kubectl("delete", "kustomization", self.name, "-n", NAMESPACE, "--timeout=2m")


@pytest.fixture
def source(trial: Trial, controller: Controller, tmp_path: pathlib.Path) -> Iterator[Source]:
    with Source(trial.stage.hub, tmp_path, "fleet", NAMESPACE) as source:
        yield source


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_example_is_admitted(stage: Stage, controller: Controller, environment: str) -> None:
    path = ROOT / f"examples/gitops/flux/{environment}.yaml"
    for document in yaml.safe_load_all(path.read_text()):
        document["metadata"]["namespace"] = NAMESPACE
        stage.hub.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(document))


def push(source: Source, trial: Trial, model: Artifact, **changes: object) -> str:
    """Commit the manifest of `model`; return the revision."""
    text = yaml.safe_dump(trial.manifest(model, changes), sort_keys=False)
    return source.commit(f"{FOLDER}/modeldeployment.yaml", text, f"Version {model.version}")


def differences(hub: Cluster, manifest: str) -> str:
    """What would change if somebody else took the manifest over; empty if nothing would."""
    words = ("diff", "--server-side", "--force-conflicts", "-f", "-")
    return hub.kubectl(*words, input=manifest)


def test_a_trial_a_rollback_and_a_fix(trial: Trial, source: Source) -> None:
    hub = trial.stage.hub
    push(source, trial, artifact(Version.FIRST))
    applies = Kustomization(
        hub,
        "models",
        "fleet",
        path=f"./{FOLDER}",
        prune=True,
        wait=True,
        healthCheckExprs=SHIPPED["spec"]["healthCheckExprs"],
    )
    source.commit("other/configmap.yaml", OTHER, "Something else")
    try:
        # The first start may take longer than the wait; Flux tries again.
        applies.until("the first version", lambda it: it[0] == "True")
        trial.until("what git asks for", lambda it: it.is_ready)

        with trial.stream(60.0):
            # 1. A trial that is longer than the wait: healthy by our expressions.
            revision = push(source, trial, artifact(Version.GOOD), **LONG)
            on_trial = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
            found = applies.until(
                "a healthy trial", lambda it: it[0] == "True" and revision in it[2]
            )
            assert found[1] == "ReconciliationSucceeded"
            began = time.monotonic()

            # 2. By kstatus alone the same trial times out.
            check = {"apiVersion": "assay.dev/v1alpha1", "kind": "ModelDeployment"}
            plain = Kustomization(
                hub,
                "plain",
                "fleet",
                path="./other",
                prune=True,
                healthChecks=[{**check, "name": trial.name, "namespace": NAMESPACE}],
            )
            try:
                late = plain.until("a timeout", lambda it: it[1] == "HealthCheckFailed")
            finally:
                plain.delete()
            assert late[0] == "False"
            assert "timeout waiting for" in late[2]
            assert "InProgress" in late[2]

            # 3. Nothing is written to and fro meanwhile, and nothing differs from what git says.
            manifest = json.dumps(trial.manifest(artifact(Version.GOOD), LONG))
            while time.monotonic() < began + 2 * TIMEOUT_SECONDS:
                applies.look()
                assert applies.ready()[0] == "True"
                assert differences(hub, manifest) == ""
            still = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
            assert still.generation == on_trial.generation

            # 4. A rollback is a failure, told with the operator's reason.
            push(source, trial, artifact(Version.CORRUPTED))
            entry = trial.verdict(artifact(Version.CORRUPTED))
            assert entry.verdict is Verdict.ROLLBACK
            trial.until("rolled back", lambda it: it.condition("Stalled")[1] == "RolledBack")
            applies.look()
            failed = applies.until("a failure", lambda it: it[0] == "False")
            assert failed[1] == "HealthCheckFailed"
            assert "Failed" in failed[2]
            assert trial.name in failed[2]

            # 5. A revert in git is a fix.
            revision = source.commit(
                f"{FOLDER}/modeldeployment.yaml",
                yaml.safe_dump(trial.manifest(artifact(Version.FIRST)), sort_keys=False),
                "Back to version 1",
            )
            applies.until("a fix", lambda it: it[0] == "True" and revision in it[2])
            trial.until("what git asks for", lambda it: it.is_ready)
    finally:
        applies.delete()
