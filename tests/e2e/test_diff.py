"""`kubectl assay diff` on real API servers: what would happen, what drifted, and nothing written."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import SYSTEM, Stage
from tests.e2e.person import Person
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e


@pytest.fixture(name="pilot")
def _pilot(stage: Stage) -> Iterator[Stage]:
    """East is the pilot of waves."""
    stage.hub.kubectl("label", "modelcluster", "east", "pilot=yes")
    yield stage
    stage.hub.kubectl("label", "modelcluster", "east", "pilot-")


def operator(stage: Stage, replicas: int) -> None:
    """Stop the operator, or let it work again: what drifts while it is away stays so."""
    name = "deployment/assay-operator"
    stage.hub.kubectl("scale", name, "-n", SYSTEM, f"--replicas={replicas}")
    stage.hub.kubectl("rollout", "status", name, "-n", SYSTEM, "--timeout=60s")
    deadline = time.monotonic() + 60
    while replicas == 0 and _operators(stage):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _operators(stage: Stage) -> list[Any]:
    found = stage.hub.kubectl(
        *("get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "json")
    )
    pods: list[Any] = json.loads(found)["items"]
    return pods


def test_what_a_manifest_would_do_and_what_drifted(
    trial: Trial, pilot: Stage, person: Person
) -> None:
    stage = pilot
    unborn = trial.manifest(artifact(Version.FIRST), {"serving.replicas": 2})
    first = person.run("diff", "-", person.contexts, stdin=yaml.safe_dump(unborn))
    assert first.returncode == 1, first.stderr
    assert "is the first of all: no trial" in first.stdout
    assert f"+++ west/StatefulSet/{trial.name}-ledger (then)" in first.stdout
    assert not trial.objects("west", "all,cm,secrets")
    trial.start(artifact(Version.FIRST), {"serving.replicas": 2})
    found = stage.read(trial.name)
    assert found is not None
    assert found.status.stable is not None
    stable = found.status.stable.revision

    # At rest nothing differs; without contexts that is said of the hub alone.
    rest = person.run("diff", trial.name, "-n", NAMESPACE, person.contexts)
    assert (rest.returncode, rest.stderr) == (0, "")
    assert "east: as it should be" in rest.stdout
    assert "serves already: no new revision, no trial" in rest.stdout
    blind = person.run("diff", trial.name, "-n", NAMESPACE)
    assert blind.returncode == 0
    assert "objects in east, west are not compared" in blind.stdout

    # Another version: a trial, and at once pods of the canary; nothing is written.
    versions = [trial.objects(member, "all,cm,secrets") for member in stage.members]
    manifest = trial.manifest(
        artifact(Version.GOOD),
        {
            "serving.replicas": 4,
            "rollout.waves": [
                {"name": "pilot", "clusterSelector": {"matchLabels": {"pilot": "yes"}}},
                {"name": "rest"},
            ],
        },
    )
    asked = person.run("diff", "-", person.contexts, stdin=yaml.safe_dump(manifest))
    assert asked.returncode == 1, asked.stderr
    out = asked.stdout
    assert f"-    version: '{artifact(Version.FIRST).version}'" in out
    assert "is new: its trial begins when its pods are ready" in out
    assert "trial: 2 steps: 20 % for at least 3 s, 50 %" in out
    assert "replicas: 4 replicas: east 2; west 2 (now east 1; west 1)" in out
    assert f"+++ east/Deployment/{trial.name}-{stable} (then)" in out
    assert "-  replicas: 1\n+  replicas: 2" in out
    [new] = {
        line.split("/")[2].split(" ")[0]
        for line in out.splitlines()
        if line.startswith("+++ east/ControllerRevision/")
    }
    assert f"+++ east/Service/{new} (then)" in out
    now = [trial.objects(member, "all,cm,secrets") for member in stage.members]
    assert [[item["metadata"]["uid"] for item in items] for items in now] == [
        [item["metadata"]["uid"] for item in items] for items in versions
    ]
    left = stage.read(trial.name)
    assert left is not None
    assert left.generation == found.generation

    # What is wrong is named by its field, as the hub's schema says or before that.
    for path, value, field in (
        ("model.digest", "sha256:nonsense", "spec.model.digest"),
        ("serving.replicsa", 3, "serving.replicsa"),
        ("model.unsafe", "Allow", "model.unsafe: Allow is for model.format Joblib"),
    ):
        wrong = trial.manifest(artifact(Version.GOOD), {path: value})
        refused = person.run("diff", "-", stdin=yaml.safe_dump(wrong))
        assert refused.returncode == 2, refused.stdout
        assert field in refused.stderr
    assert person.run("diff", "no-such-one", "-n", NAMESPACE).returncode == 2

    # While the operator is away drift stays: it is found, field by field, secrets struck out.
    operator(stage, 0)
    try:
        east = stage.members["east"]
        where = ("-n", NAMESPACE)
        east.kubectl("scale", f"deployment/{trial.name}-{stable}", *where, "--replicas=3")
        east.kubectl("delete", f"service/{trial.name}-{stable}", *where)
        patch = json.dumps({"stringData": {"label-token": "stolen"}})
        east.kubectl("patch", f"secret/{trial.name}-labels", *where, "-p", patch)
        drifted = person.run("diff", trial.name, "-n", NAMESPACE, person.contexts)
        assert drifted.returncode == 1, drifted.stderr
        out = drifted.stdout
        assert "-  replicas: 3\n+  replicas: 1" in out
        assert f"+++ east/Service/{trial.name}-{stable} (then)" in out
        assert "-  label-token: '*** (now)'\n+  label-token: '*** (then)'" in out
        assert "east: 3 of" in out
        assert "west: as it should be" in out
        assert "stolen" not in out
    finally:
        operator(stage, 1)
    trial.until(
        "put back",
        lambda _: person.run("diff", trial.name, "-n", NAMESPACE, person.contexts).returncode == 0,
    )
