"""The simulation's own parts: a wrong yardstick proves nothing."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tests.simulation import draws, kayenta, models, peers, report, runner, values
from tests.simulation.cache import Cache
from tests.simulation.catalogue import Task, tasks
from tests.simulation.ends import HOLD, PROMOTE, ROLLBACK, Ends, upper
from tests.simulation.goals import goals
from tests.simulation.scenarios import SCALED, Scenario, grid

LABELS = np.arange(1.0, 5.0)


@pytest.mark.parametrize(
    ("scenario", "n80", "n95"),
    [
        (Scenario("F1", 0.5, 0.5, SCALED), 4_500, 7_900),
        (Scenario("F1", 0.01, 0.05, SCALED), 852_000, 1_490_000),
        (Scenario("AUC", 0.1, 0.2, SCALED), 24_100, 42_100),
        (Scenario("AUC", 0.01, 0.05, SCALED), 737_000, 1_290_000),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_the_oracle_needs_what_the_specification_says(scenario, n80, n95):
    assert scenario.needs(0.8) == pytest.approx(n80, rel=0.01)
    assert scenario.needs(0.95) == pytest.approx(n95, rel=0.01)


def test_the_grid_has_36_cells_whose_canaries_are_worse_by_what_they_say():
    cells = list(grid())
    assert len({cell.name for cell in cells}) == 36
    for cell in cells:
        for effect in (0.0, 1.0, 2.0):
            stable, canary = cell.arms(effect)
            gap = float(cell.value(stable) - cell.value(canary))
            assert gap == pytest.approx(effect * cell.margin, abs=1e-9)
            assert canary.sum() == pytest.approx(1.0)


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    truth, scores = rng.integers(2, size=400), rng.integers(20, size=400)
    counts = np.concatenate([np.bincount(scores[truth == k], minlength=20) for k in (1, 0)])
    assert values.auc(counts) == pytest.approx(roc_auc_score(truth, scores))
    found = average_precision_score(truth, scores)
    assert values.average_precision(counts) == pytest.approx(found, abs=0.01)
    cells = models.to_confusion(counts, 10)
    assert values.f1(cells) == pytest.approx(f1_score(truth, scores >= 10))
    classes, guesses = rng.integers(4, size=400), rng.integers(4, size=400)
    matrix = np.bincount(classes * 4 + guesses, minlength=16).astype(float)
    for name, value in (("macro", values.macro_f1), ("weighted", values.weighted_f1)):
        assert value(matrix) == pytest.approx(f1_score(classes, guesses, average=name))


def test_draws_do_not_depend_on_what_ran_before():
    first = [(count, rng.random()) for count, rng in draws.batches("a", 50, 20)]
    list(draws.batches("b", 70, 20))
    assert first == [(count, rng.random()) for count, rng in draws.batches("a", 50, 20)]
    assert [count for count, _ in first] == [20, 20, 10]


def test_few_rows_are_drawn_like_many():
    rng = np.random.default_rng(3)
    chances = rng.dirichlet(np.ones(64))
    counts = np.full((2000, 5), 20)
    drawn = draws.cells(rng, counts, chances)
    assert (drawn.sum(axis=-1) == counts).all()
    assert drawn.sum(axis=(0, 1)) / counts.sum() == pytest.approx(chances, abs=0.003)


def test_the_first_verdict_is_kept_and_a_rollback_wins_a_tie():
    promotes = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    rolls_back = np.array([[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    ends = Ends.first(promotes, rolls_back, LABELS)
    assert ends.verdict.tolist() == [PROMOTE, ROLLBACK, HOLD]
    assert ends.labels.tolist() == [2.0, 3.0, np.inf]


def test_a_median_among_open_runs_is_open():
    ends = Ends(np.array([PROMOTE, HOLD, HOLD]), np.array([5.0, np.inf, np.inf]))
    tally = ends.tally()
    assert (tally["promoted"], tally["median"], tally["median_promoted"]) == (1, None, 5.0)


def test_wilson_limit():
    assert upper(0, 2000) == pytest.approx(0.00135, abs=1e-4)
    assert upper(82, 2000) < 0.05 < upper(86, 2000)


def test_flagger_rolls_back_at_the_fifth_failure_and_promotes_at_the_tenth_pass():
    labels = np.arange(1.0, 16.0)
    fails = np.array([[0.0] * 5 + [1.0] * 10, [1.0] * 15, [0.0] * 4 + [1.0] * 11])
    ends = peers.flagger(fails, 0.5, labels)
    assert ends.verdict.tolist() == [ROLLBACK, PROMOTE, PROMOTE]
    assert ends.labels.tolist() == [5.0, 10.0, 14.0]


def test_argo_rolls_back_beyond_its_limit_and_skips_empty_windows():
    labels = np.arange(1.0, 25.0)
    measured = np.ones((3, 24))
    measured[0, :3] = 0.0
    measured[1, :4] = 0.0
    measured[2, :4] = np.nan
    ends = peers.argo(measured, 0.5, labels)
    assert ends.verdict.tolist() == [PROMOTE, ROLLBACK, PROMOTE]
    assert ends.labels.tolist() == [20.0, 4.0, 24.0]


def test_kayenta_sees_a_clear_fall_only():
    rng = np.random.default_rng(4)
    control = rng.normal(0.8, 0.02, 50)
    assert kayenta.is_low(control - 0.05, control)
    assert not kayenta.is_low(rng.normal(0.8, 0.02, 50), control)
    assert not kayenta.is_low(np.full(50, np.nan), control)
    assert not kayenta.is_low(control[:2] - 0.5, control[:2])


def test_a_cache_gives_back_what_it_was_given(tmp_path):
    cache, task = Cache(tmp_path), Task("grid", "x")
    assert cache.load(task, 10) is None
    cache.save(task, 10, {"a": 1})
    assert cache.load(task, 10) == {"a": 1}
    assert cache.load(task, 11) is None
    cache.forget()
    assert cache.load(task, 10) is None


def test_the_document_is_a_function_of_the_results():
    found = {}
    for task in tasks():
        if task.name in {
            "grid: F1 10%/20% short",
            "collapse: F1 .82 to 0.40",
            "ramp: identical, by step",
        }:
            found[task.name] = task.run(20)
    meta = {"command": "c", "date": "2026-01-01", "runs": 20, "commit": "abc"}
    text = runner.save_json(found, meta)
    document = report.render(*report.load(text))
    assert document == report.render(*report.load(text))
    assert report.load(runner.save_json(*report.load(text)))[0] == report.load(text)[0]
    for part in (
        "`c`",
        "abc",
        "### F1, short",
        "Kayenta-like",
        "## Collapse",
        "| F1 .82 to 0.40 |",
    ):
        assert part in document
    assert document.endswith("\n")
    assert "\n\n\n" not in document
    assert any(goal.text.startswith("Collapse") for goal in goals(found))
