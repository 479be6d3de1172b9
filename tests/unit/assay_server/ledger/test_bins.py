"""The grid of score bins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.ledger.bins import BINS, bin_of


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


@given(st.lists(st.floats(0, 1), min_size=1))
def test_bins_keep_the_order_of_scores(probabilities):
    bins = bin_of(np.sort(probabilities))
    assert (np.diff(bins) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < BINS
