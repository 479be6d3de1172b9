"""From what members reported to strata: weights, buckets of users, users."""

import pytest

from assay.evidence.member import (
    BUCKET_BINS,
    BUCKETS,
    MemberEvidence,
    RevisionCounts,
    Weight,
    combine,
)

OUTCOMES = {("1", "1"): 5, ("0", "0"): 7}
SCORES = {("1", "1", 1000): 5, ("1", "0", 10): 7}
WEIGHTS = {("1", "1"): Weight(7.5, 14.25), ("0", "0"): Weight(7.0, 7.0)}
SCORE_WEIGHTS = {("1", "1", 1000): Weight(7.5, 14.25), ("1", "0", 10): Weight(7.0, 7.0)}
PLAIN = RevisionCounts(OUTCOMES, SCORES, served=24, labelled=12)
WEIGHTED = RevisionCounts(
    OUTCOMES, SCORES, labelled=12, weights=WEIGHTS, score_weights=SCORE_WEIGHTS
)
BUCKETED = RevisionCounts(
    OUTCOMES,
    SCORES,
    labelled=12,
    users=4,
    buckets={(3, "1", "1"): 5, (127, "0", "0"): 7},
    bucket_scores={(3, "1", "1", 31): 5, (127, "1", "0", 0): 7},
)


def stratum(stable, canary):
    member = MemberEvidence({("old", 0): stable, ("new", 0): canary}, "s1", 0.1, "1")
    (found,) = combine({"east": member}, "old", "new").strata
    return found


def test_without_probabilities_and_users_nothing_is_weighted_or_grouped():
    found = stratum(PLAIN, PLAIN)
    assert (found.stable.weighted, found.stable.buckets, found.stable.users) == (None, None, 0)


def test_weights_are_counted_as_the_rows_are():
    arm = stratum(WEIGHTED, WEIGHTED).canary
    assert arm.weighted.confusion.tolist() == [[7.0, 0.0], [0.0, 7.5]]
    assert arm.weighted.confusion_squares.tolist() == [[7.0, 0.0], [0.0, 14.25]]
    assert arm.weighted.scores["1"][0, 1000] == 7.5
    assert arm.weighted.scores["1"][1, 10] == 7.0
    assert arm.weighted.score_squares["1"][0, 1000] == 14.25


def test_rows_without_a_probability_weigh_one_beside_weighted_ones():
    arm = stratum(PLAIN, WEIGHTED).stable
    assert arm.weighted.confusion.tolist() == [[7.0, 0.0], [0.0, 5.0]]
    assert arm.weighted.score_squares["1"][0, 1000] == 5.0


def test_rows_are_counted_by_bucket():
    arm = stratum(BUCKETED, BUCKETED).canary
    assert arm.users == 4
    assert arm.buckets.confusion.shape == (BUCKETS, 2, 2)
    assert arm.buckets.confusion[3].tolist() == [[0, 0], [0, 5]]
    assert arm.buckets.scores["1"].shape == (BUCKETS, 2, BUCKET_BINS)
    assert arm.buckets.scores["1"][127, 1, 0] == 7
    assert (arm.buckets.confusion.sum(axis=0) == arm.confusion).all()


def test_labels_without_a_bucket_are_not_taken_for_no_labels():
    assert stratum(PLAIN, BUCKETED).stable.buckets is None
    empty = stratum(RevisionCounts(), BUCKETED).stable
    assert empty.buckets.confusion.sum() == 0


@pytest.mark.parametrize("factor", [2, 4])
def test_coarser_counts_keep_the_weights_and_leave_the_buckets(factor):
    coarse = WEIGHTED.coarser(factor)
    assert coarse.score_weights["1", "1", 1000 // factor] == Weight(7.5, 14.25)
    assert coarse.weights == WEIGHTS
    assert BUCKETED.coarser(factor).buckets == {}


def test_fewer_users_than_before_are_other_evidence():
    assert BUCKETED.includes(PLAIN.coarser(1)) is False  # served fell from 24 to 0
    assert BUCKETED.includes(RevisionCounts(OUTCOMES, labelled=12, users=4))
    assert not BUCKETED.includes(RevisionCounts(OUTCOMES, labelled=12, users=5))
