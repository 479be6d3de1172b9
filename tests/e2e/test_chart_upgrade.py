"""The chart's own life: an upgrade in the middle of a trial, what is scraped then, and `helm test`."""

import json
import pathlib
import re
from collections.abc import Iterator

import pytest
import yaml

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import CHART, RELEASE, SYSTEM, Stage
from tests.e2e.trial import Trial
from tests.queries import ELSEWHERE, grouped, queries, selectors

pytestmark = pytest.mark.e2e

PREVIOUS = pathlib.Path(__file__).parent / "charts" / "assay-0.1.0.tgz"
"""The chart as it was before it knew namespaces, policies and monitoring; with the same images."""
STEPS = [{"weight": 20, "minSeconds": 3}, {"weight": 50, "minSeconds": 8}]
WITHOUT_REFERENCE = {"assay_feature_psi"}
"""Of models with a drift reference only, which the model here has not."""


@pytest.fixture
def upgraded(stage: Stage) -> Iterator[Stage]:
    """The stage, with the previous chart everywhere to begin with, and as it was at the end."""
    stage.install_operator(PREVIOUS)
    for name in stage.members:
        stage.install_member(name, PREVIOUS)
    try:
        yield stage
    finally:
        for name in stage.members:
            stage.install_member(name)
        stage.install_operator()


def test_a_trial_goes_on_through_an_upgrade(upgraded: Stage, trial: Trial) -> None:
    """To this chart, and at the same time to an operator of one namespace only."""
    trial.start(artifact(Version.FIRST))
    elsewhere = trial.manifest(artifact(Version.FIRST))
    elsewhere["metadata"]["namespace"] = "default"
    guard = {"name": "errors", "query": "sum(assay_requests_in_flight)", "max": "1000"}
    with trial.stream(60.0) as stream:
        trial.apply(
            artifact(Version.GOOD),
            {"rollout.canary.steps": STEPS, "rollout.analysis.guards": [guard]},
        )
        found = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
        assert found.status.stable is not None
        assert found.status.rollout is not None
        before = trial.pods(found.status.stable.revision)

        for name in upgraded.members:
            upgraded.install_member(name)
        upgraded.install_operator(CHART, f"operator.namespaces={{{NAMESPACE}}}")
        upgraded.apply(elsewhere)
        try:
            entry = trial.verdict(artifact(Version.GOOD))
            unseen = upgraded.read(trial.name, "default")
            after = trial.pods(found.status.stable.revision)
            scraped = _scraped(upgraded)
        finally:
            upgraded.delete(trial.name, "default")

    assert entry.verdict is Verdict.PROMOTE
    assert entry.id == found.status.rollout.id
    assert before.items() <= after.items() or not after
    assert stream.log.failures == []
    assert unseen is not None
    assert unseen.status.conditions == ()
    for where, query in queries().items():
        _holds(upgraded, where, query, scraped)


def _scraped(stage: Stage) -> dict[str, set[str]]:
    """Labels by name, of what the operator exposes and of what a member's Prometheus has."""
    found: dict[str, set[str]] = {}
    text = stage.hub.kubectl(
        *("get", "--raw", f"/api/v1/namespaces/{SYSTEM}/pods/{_operator(stage)}:8080/proxy/metrics")
    )
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    [member, *_] = stage.prometheus().values()
    for row in member.query('{__name__=~"assay_.+"}').rows:
        found.setdefault(row["metric"]["__name__"], set()).update(row["metric"])
    return found


def _operator(stage: Stage) -> str:
    pods = ("get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "json")
    [name] = [
        pod["metadata"]["name"]
        for pod in json.loads(stage.hub.kubectl(*pods))["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return str(name)


def _holds(stage: Stage, where: str, query: str, scraped: dict[str, set[str]]) -> None:
    """The member's Prometheus takes the query, and what it asks for is what was scraped."""
    [member, *_] = stage.prometheus().values()
    member.query(query)
    # Series of the operator exist while there is something to say; tests/unit/charts has those.
    occasional = {"assay_deployment_problem", "assay_reconcile_errors_total", "assay_guard_value"}
    for name, labels in selectors(query):
        if name in ELSEWHERE | WITHOUT_REFERENCE | occasional or name.startswith(_OF_TRIALS):
            continue
        assert name in scraped, f"{where}: nothing exports {name}"
        known = scraped[name] | {"namespace", "pod", "instance", "job", "exported_namespace", "le"}
        if name.startswith("assay_spool_dropped"):
            known |= {"reason"}  # nothing was dropped
        assert labels | (grouped(query) - {"reason", "code"}) <= known, f"{where}: {name}"


_OF_TRIALS = ("assay_metric_", "assay_guard_", "assay_verdict", "assay_evidence_problems")


def test_helm_test_rolls_a_model_out(stage: Stage) -> None:
    log = stage.hub.helm("test", RELEASE, "-n", SYSTEM, "--logs", "--timeout", "120s")

    assert "version example serves in east, west" in log
    assert "removed after" in log
    left = yaml.safe_load(
        stage.hub.kubectl(
            "get", "mdep,roles,sa", "-A", "-o", "yaml", "-l", "app.kubernetes.io/name=assay"
        )
    )
    names = {item["metadata"]["name"] for item in left["items"]}
    assert not names & {"assay-check", "assay-test"}
