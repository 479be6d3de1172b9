"""A canary sized to its weight on real clusters: its pods come before its traffic, at every step."""

import math
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact
from demo.stage import Observed
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e

REPLICAS = 3
"""In each of the two members: the canary has 1 at 20 %, 2 at 50 %, and all before it takes all."""

ERRORS: dict[str, Any] = {
    "name": "busy",
    "query": (
        'sum(rate(assay_request_duration_seconds_sum{deployment="{{deployment}}",revision="{{revision}}"}[{{window}}]))'
        ' / sum(rate(assay_request_duration_seconds_count{deployment="{{deployment}}",revision="{{revision}}"}[{{window}}]))'
    ),
    "max": "5",
    "minRequests": 10,
}
CHANGES: dict[str, object] = {
    "serving.replicas": 2 * REPLICAS,
    "rollout.canary.steps": [{"weight": 20, "minSeconds": 3}, {"weight": 50, "minSeconds": 3}],
    "rollout.analysis.metrics": [],
    "rollout.analysis.guards": [ERRORS],
}


def share(trial: Trial, member: str, revision: str) -> int:
    """Return the percent of the traffic that the member's route sends to a revision."""
    [route] = trial.objects(member, "httproutes")
    [rule, *_] = route["spec"]["rules"]
    name = f"{trial.name}-{revision}"
    return sum(item["weight"] for item in rule["backendRefs"] if item["name"] == name)


def pods(trial: Trial, member: str) -> dict[str, tuple[int, int]]:
    """Return the pods of each revision in a member: asked for, ready."""
    return {
        item["metadata"]["labels"]["assay.dev/revision"]: (
            item["spec"]["replicas"],
            item["status"].get("readyReplicas", 0),
        )
        for item in trial.objects(member, "deployments")
    }


def test_pods_come_before_traffic(trial: Trial) -> None:
    first, good = artifact(Version.FIRST), artifact(Version.GOOD)
    trial.start(first, CHANGES)
    stable = trial.until("it serves", lambda it: it.is_ready).status.stable
    assert stable is not None
    seen: set[tuple[int, int]] = set()
    with trial.stream(60.0) as stream:
        trial.apply(good, CHANGES)
        began = trial.until_stage(RolloutStage.TRIAL, good.version).status.canary
        assert began is not None

        def ended(found: Observed) -> bool:
            for member in trial.stage.members:
                # First the route: the pods that carry it are there before it is written.
                weight = share(trial, member, began.revision)
                asked, ready = pods(trial, member)[began.revision]
                assert ready >= math.ceil(REPLICAS * weight / 100), (member, weight, asked, ready)
                seen.add((weight, asked))
                if weight < 100:
                    assert pods(trial, member)[stable.revision][0] == REPLICAS
            return any(item.version == good.version for item in found.status.history)

        trial.until("the end of the trial", ended)
        entry = trial.verdict(good)
        found = trial.until("the new version serves", lambda it: it.is_ready)

    assert (entry.verdict, entry.reason) == (Verdict.PROMOTE, "GuardsKept"), entry.message
    assert stream.log.failures == []
    assert {(20, 1), (50, 2)} <= seen
    assert {weight for weight, _ in seen} <= {0, 20, 50, 100}
    assert found.status.stable is not None
    assert found.status.stable.version == good.version
    for member in trial.stage.members:
        assert pods(trial, member)[began.revision] == (REPLICAS, REPLICAS)
