"""Paired comparison: the judge's variance, and McNemar's test."""

import numpy as np
import pytest
from scipy.stats import binomtest

from assay.evidence.paired import PairedCounts
from assay.judge import MetricSpec, Policy
from assay.judge.measurement import Borders, Shares, measure
from assay.judge.metrics import metric_of
from assay.judge.pairing import read_pairs
from assay.judge.verdict import Average
from assay.judge.verdict import Average as JudgesAverage
from assay_workbench import comparison, confusion
from assay_workbench.comparison import Reading

CLASSES = ("a", "b", "c")


@pytest.fixture
def outcomes():
    random = np.random.default_rng(5)
    labels = random.choice(3, 2000, p=[0.6, 0.3, 0.1])
    hard = random.random(2000)
    said = [np.where(hard + 0.2 * random.random(2000) < limit, labels, random.choice(3, 2000))
            for limit in (0.8, 0.7)]  # fmt: skip
    counts = np.zeros((3, 3, 3), np.int64)
    np.add.at(counts, (labels, *said), 1)
    return counts


@pytest.mark.parametrize(
    ("metric", "average"),
    [("Accuracy", None), ("F1", Average.BINARY), ("Precision", Average.BINARY),
     ("F1", Average.MACRO), ("F1", Average.WEIGHTED), ("Recall", Average.MACRO)],
)  # fmt: skip
def test_the_variance_of_a_difference_is_the_judges(outcomes, metric, average):
    ours = comparison.variances_by_outcome(outcomes, CLASSES, 1, None)
    key = (metric, average, "b" if average is Average.BINARY else None, None)
    spec = MetricSpec(
        "m", metric, 0.02, positive_label="b", average=JudgesAverage(average or Average.BINARY)
    )
    # The judge calls the first of a pair stable.
    counts = PairedCounts(CLASSES, outcomes.transpose(0, 2, 1))
    looks = read_pairs(metric_of(spec), counts)
    borders = Borders(1.0, 0.02, 0.0, 0.05, 0.05, Shares.of(spec, Policy()))
    judged = measure(spec, looks.parts, borders)
    assert ours[key] == pytest.approx(float(judged.variances[0, 0].item()), rel=0.01)
    smooth = confusion.smooth_figures(outcomes.sum(axis=2), CLASSES, 1, None)
    other = confusion.smooth_figures(outcomes.sum(axis=1), CLASSES, 1, None)
    assert float(judged.difference.item()) == pytest.approx(smooth[key].value - other[key].value)


def test_mcnemar(outcomes):
    found = comparison.mcnemar(outcomes)
    one = two = 0
    for label, first, second in np.ndindex(3, 3, 3):
        rows = int(outcomes[label, first, second])
        one += rows * (first == label and second != label)
        two += rows * (first != label and second == label)
    assert (found.only_model, found.only_baseline) == (one, two)
    assert found.p == pytest.approx(binomtest(one, one + two).pvalue)


def test_models_that_never_differed_may_still_do_so():
    same = np.zeros((2, 2, 2), np.int64)
    same[0, 0, 0] = same[1, 1, 1] = 20
    variances = comparison.variances_by_outcome(same, ("0", "1"), 1, None)
    assert variances["Accuracy", None, None, None] > 0.0
    assert comparison.mcnemar(same).p == 1.0


@pytest.mark.parametrize(
    ("lower", "upper", "metric", "expected"),
    [
        (0.01, 0.03, "F1", Reading.BETTER),
        (-0.03, -0.01, "F1", Reading.WORSE),
        (-0.03, -0.01, "LogLoss", Reading.BETTER),
        (-0.01, 0.03, "F1", Reading.UNDECIDED),
        (0.0, 0.0, "F1", Reading.SAME),
    ],
)
def test_readings(lower, upper, metric, expected):
    from assay_workbench.figure import Figure
    from assay_workbench.intervals import Interval, Kind

    figure = Figure(metric, 0.5, None)
    interval = Interval(lower, upper, Kind.NORMAL)
    found = comparison.Difference(figure, figure, (lower + upper) / 2, interval, 0.0)
    assert found.reading is expected
