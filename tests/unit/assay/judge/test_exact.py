"""The finite-sample e-values: valid by enumeration, right at the border, equal on both sides."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom, multinomial

from assay.judge import MetricSpec, exact
from assay.judge.metrics import metric_of

from .builders import confusion

(READING,) = metric_of(MetricSpec("f1", "F1", 0.02)).read([confusion(9, 9, 9, 9)])
LINK = READING.component.link()
SAME = exact.Link.exact(value=lambda rate: rate, chance=lambda value: np.clip(value, 0.0, 1.0))


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


def expected_of_pairs(rates, both_right, rows, test, *, same_rows):
    """Expected e-value over all outcomes of `rows` pairs; `rates` and `both_right` are chances."""
    chances = np.array(
        [both_right, rates[0] - both_right, rates[1] - both_right, 1 + both_right - sum(rates)]
    )
    outcomes = np.array(
        [
            (a, b, c, rows - a - b - c)
            for a in range(rows + 1)
            for b in range(rows + 1 - a)
            for c in range(rows + 1 - a - b)
        ]
    )
    weights = multinomial.pmf(outcomes, rows, chances)
    total = np.full(len(outcomes), float(rows))
    canary, stable = outcomes[:, 0] + outcomes[:, 1], outcomes[:, 0] + outcomes[:, 2]
    log_e = test(
        (canary.astype(float), total), (stable.astype(float), total), SAME, 0.1, same_rows=same_rows
    )
    return float(weights @ np.exp(log_e))


@pytest.mark.parametrize("both_right", [0.1, 0.3, 0.5], ids=["other rows", "any", "same rows"])
@pytest.mark.parametrize(
    "test", [exact.log_e_worse, exact.log_e_not_worse], ids=lambda t: t.__name__
)
def test_pairs_have_an_e_value_whatever_their_dependence_is(both_right, test):
    """The canary right in half of the rows, stable in .6: on the border of a margin of .1."""
    assert expected_of_pairs((0.5, 0.6), both_right, 24, test, same_rows=True) <= 1.0


def test_the_likelihoods_of_pairs_do_not_multiply():
    """Of versions that are never right both at once; else one e-value would do for all."""
    found = expected_of_pairs((0.45, 0.55), 0.0, 24, exact.log_e_worse, same_rows=False)
    assert found > 1.0


@pytest.mark.parametrize("heaviest", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("rate", [0.2, 0.9, 0.99])
def test_a_weighted_link_spans_what_weights_can_make_of_a_rate(heaviest, rate):
    """Successes and errors stand for 1 to `heaviest` rows each; the extremes are reached."""
    link = LINK.weighted(heaviest)
    extremes = [
        LINK.best(np.array(rate * hit / (rate * hit + (1 - rate) * miss)))
        for hit, miss in ((1.0, heaviest), (heaviest, 1.0))
    ]
    ends = link.worst(np.array(rate)), link.best(np.array(rate))
    assert ends == pytest.approx(extremes)
    assert link.of_worst(ends[0]) == pytest.approx(rate)
    assert link.of_best(ends[1]) == pytest.approx(rate)


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
