"""Sample ratio and coverage: the published e-value, its alarms and its silence."""

import math

import numpy as np
import pytest
from scipy.special import betaln

from assay.judge import samples


def test_the_e_value_is_the_published_one():
    """Lindon and Malek: Dirichlet(100 p) mixture over the multinomial, for two arms a beta."""
    shares, counts = (0.8, 0.2), (8030, 1970)
    mixed = betaln(80 + counts[0], 20 + counts[1]) - betaln(80, 20)
    null = counts[0] * math.log(0.8) + counts[1] * math.log(0.2)
    assert samples.log_e_mismatch(counts, shares) == pytest.approx(mixed - null, abs=1e-9)


def test_pairs_in_floats_say_what_arrays_say():
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 10 ** rng.integers(1, 7, (60, 1)), (60, 2)).astype(float)
    shares = rng.uniform(0.01, 0.99, 60)
    each = samples.log_e_mismatch(rows.T, (1.0 - shares, shares))
    pairs = [
        (*row, samples.Lot.of(share))
        for row, share in zip(rows.tolist(), shares.tolist(), strict=True)
    ]
    for pair, expected in zip(pairs, each, strict=True):
        assert samples.log_e_of_pairs([pair]) == pytest.approx(expected, rel=1e-12, abs=1e-7)
    assert samples.log_e_of_pairs(pairs) == pytest.approx(each.sum(), rel=1e-12)
    assert samples.log_e_of_pairs([]) == 0.0


@pytest.mark.parametrize(
    ("asked", "got", "within"),
    [(0.05, 0.04, 20_000), (0.2, 0.18, 20_000), (0.5, 0.48, 30_000), (0.5, 0.45, 6_000)],
)
def test_a_wrong_share_is_found(asked, got, within):
    rng = np.random.default_rng(7)
    found = [
        samples.log_e_mismatch((within - canary, canary), (1 - asked, asked)) >= math.log(1000)
        for canary in rng.binomial(within, got, 200)
    ]
    assert np.mean(found) > 0.8


def test_the_right_share_gives_no_alarm_at_any_look():
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        canary = np.cumsum(rng.binomial(500, 0.05, 100))
        looks = 500 * np.arange(1, 101)
        alarms += any(
            samples.log_e_mismatch((int(n - c), int(c)), (0.95, 0.05)) >= math.log(1000)
            for n, c in zip(looks, canary, strict=True)
        )
    assert alarms <= 2
