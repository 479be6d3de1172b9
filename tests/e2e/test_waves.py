"""East is the pilot: west sees nothing of a version before east has proven it."""

import contextlib
import datetime
from collections.abc import Iterator

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import Observed, Stage
from tests.e2e.trial import Trial
from tests.e2e.witness import watched

pytestmark = pytest.mark.e2e

WAVES = [
    {"name": "pilot", "clusterSelector": {"matchLabels": {"pilot": "yes"}}},
    {"name": "others", "soakSeconds": 5},
]


@pytest.fixture
def pilot(stage: Stage) -> Iterator[None]:
    stage.hub.kubectl("label", "modelcluster", "east", "pilot=yes")
    yield
    stage.hub.kubectl("label", "modelcluster", "east", "pilot-")


def latched(found: Observed) -> bool:
    return found.status.rollout is not None and found.status.rollout.latched is not None


@pytest.mark.usefixtures("pilot")
def test_the_second_wave_follows_the_verdict_of_the_first(trial: Trial) -> None:
    trial.start(artifact(Version.FIRST))
    mine = f"assay.dev/deployment={trial.name}"
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(trial.stream(80.0))
        west = trial.stage.members["west"]
        revisions, routes = (
            stack.enter_context(watched(west, NAMESPACE, kind, mine))
            for kind in ("deployments", "httproutes")
        )
        trial.apply(artifact(Version.CORRUPTED), {"rollout.waves": WAVES})
        assert trial.verdict(artifact(Version.CORRUPTED)).verdict is Verdict.ROLLBACK
        trial.until("the rejection", lambda it: it.condition("Stalled")[1] == "RolledBack")
        rejected = trial.stage.read(trial.name)
        assert rejected is not None
        worse = rejected.status.rejected_revisions[0].revision

        trial.apply(artifact(Version.GOOD), {"rollout.waves": WAVES})
        trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
        status = trial.until("a verdict of the first wave", latched).status
        assert trial.verdict(artifact(Version.GOOD)).verdict is Verdict.PROMOTE
        found = trial.until("version that won serves", lambda it: it.is_ready)

    assert stream.log.failures == []
    assert status.rollout is not None
    assert status.rollout.latched is not None
    assert found.status.stable is not None
    # Whole seconds on both sides: what the API server says of the objects, at no moment otherwise.
    created = {
        item["metadata"]["labels"]["assay.dev/revision"]: item["metadata"]["creationTimestamp"]
        for item in trial.objects("west", "deployments")
    }
    came = datetime.datetime.fromisoformat(created[found.status.stable.revision])
    assert came >= status.rollout.latched.at
    assert {found.status.stable.revision} < revisions.labels("assay.dev/revision")
    assert worse not in revisions.labels("assay.dev/revision")
    backends = [
        [backend["name"] for backend in route["spec"]["rules"][0]["backendRefs"]]
        for route in routes.seen
    ]
    assert backends
    assert not [names for names in backends if f"{trial.name}-{worse}" in names]
    assert found.status.rollout is not None
    assert [item.name for item in found.status.rollout.waves] == ["pilot", "others"]
    soaked = found.status.rollout.waves[-1].serving_since
    assert soaked is not None
    assert found.status.rollout.decision is not None
    assert (found.status.rollout.decision.at - soaked).total_seconds() >= 5
