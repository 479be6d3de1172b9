"""Thresholds: the cheapest one, written so that people can keep it."""

import numpy as np
import pytest

from assay_workbench.ranking import Grid, ScoreCells
from assay_workbench.thresholds import Costs, Thresholds, shortest_decimal


def thresholds(scores, labels):
    starts = np.unique(scores)
    grid = Grid(starts, exact=True)
    counts = np.zeros((2, starts.size), np.int64)
    np.add.at(counts, (np.asarray(labels), grid.cells(np.asarray(scores))), 1)
    return Thresholds(ScoreCells(grid, 1, counts))


@pytest.fixture
def drawn():
    random = np.random.default_rng(3)
    labels = (random.random(400) < 0.3).astype(int)
    scores = 1.0 / (1.0 + np.exp(-(1.5 * labels - 1.2 + random.standard_normal(400))))
    return scores, labels


@pytest.mark.parametrize("costs", [Costs(1, 1), Costs(1, 5), Costs(7, 1), Costs(0, 1), Costs(1, 0)])
def test_no_threshold_is_cheaper(drawn, costs):
    scores, labels = drawn
    found = thresholds(scores, labels).cheapest(costs)

    def cost(threshold):
        predicted = scores >= threshold
        alarms = (predicted & (labels == 0)).sum()
        missed = (~predicted & (labels == 1)).sum()
        return (costs.false_positive * alarms + costs.false_negative * missed) / 400

    assert found.cost(costs) == pytest.approx(cost(found.threshold))
    least = min(cost(threshold) for threshold in [*scores, 0.0, 2.0])
    assert found.cost(costs) == pytest.approx(least)


def test_it_is_short(drawn):
    found = thresholds(*drawn).cheapest(Costs(1, 5)).threshold
    assert len(f"{found:g}") <= 6


def test_the_best_f1(drawn):
    from sklearn.metrics import f1_score

    scores, labels = drawn
    found = thresholds(scores, labels).best_f1()
    best = max(f1_score(labels, scores >= threshold) for threshold in scores)
    assert found.f1 == pytest.approx(best)
    assert f1_score(labels, scores >= found.threshold) == pytest.approx(best)


def test_to_predict_nobody_can_be_the_cheapest():
    found = thresholds([0.2, 0.6, 0.9], [1, 0, 0]).cheapest(Costs(100, 1))
    assert 0.9 < found.threshold <= 1.0
    assert found.true_positives == found.false_positives == 0
    assert found.precision is None


def test_the_calibrated_threshold():
    assert Costs(1, 4).calibrated_threshold == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.31, 0.42, 0.4), (0.371, 0.374, 0.374), (0.3712, 0.3739, 0.373), (-2.7, -1.2, -2.0),
     (0.999999, 1.0, 1.0), (0.5, 0.5 + 1e-12, 0.5 + 1e-12)],
)  # fmt: skip
def test_shortest_decimal(low, high, expected):
    found = shortest_decimal(low, high)
    assert low < found <= high
    assert found == pytest.approx(expected, abs=1e-15)
