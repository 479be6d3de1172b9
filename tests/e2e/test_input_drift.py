"""Other rows than in training, seen live: a condition, events, a CloudEvent, and no change of anything."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from assay_server.calibration import fit
from assay_server.reference import Reference, embed
from demo.labels import LabelSettings
from demo.manifests import NAMESPACE
from demo.models import Artifact, Version, artifact, fitted, split
from demo.stage import SYSTEM
from demo.stream import BackgroundStream, Data, Load
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e

WATCHED = tuple(range(5))
"""Columns of the reference."""

SHORT: dict[str, object] = {"drift": {"periodSeconds": 20}}
"""The stream has no time of day: it repeats itself after any time."""


def with_reference(folder: pathlib.Path) -> Artifact:
    """The model of three columns, the mean radius among them, with a reference of rows like the stream's."""
    data, model = split(), fitted(Version.FIRST)
    drawn = np.random.default_rng(7).integers(0, len(data.held_out_rows), 4000)
    rows, truths = data.held_out_rows[drawn], data.held_out_labels[drawn]
    quality = fit(model.classes_, truths, model.predict(rows), model.predict_proba(rows))
    path = folder / "model.skops"
    path.write_bytes(artifact(Version.FIRST).content)
    embed(path, Reference.of(rows, columns=WATCHED, quality=quality))
    content = path.read_bytes()
    return Artifact("1-watched", content, f"sha256:{hashlib.sha256(content).hexdigest()}")


def stream(trial: Trial, shift: float) -> BackgroundStream:
    """Held-out rows with their truths; the mean radius is higher by so many standard deviations."""
    data = split()
    rows = data.held_out_rows.copy()
    rows[:, 0] += shift * rows[:, 0].std()
    return BackgroundStream(
        trial.name,
        trial.stage.targets(trial.name),
        Data(rows, [str(label) for label in data.held_out_labels]),
        Load(requests_per_second=80.0, labels=LabelSettings(mean_delay_seconds=0.5)),
    )


def cloud_events(trial: Trial) -> list[dict[str, Any]]:
    """What the operator's log has of this ModelDeployment for other programs."""
    log = trial.stage.hub.kubectl("logs", "deployment/assay-operator", "-n", SYSTEM, "--tail=-1")
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    source = f"/apis/assay.dev/v1alpha1/namespaces/{NAMESPACE}/modeldeployments/{trial.name}"
    return [line for line in lines if line.get("source") == source]


def test_a_stream_that_drifts_raises_the_condition_and_its_end_clears_it(
    trial: Trial, tmp_path: pathlib.Path
) -> None:
    trial.start(with_reference(tmp_path), SHORT)
    with stream(trial, 0.0):
        found = trial.until(
            "inputs as in training", lambda it: it.condition("DriftDetected")[0] == "False"
        )
        assert found.condition("DriftDetected")[1] == "NoDrift"
        before = found.status.model_copy(update={"conditions": ()})
    with stream(trial, 3.0):
        found = trial.until("drift", lambda it: it.condition("DriftDetected")[0] == "True")
        message = found.condition("DriftDetected")[2]
        assert message.startswith("feature 0: PSI "), message
        assert "limit" in message
        # Truths are what they were, so a model that goes by the radius is wrong where it was right.
        found = trial.until("decay", lambda it: it.condition("QualityDecayed")[0] == "True")
        assert "standard error" in found.condition("QualityDecayed")[2]
        assert found.is_ready
    with stream(trial, 0.0):
        found = trial.until("its end", lambda it: it.condition("DriftDetected")[0] == "False")
    assert found.status.model_copy(update={"conditions": ()}) == before

    told = [event.reason for event in trial.stage.events(trial.name)]
    assert "NoDrift" in told
    types = [line["type"] for line in cloud_events(trial)]
    drifted = [name for name in types if name.startswith("dev.assay.drift")]
    assert (drifted[0], drifted[-1]) == ("dev.assay.drift.detected", "dev.assay.drift.ended")
    assert "dev.assay.quality.decayed" in types
