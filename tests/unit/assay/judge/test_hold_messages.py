"""A message says by which numbers it holds; the expected ones are worked out here from the counts."""

import dataclasses
import math

import numpy as np
import pytest

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, Policy, PromoteOn, RollbackOn, Verdict, judge, reasons
from assay.judge.verdict import Average

from .builders import BINS, LABELS, confusion, evidence, scores, scores_by_class

F1 = MetricSpec("f1", "F1", 0.03)
AUC = MetricSpec("auc", "ROCAUC", 0.02)
GOOD, MANY = (4100, 840, 900, 4160), (16400, 3360, 3600, 16640)
FEW, SOME = (410, 84, 90, 416), (1640, 336, 360, 1664)
WITHIN_MARGIN = Policy(rollback_on=RollbackOn.WORSE_THAN_MARGIN)


def held(reason, counts, spec=F1, policy=None):
    """The message of a trial that is held for `reason`."""
    found = judge([spec], policy or Policy(), counts)
    assert (found.verdict, found.reason) == (Verdict.HOLD, reason)
    return found.message


def f1(tp, fp, fn, _tn):
    return 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize(
    ("served", "words"),
    [
        ((100_000, 50_000), "the canary has labels for 10 000 of 100 000 rows (10 %)"),
        ((20_000, 320_000), "stable has labels for 40 000 of 320 000 rows (12.5 %)"),
        ((20_000, 0), "stable has labels for 40 000 rows, and how many were served is not known"),
    ],
)
def test_low_coverage(served, words):
    arms = [confusion(*each, served=n) for each, n in zip((GOOD, MANY), served, strict=True)]
    message = held(
        reasons.LABEL_COVERAGE_LOW, evidence(*arms), policy=Policy(min_label_coverage=0.2)
    )
    assert message == f"{words}; at least 20 % must have one"


def test_coverage_that_differs():
    """1 020 of 2 000 rows against 4 020 of 10 000: 51 and 40.2 %."""
    arms = confusion(420, 90, 90, 420, served=2_000), confusion(1650, 360, 360, 1650, served=10_000)
    assert held(reasons.LABEL_COVERAGE_MISMATCH, evidence(*arms)) == (
        "labels came back for 4 020 of 10 000 rows of stable (40.2 %) and for 1 020 of 2 000 of "
        "the canary (51 %): the labelled rows are not comparable"
    )


def test_coverage_that_differs_in_opposite_ways():
    """In all both arms have labels for 1 500 of 3 000 rows."""
    few, many = (200, 50, 50, 200), (400, 100, 100, 400)
    strata = tuple(
        Stratum(name, *(confusion(*cells, served=1_500) for cells in arms))
        for name, arms in (("east/0", (few, many)), ("west/0", (many, few)))
    )
    assert held(reasons.LABEL_COVERAGE_MISMATCH, Evidence(strata)) == (
        "labels came back for 500 of 1 500 rows of stable (33.3 %) and for 1 000 of 1 500 of "
        "the canary (66.7 %) in east/0: the labelled rows are not comparable"
    )


def test_labels_that_depend_on_the_prediction():
    """Stable shows it best: all of its 20 000 rows predicted 1, a tenth of its 80 000 others."""
    arms = [
        dataclasses.replace(
            ArmCounts.counted(LABELS, part * np.array([[1800, 900], [200, 4100]])),
            served=part * 25_000,
            served_as={"0": part * 20_000, "1": part * 5_000},
        )
        for part in (1, 4)
    ]
    message = held(reasons.LABELS_DEPEND_ON_PREDICTION, evidence(*arms))
    assert message.startswith(
        "labels came back for 20 000 of 20 000 rows of stable predicted '1' (100 %) and for 8 000 "
        "of 80 000 predicted '0' (10 %): "
    )


def test_labels_that_depend_on_the_prediction_in_opposite_ways():
    """Of each class 900 rows in all have a label; in the west the difference is larger."""
    strata = []
    for name, zeros, ones in (("east/0", 600, 300), ("west/0", 300, 600)):
        arms = [
            dataclasses.replace(
                ArmCounts.counted(LABELS, np.array([[zeros, 0], [0, ones]])),
                served=1_200 + extra,
                served_as={"0": 600 + extra, "1": 600},
            )
            for extra in (0, 200 if name == "west/0" else 0)
        ]
        strata.append(Stratum(name, *arms))
    message = held(reasons.LABELS_DEPEND_ON_PREDICTION, Evidence(tuple(strata)))
    assert message.startswith(
        "labels came back for 600 of 600 rows of the canary in west/0 predicted '1' (100 %) and "
        "for 300 of 800 predicted '0' (37.5 %): "
    )


def split(*strata):
    """Strata of arms as good as each other; (name, stable's rows, the canary's, share asked for)."""
    return Evidence(
        tuple(
            Stratum(
                name,
                *(
                    ArmCounts.counted(
                        LABELS, rows // 50 * np.array([[20, 5], [5, 20]]), served=rows
                    )
                    for rows in (stable, canary)
                ),
                weight,
            )
            for name, stable, canary, weight in strata
        )
    )


def test_a_share_that_was_not_asked_for():
    assert held(reasons.SAMPLE_RATIO_MISMATCH, split(("east/0", 15_000, 5_000, 0.2))) == (
        "the canary answered 5 000 of 20 000 requests (25 %), the routes were asked for 20 %: "
        "requests go where they should not"
    )


def test_users_that_are_not_split_as_asked():
    arms = [
        dataclasses.replace(confusion(*cells, served=sum(cells)), users=users)
        for cells, users in ((GOOD, 1_300), (MANY, 700))
    ]
    assert held(reasons.SAMPLE_RATIO_MISMATCH, evidence(*arms, weight=0.5)) == (
        "the canary answered 1 300 of 2 000 users (65 %), the routes were asked for 50 %: "
        "users go where they should not"
    )


def test_shares_that_are_only_right_in_the_mean_are_told_by_stratum():
    """Two clusters whose weights were mixed up: 20 % of all, as asked, but in neither of them."""
    counts = split(("east/0", 7_000, 3_000, 0.1), ("west/0", 9_000, 1_000, 0.3))
    assert held(reasons.SAMPLE_RATIO_MISMATCH, counts) == (
        "the canary answered 4 000 of 20 000 requests (20 %), the routes were asked for 20 %, "
        "most amiss in east/0 with 3 000 of 10 000 (30 %) for 10 %: "
        "requests go where they should not"
    )


def floors_test(message):
    """The evidence at the end of a message, and what it must reach."""
    assert "which is not proven yet (by the floor's test: " in message
    log_e, limit = message.removesuffix(")").rpartition(": ")[2].split(" of ")
    return float(log_e), float(limit)


def test_a_canary_that_measures_below_its_floor():
    spec = dataclasses.replace(F1, margin=0.3, floor=0.80)
    canary, stable = (4000, 1004, 1004, 4000), (40_000, 10_000, 10_000, 40_000)
    counts = evidence(confusion(*canary), confusion(*stable))
    message = held(reasons.BELOW_FLOOR, counts, spec, WITHIN_MARGIN)
    assert "F1 of the canary is .799 against .800 of stable" in message
    assert f": below the floor of .800 by {0.80 - f1(*canary):.2g}, " in message
    # A tenth of the error of rollback.
    log_e, limit = floors_test(message)
    assert log_e < limit == pytest.approx(-math.log(0.05 * 0.1), abs=0.005)


def test_a_canary_that_costs_more_than_its_ceiling():
    spec = MetricSpec("cost", "Cost", 0.3, floor=0.2, costs=(("0", "1", 1.0), ("1", "0", 1.0)))
    canary, stable = (4000, 1004, 1004, 4000), (40_000, 10_000, 10_000, 40_000)
    counts = evidence(confusion(*canary), confusion(*stable))
    message = held(reasons.BELOW_FLOOR, counts, spec, WITHIN_MARGIN)
    assert f": above the ceiling of .200 by {2008 / 10_008 - 0.2:.2g}, " in message
    assert floors_test(message)[1] == pytest.approx(-math.log(0.05 * 0.1), abs=0.005)


def evidence_to(kind, metric):
    return f"{getattr(metric, f'log_e_{kind}'):.2f} of {getattr(metric, f'limit_{kind}'):.2f}"


def test_labels_that_will_not_do():
    """Both arms are equal, so what an equal canary would reach is what one and a half times as many rows do."""
    counts = evidence(confusion(*FEW), confusion(*SOME))
    message = held(reasons.UNDERPOWERED, counts, policy=Policy(growth=1.5))
    (now,) = judge([F1], Policy(), counts).metrics
    then = [confusion(*(count * 3 // 2 for count in each)) for each in (FEW, SOME)]
    (hoped,) = judge([F1], Policy(), evidence(*then)).metrics
    assert now.difference == hoped.difference == 0.0
    assert hoped.limit_promote == pytest.approx(math.log(20.0))
    assert message.endswith(
        ": at this rate the trial's time is over with 1.5 times as many labels, by which not even "
        f"an equal canary would be promoted (evidence {evidence_to('promote', hoped)}; now "
        f"evidence to promote {evidence_to('promote', now)}, to roll back "
        f"{evidence_to('rollback', now)}): ask for a larger share, a wider margin or more time"
    )


@pytest.mark.parametrize(("growth", "times"), [(1.0, "1.0"), (9.94, "9.9"), (23.6, "24")])
def test_labels_that_will_not_do_to_show_that_a_canary_is_better(growth, times):
    spec = dataclasses.replace(F1, margin=0.005)
    policy = Policy(growth=growth, promote_on=PromoteOn.BETTER)
    message = held(reasons.UNDERPOWERED, evidence(confusion(*FEW), confusion(*SOME)), spec, policy)
    assert (
        f"is over with {times} times as many labels, by which not even a canary better by .005 "
        "would be promoted"
    ) in message


def test_bins_that_hide_too_much_of_the_difference():
    """The end bins hold all beyond the grid: 50 rows of one class with 4 500 of the other, twice an arm."""
    positive, negative = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    positive[[0, 500, 1023]], negative[[0, 500, 1023]] = [50, 450, 4500], [4500, 450, 50]
    arm = scores(positive, negative)
    hidden = 2 * 2 * 0.5 * 50 * 4500 / 5000**2
    message = held(reasons.BINS_TOO_COARSE, evidence(arm, arm), AUC)
    assert message.endswith(
        f": the score bins may hide {hidden:.4f} of the difference, at most {0.02 / 4:.4f} may be: "
        "too coarse for a margin of .020"
    )


BLIND = "of one value, at most 0.0500 may be, for nearly all scores fall into the same bins"


def test_bins_that_hide_too_much_of_one_value():
    """Half of the rows of each class share one bin: half of a quarter of the pairs is not known."""
    positive, negative = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    positive[[512, 700]], negative[[300, 512]] = 2500, 2500
    arm = scores(positive, negative)
    message = held(reasons.BINS_TOO_COARSE, evidence(arm, arm), AUC)
    assert f"the score bins may hide up to {0.5 * 0.5**2:.4f} {BLIND}" in message


def test_the_class_of_which_bins_hide_most_is_what_is_told():
    """All scores of one class tie. Not told is the mean over classes, of which that is but a third."""
    rng = np.random.default_rng(4)
    truth = np.repeat(np.arange(3), 2000)
    raw = np.exp(rng.normal(size=(truth.size, 2)) + 1.5 * np.eye(3)[truth][:, :2])
    chances = np.column_stack([0.8 * raw / raw.sum(axis=1, keepdims=True), np.full(6000, 0.2)])
    arm = scores_by_class(truth, chances)
    spec = dataclasses.replace(AUC, average=Average.MACRO)
    (metric,) = judge([spec], Policy(), evidence(arm, arm)).metrics
    assert metric.half_width < 0.2
    message = held(reasons.BINS_TOO_COARSE, evidence(arm, arm), spec)
    assert f"the score bins may hide up to 0.5000 {BLIND}" in message
