"""Intervals: reference values, the ends of the scale, and how often they cover."""

import numpy as np
import pytest
from scipy.stats import binomtest

from assay.judge.verdict import Average
from assay_workbench import intervals
from assay_workbench.evaluation import Settings, evaluate
from assay_workbench.sample import Answers, Part, Sample, ScoreKind


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (371, 400)])
def test_wilson_is_scipys(hits, rows):
    expected = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    found = intervals.wilson(hits, rows, 0.95)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_f1_follows_its_share():
    share = intervals.wilson(40, 50, 0.95)
    found = intervals.wilson_f1(40, 10, 0.95)
    assert found.lower == pytest.approx(2 * share.lower / (1 + share.lower))


def test_a_perfect_figure_is_not_certain():
    found = intervals.logit_interval(1.0, 0.0, 25, 0.95)
    assert (round(found.lower, 3), found.upper) == (0.867, 1.0)


def drawn(random, rows=400):
    """Scores of two dependent models with a true AUC of .86 and .83; 30 % positives."""
    labels = (random.random(rows) < 0.3).astype(np.intp)
    shared, one, other = random.standard_normal((3, rows))
    answers = []
    for distance, own in ((1.53, one), (1.35, other)):
        odds = distance * labels + np.sqrt(0.7) * shared + np.sqrt(0.3) * own - 1.5
        scores = 1.0 / (1.0 + np.exp(-odds))
        answers.append(
            Answers((scores >= 0.5).astype(np.intp), np.column_stack([1 - scores, scores]))
        )
    sample = Sample(("0", "1"), 1, (ScoreKind.PROBABILITY,) * 2)
    sample.append(Part(labels, tuple(answers)))
    return sample


FIGURES = [
    ("Accuracy", None), ("Precision", Average.BINARY), ("Recall", Average.BINARY),
    ("F1", Average.BINARY), ("F1", Average.MACRO), ("F1", Average.WEIGHTED),
    ("ROCAUC", Average.BINARY), ("AveragePrecision", Average.BINARY), ("LogLoss", None),
    ("Brier", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def covered():
    """How often the intervals of figures and differences hold the truth, in 250 samples."""
    random = np.random.default_rng(7)

    def read(evaluation):
        by_key = {(each.model.metric, each.model.average): each
                  for each in evaluation.comparison.differences}  # fmt: skip
        return [(evaluation.model.figure(*name), by_key[name]) for name in FIGURES]

    truth = [
        (figure.value, difference.value)
        for figure, difference in read(evaluate(drawn(random, 800_000), Settings()))
    ]
    held = np.zeros((len(FIGURES), 2))
    for _ in range(250):
        for place, pair in enumerate(read(evaluate(drawn(random), Settings()))):
            for column, each in enumerate(pair):
                inside = each.interval.lower <= truth[place][column] <= each.interval.upper
                held[place, column] += inside
    return held / 250


@pytest.mark.parametrize("place", range(len(FIGURES)), ids=[f"{m} {a}" for m, a in FIGURES])
def test_intervals_cover_as_often_as_they_say(covered, place):
    # Three standard errors of 250 trials are .041.
    assert covered[place] == pytest.approx([0.95, 0.95], abs=0.042)
