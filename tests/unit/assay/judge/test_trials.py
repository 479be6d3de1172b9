"""What only a whole trial shows: its history, its members, its users, labels chosen by chance."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.evidence.counts import ArmCounts, Evidence, Moment, Stratum
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts
from assay.judge import MetricSpec, Policy, RollbackOn, Verdict, judge, reasons
from assay.judge.metrics.tables import heaviest
from assay.judge.verdict import Average, MultiClass

from .builders import LABELS, confusion, evidence

F1 = MetricSpec("f1", "F1", 0.03)
GOOD, MANY = (4100, 840, 900, 4160), (16400, 3360, 3600, 16640)


def moment(seconds, canary, stable):
    return Moment(seconds, (Stratum("east/0", confusion(*stable), confusion(*canary)),))


def scaled(counts, factor):
    return tuple(round(factor * each) for each in counts)


def test_a_canary_that_turned_bad_is_found_since_the_restart():
    """Good for 24 moments, then F1 falls to .56: diluted, all counts together prove nothing."""
    rng = np.random.default_rng(7)
    good, bad = np.array(GOOD) / sum(GOOD), np.array([0.25, 0.2, 0.2, 0.35])
    canary, stable = np.zeros(4, int), np.zeros(4, int)
    moments = []
    for k in range(1, 33):
        canary = canary + rng.multinomial(100, good if k <= 24 else bad)
        stable = stable + rng.multinomial(400, good)
        moments.append(moment(64.0 * k, canary, stable))
    whole = Evidence(moments[-1].strata, tuple(moments[:-1]))
    strict = Policy(rollback_on=RollbackOn.WORSE_THAN_MARGIN)

    assert judge([F1], strict, whole).verdict is Verdict.HOLD
    found = judge([F1], dataclasses.replace(strict, since_moments=True), whole)

    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, reasons.WORSE_LATELY)
    assert "since 1536 s after the start: .5" in found.message
    assert "by the restarted test: " in found.message


def test_moments_share_the_chance_of_error_from_the_first_look_on():
    past = moment(512.0, scaled(GOOD, 0.5), scaled(MANY, 0.5))
    whole = evidence(confusion(*GOOD), confusion(*MANY))
    alone = judge([F1], Policy(), whole).metrics[0]
    asked = judge([F1], Policy(since_moments=True), whole).metrics[0]
    later = judge(
        [F1], Policy(since_moments=True), dataclasses.replace(whole, history=(past,))
    ).metrics[0]
    assert later.limit_promote == alone.limit_promote
    assert later.limit_rollback == asked.limit_rollback
    assert asked.limit_rollback == pytest.approx(alone.limit_rollback + np.log(0.8 / 0.7))


def batches(rng, size, *, dependent):
    """Forty batches of each arm; in dependent ones all rows of a batch share their fate."""
    chances = np.array([0.41, 0.09, 0.09, 0.41])
    totals = np.zeros((2, 4), int)
    moments = []
    for k in range(41):
        if k:
            for arm, rows in enumerate((8 * size, 2 * size)):
                if dependent:
                    totals[arm] += 5 * rng.multinomial(rows // 5, chances)
                else:
                    totals[arm] += rng.multinomial(rows, chances)
        strata = (
            Stratum(
                "east/0",
                *(ArmCounts.counted(LABELS, total.reshape(2, 2).copy()) for total in totals),
            ),
        )
        moments.append(Moment(10.0 * k, strata))
    return Evidence(moments[-1].strata, tuple(moments[1:-1]))


def test_dependent_batches_widen_the_band_and_independent_ones_hardly():
    rng = np.random.default_rng(3)

    def width(*, dependent):
        ratios = []
        for _ in range(30):
            counts = batches(rng, 100, dependent=dependent)
            wide, plain = (
                judge([F1], Policy(), each).metrics[0]
                for each in (counts, dataclasses.replace(counts, history=()))
            )
            ratios.append((wide.upper - wide.lower) / (plain.upper - plain.lower))
        return np.median(ratios)

    assert 1.7 < width(dependent=True) < 2.8  # the square root of 5 is 2.2
    assert 1.0 <= width(dependent=False) < 1.15


def test_no_restart_takes_dependent_rows_for_independent_ones():
    """An identical canary; as if rows were independent a tenth of these trials were rolled back."""
    rng = np.random.default_rng(5)
    policy = Policy(since_moments=True)
    rolled_back = 0
    for _ in range(150):
        whole = batches(rng, 100, dependent=True)
        looks = [Evidence(whole.history[at].strata, whole.history[:at]) for at in (23, 29)]
        found = [judge([F1], policy, each) for each in (*looks, whole)]
        rolled_back += any(each.verdict is Verdict.ROLLBACK for each in found)
    assert rolled_back <= 5


def test_no_member_alone_takes_dependent_rows_for_independent_ones():
    """As above, in two members: with the members' own variances 11 of these were rolled back."""
    rng = np.random.default_rng(5)

    def in_west(strata):
        return tuple(dataclasses.replace(each, name="west/0") for each in strata)

    rolled_back = 0
    for _ in range(150):
        east, west = (batches(rng, 100, dependent=True) for _ in range(2))
        history = tuple(
            Moment(one.seconds, one.strata + in_west(other.strata))
            for one, other in zip(east.history, west.history, strict=True)
        )
        whole = Evidence(east.strata + in_west(west.strata), history)
        rolled_back += judge([F1], Policy(by_member=True), whole).verdict is Verdict.ROLLBACK
    assert rolled_back <= 5


def bucketed(arm, buckets):
    rows = np.array(arm.confusion)
    parts = np.zeros((len(buckets), *rows.shape), int)
    for place in np.ndindex(rows.shape):
        parts[(slice(None), *place)] = np.random.default_rng(1).multinomial(rows[place], buckets)
    return dataclasses.replace(arm, buckets=GroupCounts(parts))


def test_labels_of_a_handful_of_users_are_no_proof():
    few, many = np.zeros(128), np.full(128, 1 / 128)
    few[:4] = 0.25
    bad = confusion(330, 120, 170, 380)
    stable = bucketed(confusion(*MANY), many)
    spread = judge([F1], Policy(), evidence(bucketed(bad, many), stable))
    crowded = judge([F1], Policy(), evidence(bucketed(bad, few), stable))
    assert spread.verdict is Verdict.ROLLBACK
    assert crowded.metrics[0].reason == reasons.TOO_FEW_USERS
    assert crowded.message.endswith("2 independent groups are left of them, 8 are needed")
    assert not crowded.past_burn_in
    assert spread.past_burn_in


def in_members(east, west):
    stable = confusion(*scaled(MANY, 0.5))
    return Evidence(
        (
            Stratum("east/0", stable, confusion(*east)),
            Stratum("west/0", stable, confusion(*west)),
        )
    )


def test_one_bad_member_rolls_all_back_though_the_whole_is_not_worse():
    better, worse = (2250, 200, 250, 2300), (330, 140, 180, 350)
    found = judge([F1], Policy(by_member=True), in_members(better, worse))
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, reasons.WORSE_IN_MEMBER)
    assert "in west: .673 against .825 there" in found.message


def test_members_share_the_chance_of_error():
    one = judge([F1], Policy(), evidence(confusion(*GOOD), confusion(*MANY))).metrics[0]
    two = judge(
        [F1], Policy(by_member=True), in_members(scaled(GOOD, 0.5), scaled(GOOD, 0.5))
    ).metrics[0]
    assert two.limit_rollback == pytest.approx(one.limit_rollback + np.log(0.8 / 0.7))


def chosen(cells, served, picked):
    """Label a random part of each predicted class; `cells` are [tn, fp, fn, tp] of all rows."""
    rng = np.random.default_rng(9)
    chance = np.array([picked[0], picked[1], picked[0], picked[1]])
    rows = rng.binomial(cells, chance).reshape(2, 2)
    weights = 1.0 / chance.reshape(2, 2)
    arm = ArmCounts.counted(LABELS, rows, served=served)
    return dataclasses.replace(
        arm,
        served_as={"0": int(cells[0] + cells[2]), "1": int(cells[1] + cells[3])},
        weighted=WeightedCounts(rows * weights, rows * weights**2),
    )


def test_labels_that_depend_on_the_prediction_hold_unless_they_are_weighted():
    stable = np.array([160_000, 9_000, 10_000, 21_000])
    arms = [chosen(each, int(each.sum()), (0.1, 1.0)) for each in (stable // 4, stable)]
    found = judge([F1], Policy(), evidence(*arms))
    plain = [dataclasses.replace(arm, weighted=None) for arm in arms]
    held = judge([F1], Policy(), evidence(*plain))

    truth = 2 * 21 / (2 * 21 + 9 + 10)
    assert found.reason != reasons.LABELS_DEPEND_ON_PREDICTION
    assert found.metrics[0].stable == pytest.approx(truth, abs=0.01)
    assert (held.verdict, held.reason) == (Verdict.HOLD, reasons.LABELS_DEPEND_ON_PREDICTION)
    assert "rows of stable predicted '1' (100 %) and for " in held.message
    assert held.metrics[0].stable > truth + 0.1


def test_scores_without_weights_say_nothing_where_labels_were_chosen():
    stable = np.array([160_000, 9_000, 10_000, 21_000])
    arms = [chosen(each, int(each.sum()), (0.1, 1.0)) for each in (stable // 4, stable)]
    seen = {"1": ScoreHistogram(np.array([1000, 9000, 9000]), np.array([9000, 4000, 1000]))}
    scored = [dataclasses.replace(arm, scores=seen) for arm in arms]
    found = judge([MetricSpec("auc", "ROCAUC", 0.02)], Policy(), evidence(*scored))
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.NO_SCORES)
    assert "the scores of class '1' came without weights" in found.message


def test_one_vs_one_holds_where_labels_were_chosen_or_users_are_split():
    spec = MetricSpec(
        "auc", "ROCAUC", 0.02, average=Average.MACRO, multi_class=MultiClass.ONE_VS_ONE
    )
    chances = np.full(128, 1 / 128)
    for arm in (bucketed(confusion(*MANY), chances), chosen(np.array(MANY), 40_000, (0.5, 1.0))):
        found = judge([spec], Policy(), evidence(arm, arm))
        assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.NO_SCORES)
        assert "compare one class with the rest" in found.message


def test_precision_does_not_care_which_predictions_are_labelled():
    stable = np.array([160_000, 9_000, 10_000, 21_000])
    arms = [
        dataclasses.replace(chosen(each, int(each.sum()), (0.1, 1.0)), weighted=None)
        for each in (stable // 4, stable)
    ]
    found = judge([MetricSpec("p", "Precision", 0.03)], Policy(), evidence(*arms))
    assert (found.verdict, found.reason) == (Verdict.PROMOTE, reasons.NOT_WORSE)


def test_users_and_not_requests_are_split_where_traffic_is_sticky():
    def counts(users):
        arms = [
            dataclasses.replace(confusion(*cells, served=sum(cells)), users=count)
            for cells, count in zip((GOOD, MANY), users, strict=True)
        ]
        return evidence(*arms, weight=0.5)

    assert judge([F1], Policy(), counts((1010, 990))).verdict is Verdict.PROMOTE
    found = judge([F1], Policy(), counts((700, 1300)))
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.SAMPLE_RATIO_MISMATCH)
    assert "of 2 000 users" in found.message


@pytest.mark.parametrize(
    ("growth", "reason"), [(1.5, reasons.UNDERPOWERED), (50.0, reasons.UNDECIDED)]
)
def test_what_cannot_end_in_time_is_said(growth, reason):
    counts = evidence(confusion(410, 84, 90, 416), confusion(1640, 336, 360, 1664))
    found = judge([F1], Policy(growth=growth), counts)
    assert (found.verdict, found.reason) == (Verdict.HOLD, reason)


def test_a_loss_is_judged_the_other_way_round():
    """What costs more is worse; the ceiling plays the part of the floor."""
    spec = MetricSpec("cost", "Cost", 0.03, floor=0.25, costs=(("0", "1", 1.0), ("1", "0", 1.0)))
    same = judge([spec], Policy(), evidence(confusion(*GOOD), confusion(*MANY)))
    worse = judge([spec], Policy(), evidence(confusion(2500, 2000, 2500, 3000), confusion(*MANY)))
    assert (same.verdict, same.reason) == (Verdict.PROMOTE, reasons.NOT_WORSE)
    assert (worse.verdict, worse.reason) == (Verdict.ROLLBACK, reasons.WORSE)
    metric = worse.metrics[0]
    assert metric.difference > 0.0
    assert metric.lower > 0.0
    strict = judge(
        [dataclasses.replace(spec, margin=0.9)],
        Policy(rollback_on=RollbackOn.WORSE_THAN_MARGIN),
        evidence(confusion(2500, 2000, 2500, 3000), confusion(*MANY)),
    )
    assert (strict.verdict, strict.reason) == (Verdict.ROLLBACK, reasons.FLOOR_BREACHED)
    assert "above the ceiling of .250" in strict.message


def test_a_canary_without_errors_is_told_that_the_exact_test_decides():
    few = judge([F1], Policy(), evidence(confusion(60, 0, 0, 100), confusion(400, 1, 1, 600)))
    assert few.reason == reasons.BURN_IN
    assert few.message.endswith("are fewer than 5, so the exact test decides")


@pytest.mark.parametrize(
    ("negatives", "verdict"), [(0.5, Verdict.PROMOTE), (0.1, Verdict.PROMOTE), (0.02, Verdict.HOLD)]
)
def test_a_canary_without_errors_is_promoted_though_labels_have_weights(negatives, verdict):
    """3 000 hits; a miss would stand for 2, 10 or 50 rows, and the last is not excluded yet."""
    stable, perfect = np.array([160_000, 2, 1, 40_000]), np.array([12_000, 0, 0, 3_000])
    arms = [chosen(each, int(each.sum()), (negatives, 1.0)) for each in (perfect, stable)]
    found = judge([F1], Policy(), evidence(*arms))
    assert found.verdict is verdict
    if verdict is Verdict.PROMOTE:
        assert "(by the exact test: " in found.message
    else:
        assert found.message.endswith("are fewer than 5, so the exact test decides")


def test_weights_of_other_rows_than_were_counted_leave_no_exact_test():
    perfect = np.array([8_000, 0, 0, 2_000])
    arms = [chosen(part * perfect, 10_000 * part, (0.5, 1.0)) for part in (1, 4)]
    other = [
        dataclasses.replace(
            arm, confusion=np.zeros_like(arm.confusion), served_as={}, labelled=arm.labelled
        )
        for arm in arms
    ]
    held = judge([F1], Policy(), evidence(*other))
    assert held.message.endswith("are fewer than 5, and no exact test can decide")


@given(
    st.lists(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=30), min_size=1, max_size=4),
)
def test_no_weight_exceeds_what_the_sums_allow(cells):
    rows, sums, squares = (
        np.array([sum(weight**power for weight in cell) for cell in cells]) for power in (0, 1, 2)
    )
    largest = max(max(cell) for cell in cells)
    assert heaviest(rows.astype(float), sums, squares) >= largest * (1 - 1e-6)
    same = np.array([len(cell) * 7.0 for cell in cells])
    assert heaviest(rows.astype(float), same, 7.0 * same) == pytest.approx(7.0, rel=1e-5)


def log_e(found, name="promote"):
    return getattr(found.metrics[0], f"log_e_{name}")


def test_rows_count_as_fewer_until_moments_show_how_they_hang_together():
    """Labels enough in the first look: as independent rows they would promote at once."""
    good, many = scaled(GOOD, 0.4), scaled(MANY, 0.4)
    whole = evidence(confusion(*good), confusion(*many))
    alone = judge([F1], Policy(), whole)
    first = judge([F1], Policy(since_moments=True), whole)
    fourth = scaled(good, 0.25), scaled(many, 0.25)
    fewer = judge([F1], Policy(), evidence(*(confusion(*each) for each in fourth)))

    assert (alone.verdict, first.verdict) == (Verdict.PROMOTE, Verdict.HOLD)
    assert log_e(first) == pytest.approx(log_e(fewer), abs=0.02)
    assert "4 labels counted as one until 20 earlier moments" in first.message


def test_from_twenty_batches_on_they_are_believed():
    rng = np.random.default_rng(3)
    policy = Policy(since_moments=True, rollback_on=RollbackOn.WORSE_THAN_MARGIN)
    spec = dataclasses.replace(F1, margin=0.002)  # nothing is decided in so short a time
    for dependent in (False, True):
        whole = batches(rng, 100, dependent=dependent)
        told = []
        for known in range(1, 39):
            look = Evidence(whole.history[known].strata, whole.history[:known])
            told.append("counted as one" in judge([spec], policy, look).metrics[0].message)
        assert told == [True] * 19 + [False] * 19


def test_every_test_that_was_asked_is_told():
    whole = batches(np.random.default_rng(5), 100, dependent=False)
    spec = dataclasses.replace(F1, floor=0.99)
    strata = tuple(
        Stratum(f"{name}/0", each.stable, each.canary)
        for name in ("east", "west")
        for each in whole.strata
    )
    moments = tuple(
        Moment(
            past.seconds,
            tuple(
                Stratum(f"{n}/0", s.stable, s.canary) for n in ("east", "west") for s in past.strata
            ),
        )
        for past in whole.history
    )
    policy = Policy(since_moments=True, by_member=True)
    (found,) = judge([spec], policy, Evidence(strata, moments)).metrics
    told = {(test.name, test.of) for test in found.others}
    assert {("member", "east"), ("member", "west"), ("floor", "")} <= told
    assert "sinceMoment" in {name for name, _ in told}
    assert all(np.isfinite([test.log_e, test.limit]).all() for test in found.others)
    assert found.reason == reasons.FLOOR_BREACHED_BY_BOTH
    assert "by the floor's test: " in found.message
