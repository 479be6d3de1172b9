"""Influence of rows on ranking figures: its variance is the jackknife's."""

import numpy as np
import pytest

from assay_workbench import ranking
from assay_workbench.ranking import Grid, ScoreCells

ROWS = 240


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(2)
    labels = random.choice(3, ROWS, p=[0.5, 0.3, 0.2])
    odds = random.standard_normal((ROWS, 3)) + 1.2 * np.eye(3)[labels]
    scores = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    return labels, np.round(scores, 2)  # with ties


def cells_of(labels, scores, places):
    found = {}
    for place in places:
        grid = Grid(np.unique(scores[:, place]), exact=True)
        counts = np.zeros((scores.shape[1], grid.starts.size), np.int64)
        np.add.at(counts, (labels, grid.cells(scores[:, place])), 1)
        found[place] = ScoreCells(grid, place, counts)
    return found


@pytest.mark.parametrize(
    ("classes", "positive"), [(2, 1), (3, None)], ids=["two classes", "three classes"]
)
def test_the_variance_is_that_of_leaving_out_one_row_at_a_time(drawn, classes, positive):
    labels, scores = drawn
    kept = labels < classes
    labels, scores = labels[kept], scores[kept][:, :classes]
    places = range(classes) if classes > 2 else (1,)
    names = tuple("abc"[:classes])

    def figures(some):
        cells = cells_of(labels[some], scores[some], places)
        return cells, ranking.figures(list(cells.values()), names, positive)

    rows = labels.size
    cells, whole = figures(np.arange(rows))
    influence = ranking.influences(whole, cells, labels, scores)
    np.testing.assert_allclose(influence.mean(axis=0), 0.0, atol=1e-9)
    ours = (influence**2).mean(axis=0) / rows
    left_out = np.array(
        [
            [each.value for each in figures(np.delete(np.arange(rows), row))[1]]
            for row in range(rows)
        ]
    )
    jackknife = (rows - 1) * left_out.var(axis=0)
    np.testing.assert_allclose(ours, jackknife, rtol=0.1)


def test_delongs_variance_of_one_area(drawn):
    labels, scores = drawn
    positive, score = labels == 0, scores[:, 0]
    cells = cells_of(labels, scores, (0,))
    area = ranking.one(ranking.AUC, cells[0], ("a", "b", "c"))
    influence = ranking.influences([area], cells, labels, scores)[:, 0]
    wins = (score[positive][:, None] > score[~positive]) + 0.5 * (
        score[positive][:, None] == score[~positive]
    )
    expected = (
        wins.mean(axis=1).var(ddof=1) / positive.sum()
        + wins.mean(axis=0).var(ddof=1) / (~positive).sum()
    )
    assert (influence**2).sum() / ROWS**2 == pytest.approx(expected)
