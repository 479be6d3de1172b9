"""Autoscaling through a whole trial: what is held, what is released, and that no number ever falls.

The controller of HorizontalPodAutoscalers in each member is the real one. There is no metrics server,
so it keeps to least and most; what it would write because of load is written here as it writes,
through the scale subresource.
"""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import Observed
from fleet import Cluster
from tests.e2e.person import Person
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

FIXED = {"serving": {"replicas": 4}}
SCALED = {"serving": {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}}
"""One pod at least and four at most in each of two members."""


@contextlib.contextmanager
def numbers(cluster: Cluster, name: str, path: pathlib.Path) -> Iterator[None]:
    """Write spec.replicas of every version of a Deployment to a file, one a line."""
    form = 'jsonpath={.spec.replicas}{"\\n"}'
    words = ("get", "deployment", name, "-n", NAMESPACE, "--watch", "-o", form)
    command = [str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}", *words]
    with path.open("w") as file, subprocess.Popen(command, stdout=file) as process:
        wait_until("the watch", lambda: bool(path.read_text()))
        yield
        process.terminate()


def least(trial: Trial) -> dict[str, int]:
    """The least pods of every revision in east."""
    return {
        item["metadata"]["labels"]["assay.dev/revision"]: item["spec"]["minReplicas"]
        for item in trial.objects("east", "horizontalpodautoscalers")
    }


def replicas(trial: Trial) -> dict[str, int]:
    """The pods that are asked for of every revision in east."""
    return {
        item["metadata"]["labels"]["assay.dev/revision"]: item["spec"]["replicas"]
        for item in trial.objects("east", "deployments")
    }


def east_of(found: Observed) -> Any:
    return next(item for item in found.status.clusters if item.name == "east")


def test_the_floor_of_stable_is_held_in_a_trial_and_switching_never_drops_pods(
    trial: Trial, person: Person, tmp_path: pathlib.Path
) -> None:
    trial.start(artifact(Version.FIRST), FIXED)
    found = trial.until("ready", lambda it: it.is_ready)
    assert found.status.stable is not None
    stable = found.status.stable.revision
    east, log = trial.stage.members["east"], tmp_path / "numbers"
    name = f"{trial.name}-{stable}"
    with numbers(east, name, log):
        trial.apply(artifact(Version.FIRST), SCALED)
        wait_until("an autoscaler", lambda: least(trial) == {stable: 1})
        trial.until("ready", lambda it: it.is_ready and "metrics" in east_of(it).message)
        # The load grows: what the autoscaler writes stays, and is no difference to what should be.
        east.kubectl("scale", f"deployment/{name}", "-n", NAMESPACE, "--replicas=3")
        trial.until("seen", lambda it: east_of(it).ready == 3)
        rest = person.run("diff", trial.name, "-n", NAMESPACE, person.contexts)
        assert (rest.returncode, rest.stderr) == (0, ""), rest.stdout

        # A newcomer begins with as many pods as serve. Stable keeps what it had, whoever shrinks it.
        trial.apply(artifact(Version.GOOD), SCALED)
        found = trial.until_stage(RolloutStage.TRIAL, artifact(Version.GOOD).version)
        assert found.status.canary is not None
        canary = found.status.canary.revision
        trial.until("held", lambda it: east_of(it).held_replicas == 3)
        wait_until("both are told", lambda: least(trial) == {stable: 3, canary: 3})
        assert replicas(trial) == {stable: 3, canary: 3}
        during = person.run("diff", trial.name, "-n", NAMESPACE, person.contexts)
        assert "autoscal" not in during.stdout.lower(), during.stdout
        versions = log.read_text().split()
        assert set(versions) == {"2", "3"}
        assert versions == sorted(versions)
        east.kubectl("scale", f"deployment/{name}", "-n", NAMESPACE, "--replicas=1")
        wait_until("it comes back", lambda: replicas(trial)[stable] == 3)

        # Back to stable: only then it may shrink again, and it is not we who do it.
        trial.apply(artifact(Version.FIRST), SCALED)
        trial.until("released", lambda it: it.is_ready and east_of(it).held_replicas is None)
        wait_until("one is enough", lambda: least(trial).get(stable) == 1)
        assert replicas(trial)[stable] == 3

        log_before = len(log.read_text().split())
        trial.apply(artifact(Version.FIRST), FIXED)
        wait_until("no autoscaler", lambda: stable not in least(trial))
        trial.until("fixed", lambda it: it.is_ready and east_of(it).replicas == 2)
        wait_until("as asked for", lambda: replicas(trial)[stable] == 2)
        assert set(log.read_text().split()[log_before:]) <= {"2", "3"}
