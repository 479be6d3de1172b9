"""The finite-sample e-values: valid by enumeration, right at the border, equal on both sides."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from assay.judge import MetricSpec, exact
from assay.judge.metrics import metric_of

from .builders import confusion

(READING,) = metric_of(MetricSpec("f1", "F1", 0.02)).read([confusion(9, 9, 9, 9)])
LINK = READING.component.link()


def stream(hits, rows):
    return np.array([float(hits)]), np.array([float(rows)])


def rate_of(value):
    return value / (2 - value)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("stable_value", [0.5, 0.8, 0.97])
def test_expected_e_value_is_at_most_one_under_the_null(shift, stable_value):
    """All outcomes of 25 against 40 trials, with the canary exactly on the border."""
    rates = rate_of(stable_value - shift), rate_of(stable_value)
    sizes = 25, 40
    for test in (exact.log_e_worse, exact.log_e_not_worse):
        total = 0.0
        for x in range(sizes[0] + 1):
            for y in range(sizes[1] + 1):
                chance = binom.pmf(x, sizes[0], rates[0]) * binom.pmf(y, sizes[1], rates[1])
                total += chance * math.exp(
                    float(test(stream(x, sizes[0]), stream(y, sizes[1]), LINK, shift)[0])
                )
        assert total <= 1.0


@pytest.mark.parametrize("canary", [(0, 20), (5, 60), (3, 400)])
def test_the_denominator_is_the_best_point_of_the_null(canary):
    stable, shift = (900, 1100), 0.03
    values = np.linspace(shift, 1, 400_001)[1:-1]
    likelihood = np.array(
        binom.logpmf(stable[0], stable[1], rate_of(values))
        + binom.logpmf(canary[0], canary[1], rate_of(values - shift))
    )
    mixed = sum(
        math.lgamma(x + 0.5) + math.lgamma(n - x + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
        for x, n in (canary, stable)
    )
    choose = sum(
        math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)
        for x, n in (canary, stable)
    )
    expected = mixed - (likelihood.max() - choose)
    (found,) = exact.log_e_worse(stream(*canary), stream(*stable), LINK, shift)
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_floor_e_value_is_the_bayes_factor():
    successes, trials, floor = 40, 100, 0.8
    x = np.linspace(0, 1, 2_000_001)[1:-1]
    mixed = np.trapezoid(beta.pdf(x, 0.5, 0.5) * x**successes * (1 - x) ** (trials - successes), x)
    null = rate_of(floor) ** successes * (1 - rate_of(floor)) ** (trials - successes)
    (found,) = exact.log_e_below(stream(successes, trials), LINK, floor)
    assert found == pytest.approx(math.log(mixed / null), abs=1e-4)


def test_no_trials_and_no_breach_are_no_evidence():
    assert exact.log_e_worse(stream(0, 0), stream(5, 9), LINK, 0.1) == [0.0]
    assert exact.log_e_below(stream(9, 10), LINK, 0.5) == [0.0]


@pytest.mark.parametrize(
    "test", [exact.log_e_worse, exact.log_e_not_worse], ids=lambda t: t.__name__
)
def test_what_cannot_reach_the_limit_is_only_bounded(test):
    rng = np.random.default_rng(3)
    canary = rng.integers(0, 60, 300).astype(float), np.full(300, 60.0)
    stable = rng.integers(100, 200, 300).astype(float), np.full(300, 200.0)
    full = test(canary, stable, LINK, 0.05)
    short = test(canary, stable, LINK, 0.05, 3.0)
    reached = full >= 3.0
    assert 20 < reached.sum() < 280
    assert short[reached] == pytest.approx(full[reached])
    assert (short[~reached] < 3.0).all()
