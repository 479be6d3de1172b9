"""The algebra of counts: sums merge, and what is no count names its field."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.evidence import (
    ArmCounts,
    Evidence,
    EvidenceError,
    ScoreHistogram,
    Stratum,
    merge,
)
from assay.evidence.counts import Moment, check_grown
from assay.evidence.weighted import WeightedCounts

LABELS = ("0", "1")
cells = st.lists(st.integers(0, 10**9), min_size=4, max_size=4)


@st.composite
def arms(draw):
    bins = draw(st.lists(st.integers(0, 10**6), min_size=6, max_size=6))
    return ArmCounts(
        LABELS,
        np.array(draw(cells)).reshape(2, 2),
        {"1": ScoreHistogram(np.array(bins[:3]), np.array(bins[3:]))},
        draw(st.integers(0, 10**12)),
        draw(st.integers(0, 10**12)),
    )


strata = st.builds(Stratum, st.sampled_from(["a/0", "a/1", "b/0"]), arms(), arms())


@given(st.lists(strata, max_size=8), st.randoms(use_true_random=False))
def test_merging_is_independent_of_order(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert merge(Evidence((part,)) for part in parts) == merge(
        Evidence((part,)) for part in shuffled
    )


@given(strata, st.floats(0, 1))
def test_splitting_and_adding_again_is_exact(whole, share):
    def split(arm, keep):
        part = ArmCounts(
            arm.labels,
            np.floor(arm.confusion * share).astype(np.int64),
            {
                name: ScoreHistogram((each.positive * share).astype(np.int64), each.negative)
                for name, each in arm.scores.items()
            },
            int(arm.served * share),
            int(arm.labelled * share),
        )
        if keep:
            return part
        return ArmCounts(
            arm.labels,
            arm.confusion - part.confusion,
            {
                name: ScoreHistogram(
                    each.positive - part.scores[name].positive,
                    each.negative - part.scores[name].negative,
                )
                for name, each in arm.scores.items()
            },
            arm.served - part.served,
            arm.labelled - part.labelled,
        )

    halves = [
        Evidence((Stratum(whole.name, split(whole.stable, keep), split(whole.canary, keep)),))
        for keep in (True, False)
    ]
    assert merge(halves) == Evidence((whole,))


@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        ([[1, 2], [-3, 4]], r"confusion\[1\]\[0\]: -3 is negative"),
        ([[1, float("nan")], [3, 4]], r"confusion\[0\]\[1\]: nan is not a number of rows"),
        ([[1, 2], [3, 4.5]], r"confusion\[1\]\[1\]: 4.5 is not a whole number"),
        ([[1, 2, 3]], r"confusion: is 1 x 3 for 2 labels"),
        ([[1, 2], [3]], r"confusion: is not a rectangular array"),
        ([1, 2, 3, 4], r"confusion: has 1 dimensions instead of 2"),
    ],
)
def test_what_is_no_count_names_its_place(matrix, error):
    with pytest.raises(EvidenceError, match=error):
        ArmCounts.counted(LABELS, matrix)


def test_unequal_labels_of_two_arms():
    with pytest.raises(EvidenceError, match=r"canary.labels: \['a', 'b'\] are not the labels"):
        Stratum("a/0", ArmCounts.counted(LABELS), ArmCounts.counted(("a", "b")))


def test_unequal_grids_of_two_arms():
    arms = [
        ArmCounts.counted(LABELS, None, {"1": ScoreHistogram(np.zeros(bins), np.zeros(bins))})
        for bins in (4, 5)
    ]
    with pytest.raises(
        EvidenceError, match=r"canary.scores.1.positive: 5 bins, but the other has 4"
    ):
        Stratum("a/0", *arms)


def test_a_grid_of_two_sizes():
    with pytest.raises(EvidenceError, match="negative: 3 bins, but positive has 2"):
        ScoreHistogram(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(
    ("later", "error"),
    [
        (
            ArmCounts.counted(LABELS, [[9, 2], [3, 3]], served=20),
            r"confusion\[1\]\[1\]: fell from 4 to 3",
        ),
        (ArmCounts.counted(LABELS, [[9, 2], [3, 4]], served=19), "served: fell from 20 to 19"),
    ],
)
def test_counters_that_fall_are_named(later, error):
    earlier = ArmCounts.counted(LABELS, [[9, 2], [3, 4]], served=20)
    check_grown(earlier, earlier)
    with pytest.raises(EvidenceError, match=error):
        check_grown(earlier, later)


def test_a_stratum_cannot_appear_twice():
    part = Stratum("a/0", ArmCounts.counted(LABELS), ArmCounts.counted(LABELS))
    with pytest.raises(EvidenceError, match=r"strata\[1\].name: 'a/0' appears twice"):
        Evidence((part, part))


def test_counts_cannot_be_changed_afterwards():
    matrix = np.array([[1, 2], [3, 4]])
    arm = ArmCounts.counted(LABELS, matrix)
    matrix[0, 0] = 99
    assert arm.confusion[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        arm.confusion[0, 0] = 5


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.2])
def test_a_weight_is_a_share(weight):
    with pytest.raises(EvidenceError, match="weight"):
        Stratum("a/0", ArmCounts.counted(LABELS), ArmCounts.counted(LABELS), weight)


def on_grid(bins):
    scores = {"1": ScoreHistogram(np.ones(bins), np.ones(bins))} if bins else {}
    return ArmCounts.counted(LABELS, np.ones((2, 2)), scores)


def both_on_grid(name, stable, canary):
    return Stratum(name, on_grid(stable), on_grid(canary))


def test_grids_are_compared_although_the_first_arm_has_no_scores():
    strata = both_on_grid("a/0", 0, 4), both_on_grid("b/0", 8, 8)
    with pytest.raises(EvidenceError, match=r"^strata\[1\]\.stable\.scores\.1\.positive: 8 bins"):
        Evidence(strata)


@pytest.mark.parametrize(
    ("bins", "field"),
    [
        ((4, 8), r"history\[1\]\.strata\[0\]\.stable\.scores\.1\.positive: 8"),
        ((3, 3), r"history\.scores\.1: 3"),
    ],
)
def test_moments_are_on_one_grid_that_divides_the_present_one(bins, field):
    history = [
        Moment(float(place), (both_on_grid("a/0", each, each),)) for place, each in enumerate(bins)
    ]
    with pytest.raises(EvidenceError, match=f"^{field} bins"):
        Evidence((both_on_grid("a/0", 8, 8),), tuple(history))


def test_moments_may_be_on_a_coarser_grid():
    coarse = Moment(1.0, (both_on_grid("a/0", 4, 4),))
    assert Evidence((both_on_grid("a/0", 8, 8),), (coarse,)).history == (coarse,)


def test_weighted_scores_that_are_gone_are_named():
    sums = np.ones((2, 2))
    scored = WeightedCounts(sums, sums, {"1": sums}, {"1": sums})
    before, after = (
        dataclasses.replace(on_grid(0), weighted=each)
        for each in (scored, WeightedCounts(sums, sums))
    )
    with pytest.raises(EvidenceError, match=r"^weighted\.scores\.1: was there before and is gone"):
        check_grown(before, after)
