"""The binormal models: they have the values that were asked for, and canaries the effects."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, f1_score, log_loss, roc_auc_score

from assay.judge import MetricSpec
from assay.judge.verdict import Average
from assay.rollout.simulation import Effect, ModelError, ScoreModel, Yardstick
from assay.rollout.simulation.baseline import canary, fit, misfits, values
from assay.rollout.simulation.model import confusion_of, grid_of, score_cells

LABELS = ("0", "1")
COSTS = (("0", "1", 1.0), ("1", "0", 5.0))


def yardstick(kind, name="m", margin=0.02, **settings):
    return Yardstick.of(MetricSpec(name, kind, margin, **settings), LABELS)


@pytest.mark.parametrize(
    ("kind", "value", "settings"),
    [
        ("F1", 0.6, {}),
        ("FBeta", 0.7, {"beta": 2.0}),
        ("Accuracy", 0.95, {}),
        ("Precision", 0.8, {}),
        ("Recall", 0.7, {}),
        ("ROCAUC", 0.93, {}),
        ("AveragePrecision", 0.6, {}),
        ("Cost", 0.2, {"costs": COSTS}),
        ("F1", 0.8, {"average": Average.MACRO}),
        ("F1", 0.9, {"average": Average.WEIGHTED}),
        ("Recall", 0.9, {"average": Average.MICRO}),
        ("Precision", 0.97, {"positive_label": "0"}),
        ("LogLoss", 0.1, {}),
        ("Brier", 0.05, {}),
    ],
)
def test_one_metric_has_its_value(kind, value, settings):
    metric = [yardstick(kind, **settings)]
    model = fit(metric, {"m": value}, 0.1)
    assert values(metric, model, model)[0] == pytest.approx(value, abs=1e-3)
    worse = canary(metric, model, Effect(-1.0))
    moved = values(metric, worse, model)[0] - values(metric, model, model)[0]
    assert moved * metric[0].better == pytest.approx(-0.02, abs=1e-6)


def test_rows_of_the_model_score_as_it_says():
    both = [yardstick("F1", "f1"), yardstick("ROCAUC", "auc")]
    model = fit(both, {"f1": 0.7, "auc": 0.93}, 0.3)
    rng = np.random.default_rng(1)
    truth = rng.random(400_000) < 0.3
    scores = rng.normal(size=truth.size) + model.separation * truth
    found = values(both, model, model)
    assert found == pytest.approx([0.7, 0.93], abs=1e-3)
    assert f1_score(truth, scores >= model.threshold) == pytest.approx(found[0], abs=3e-3)
    assert roc_auc_score(truth, scores) == pytest.approx(found[1], abs=3e-3)


def test_stable_is_calibrated_and_a_worse_canary_surer_than_it_may_be():
    both = [yardstick("LogLoss", "loss"), yardstick("Brier", "brier"), yardstick("F1", "f1")]
    model = fit(both, {"loss": 0.25, "brier": 0.075, "f1": 0.8}, 0.3)
    rng = np.random.default_rng(2)
    truth = rng.random(400_000) < 0.3
    for served in (model, canary(both, model, Effect(-3.0))):
        scores = rng.normal(size=truth.size) + served.separation * truth
        odds = model.separation * (scores - model.separation / 2.0) + logit(0.3)
        loss, brier, f1 = values(both, served, model)
        assert log_loss(truth, expit(odds)) == pytest.approx(loss, rel=0.02)
        assert brier_score_loss(truth, expit(odds)) == pytest.approx(brier, rel=0.02)
        assert f1_score(truth, scores >= model.threshold) == pytest.approx(f1, abs=3e-3)


def test_a_ranking_settles_the_separation_and_the_rest_is_told():
    both = [yardstick("F1", "f1"), yardstick("ROCAUC", "auc")]
    wanted = {"f1": 0.99, "auc": 0.9}
    model = fit(both, wanted, 0.3)
    assert values(both, model, model)[1] == pytest.approx(0.9, abs=1e-3)
    assert misfits(both, wanted, model) == ["f1"]


def test_two_values_of_the_confusion_matrix_settle_both_numbers():
    both = [yardstick("Precision", "p"), yardstick("Recall", "r")]
    model = fit(both, {"p": 0.9, "r": 0.5}, 0.1)
    assert values(both, model, model) == pytest.approx([0.9, 0.5], abs=1e-3)


def test_what_no_model_has_is_an_error():
    with pytest.raises(ModelError, match=r"m: 0.1 is not what a binormal model with 50 %"):
        fit([yardstick("F1")], {"m": 0.1}, 0.5)


def test_an_effect_in_margins_is_that_of_the_metric_that_changes_most():
    both = [yardstick("F1", "f1", 0.05), yardstick("ROCAUC", "auc", 0.01)]
    model = fit(both, {"f1": 0.7, "auc": 0.93}, 0.3)
    for size in (1.0, -2.0, -5.0):
        moved = (values(both, canary(both, model, Effect(size)), model)
                 - values(both, model, model)) / [0.05, 0.01]  # fmt: skip
        assert moved[np.argmax(np.abs(moved))] == pytest.approx(size, abs=1e-6)
    assert canary(both, model, Effect(0.0)) == model


def test_an_absolute_effect_is_of_one_metric_in_its_own_units():
    both = [yardstick("Cost", "cost", costs=COSTS), yardstick("ROCAUC", "auc", 0.01)]
    model = fit(both, {"cost": 0.3, "auc": 0.93}, 0.1)
    worse = canary(both, model, Effect(0.05, "cost"))
    moved = values(both, worse, model) - values(both, model, model)
    assert moved[0] == pytest.approx(0.05, abs=1e-6)
    assert moved[1] < 0.0


def test_an_effect_that_cannot_be_is_an_error():
    metric = [yardstick("ROCAUC")]
    model = fit(metric, {"m": 0.995}, 0.3)
    with pytest.raises(ModelError, match=r"differs by 1 margins; the most is 0.25"):
        canary(metric, model, Effect(1.0))


def test_the_threshold_is_an_edge_of_the_grid():
    model = ScoreModel(1.7, 1.1, 0.2)
    fine, coarse = grid_of(model), grid_of(model, 2)
    assert np.all(np.diff(fine.edges[1:-1]) > 0.0)
    by_scores = confusion_of(score_cells(model, fine), fine.first)
    assert by_scores == pytest.approx(confusion_of(score_cells(model, coarse), coarse.first))
    assert by_scores.sum() == pytest.approx(1.0)
