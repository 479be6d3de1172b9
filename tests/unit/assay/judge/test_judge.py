"""Rules of the verdict: guards, floors, several metrics, what blocks what."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evidence.counts import ArmCounts, Evidence, Stratum, merge
from assay.judge import MetricSpec, Policy, PromoteOn, RollbackOn, Verdict, judge, reasons

from .builders import LABELS, confusion, evidence, scores

F1 = MetricSpec("f1", "F1", 0.03)
GOOD, MANY = (4100, 840, 900, 4160), (16400, 3360, 3600, 16640)
BAD = (330, 120, 170, 380)


def decided(counts, *metrics, **policy):
    found = judge(metrics or (F1,), Policy(**policy), counts)
    return found.verdict.value, found.reason


def test_promotes_what_is_as_good():
    assert decided(evidence(confusion(*GOOD), confusion(*MANY))) == ("Promote", reasons.NOT_WORSE)


def test_the_message_holds_the_numbers_that_decided():
    found = judge([F1], Policy(), evidence(confusion(*BAD), confusion(*MANY)))
    assert found.message == (
        "F1 of the canary is .695 against .825 of stable (difference -.130, 95 % band "
        "-.176 .. -.082, 1 000 and 40 000 labels): proven worse than stable"
    )


def test_better_promotes_only_what_is_better():
    same = evidence(confusion(*GOOD), confusion(*MANY))
    better = evidence(confusion(4600, 300, 400, 4700), confusion(*MANY))
    assert decided(same, promote_on=PromoteOn.BETTER)[0] == "Hold"
    assert decided(better, promote_on=PromoteOn.BETTER) == ("Promote", reasons.BETTER)


def test_the_exact_test_finds_a_collapse_before_the_burn_in():
    """Twenty rows, not one right: the asymptotic test may not speak yet."""
    found = judge([F1], Policy(), evidence(confusion(0, 10, 10, 20), confusion(*MANY)))
    assert not found.past_burn_in
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, reasons.WORSE)
    assert "exact" in found.message


def test_a_near_perfect_canary_is_promoted_by_the_exact_test():
    counts = evidence(confusion(400, 1, 1, 400), confusion(3900, 90, 90, 3900))
    found = judge([F1], Policy(), counts)
    assert (found.verdict, found.reason) == (Verdict.PROMOTE, reasons.NOT_WORSE)
    assert "exact" in found.message


def test_near_perfect_arms_do_not_stall_the_steps():
    found = judge([F1], Policy(), evidence(confusion(40, 1, 0, 40), confusion(90, 1, 1, 90)))
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.BURN_IN)
    assert found.past_burn_in


@pytest.mark.parametrize(
    ("canary", "stable", "verdict", "reason"),
    [
        pytest.param((300, 120, 120, 300), MANY, "Rollback", reasons.FLOOR_BREACHED, id="canary"),
        pytest.param(
            (3000, 1000, 1000, 3000), (30000, 9000, 9000, 30000), "Hold",
            reasons.FLOOR_BREACHED_BY_BOTH, id="both",
        ),
        pytest.param(
            (4000, 1004, 1004, 4000), (40000, 10000, 10000, 40000), "Hold", reasons.BELOW_FLOOR,
            id="not proven",
        ),
    ],
)  # fmt: skip
def test_floor(canary, stable, verdict, reason):
    spec = dataclasses.replace(F1, margin=0.3, floor=0.80)
    counts = evidence(confusion(*canary), confusion(*stable))
    assert decided(counts, spec, rollback_on=RollbackOn.WORSE_THAN_MARGIN) == (verdict, reason)


def test_the_floor_of_auc_rolls_back():
    weak, strong = ([2, 3, 5], [5, 3, 2]), ([1, 2, 7], [7, 2, 1])
    canary = scores(*(np.repeat(60 * np.array(side), 60) // 60 for side in weak))
    stable = scores(*(np.repeat(400 * np.array(side), 60) // 60 for side in strong))
    spec = MetricSpec("auc", "ROCAUC", 0.3, floor=0.8)
    strict = RollbackOn.WORSE_THAN_MARGIN
    assert decided(evidence(canary, stable), spec, rollback_on=strict) == (
        "Rollback",
        reasons.FLOOR_BREACHED,
    )


def test_one_bad_metric_rolls_back_and_all_good_ones_promote():
    loose = MetricSpec("loose", "F1", 0.5)
    counts = evidence(confusion(*BAD), confusion(*MANY))
    strict = RollbackOn.WORSE_THAN_MARGIN
    assert decided(counts, loose, rollback_on=strict)[0] == "Promote"
    assert decided(counts, loose, F1, rollback_on=strict) == (
        "Rollback",
        reasons.WORSE_THAN_MARGIN,
    )


def test_metrics_share_the_error_of_rollback_but_not_of_promotion():
    counts = evidence(confusion(*GOOD), confusion(*MANY))
    one = judge([F1], Policy(), counts).metrics[0]
    two = judge([F1, F1], Policy(), counts).metrics[0]
    assert two.limit_promote == one.limit_promote
    assert two.limit_rollback == pytest.approx(one.limit_rollback + np.log(2))


def test_a_metric_that_does_not_decide_is_judged_and_changes_nothing():
    """Whatever it says, and whatever it lacks: the others decide as if it were not there."""
    strict = dataclasses.replace(F1, name="strict", margin=0.001, floor=0.99, decides=False)
    unseen = MetricSpec("auc", "ROCAUC", 0.01, decides=False)
    for canary in (GOOD, BAD, (34, 9, 10, 35)):
        counts = evidence(confusion(*canary), confusion(*MANY))
        alone, watched = (
            judge([F1], Policy(), counts),
            judge([F1, strict, unseen], Policy(), counts),
        )
        assert (watched.verdict, watched.reason, watched.message, watched.past_burn_in) == (
            alone.verdict, alone.reason, alone.message, alone.past_burn_in,
        )  # fmt: skip
        assert watched.metrics[0] == alone.metrics[0]
        assert [metric.decides for metric in watched.metrics] == [True, False, False]
        assert watched.metrics[2].reason == reasons.NO_SCORES
    assert watched.metrics[1].verdict is Verdict.HOLD
    bad = judge([F1, strict], Policy(), evidence(confusion(*GOOD), confusion(*MANY)))
    assert (bad.verdict, bad.metrics[1].verdict) == (Verdict.PROMOTE, Verdict.HOLD)


def test_labels_that_only_a_dry_run_misses_hold_nothing():
    """Precision asks about rows of one predicted class only; that it is watched beside F1 or not."""
    precision = MetricSpec("precision", "Precision", 0.05)
    arm = dataclasses.replace(
        confusion(4100, 840, 900, 4160), served_as={"1": 4_940, "0": 500_000}, served=504_940
    )
    counts = Evidence((Stratum("east/0", arm, arm),))
    assert decided(counts, precision) == ("Promote", reasons.NOT_WORSE)
    dry = dataclasses.replace(F1, decides=False)
    assert decided(counts, precision, dry) == ("Promote", reasons.NOT_WORSE)
    assert decided(counts, precision, F1)[1] == reasons.LABELS_DEPEND_ON_PREDICTION


def test_somebody_must_decide():
    with pytest.raises(ValueError, match="at least one that decides"):
        judge(
            [dataclasses.replace(F1, decides=False)],
            Policy(),
            evidence(confusion(*GOOD), confusion(*MANY)),
        )


def test_low_coverage_holds_everything():
    canary = confusion(*BAD, served=100_000)
    counts = evidence(canary, confusion(*MANY, served=50_000))
    assert decided(counts, min_label_coverage=0.2) == ("Hold", reasons.LABEL_COVERAGE_LOW)
    assert decided(counts)[0] == "Rollback"


def test_unknown_served_counts_hold_when_coverage_is_asked_for():
    counts = evidence(confusion(*GOOD), confusion(*MANY))
    assert decided(counts, min_label_coverage=0.2) == ("Hold", reasons.LABEL_COVERAGE_LOW)


@pytest.mark.parametrize(
    ("served", "weight", "reason"),
    [
        pytest.param((100_000, 20_000), 0.2, reasons.SAMPLE_RATIO_MISMATCH, id="share"),
        pytest.param((40_000, 20_000), None, reasons.LABEL_COVERAGE_MISMATCH, id="coverage"),
    ],
)
def test_a_mismatch_blocks_promotion_but_not_rollback(served, weight, reason):
    def counts(canary):
        return evidence(
            confusion(*canary, served=served[1]), confusion(*MANY, served=served[0]), weight
        )

    assert decided(counts(GOOD)) == ("Hold", reason)
    assert decided(counts(BAD))[0] == "Rollback"


def test_a_small_excess_of_labels_over_served_rows_is_no_mismatch():
    """Labels and rows come from different scrapes."""
    counts = evidence(confusion(*GOOD, served=9_990), confusion(*MANY, served=40_010), 0.2)
    assert decided(counts, min_label_coverage=0.5) == ("Promote", reasons.NOT_WORSE)


@pytest.mark.parametrize(
    ("metric", "error"),
    [([], "at least one"), ([MetricSpec("x", "Accuraty", 0.1)], "'Accuraty' is not one of")],
)
def test_a_wrong_question_is_an_error(metric, error):
    with pytest.raises(ValueError, match=error):
        judge(metric, Policy(), Evidence(()))


counts_of_an_arm = st.lists(st.integers(0, 300), min_size=4, max_size=4).map(
    lambda cells: confusion(*cells, served=sum(cells))
)
strata = st.lists(st.tuples(counts_of_an_arm, counts_of_an_arm), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(strata, st.randoms(use_true_random=False))
def test_the_order_and_the_splitting_of_evidence_never_matter(arms, random):
    parts = [
        Evidence((Stratum(f"m/{index % 3}", stable, canary),))
        for index, (stable, canary) in enumerate(arms)
    ]
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert judge([F1], Policy(), merge(parts)) == judge([F1], Policy(), merge(shuffled))


@settings(max_examples=60, deadline=None)
@given(counts_of_an_arm, counts_of_an_arm)
def test_swapping_the_arms_flips_the_sign(one, other):
    forth = judge([F1], Policy(), evidence(one, other)).metrics[0]
    back = judge([F1], Policy(), evidence(other, one)).metrics[0]
    if forth.difference is None:
        assert back.difference is None
    else:
        assert forth.difference == -back.difference
        assert (forth.stable, forth.canary) == (back.canary, back.stable)


@settings(max_examples=100, deadline=None)
@given(counts_of_an_arm, counts_of_an_arm)
def test_the_band_says_what_the_tests_say(canary, stable):
    metric = judge([F1], Policy(), evidence(canary, stable)).metrics[0]
    if metric.difference is not None:
        assert (metric.lower > -F1.margin) == (metric.log_e_promote > metric.limit_promote)
        assert (metric.upper < 0.0) == (metric.log_e_rollback > metric.limit_rollback)


def test_every_class_of_a_multiclass_matrix_can_be_judged():
    arm = ArmCounts.counted(("a", "b", "c"), np.full((3, 3), 500))
    spec = dataclasses.replace(F1, positive_label="b")
    assert judge([spec], Policy(), evidence(arm, arm)).metrics[0].canary == pytest.approx(1 / 3)


def test_rows_of_one_request_are_one_draw_of_the_gateways_lot():
    """Forty requests of 100 rows are no proof that a route asked for 50 % sends 60 %."""
    few = ArmCounts.counted(LABELS, [[800, 84], [90, 620]], served=1_600, requests=16)
    many = ArmCounts.counted(LABELS, [[1200, 126], [135, 930]], served=2_400, requests=24)

    [stratum] = [Stratum("a/0", few, many, 0.5)]
    spread = [
        Stratum(
            "a/0",
            dataclasses.replace(few, requests=1_600),
            dataclasses.replace(many, requests=2_400),
            0.5,
        )
    ]

    assert judge([F1], Policy(), Evidence((stratum,))).reason != reasons.SAMPLE_RATIO_MISMATCH
    assert judge([F1], Policy(), Evidence(tuple(spread))).reason == reasons.SAMPLE_RATIO_MISMATCH


def test_rows_of_one_request_are_one_draw_of_the_labels_lot_too():
    """Whole requests come back labelled or not; few of them prove no difference of the arms."""
    few = ArmCounts.counted(LABELS, [[200, 21], [22, 157]], served=1_600, requests=16)
    many = ArmCounts.counted(LABELS, [[900, 90], [95, 715]], served=2_400, requests=24)

    def reason(*requests):
        arms = [
            dataclasses.replace(arm, requests=count)
            for arm, count in zip((few, many), requests, strict=True)
        ]
        return judge([F1], Policy(), Evidence((Stratum("a/0", *arms),))).reason

    assert reason(16, 24) != reasons.LABEL_COVERAGE_MISMATCH
    assert reason(1_600, 2_400) == reasons.LABEL_COVERAGE_MISMATCH
