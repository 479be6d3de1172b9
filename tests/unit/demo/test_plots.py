"""Plots are made from what was recorded, and say what happened."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from assay_server.ledger.bins import BINS, bin_of
from demo.evidence import TrialRecord, roc_curve
from demo.log import Prediction
from demo.models import POSITIVE, Version, scores, split
from demo.plots import draw_evidence, draw_roc, draw_traffic

Record = Callable[[Version], TrialRecord]


def is_drawn(path: Path) -> bool:
    """Whether the file is an image with more than one colour."""
    image = matplotlib.image.imread(path)
    return image.shape[0] > 300 and float(image[..., :3].std()) > 0.05


def test_the_bad_version_is_rolled_back_and_drawn(record: Record, tmp_path: Path) -> None:
    trial = record(Version.CORRUPTED)
    assert trial.decided == ("Rollback", "Worse")
    assert trial.looks[-1].labels[1] < 1000
    draw_evidence(trial, tmp_path / "evidence.png")
    draw_roc(trial, tmp_path / "roc.png")
    assert is_drawn(tmp_path / "evidence.png")
    assert is_drawn(tmp_path / "roc.png")


def test_the_good_version_is_promoted_and_drawn(record: Record, tmp_path: Path) -> None:
    trial = record(Version.GOOD)
    assert trial.decided == ("Promote", "NotWorse")
    draw_evidence(trial, tmp_path / "evidence.png")
    assert is_drawn(tmp_path / "evidence.png")


def test_a_record_survives_its_file(record: Record, tmp_path: Path) -> None:
    trial = record(Version.CORRUPTED)
    trial.write(tmp_path / "trial.json")
    assert TrialRecord.load(tmp_path / "trial.json") == trial


def test_a_trial_without_any_evidence_is_drawn_too(tmp_path: Path) -> None:
    trial = TrialRecord("2" * 10, "1", "2")
    draw_evidence(trial, tmp_path / "evidence.png")
    draw_roc(trial, tmp_path / "roc.png")
    draw_traffic([], tmp_path / "traffic.png")


def test_roc_from_counts_has_the_area_that_scikit_learn_finds() -> None:
    truth = split().held_out_labels == POSITIVE
    probability = scores(Version.CORRUPTED, split().held_out_rows)
    bins = bin_of(probability)
    positive = np.bincount(bins[truth], minlength=BINS)
    negative = np.bincount(bins[~truth], minlength=BINS)
    false, true = roc_curve(positive.tolist(), negative.tolist())
    area = np.trapezoid(true, false)
    assert area == pytest.approx(roc_auc_score(truth, probability), abs=0.002)


def test_traffic_shares_are_drawn(tmp_path: Path) -> None:
    rows = [
        Prediction(
            row=0,
            member="east",
            sent=second,
            answered=second,
            version="2" if number == 0 and second > 10 else "1",
            revision="",
            rollout="",
            step=0,
            predicted="benign",
            score=0.1,
            truth="benign",
            receipt="",
        )
        for second in range(30)
        for number in range(10)
    ]
    draw_traffic(rows, tmp_path / "traffic.png", [(10.0, "version 2 on trial")])
    assert is_drawn(tmp_path / "traffic.png")
