"""What Prometheus says equals what scikit-learn says of the client's own log, whatever happens."""

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sklearn

from assay.api.deployment_status import Stage as RolloutStage
from assay.evidence import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, Policy, judge
from assay.judge.verdict import Average
from demo import evidence
from demo.labels import LabelSettings
from demo.log import Prediction, auc, confusion, f1
from demo.manifests import NAMESPACE
from demo.models import POSITIVE, Version, artifact, copy_of
from tests.e2e.trial import Trial, kill, wait_until

pytestmark = pytest.mark.e2e

CLASSES = ("benign", POSITIVE)
FALSE_ALARM, MISS = 1.0, 5.0
METRICS = (
    MetricSpec("f1", "F1", 0.001, positive_label=POSITIVE),
    MetricSpec("auc", "ROCAUC", 0.001, positive_label=POSITIVE),
    MetricSpec("accuracy", "Accuracy", 0.001),
    MetricSpec("precision", "Precision", 0.001, positive_label=POSITIVE),
    MetricSpec("recall", "Recall", 0.001, positive_label=POSITIVE),
    MetricSpec("f2", "FBeta", 0.001, positive_label=POSITIVE, beta=2.0),
    MetricSpec("macro", "F1", 0.001, average=Average.MACRO),
    MetricSpec("weighted", "F1", 0.001, average=Average.WEIGHTED),
    MetricSpec(
        "cost",
        "Cost",
        0.001,
        costs=(("benign", POSITIVE, FALSE_ALARM), (POSITIVE, "benign", MISS)),
    ),
    MetricSpec("ap", "AveragePrecision", 0.001, positive_label=POSITIVE),
    MetricSpec("log loss", "LogLoss", 0.001, positive_label=POSITIVE),
    MetricSpec("brier", "Brier", 0.001, positive_label=POSITIVE),
)
Value = Callable[[list[str], list[str], list[float]], float]
"""From truths, predictions and probabilities of the positive class."""


def mean_cost(truths: list[str], predicted: list[str]) -> float:
    costs = {("benign", POSITIVE): FALSE_ALARM, (POSITIVE, "benign"): MISS}
    pairs = zip(truths, predicted, strict=True)
    return math.fsum(costs.get(pair, 0.0) for pair in pairs) / len(truths)


EXACT: dict[str, Value] = {
    "accuracy": lambda y, p, _: sklearn.accuracy_score(y, p),
    "precision": lambda y, p, _: sklearn.precision_score(y, p, pos_label=POSITIVE),
    "recall": lambda y, p, _: sklearn.recall_score(y, p, pos_label=POSITIVE),
    "f2": lambda y, p, _: sklearn.fbeta_score(y, p, beta=2, pos_label=POSITIVE),
    "macro": lambda y, p, _: sklearn.f1_score(y, p, average="macro"),
    "weighted": lambda y, p, _: sklearn.f1_score(y, p, average="weighted"),
    "cost": lambda y, p, _: mean_cost(y, p),
}
BOUNDED: dict[str, Value] = {
    "ap": lambda y, _, s: sklearn.average_precision_score(y, s, pos_label=POSITIVE),
    # Scores beyond log-odds of 12 count as 12.
    "log loss": lambda y, _, s: sklearn.log_loss(
        [truth == POSITIVE for truth in y], np.clip(s, *(1 / (1 + np.exp([12.0, -12.0]))))
    ),
    "brier": lambda y, _, s: sklearn.brier_score_loss(y, s, pos_label=POSITIVE),
}


def pooled(found: Evidence) -> Evidence:
    """All strata as one, for a comparison with scikit-learn on all rows."""

    def total(arms: list[ArmCounts]) -> ArmCounts:
        return sum(arms[1:], start=arms[0])

    return Evidence(
        (
            Stratum(
                "all",
                total([item.stable for item in found.strata]),
                total([item.canary for item in found.strata]),
            ),
        )
    )


def test_live_metrics_equal_scikit_learn_on_the_clients_own_log(trial: Trial) -> None:
    """Multi-row requests, duplicate, late and misdirected labels; pods and ledgers are killed."""
    trial.start(artifact(Version.FIRST))
    # A margin that no stream of this length can decide keeps the trial open.
    undecidable = {
        "rollout.analysis.metrics.0.margin": "0.001",
        "rollout.analysis.metrics.1.margin": "0.001",
    }
    twin = copy_of(Version.FIRST)
    labels = LabelSettings(
        mean_delay_seconds=0.5,
        duplicate_share=0.2,
        misdirected_share=0.1,
        late_share=0.1,
        late_seconds=5.0,
    )
    connections = trial.stage.prometheus()
    with trial.stream(60.0, labels) as stream:
        trial.apply(twin, undecidable)
        found = trial.until_stage(RolloutStage.TRIAL, twin.version)
        rollout = found.status.rollout
        assert rollout is not None

        def rows(revision: str = "") -> list[Prediction]:
            return stream.log.rows(
                lambda item: item.rollout == rollout.id and revision in ("", item.revision)
            )

        wait_until("300 rows of the trial", lambda: len(rows()) > 300)
        assert kill(trial.stage.members["east"], "assay-server ledger") > 0
        assert kill(trial.stage.members["west"], "assay-server serve") > 0
        enough = len(rows()) + 600
        wait_until("600 more rows", lambda: len(rows()) > enough)
        stream.pause()
        assert stream.drain(60.0) == 0

        found = trial.until_stage(RolloutStage.TRIAL, twin.version)
        status = found.status
        assert status.stable is not None
        assert status.canary is not None
        arms = {"stable": rows(status.stable.revision), "canary": rows(status.canary.revision)}

        def read(at: float | None = None) -> Evidence:
            return evidence.read_trial(
                connections,
                NAMESPACE,
                trial.name,
                status,
                now=time.time(),
                scrape_interval_seconds=1.0,
                at=at,
            )

        expected = tuple(len(arm) for arm in arms.values())
        wait_until("Prometheus has scraped the last label", lambda: read().labelled == expected)
        at = time.time()
        now = read()
        [stratum] = pooled(now).strata
        judgement = {
            item.name: item for item in judge(METRICS, Policy(), Evidence((stratum,))).metrics
        }
        # What was so can be read later: the history of a trial comes from there.
        time.sleep(2.0)
        assert read(at) == now
        before = read(at - 10.0)
        assert 0 < sum(before.labelled) < sum(now.labelled)

    for arm, own in arms.items():
        counts: ArmCounts = getattr(stratum, arm)
        assert counts.labels == CLASSES
        assert np.array_equal(counts.confusion, confusion(own, CLASSES))
        assert getattr(judgement["f1"], arm) == pytest.approx(f1(own, POSITIVE), abs=1e-12)
        difference = abs(getattr(judgement["auc"], arm) - auc(own, POSITIVE))
        assert difference <= judgement["auc"].half_width + 1e-12
        truths, predicted = [row.truth for row in own], [row.predicted for row in own]
        scores = [row.score for row in own]
        for name, value in EXACT.items():
            found_value = getattr(judgement[name], arm)
            assert found_value == pytest.approx(value(truths, predicted, scores), abs=1e-12), name
        positives = truths.count(POSITIVE)
        finite = (0.5 + math.log(4 * positives) / 8) / positives  # see `average_precision`
        for name, value in BOUNDED.items():
            off = abs(getattr(judgement[name], arm) - value(truths, predicted, scores))
            assert off <= judgement[name].half_width + finite * (name == "ap") + 1e-9, name
    assert stream.log.label_results["duplicate"] > 0
    assert stream.log.label_results["wrong_member"] > 0
