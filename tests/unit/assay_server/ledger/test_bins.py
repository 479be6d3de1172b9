"""The grid of score bins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.ledger import bins
from assay_server.ledger.bins import (
    BINS,
    END_SUB_BINS,
    FINE_BINS,
    SUB_BINS,
    base_and_sub,
    bin_of,
    fine_bin_of,
    fine_bin_of_decision,
    fine_from_base,
)

TOP = BINS - 1
# Log-odds reach +-708 on the side of 0, +36.7 on the side of 1, where doubles end.
probabilities = st.floats(0, 1) | st.floats(-720, 40).map(
    lambda log_odds: 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else math.exp(log_odds)
)


def fine(probability: float) -> int:
    return fine_bin_of(np.array([probability])).tolist()[0]


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.0, 0),
        (1.0, BINS - 1),
        (0.5, 512),
        (0.4999, 511),
        (1 / (1 + math.exp(12.1)), 0),
        (1 / (1 + math.exp(-12.1)), BINS - 1),
        (0.9, math.floor((math.log(9) + 12) / 24 * 1024)),
    ],
)
def test_known_bins(probability, expected):
    assert bin_of(np.array([probability])).tolist() == [expected]


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.0, (0, 0)),
        (5e-324, (0, 0)),
        (1.0, (TOP, END_SUB_BINS - 1)),
        (0.5, (512, 0)),
        (0.5001, (512, 0)),
        (0.501, (512, 2)),
        (0.9, (605, math.floor((math.log(9) + 12) / 24 * 1024 * 16) % 16)),
        (1 / (1 + math.exp(11.99)), (0, END_SUB_BINS - 1)),
        (1 / (1 + math.exp(-11.99)), (TOP, 0)),
    ],
)
def test_known_sub_bins(probability, expected):
    assert base_and_sub(fine(probability)) == expected


def test_saturated_scores_are_ties_and_nothing_else_is_with_them():
    ones = [1.0, float(np.float32(1.0))]
    below = [1.0 - 2.0**-53, float(np.nextafter(np.float32(1), np.float32(0)))]
    assert {fine(one) for one in ones} == {FINE_BINS - 1}
    assert len({fine(one) for one in (*ones, *below)}) == 3


@given(st.lists(probabilities, min_size=1))
def test_bins_keep_the_order_of_scores(scores):
    fine_bins = fine_bin_of(np.sort(scores))
    assert (np.diff(fine_bins) >= 0).all()
    assert fine_bins.min() >= 0
    assert fine_bins.max() < FINE_BINS


@given(st.lists(probabilities, min_size=1))
def test_a_fine_bin_lies_in_the_base_bin_of_the_score(scores):
    found = [base_and_sub(each)[0] for each in fine_bin_of(np.array(scores)).tolist()]
    assert found == bin_of(np.array(scores)).tolist()


def test_the_edges_between_fine_bins_are_where_the_formula_steps():
    _, edges = bins._edges()
    for steps in range(-3, 4):
        near = np.clip((edges.view(np.int64) + steps).view(np.float64), 0.0, 1.0)
        assert np.array_equal(fine_bin_of(near), bins._fine_by_formula(near))
    random = np.random.default_rng(0)
    for scores in (
        random.random(100_000),
        np.exp(-700 * random.random(100_000)),
        1 - np.exp(-40 * random.random(100_000)),
    ):
        assert np.array_equal(fine_bin_of(scores), bins._fine_by_formula(scores))


def test_a_matrix_of_probabilities_has_a_matrix_of_bins():
    scores = np.random.default_rng(0).random((7, 3))
    assert np.array_equal(fine_bin_of(scores)[:, 1], fine_bin_of(scores[:, 1]))
    assert fine_bin_of(scores).shape == (7, 3)


@given(st.lists(st.floats(-30, 30), min_size=1))
def test_a_decision_falls_where_a_probability_of_the_same_log_odds_does(decisions):
    found = fine_bin_of_decision(np.array(decisions))
    probabilities = 1 / (1 + np.exp(-np.array(decisions)))
    assert (np.abs(found - fine_bin_of(probabilities)) <= 1).all()


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_decisions_keep_their_order_and_every_one_has_a_bin(decisions):
    found = fine_bin_of_decision(np.sort(decisions))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() < FINE_BINS


def test_fine_bins_are_numbered_by_base_bin_and_sub_bin():
    places = [base_and_sub(each) for each in range(FINE_BINS)]
    sizes = [END_SUB_BINS if base in {0, TOP} else SUB_BINS for base in range(BINS)]
    assert places == [(base, sub) for base, size in enumerate(sizes) for sub in range(size)]


@pytest.mark.parametrize("base", [0, 1, 512, TOP - 1, TOP])
def test_a_base_bin_alone_counts_in_its_middle(base):
    size = END_SUB_BINS if base in {0, TOP} else SUB_BINS
    assert base_and_sub(fine_from_base(base)) == (base, size // 2)


@given(st.floats(12.0, 700.0), st.floats(1.0, 1.5))
def test_at_the_ends_resolution_is_relative(log_odds, factor):
    """Scores further apart than half a percent of their log-odds never share a fine bin."""
    near, far = (math.exp(-each) for each in (log_odds, min(700.0, log_odds * factor)))
    steps = fine(near) - fine(far)
    ideal = math.log(min(700.0, log_odds * factor) / log_odds) / math.log(1.004)
    assert abs(steps - ideal) <= 1.0 + 0.02 * ideal
