"""PSI and KS of histograms against computations that know nothing of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from assay_server.drift.binning import Batch, Binning, trained
from assay_server.drift.divergence import MISSING, kolmogorov_smirnov, psi
from assay_server.reference import MAX_BINS, Reference


def histograms(training, served, bins=16):
    """Return the counts of served and training values of one feature, and the bins' edges."""
    reference = Reference.of(np.reshape(training, (-1, 1)), bins=bins)
    binning = Binning(reference.features)
    batch = Batch(binning, len(served))
    batch.add(np.reshape(served, (-1, 1)), None)
    return binning.count(batch), trained(binning.watched), reference.features[0].edges


def psi_of(served, training) -> float:
    """PSI as it is written in textbooks, value by value."""
    total = 0.0
    for got, had in zip(served, training, strict=True):
        p, q = max(got / sum(served), 1e-4), max(had / sum(training), 1e-4)
        total += (p - q) * math.log(p / q)
    return total


samples = st.lists(
    st.one_of(st.floats(-10, 10), st.integers(-3, 3).map(float), st.just(math.nan)),
    min_size=2,
    max_size=200,
).filter(lambda values: not all(map(math.isnan, values)))


@given(samples, samples, st.integers(2, 18))
def test_psi_is_that_of_the_textbook_and_ks_lies_within_its_bounds(training, served, bins):
    got, had, edges = histograms(training, served, bins)
    assert psi(got, had)[0] == pytest.approx(psi_of(got[0], had[0]), rel=1e-12, abs=1e-15)
    known = [np.array([v for v in values if not math.isnan(v)]) for values in (served, training)]
    exact = ks_2samp(*known, method="asymp").statistic
    placed = (np.searchsorted(edges, values) for values in known)
    binned = ks_2samp(*placed, method="asymp").statistic
    (lower,), (upper,) = kolmogorov_smirnov(got, had)
    assert lower == pytest.approx(binned, abs=1e-12)
    assert lower - 1e-12 <= exact <= upper + 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5])
def test_bounds_of_ks_are_as_close_as_bins_are_small(shift):
    rng = np.random.default_rng(5)
    training, served = rng.normal(size=20_000), rng.normal(shift, size=10_000)
    got, had, edges = histograms(training, served)
    (lower,), (upper,) = kolmogorov_smirnov(got, had)
    exact = ks_2samp(served, training).statistic
    assert lower <= exact <= upper
    assert upper - lower < 2 / (len(edges) + 1)
    assert exact - lower < 0.02


def test_the_bounds_of_ks_can_be_reached():
    """All values at one end of their bin in training and at the other end when served."""
    training = np.repeat([1.0, 2.0, 3.0], 100)
    served = np.repeat([0.5, 1.5, 2.5], 100)
    got, had, _ = histograms(training, served)
    (lower,), (upper,) = kolmogorov_smirnov(got, had)
    assert lower == 0
    assert ks_2samp(served, training).statistic == pytest.approx(upper) == pytest.approx(1 / 3)


counts = st.lists(
    st.lists(st.integers(0, 1000), min_size=MAX_BINS, max_size=MAX_BINS), min_size=2, max_size=2
).map(lambda lists: np.array(lists)[:, None, :])


@given(counts)
def test_both_are_symmetric_and_zero_for_equal_shares(pair):
    one, other = pair
    assert psi(one, other) == pytest.approx(psi(other, one), nan_ok=True)
    assert kolmogorov_smirnov(one, other)[0] == pytest.approx(
        kolmogorov_smirnov(other, one)[0], nan_ok=True
    )
    if one.sum():
        assert psi(one, 3 * one)[0] == pytest.approx(0, abs=1e-12)


def test_no_rows_give_no_number():
    nothing, one = np.zeros((1, MAX_BINS), int), np.ones((1, MAX_BINS), int)
    assert np.isnan(psi(nothing, one)[0])
    assert np.isnan(kolmogorov_smirnov(nothing, one)[0][0])


def test_missing_values_count_for_psi_and_not_for_ks():
    served, training = np.zeros((2, 1, MAX_BINS), int)
    served[0, :2], training[0, :2] = (50, 50), (50, 50)
    served[0, MISSING] = 100
    assert psi(served, training)[0] == pytest.approx(psi_of(served[0], training[0]))
    assert psi(served, training)[0] > 1
    assert kolmogorov_smirnov(served, training)[0][0] == 0


@pytest.mark.parametrize("rows", [1000, 5000])
def test_without_drift_psi_is_about_what_its_docstring_says(rows):
    rng = np.random.default_rng(8)
    training = 20_000
    found = []
    for _ in range(200):
        got, had, edges = histograms(rng.normal(size=training), rng.normal(size=rows))
        found.append(psi(got, had)[0])
    expected = len(edges) * (1 / rows + 1 / training)
    assert np.mean(found) == pytest.approx(expected, rel=0.1)
