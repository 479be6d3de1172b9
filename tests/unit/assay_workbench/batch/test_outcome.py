"""Two outputs before the judge: values are scikit-learn's, rows are compared with themselves."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import f1_score, roc_auc_score

from assay.cli import main
from assay_workbench.batch.outcome import COARSE, Grid, Output, bins_for, pairs


@pytest.fixture
def compare():
    """Call `assay compare-scores`; exit code 0 or the message."""

    def compare(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["compare-scores", *map(str, words)])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    return compare


@pytest.fixture
def both(score, tmp_path):
    """Score the rows of a case by its baseline (stable) and its model (the canary)."""

    def both(case):
        for model, name in ((case.baseline, "stable"), (case.model, "canary")):
            words = [model, case.data, "-o", tmp_path / name, "--label", "label"]
            score(*words, "--rows-per-shard", 250)
        return tmp_path / "stable", tmp_path / "canary"

    return both


def test_binary_values_are_those_of_scikit_learn(both, binary, compare):
    words = [*both(binary), "--metric", "f1=0.05", "--metric", "ROCAUC=.05", "-o", "json"]
    found = {each["name"]: each for each in json.loads(compare(*words))["metrics"]}
    truth = binary.labels == "good"
    arms = ((binary.fitted_baseline, "stable"), (binary.fitted, "canary"))
    for model, arm in arms:
        predicted, scores = model.predict(binary.rows), model.predict_proba(binary.rows)[:, 1]
        expected = {
            "F1": f1_score(truth, predicted == "good"),
            "ROCAUC": roc_auc_score(truth, scores),
        }
        for name, value in expected.items():
            assert found[name][arm] == pytest.approx(value, abs=1e-9), (name, arm)
    assert all(each["labels"] == {"stable": 900, "canary": 900} for each in found.values())


def test_macro_values_are_those_of_scikit_learn(both, animals, compare):
    words = [*both(animals), "--metric", "F1=0.05", "--metric", "ROCAUC=.05", "-o", "json"]
    f1, auc = json.loads(compare(*words))["metrics"]
    expected = f1_score(animals.labels, animals.predicted, average="macro")
    assert f1["canary"] == pytest.approx(expected, abs=1e-9)
    expected = roc_auc_score(animals.labels, animals.scores, multi_class="ovr")
    assert auc["canary"] == pytest.approx(expected, abs=1e-9)


def test_pairs_say_more_than_two_samples(both, binary, compare):
    """The worse model is rolled back, the same one twice is promoted, and the words say why."""
    stable, canary = both(binary)
    assert compare(canary, stable, "--metric", "Recall=0.02").startswith("Rollback (Worse")
    same = compare(canary, canary, "--metric", "F1=0.04", "--metric", "ROCAUC=0.02")
    assert same.startswith("Promote (NotWorse")
    assert "ROCAUC: Promote" in same


def test_more_scores_than_bins(both, binary, monkeypatch):
    """Then the area is off by no more than the judge says, and order is kept."""
    from assay.judge import MetricSpec, Policy, judge_pairs
    from assay_workbench.batch import outcome

    monkeypatch.setattr(outcome, "MOST_BINS", 256)
    folders = both(binary)
    counts = pairs(*map(Output.open, folders), ["good"])
    assert counts.scores["good"].stable.bins == 256
    (auc,) = judge_pairs([MetricSpec("auc", "ROCAUC", 0.05)], Policy(), counts).metrics
    value = roc_auc_score(binary.labels == "good", binary.scores[:, 1])
    assert 0.0 < auc.half_width < 0.005
    assert auc.canary == pytest.approx(value, abs=auc.half_width)


def test_the_grid_keeps_order_and_spreads():
    values = np.array([0.1, 0.2, 0.2, 0.2, 0.5, 0.9])
    grid = Grid(values, 128)
    assert grid.of(np.array([0.0, 0.1, 0.2, 0.4, 0.5, 0.9, 1.0])).tolist() == [
        0, 0, 32, 32, 64, 96, 96,
    ]  # fmt: skip
    many = np.random.default_rng(1).random(5000)
    found = np.bincount(Grid(many, 128).of(many), minlength=128)
    assert found.min() > 30
    assert bins_for(2, 1) == 16_384
    assert bins_for(20, 20) == 2048
    assert bins_for(500, 500) == COARSE


def test_rows_without_a_label_do_not_count(score, compare, binary, tmp_path):
    rows = pd.read_csv(binary.data)
    rows.loc[rows.index % 3 > 0, "label"] = None
    rows.to_parquet(tmp_path / "some.parquet")
    out = tmp_path / "out"
    score(binary.model, tmp_path / "some.parquet", "-o", out, "--label", "label")
    found = json.loads(compare(out, out, "--metric", "Accuracy=0.1", "-o", "json"))
    assert found["metrics"][0]["labels"] == {"stable": 300, "canary": 300}


def test_what_is_wrong_is_said(both, score, compare, binary, animals, ridge, tmp_path):
    stable, canary = both(binary)
    for name, words in (
        ("plain", [binary.model, binary.data]),
        ("sizes", [binary.model, binary.data, "--label", "label"]),
        ("ridge", [ridge, binary.data, "--label", "label", "--rows-per-shard", 250]),
        ("animals", [animals.model, animals.data, "--label", "label", "--rows-per-shard", 250]),
    ):
        score(*words, "-o", tmp_path / name)
    other = pd.read_csv(binary.data).assign(f0=0.0)
    other.to_csv(tmp_path / "other.csv", index=False)
    words = ["--label", "label", "--rows-per-shard", 250, "-o", tmp_path / "rows"]
    score(binary.model, tmp_path / "other.csv", *words)
    shutil.copytree(canary, tmp_path / "lacking")
    (tmp_path / "lacking/part-00002.parquet").unlink()
    (tmp_path / "nothing").mkdir()
    metric = ["--metric", "F1=0.02"]
    for folder, options, message in (
        ("nothing", metric, "must be an output of assay score"),
        ("lacking", metric, "has 3 of 4 parts"),
        ("plain", metric, "has no labels; score with --label"),
        ("sizes", metric, "has 1 parts, but"),
        ("rows", metric, "is of other rows or labels"),
        ("ridge", metric, "has scores of the kind Decision"),
        ("animals", metric, "only models of the same classes"),
        ("canary", ["--metric", "F2=0.02"], "'F2' is not one of"),
        ("canary", ["--metric", "LogLoss=0.02"], "assay evaluate --baseline compares by it"),
        ("canary", ["--metric", "F1"], "'' is no margin"),
        ("canary", ["--metric", "F1=7"], "margin: 7.0 is not between 0 and 1"),
        ("canary", [*metric, *metric], "F1 is named twice"),
        ("canary", [*metric, "--positive", "best"], "'best' is not one of bad, good"),
    ):
        assert message in compare(stable, tmp_path / folder, *options, code=2), message
    words = [tmp_path / "animals", tmp_path / "animals", *metric, "--average", "binary"]
    assert "with 3 classes say which one by --positive" in compare(*words, code=2)
