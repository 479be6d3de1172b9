"""Guards and dry runs on the members' own Prometheus."""

from typing import Any

import pytest

from assay.api.analysis import Mode
from assay.api.deployment_status import Verdict
from demo.models import Version, artifact, copy_of
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e

P99 = (
    "histogram_quantile(0.99, sum by (le) (rate(assay_request_duration_seconds_bucket"
    '{deployment="{{deployment}}",revision="{{revision}}"}[{{window}}])))'
)
IMPOSSIBLE: dict[str, Any] = {
    "name": "p99",
    "query": P99,
    "max": "0.00001",  # no server answers within ten microseconds
    "forSeconds": 5,
    "minRequests": 20,
}
NAMESPACES: dict[str, Any] = {
    "name": "namespaces",
    "query": 'count(count by (namespace) ({__name__=~".+"}))',
    "max": "1",
    "minRequests": 0,
}


def test_a_canary_that_is_right_but_slow_is_rolled_back(trial: Trial) -> None:
    guarded: dict[str, object] = {"rollout.analysis.guards": [IMPOSSIBLE]}
    trial.start(artifact(Version.GOOD), guarded)
    with trial.stream(60.0):
        trial.apply(copy_of(Version.GOOD), guarded)
        entry = trial.verdict(copy_of(Version.GOOD))
        found = trial.until("what its guards said", lambda it: bool(it.status.guards))

    assert (entry.verdict, entry.reason) == (Verdict.ROLLBACK, "GuardBreached"), entry.message
    assert entry.message.startswith("guard p99 in ")
    assert "must be <= 0.00001, beyond it since" in entry.message
    assert found.status.stable is not None
    assert found.status.stable.version == artifact(Version.GOOD).version
    assert Verdict.ROLLBACK not in {item.verdict for item in found.status.analysis}


def test_a_dry_run_watches_and_decides_nothing(trial: Trial) -> None:
    changes: dict[str, object] = {
        "rollout.analysis.guards": [{**IMPOSSIBLE, "forSeconds": 0, "mode": "DryRun"}, NAMESPACES],
        "rollout.analysis.metrics": [
            {"name": "f1", "type": "F1", "margin": "0.05"},
            {"name": "perfect", "type": "F1", "margin": "0.000001", "mode": "DryRun"},
        ],
    }
    trial.start(artifact(Version.FIRST), changes)
    with trial.stream(80.0):
        trial.apply(artifact(Version.GOOD), changes)
        entry = trial.verdict(artifact(Version.GOOD))
        found = trial.until("what its guards said", lambda it: bool(it.status.guards))

    assert entry.verdict is Verdict.PROMOTE, entry.message
    assert [(item.metric, item.mode) for item in found.status.analysis] == [
        ("f1", None),
        ("perfect", Mode.DRY_RUN),
    ]
    shown = {(item.name, item.member): item for item in found.status.guards}
    for member in trial.stage.members:
        assert (shown["p99", member].reason, shown["p99", member].mode) == (
            "GuardBreached",
            Mode.DRY_RUN,
        )
        # Every series that can be asked for is of the deployment's own namespace.
        assert (shown["namespaces", member].reason, shown["namespaces", member].value) == (
            "GuardKept",
            "1",
        )
