"""Blue-green on real gateways: a preview for testers, one switch for all, one write back."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact, copy_of, split
from demo.stage import Observed
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

PREVIEW = "preview.example.com"
SLOW: dict[str, Any] = {
    "name": "mean",
    "query": (
        'sum(rate(assay_request_duration_seconds_sum{deployment="{{deployment}}",revision="{{revision}}"}[{{window}}]))'
        ' / sum(rate(assay_request_duration_seconds_count{deployment="{{deployment}}",revision="{{revision}}"}[{{window}}]))'
    ),
    "max": "5",
    "forSeconds": 5,
    "minRequests": 20,
}


def blue_green(guard: dict[str, Any], **settings: object) -> dict[str, object]:
    return {
        "rollout.type": "BlueGreen",
        "rollout.blueGreen": {"scaleDownDelaySeconds": 10, **settings},
        "rollout.analysis.metrics": [],
        "rollout.analysis.guards": [guard],
    }


def ask(trial: Trial, member: str, host: str | None = None) -> str:
    """Return the version that answers one row at a host of a member's gateway."""
    row = [float(each) for each in split().held_out_rows[0]]
    tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    url = f"{trial.stage.members[member].gateway_url()}/v2/models/{trial.name}/infer"
    headers = {"content-type": "application/json", **({"host": host} if host else {})}
    request = urllib.request.Request(url, json.dumps({"inputs": [tensor]}).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        version: str = json.load(answer)["model_version"]
        return version


def answers(trial: Trial, member: str, version: str, host: str | None = None) -> Callable[[], bool]:
    """Return whether ten requests in a row are answered by one version."""

    def holds() -> bool:
        try:
            return {ask(trial, member, host) for _ in range(10)} == {version}
        except urllib.error.HTTPError:
            return False  # the gateway has not taken the route yet

    return holds


def switched(found: Observed) -> bool:
    rollout = found.status.rollout
    return rollout is not None and rollout.stage is RolloutStage.TRIAL and rollout.step == 1


def test_testers_see_it_first_then_everybody_and_no_request_is_lost(trial: Trial) -> None:
    first, good = artifact(Version.FIRST), artifact(Version.GOOD)
    changes = blue_green(SLOW, previewHostnames=[PREVIEW])
    trial.start(first, changes)
    with trial.stream(60.0) as stream:
        trial.apply(good, changes)
        trial.until_stage(RolloutStage.TRIAL, good.version)

        for member in trial.stage.members:
            wait_until(f"the preview in {member}", answers(trial, member, good.version, PREVIEW))
            assert {ask(trial, member) for _ in range(20)} == {first.version}

        def tried_and_switched(found: Observed) -> bool:
            # Testers go on: a rate sees only what comes after Prometheus has found the pods.
            for member in trial.stage.members:
                assert {ask(trial, member, PREVIEW) for _ in range(10)} == {good.version}
            return switched(found)

        trial.until("the switch", tried_and_switched)
        for member in trial.stage.members:
            wait_until(f"live traffic in {member}", answers(trial, member, good.version))
        entry = trial.verdict(good)
        found = trial.until("the new version serves", lambda it: it.is_ready)

    assert (entry.verdict, entry.reason) == (Verdict.PROMOTE, "GuardsKept"), entry.message
    assert stream.log.failures == []
    assert found.status.stable is not None
    assert found.status.stable.version == good.version
    for member in trial.stage.members:
        assert [it["metadata"]["name"] for it in trial.objects(member, "httproutes")] == [
            trial.name
        ]


def test_a_guard_that_is_breached_after_the_switch_brings_everybody_back(trial: Trial) -> None:
    first, copy = artifact(Version.GOOD), copy_of(Version.GOOD)
    changes = blue_green({**SLOW, "max": "0.00001"}, scaleDownDelaySeconds=300)
    trial.start(first, changes)
    with trial.stream(60.0) as stream:
        trial.apply(copy, changes)
        trial.until("the switch", switched)
        entry = trial.verdict(copy)

    assert (entry.verdict, entry.reason) == (Verdict.ROLLBACK, "GuardBreached"), entry.message
    assert stream.log.failures == []
    for member in trial.stage.members:
        assert {ask(trial, member) for _ in range(20)} == {first.version}
