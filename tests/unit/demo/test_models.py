"""The three models are as weak, worse and good as the story says, and their files never differ."""

import subprocess
import sys

import pytest
import skops.io

from demo.models import FEATURES, POSITIVE, Version, artifact, copy_of, held_out_quality, split

QUALITY = {
    Version.FIRST: ((0.87, 0.90), (0.97, 0.99)),
    Version.CORRUPTED: ((0.78, 0.82), (0.88, 0.93)),
    Version.GOOD: ((0.97, 1.0), (0.99, 1.0)),
}


@pytest.mark.parametrize("version", Version)
def test_f1_and_auc_on_the_held_out_rows(version: Version) -> None:
    (f1_low, f1_high), (auc_low, auc_high) = QUALITY[version]
    f1, auc = held_out_quality(version)
    assert f1_low <= f1 <= f1_high
    assert auc_low <= auc <= auc_high


def test_held_out_rows_are_not_trained_on() -> None:
    data = split()
    seen = {tuple(row) for row in data.train_rows}
    assert not any(tuple(row) in seen for row in data.held_out_rows)
    assert len(data.held_out_rows) == len(data.held_out_labels) == 285


@pytest.mark.parametrize("version", Version)
def test_artifacts_load_without_trusting_any_type(version: Version) -> None:
    content = artifact(version).content
    assert skops.io.get_untrusted_types(data=content) == []
    model = skops.io.loads(content)
    assert model.n_features_in_ == FEATURES
    assert model.classes_.tolist() == ["benign", POSITIVE]


def test_digests_are_the_same_in_another_process() -> None:
    code = "from demo.models import *; print([artifact(v).digest for v in Version])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str([artifact(version).digest for version in Version])


@pytest.mark.parametrize("version", Version)
def test_a_copy_has_another_digest_and_the_same_predictions(version: Version) -> None:
    original, copy = artifact(version), copy_of(version)
    assert copy.digest != original.digest
    assert copy.digest == copy_of(version).digest
    rows = split().held_out_rows
    ours = skops.io.loads(original.content).predict_proba(rows)
    theirs = skops.io.loads(copy.content).predict_proba(rows)
    assert (ours == theirs).all()
