"""Verdicts that must not come: on an identical canary, without evidence, on a broken artifact."""

import dataclasses
import functools
import hashlib

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.manifests import NAMESPACE
from demo.models import Version, artifact, copy_of
from fleet import Cluster
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e


def test_a_canary_identical_to_stable_is_not_rolled_back(trial: Trial) -> None:
    trial.start(artifact(Version.GOOD))
    with trial.stream(80.0):
        trial.apply(copy_of(Version.GOOD))
        entry = trial.verdict(copy_of(Version.GOOD))

    assert entry.verdict is Verdict.PROMOTE


EVERY_KIND: list[dict[str, object]] = [
    {"name": "accuracy", "type": "Accuracy", "margin": "0.03"},
    {"name": "macro", "type": "F1", "average": "Macro", "margin": "0.03"},
    {"name": "benign", "type": "Recall", "class": "benign", "margin": "0.04"},
    {"name": "f2", "type": "FBeta", "beta": "2", "margin": "0.04", "floor": "0.5"},
    {"name": "ap", "type": "AveragePrecision", "margin": "0.03"},
    {"name": "loss", "type": "LogLoss", "margin": "0.1"},
    {"name": "brier", "type": "Brier", "margin": "0.03", "floor": "0.4"},
    {
        "name": "cost",
        "type": "Cost",
        "margin": "0.2",
        "costs": {"falsePositive": "1", "falseNegative": "5"},
    },
]


def test_metrics_of_every_kind_decide_together(trial: Trial) -> None:
    every: dict[str, object] = {"rollout.analysis.metrics": EVERY_KIND}
    trial.start(artifact(Version.FIRST), every)
    with trial.stream(80.0):
        trial.apply(artifact(Version.GOOD), every)
        entry = trial.verdict(artifact(Version.GOOD))
        found = trial.until("an analysis of it", lambda it: len(it.status.analysis) == 8)

    assert entry.verdict is Verdict.PROMOTE
    assert [item.metric for item in found.status.analysis] == [each["name"] for each in EVERY_KIND]
    assert all(item.stable and item.canary for item in found.status.analysis)
    cost = found.status.analysis[-1]
    assert "cost" in cost.message


def test_without_prometheus_the_trial_holds_and_then_goes_on(trial: Trial) -> None:
    trial.start(artifact(Version.FIRST))
    east = trial.stage.members["east"]
    with trial.stream(60.0) as stream:
        trial.apply(artifact(Version.GOOD))
        trial.until_stage(RolloutStage.TRIAL, "3")
        east.kubectl("scale", "-n", "monitoring", "deployment/prometheus", "--replicas=0")
        try:
            held = trial.until(
                "a hold for the lack of evidence",
                lambda found: (
                    found.condition("EvidenceSufficient")[:2] == ("False", "PrometheusUnreachable")
                ),
            )
            # Meanwhile a good canary gets all the labels it needs; it must not even climb.
            rows = len(stream.log.rows())
            wait_until("a thousand more rows", lambda: len(stream.log.rows()) > rows + 1000)
            still = trial.stage.read(trial.name)
        finally:
            east.kubectl("scale", "-n", "monitoring", "deployment/prometheus", "--replicas=1")
        entry = trial.verdict(artifact(Version.GOOD))

    assert "east" in held.condition("EvidenceSufficient")[2]
    assert still is not None
    assert still.status.rollout is not None
    assert held.status.rollout is not None
    assert still.status.rollout.stage is RolloutStage.TRIAL
    assert still.status.rollout.step == held.status.rollout.step
    assert entry.verdict is Verdict.PROMOTE


def test_a_bad_digest_stalls_and_names_both_digests(trial: Trial) -> None:
    good = artifact(Version.FIRST)
    trial.start(good)
    stable = trial.stage.read(trial.name)
    assert stable is not None
    assert stable.status.stable is not None
    before = trial.pods(stable.status.stable.revision)
    wrong = dataclasses.replace(
        artifact(Version.GOOD), digest="sha256:" + hashlib.sha256(b"another file").hexdigest()
    )
    wrong.write(trial.store.directory)
    with trial.stream(20.0) as stream:
        trial.apply(wrong)
        found = trial.until("stalled", lambda it: it.condition("Stalled")[0] == "True")
        wait_until("a hundred more answers", lambda: len(stream.log.rows()) > 100)

    _, reason, message = found.condition("Stalled")
    assert reason == "ArtifactRejected"
    assert wrong.digest in message
    assert artifact(Version.GOOD).digest in message
    assert found.condition("Available")[0] == "True"
    assert found.condition("Reconciling")[0] == "Absent"
    assert trial.pods(stable.status.stable.revision) == before
    assert {item.version for item in stream.log.rows()} == {"1"}
    assert stream.log.failures == []

    trial.apply(good)
    trial.until("back to stable", lambda it: it.is_ready)


def test_deleting_cleans_both_members(trial: Trial) -> None:
    trial.start(artifact(Version.FIRST))
    kinds = "deployments,statefulsets,services,configmaps,secrets,httproutes,controllerrevisions,persistentvolumeclaims"
    assert all(trial.objects(member, "deployments") for member in trial.stage.members)

    trial.delete()

    assert trial.stage.read(trial.name) is None

    def is_clean(cluster: Cluster) -> bool:
        return trial.name not in cluster.kubectl("get", kinds, "-n", NAMESPACE, "-o", "name")

    for cluster in trial.stage.members.values():
        wait_until("nothing of it is left", functools.partial(is_clean, cluster))
