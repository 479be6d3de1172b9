"""What Prometheus says equals what scikit-learn says of the client's own log, whatever happens."""

import time

import numpy as np
import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.evidence import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, Policy, judge
from demo import evidence
from demo.labels import LabelSettings
from demo.log import Prediction, auc, confusion, f1
from demo.manifests import NAMESPACE
from demo.models import POSITIVE, Version, artifact, copy_of
from tests.e2e.trial import Trial, kill, wait_until

pytestmark = pytest.mark.e2e

CLASSES = ("benign", POSITIVE)
METRICS = (
    MetricSpec("f1", "F1", 0.001, positive_label=POSITIVE),
    MetricSpec("auc", "ROCAUC", 0.001, positive_label=POSITIVE),
)


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


def test_live_f1_and_auc_equal_scikit_learn_on_the_clients_own_log(trial: Trial) -> None:
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

        def read() -> Evidence:
            return evidence.read_trial(
                connections,
                NAMESPACE,
                trial.name,
                status,
                now=time.time(),
                scrape_interval_seconds=1.0,
            )

        expected = tuple(len(arm) for arm in arms.values())
        wait_until("Prometheus has scraped the last label", lambda: read().labelled == expected)
        [stratum] = pooled(read()).strata
        judgement = {
            item.name: item for item in judge(METRICS, Policy(), Evidence((stratum,))).metrics
        }

    for arm, own in arms.items():
        counts: ArmCounts = getattr(stratum, arm)
        assert counts.labels == CLASSES
        assert np.array_equal(counts.confusion, confusion(own, CLASSES))
        assert getattr(judgement["f1"], arm) == pytest.approx(f1(own, POSITIVE), abs=1e-12)
        difference = abs(getattr(judgement["auc"], arm) - auc(own, POSITIVE))
        assert difference <= judgement["auc"].half_width + 1e-12
    assert stream.log.label_results["duplicate"] > 0
    assert stream.log.label_results["wrong_member"] > 0
