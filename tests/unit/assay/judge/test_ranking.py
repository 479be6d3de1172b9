"""ROC AUC and average precision from bins: scikit-learn's values within bounds that are proven."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from assay.evidence.counts import ArmCounts
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts
from assay.judge import MetricSpec, reasons
from assay.judge.metrics import NoValue, metric_of
from assay.judge.metrics.average_precision import Precision
from assay.judge.metrics.roc_auc import Area
from assay.judge.verdict import Average, MultiClass

from .builders import BINS, CLASSES, LABELS, on_grid, scores_by_class

AUC, AP = Area("AUC"), Precision("average precision")


def log_of(rng, rows, prevalence, separation):
    """Truth and log-odds score of a calibrated binormal model."""
    truth = rng.random(rows) < prevalence
    x = rng.normal(size=rows) + separation * truth
    return truth, separation * x - separation**2 / 2 + np.log(prevalence / (1 - prevalence))


def cells_of(truth, bins, size=BINS):
    return np.concatenate(
        [
            np.bincount(bins[truth], minlength=size),
            np.bincount(bins[~truth], minlength=size),
        ]
    ).astype(float)


def several_of(rng, rows, classes=CLASSES):
    """Truth, probabilities (rows, K), and the arm that counted them in bins of log-odds."""
    truth = rng.choice(len(classes), rows, p=[0.5, 0.3, 0.2])
    raw = rng.normal(size=(rows, len(classes))) + 1.5 * np.eye(len(classes))[truth]
    chances = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return truth, chances, scores_by_class(truth, chances, classes)


BIAS = 1e-4
"""What bins hide of the AUC of a population on 1 024 bins, at most; the rest is the noise of ties."""


def tie_noise(cells):
    """Standard error of AUC by the order of rows that share a bin, which the counts do not know.

    Mann and Whitney: of P by N rows in random order the part of pairs in order has the variance
    (P + N + 1) / (12 P N).
    """
    positives, negatives = np.split(cells, 2)
    pairs = positives.sum() * negatives.sum()
    return np.sqrt((positives * negatives * (positives + negatives + 1)).sum() / 12) / pairs


def excess(positives):
    """Upper bound of what scikit-learn's sum adds to the integral, see `average_precision`."""
    return (0.5 + np.log(4 * positives) / 8) / positives


@pytest.mark.parametrize("prevalence", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("separation", [0.4, 0.95, 1.8, 2.7])
def test_auc_equals_scikit_learn_within_its_bounds(prevalence, separation):
    rng = np.random.default_rng(int(100 * separation))
    truth, odds = log_of(rng, 20_000, prevalence, separation)
    bins = on_grid(odds)
    cells = cells_of(truth, bins)
    error = abs(AUC.value(cells) - roc_auc_score(truth, odds))
    assert error <= AUC.half_width(cells)
    assert error <= BIAS + 4 * tie_noise(cells)
    assert AUC.value(cells) == pytest.approx(roc_auc_score(truth, bins), abs=1e-12)


@pytest.mark.parametrize("prevalence", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("separation", [0.4, 0.95, 1.8, 2.7])
def test_the_bias_of_auc_from_bins_is_below_a_ten_thousandth(prevalence, separation):
    exact = norm.cdf(separation / np.sqrt(2))
    assert abs(AUC.value(population(separation, prevalence)) - exact) <= BIAS


@pytest.mark.parametrize("prevalence", [0.5, 0.05])
def test_the_rest_of_the_error_of_auc_from_bins_is_the_noise_of_ties(prevalence):
    """Its mean square over 300 samples is the formula's within 3.7 of its own standard errors."""
    rng = np.random.default_rng(9)
    squares = []
    for _ in range(300):
        truth, odds = log_of(rng, 2_000, prevalence, 0.95)
        cells = cells_of(truth, on_grid(odds))
        squares.append(((AUC.value(cells) - roc_auc_score(truth, odds)) / tie_noise(cells)) ** 2)
    assert np.mean(squares) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(("prevalence", "rows"), [(0.5, 40_000), (0.1, 100_000), (0.02, 500_000)])
@pytest.mark.parametrize("separation", [0.95, 1.8])
def test_with_rows_enough_auc_is_within_a_ten_thousandth_of_scikit_learn(
    prevalence, rows, separation
):
    truth, odds = log_of(np.random.default_rng(rows), rows, prevalence, separation)
    cells = cells_of(truth, on_grid(odds))
    assert 3 * tie_noise(cells) <= 0.8e-4
    assert abs(AUC.value(cells) - roc_auc_score(truth, odds)) <= 1e-4


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_auc_counts_ties_as_scikit_learn_does(positive, negative):
    cells = np.concatenate(
        [np.bincount(positive, minlength=7), np.bincount(negative, minlength=7)]
    ).astype(float)
    truth = [1] * len(positive) + [0] * len(negative)
    assert AUC.value(cells) == pytest.approx(roc_auc_score(truth, positive + negative), abs=1e-12)


def test_the_variance_of_auc_is_that_of_delong():
    rng = np.random.default_rng(5)
    truth, odds = log_of(rng, 1500, 0.3, 1.5)
    bins = on_grid(odds)
    cells = cells_of(truth, bins)
    gradient = AUC.gradient(cells / cells.sum(), cells)
    variance = float(cells / cells.sum() @ gradient**2) / cells.sum()

    positive, negative = bins[truth][:, None], bins[~truth][None, :]
    wins = (positive > negative) + 0.5 * (positive == negative)
    delong = (
        wins.mean(axis=1).var(ddof=1) / len(positive)
        + wins.mean(axis=0).var(ddof=1) / negative.size
    )
    assert variance == pytest.approx(delong, rel=1e-12)


def population(separation, prevalence=0.5, size=BINS):
    """Shares of a calibrated binormal model, without noise."""
    edges = np.linspace(-12, 12, size + 1) - np.log(prevalence / (1 - prevalence))
    x = edges / separation + separation / 2
    x[[0, -1]] = -np.inf, np.inf
    return np.concatenate(
        [
            prevalence * np.diff(norm.cdf(x - separation)),
            (1 - prevalence) * np.diff(norm.cdf(x)),
        ]
    )


def test_the_credible_bound_of_bins_lets_weak_models_pass():
    """AUC .61 on 1 024 bins: the hard bound is .008, the real bias 3e-5 (design 4.4)."""
    cells = population(norm.ppf(0.61) * np.sqrt(2))
    assert AUC.half_width(cells) > 0.007
    assert abs(AUC.value(cells) - 0.61) < AUC.resolution(cells) < 0.0003


def test_the_credible_bound_stops_coarse_bins():
    cells = np.array([1.0, 3, 6, 14, 26, 50, 50, 26, 14, 6, 3, 1])
    assert AUC.resolution(cells) > 0.02


@pytest.mark.parametrize("separation", [0.5, 1.8, 2.7])
@pytest.mark.parametrize("prevalence", [0.5, 0.02])
def test_the_credible_bound_of_average_precision_holds_for_smooth_scores(separation, prevalence):
    exact = AP.value(population(separation, prevalence, 1 << 17))
    for size in (64, 256, 1024):
        cells = population(separation, prevalence, size)
        error = abs(AP.value(cells) - exact)
        assert error <= AP.resolution(cells) <= AP.half_width(cells)
    assert error < 1e-4
    assert AP.resolution(population(separation, prevalence, 1024)) < 5e-4


@pytest.mark.parametrize("rows", [300, 20_000])
@pytest.mark.parametrize("prevalence", [0.5, 0.1])
@pytest.mark.parametrize("separation", [0.4, 0.95, 1.8, 2.7])
def test_average_precision_equals_scikit_learn_within_its_bounds(rows, prevalence, separation):
    rng = np.random.default_rng(int(100 * separation))
    truth, odds = log_of(rng, rows, prevalence, separation)
    cells = cells_of(truth, on_grid(odds))
    error = average_precision_score(truth, odds) - AP.value(cells)
    assert abs(error) <= AP.half_width(cells) + excess(truth.sum())
    # What one order of the rows leaves is less than the proven bound in practice.
    assert abs(error) <= 2.0 / truth.sum() + 1e-4


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 400)), min_size=1, max_size=60).filter(
        lambda rows: len({truth for truth, _ in rows}) == 2
    ),
    st.integers(1, 40),
)
def test_average_precision_is_bounded_whatever_the_order(rows, bins):
    """Scores without ties, in bins of any width: the documented inequality, both ends."""
    truth = np.array([each for each, _ in rows])
    scores = np.array([place for _, place in rows]) + np.linspace(0, 0.5, len(rows))
    cells = cells_of(truth, (scores * bins / 401).astype(int), bins)
    error = average_precision_score(truth, scores) - AP.value(cells)
    width = AP.half_width(cells)
    assert -width - 1e-12 <= error <= width + excess(truth.sum()) + 1e-12


def test_average_precision_of_a_perfect_ranking_is_one():
    cells = np.zeros(20)
    cells[8], cells[12] = 40, 900
    assert AP.value(cells) == 1.0
    assert AP.half_width(cells) == 0.0
    gradient = AP.gradient(cells / cells.sum(), cells)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[cells > 0], 0.0, atol=1e-12)


def test_average_precision_of_scores_that_all_tie_is_not_known():
    cells = np.zeros(20)
    cells[4], cells[14] = 40, 900
    assert AP.half_width(cells) > 0.4


def test_the_delta_variance_of_average_precision_is_that_of_samples():
    rng = np.random.default_rng(8)
    shares = population(1.8, 0.2, 128)
    samples = rng.multinomial(2000, shares, size=3000).astype(float)
    gradient = AP.gradient(shares, 2000 * shares)
    assert np.sqrt(shares @ gradient**2 / 2000) == pytest.approx(AP.value(samples).std(), rel=0.05)


@pytest.mark.parametrize("component", [AUC, AP], ids=["AUC", "AP"])
def test_more_rows_make_the_least_square_smaller(component):
    cells = np.array([0.0, 30, 50, 0])
    least = component.least_square(np.stack([cells, 10 * cells]))
    assert (least > 0).all()
    assert least[1].max() <= least[0].max() / 9
    assert np.isfinite(component.least_square(0 * cells)).all()


@pytest.mark.parametrize("kind", ["ROCAUC", "AveragePrecision"])
@pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED])
def test_one_against_the_rest_equals_scikit_learn(kind, average):
    truth, chances, arm = several_of(np.random.default_rng(1), 6000)
    readings = metric_of(MetricSpec("m", kind, 0.02, average=average)).read([arm])
    assert len(readings) == 3
    found = sum(each.weight * each.component.value(each.cells)[0] for each in readings)
    if kind == "ROCAUC":
        exact = roc_auc_score(truth, chances, multi_class="ovr", average=average.value.lower())
    else:
        exact = average_precision_score(np.eye(3)[truth], chances, average=average.value.lower())
    bound = sum(each.weight * each.component.half_width(each.cells)[0] for each in readings)
    assert abs(found - exact) <= bound
    assert abs(found - exact) <= (1e-4 if kind == "ROCAUC" else 4e-4)


@pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED])
def test_one_against_one_equals_scikit_learn(average):
    truth, chances, arm = several_of(np.random.default_rng(1), 6000)
    spec = MetricSpec("m", "ROCAUC", 0.02, average=average, multi_class=MultiClass.ONE_VS_ONE)
    readings = metric_of(spec).read([arm])
    assert len(readings) == 6
    found = sum(each.weight * each.component.value(each.cells)[0] for each in readings)
    exact = roc_auc_score(truth, chances, multi_class="ovo", average=average.value.lower())
    assert found == pytest.approx(exact, abs=1e-4)
    rest = MetricSpec("m", "ROCAUC", 0.02, average=average)
    other = metric_of(rest).read([arm])
    assert abs(found - sum(each.weight * each.component.value(each.cells)[0] for each in other)) > (
        2e-4
    )


def test_one_against_one_needs_scores_by_true_class():
    _, _, arm = several_of(np.random.default_rng(1), 300)
    blind = {
        name: ScoreHistogram(each.positive, each.negative) for name, each in arm.scores.items()
    }
    spec = MetricSpec("m", "ROCAUC", 0.02, average=Average.MACRO, multi_class=MultiClass.ONE_VS_ONE)
    with pytest.raises(NoValue) as caught:
        metric_of(spec).read([ArmCounts.counted(CLASSES, None, blind)])
    assert caught.value.reason == reasons.NO_SCORES


def test_a_class_without_scores_is_not_left_out_in_silence():
    _, _, arm = several_of(np.random.default_rng(1), 300)
    scores = {name: arm.scores[name] for name in ("a", "b")}
    lacking = ArmCounts.counted(CLASSES, np.eye(3) * 20, scores)
    with pytest.raises(NoValue) as caught:
        metric_of(MetricSpec("m", "ROCAUC", 0.02, average=Average.MACRO)).read([lacking])
    assert (caught.value.reason, "'c'" in caught.value.message) == (reasons.NO_SCORES, True)


@pytest.mark.parametrize("multi_class", list(MultiClass))
def test_the_mean_over_classes_of_a_binary_model_is_its_auc(multi_class):
    truth, odds = log_of(np.random.default_rng(3), 500, 0.3, 1)
    cells = cells_of(truth, on_grid(odds))
    arm = ArmCounts.counted(LABELS, None, {"1": ScoreHistogram(cells[:BINS], cells[BINS:])})
    spec = MetricSpec("m", "ROCAUC", 0.02, average=Average.MACRO, multi_class=multi_class)
    (reading,) = metric_of(spec).read([arm])
    assert reading.weight == 1.0
    (value,), own = reading.component.value(reading.cells), AUC.value(cells)
    assert value == pytest.approx(own, abs=1e-12)
    # Bins at the ends in which nobody has rows are left out.
    used = np.flatnonzero(cells[:BINS] + cells[BINS:])
    assert reading.cells.shape[-1] == 2 * (used[-1] + 1 - used[0])


@pytest.mark.parametrize(
    ("component", "positives", "negatives"),
    [(AUC, 20, 20), (AP, 30, 20)],
    ids=["AUC", "AP"],
)
def test_rankings_wait_for_rows_of_both_classes(component, positives, negatives):
    enough = np.array([positives, 0.0, 0.0, negatives])
    assert component.guards(enough, enough).promote
    for lacking in ([positives - 1, 0, 0, negatives], [positives, 0, 0, negatives - 1]):
        short = np.array(lacking, dtype=float)
        for pair in ((short, enough), (enough, short)):
            guards = component.guards(*pair)
            assert not guards.promote
            assert not guards.rollback
            assert component.missing(*pair)[0] == reasons.BURN_IN


@pytest.mark.parametrize("component", [AUC, AP], ids=["AUC", "AP"])
@np.errstate(all="ignore")
def test_rows_of_one_class_only_have_no_value(component):
    for cells in ([5.0, 5, 0, 0], [0.0, 0, 5, 5]):
        assert np.isnan(component.value(np.array(cells)))
        assert component.undefined("canary", np.array(cells)).reason == reasons.ONE_CLASS_ONLY


@np.errstate(all="ignore")
def test_a_class_of_several_that_an_arm_has_not_seen_is_rare():
    _, _, arm = several_of(np.random.default_rng(1), 300)
    empty = np.zeros(BINS, np.int64)
    lacking = {
        name: ScoreHistogram(empty if name == "c" else each.positive, each.negative)
        for name, each in arm.scores.items()
    }
    readings = metric_of(MetricSpec("m", "ROCAUC", 0.02, average=Average.MACRO)).read(
        [arm, ArmCounts.counted(CLASSES, None, lacking)]
    )
    values = [reading.component.value(reading.cells)[1] for reading in readings]
    assert np.isnan(values).tolist() == [False, False, True]
    why = readings[2].component.undefined("canary", readings[2].cells[1])
    assert why.reason == reasons.RARE_CLASS
    reason, words = readings[2].component.missing(*readings[2].cells)
    assert (reason, "class 'c'" in words) == (reasons.RARE_CLASS, True)


@pytest.mark.parametrize("kind", ["ROCAUC", "AveragePrecision", "LogLoss", "Brier"])
def test_weights_and_groups_of_scores_are_read(kind):
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 9, (2, 8))
    groups = rng.multinomial(rows.ravel()[:, None].sum(), np.full(8, 1 / 8), size=5)
    arm = ArmCounts(
        LABELS,
        np.zeros((2, 2)),
        {"1": ScoreHistogram(*rows)},
        labelled=int(rows.sum()),
        weighted=WeightedCounts(
            np.zeros((2, 2)), np.zeros((2, 2)), {"1": 2.0 * rows}, {"1": 4.0 * rows}
        ),
        buckets=GroupCounts(np.zeros((5, 2, 2)), {"1": groups.reshape(5, 2, 4)}),
    )
    (reading,) = metric_of(MetricSpec("m", kind, 0.02)).read([arm, ArmCounts.counted(LABELS)])
    np.testing.assert_array_equal(reading.cells, [2.0 * rows.ravel(), np.zeros(16)])
    np.testing.assert_array_equal(reading.squares, [4.0 * rows.ravel(), np.zeros(16)])
    assert reading.groups.shape == (2, 5, 8)
    np.testing.assert_array_equal(reading.groups[0], groups)
    plain = ArmCounts.counted(LABELS, None, arm.scores)
    (mixed,) = metric_of(MetricSpec("m", kind, 0.02)).read([arm, plain])
    assert mixed.squares is None
    assert mixed.groups is None
    np.testing.assert_array_equal(mixed.cells[0], mixed.cells[1])
