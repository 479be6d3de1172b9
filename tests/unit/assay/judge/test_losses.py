"""Log loss and Brier score from bins of log-odds: scikit-learn's values within their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from assay.evidence.counts import ArmCounts
from assay.evidence.histogram import ScoreHistogram
from assay.judge import MetricSpec, reasons
from assay.judge.metrics import NoValue, metric_of
from assay.judge.metrics.losses import BinnedLoss, log_of, square_of

from .builders import LABELS, scores

BINS = 1024
CLASSES = ("a", "b", "c")
KINDS = {"LogLoss": log_loss, "Brier": brier_score_loss}
BINARY = {
    kind: BinnedLoss(kind, loss, (True, False), ("positive rows", "negative rows"), reasons.BURN_IN)
    for kind, loss in (("LogLoss", log_of), ("Brier", square_of))
}


def on_grid(odds, bins=BINS):
    return np.clip(((odds + 12) / 24 * bins).astype(int), 0, bins - 1)


def binary_of(truth, odds, bins=BINS):
    places = on_grid(odds, bins)
    return np.concatenate(
        [np.bincount(places[truth == kind], minlength=bins) for kind in (1, 0)]
    ).astype(float)


@given(
    st.sampled_from(list(KINDS)),
    st.lists(st.tuples(st.booleans(), st.floats(-12, 12)), min_size=1, max_size=50),
    st.sampled_from([1, 2, 5, 64, 1024]),
)
def test_losses_equal_scikit_learn_within_their_hard_bound(kind, rows, bins):
    truth, odds = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    cells = binary_of(truth, odds, bins)
    exact = KINDS[kind](truth, expit(odds), labels=[0, 1])
    found = BINARY[kind].value(cells)
    # scikit-learn takes scores, whose distance to 1 is rounded.
    assert abs(found - exact) <= BINARY[kind].half_width(cells) + 1e-9
    assert BINARY[kind].resolution(cells) <= BINARY[kind].half_width(cells)


@given(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 1023), min_size=1, max_size=50))
def test_losses_of_scores_at_bin_centres_equal_scikit_learn(kind, places):
    odds = (np.array(places) + 0.5) * 24 / BINS - 12
    truth = np.arange(len(places)) % 3 == 0
    exact = KINDS[kind](truth, expit(odds), labels=[0, 1])
    assert BINARY[kind].value(binary_of(truth, odds)) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_the_real_error_of_a_thousand_bins_is_below_a_ten_thousandth(kind, spread):
    rng = np.random.default_rng(1)
    odds = spread * rng.normal(size=20_000) - 1.0
    truth = rng.random(odds.size) < expit(odds)
    exact = KINDS[kind](truth, expit(np.clip(odds, -12, 12)))
    cells = binary_of(truth, odds)
    assert abs(BINARY[kind].value(cells) - exact) < 1e-4
    assert BINARY[kind].half_width(cells) > 5e-4


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (-3.0, 1.0), (2.0, 0.5), (-4.0, 2.0)])
def test_the_credible_bound_holds_for_smooth_scores(kind, mean, spread):
    """Without noise: what is left is of second order, and three times less than the bound."""

    def population(bins):
        fine = 1 << 17
        odds = (np.arange(fine) + 0.5) * 24 / fine - 12
        density = np.exp(-(((odds - mean) / spread) ** 2) / 2)
        shares = np.concatenate([density * expit(odds), density * expit(-odds)])
        return (shares / shares.sum()).reshape(2, bins, -1).sum(axis=-1).ravel()

    component = BINARY[kind]
    exact = component.value(population(1 << 17))
    for bins in (64, 256):
        cells = population(bins)
        error = abs(component.value(cells) - exact)
        assert 2.0 * error <= component.resolution(cells) <= 5.0 * error + 1e-9
        assert error < component.half_width(cells) / 5


def test_scores_beyond_the_grid_cost_as_much_as_its_ends():
    far, end = (
        BINARY["LogLoss"].value(binary_of(np.array([1]), np.array([odds]))) for odds in (-50, -12)
    )
    assert far == end == pytest.approx(12.0, abs=0.02)
    metric = metric_of(MetricSpec("m", "LogLoss", 0.02))
    assert end < metric.largest < 12.001


@pytest.mark.parametrize("kind", list(KINDS))
def test_losses_of_several_classes_equal_scikit_learn(kind):
    rng = np.random.default_rng(6)
    truth = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    raw = rng.normal(size=(truth.size, 3)) + 1.5 * np.eye(3)[truth]
    chances = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    bins = on_grid(np.log(chances / (1 - chances)))
    arm = ArmCounts.counted(
        CLASSES,
        None,
        {
            name: ScoreHistogram(
                np.bincount(bins[truth == place, place], minlength=BINS),
                np.bincount(bins[truth != place, place], minlength=BINS),
            )
            for place, name in enumerate(CLASSES)
        },
    )
    readings = metric_of(MetricSpec("m", kind, 0.02)).read([arm])
    assert [each.weight for each in readings] == [1.0] * (1 if kind == "LogLoss" else 3)
    found = sum(each.component.value(each.cells)[0] for each in readings)
    assert found == pytest.approx(KINDS[kind](truth, chances), abs=2e-4)
    (one,) = metric_of(MetricSpec("m", kind, 0.02, positive_label="b")).read([arm])
    exact = KINDS[kind](truth == 1, chances[:, 1])
    assert one.component.value(one.cells)[0] == pytest.approx(exact, abs=1e-4)


def test_classes_on_different_grids_meet_on_the_finest_common_one():
    rng = np.random.default_rng(6)
    odds = rng.normal(size=(2, 4000))
    histograms = {
        name: ScoreHistogram(
            np.bincount(on_grid(own, bins), minlength=bins), np.zeros(bins, np.int64)
        )
        for name, own, bins in zip("ab", odds, (1024, 256), strict=True)
    }
    # Scores of a third class make it no binary model.
    histograms["c"] = ScoreHistogram(np.zeros(512, np.int64), np.zeros(512, np.int64))
    arm = ArmCounts.counted(CLASSES, None, histograms)
    (reading,) = metric_of(MetricSpec("m", "LogLoss", 0.02)).read([arm])
    assert reading.cells.shape == (1, 2 * 256)
    exact = np.logaddexp(0, -odds).mean()
    assert reading.component.value(reading.cells)[0] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_labels_with_scores_of_one_are_a_binary_model(kind):
    arm = scores([0, 3, 9], [8, 2, 1])
    (reading,) = metric_of(MetricSpec("m", kind, 0.02)).read([arm])
    assert reading.cells.tolist() == [[0, 3, 9, 8, 2, 1]]


@pytest.mark.parametrize("kind", list(KINDS))
def test_losses_wait_for_rows_of_each_class(kind):
    component = BINARY[kind]
    enough = np.array([0.0, 10, 40, 0])
    assert component.guards(enough, enough).promote
    for lacking, words in (
        ([0, 10, 39, 0], "49 scored rows"),
        ([0, 9, 60, 0], "9 positive rows"),
        ([60, 0, 0, 9], "9 negative rows"),
    ):
        short = np.array(lacking, dtype=float)
        for pair in ((short, enough), (enough, short)):
            guards = component.guards(*pair)
            assert not guards.promote
            assert not guards.rollback
            reason, found = component.missing(*pair)
            assert reason == reasons.BURN_IN
            assert words in found


def test_the_rarest_class_of_several_is_named():
    component = BinnedLoss(
        "log loss", log_of, (True,) * 3, tuple(f"rows of {name}" for name in "abc"), "RareClass"
    )
    short = np.array([50.0, 0, 50, 0, 0, 9])
    assert component.missing(short, short) == (
        reasons.RARE_CLASS,
        "stable has 9 rows of c, 10 are needed",
    )


@pytest.mark.parametrize("kind", list(KINDS))
@np.errstate(all="ignore")
def test_no_scores_have_no_loss(kind):
    arm = ArmCounts.counted(LABELS, [[5, 5], [5, 5]])
    with pytest.raises(NoValue) as caught:
        metric_of(MetricSpec("m", kind, 0.02)).read([arm])
    assert caught.value.reason == reasons.NO_SCORES
    lacking = metric_of(MetricSpec("m", kind, 0.02)).read([scores([0, 3], [8, 2]), arm])
    (reading,) = lacking
    assert np.isnan(reading.component.value(reading.cells)).tolist() == [False, True]


@pytest.mark.parametrize("kind", list(KINDS))
def test_sure_and_right_rows_are_not_certain(kind):
    """One row of each class at even odds stands for what has not been seen."""
    component = BINARY[kind]
    for bins in (1, 7, 8, 1024):
        pseudo = component.pseudo(2 * bins)
        assert pseudo.sum() == 2.0
        at_even = np.log(2) if kind == "LogLoss" else 0.25
        assert component.value(pseudo) == pytest.approx(at_even, abs=0.7 if bins == 8 else 1e-3)


def test_the_spread_of_losses_grows_with_the_loss():
    spread = BINARY["Brier"].spread(np.array([0.0, 0.1, 0.4]))
    np.testing.assert_allclose(spread, [0.005, 0.1, 0.4])
