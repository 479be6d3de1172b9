"""ROC AUC of several classes where some lack rows or scores tie: scikit-learn's value, or a reason."""

import dataclasses
import itertools
import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score

from assay.evidence.counts import ArmCounts
from assay.judge import MetricSpec, Policy, Verdict, judge, reasons
from assay.judge.verdict import Average, MultiClass

from .builders import evidence, scores_by_class

ROWS = (300, 180, 120)
"""Rows of each class: both arms have the same parts, so that weights of classes are the same too."""

EVERY = pytest.mark.parametrize(
    ("multi_class", "average"),
    list(itertools.product(MultiClass, (Average.MACRO, Average.WEIGHTED))),
)


def sample(seed, rows=ROWS, separation=1.5):
    """Truth, and probabilities of all three classes whether or not they have rows."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), rows)
    raw = rng.normal(size=(truth.size, 3)) + separation * np.eye(3)[truth]
    return truth, np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)


def judged(multi_class, average, canary, stable):
    """The metric's judgement, in which no number is NaN and nobody was warned of any."""
    spec = MetricSpec("auc", "ROCAUC", 0.02, average=average, multi_class=multi_class)
    arms = [
        each if isinstance(each, ArmCounts) else scores_by_class(*each) for each in (canary, stable)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = judge([spec], Policy(), evidence(*arms)).metrics
    numbers = [each for each in vars(found).values() if isinstance(each, float)]
    assert not any(math.isnan(each) for each in numbers)
    return found


def of_scikit_learn(multi_class, average, truth, chances):
    way = "ovr" if multi_class is MultiClass.ONE_VS_REST else "ovo"
    return roc_auc_score(
        truth, chances, multi_class=way, average=average.value.lower(), labels=[0, 1, 2]
    )


def assert_equal_to_scikit_learn(found, multi_class, average, canary, stable):
    for value, arm in ((found.canary, canary), (found.stable, stable)):
        assert abs(value - of_scikit_learn(multi_class, average, *arm)) <= found.half_width


def assert_no_value(found, reason):
    assert (found.verdict, found.reason) == (Verdict.HOLD, reason)
    assert (found.canary, found.stable, found.difference) == (None, None, None)


@EVERY
def test_three_classes_in_both_arms(multi_class, average):
    canary, stable = sample(1), sample(2, 3 * np.array(ROWS))
    found = judged(multi_class, average, canary, stable)
    assert_equal_to_scikit_learn(found, multi_class, average, canary, stable)
    assert found.half_width < 0.01


@EVERY
@pytest.mark.parametrize("fewest", [1, 2])
def test_a_class_of_a_row_or_two_is_measured_but_not_judged(multi_class, average, fewest):
    rows = (300, 180, fewest)
    canary, stable = sample(1, rows), sample(2, rows)
    found = judged(multi_class, average, canary, stable)
    assert_equal_to_scikit_learn(found, multi_class, average, canary, stable)
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.RARE_CLASS)


@EVERY
@pytest.mark.parametrize("lacking", ["canary", "stable version"])
def test_a_class_that_only_one_arm_has_seen_has_no_value_in_the_other(
    multi_class, average, lacking
):
    """Where scikit-learn has a value of that arm, it is one of fewer classes than the other's."""
    without, whole = sample(1, (300, 180, 0)), sample(2)
    arms = (without, whole) if lacking == "canary" else (whole, without)
    found = judged(multi_class, average, *arms)
    assert_no_value(found, reasons.RARE_CLASS)
    assert f"of the {lacking} has no value" in found.message
    assert " 0 positive" in found.message or " 0 negative" in found.message
    assert "'c'" in found.message
    if (multi_class, average) == (MultiClass.ONE_VS_REST, Average.MACRO):
        with pytest.warns(UndefinedMetricWarning, match="Only one class is present"):
            assert math.isnan(of_scikit_learn(multi_class, average, *without))


@EVERY
def test_a_class_of_which_an_arm_has_no_scores_at_all_has_no_value(multi_class, average):
    whole = scores_by_class(*sample(2))
    part = {name: each for name, each in whole.scores.items() if name != "c"}
    found = judged(multi_class, average, dataclasses.replace(whole, scores=part), whole)
    assert_no_value(found, reasons.NO_SCORES)
    assert "no scores for class 'c'" in found.message
    assert "of the canary" in found.message


@EVERY
def test_of_two_classes_out_of_three_the_third_has_no_say(multi_class, average):
    """It is unknown to both arms. Only scikit-learn's plain mean over classes has no value then."""
    rows = np.array((300, 180, 0))
    canary, stable = sample(1, rows), sample(2, 3 * rows)
    found = judged(multi_class, average, canary, stable)
    if (multi_class, average) != (MultiClass.ONE_VS_REST, Average.MACRO):
        # With one weight for each class that has no rows: 0.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            assert_equal_to_scikit_learn(found, multi_class, average, canary, stable)
        return
    for value, (truth, chances) in ((found.canary, canary), (found.stable, stable)):
        seen = np.mean([roc_auc_score(truth == at, chances[:, at]) for at in (0, 1)])
        assert abs(value - seen) <= found.half_width
        with pytest.warns(UndefinedMetricWarning, match="Only one class is present"):
            assert math.isnan(of_scikit_learn(multi_class, average, truth, chances))


@EVERY
def test_one_class_out_of_three_cannot_be_ranked(multi_class, average):
    only = sample(1, (300, 0, 0))
    rest = multi_class is MultiClass.ONE_VS_REST
    found = judged(multi_class, average, only, only)
    assert_no_value(found, reasons.RARE_CLASS if rest else reasons.ONE_CLASS_ONLY)
    assert "it has 300 positive and 0 negative labels, and needs both" in found.message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exact = of_scikit_learn(multi_class, average, *only)
        except ZeroDivisionError:
            exact = math.nan
    assert math.isnan(exact)


@EVERY
def test_arms_of_different_classes_only_cannot_be_compared(multi_class, average):
    found = judged(multi_class, average, sample(1, (300, 180, 0)), sample(2, (0, 180, 120)))
    assert_no_value(found, reasons.RARE_CLASS)


@EVERY
def test_scores_that_all_tie_are_half_and_not_promoted(multi_class, average):
    truth, chances = sample(1)
    tied = truth, np.full_like(chances, 1 / 3)
    found = judged(multi_class, average, tied, tied)
    assert of_scikit_learn(multi_class, average, *tied) == 0.5
    assert (found.canary, found.stable, found.half_width) == pytest.approx((0.5, 0.5, 0.5))
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.BINS_TOO_COARSE)


@EVERY
def test_a_canary_whose_scores_all_tie_is_worse(multi_class, average):
    truth, chances = sample(1)
    tied, stable = (truth, np.full_like(chances, 1 / 3)), sample(2, 3 * np.array(ROWS))
    found = judged(multi_class, average, tied, stable)
    assert found.canary == pytest.approx(0.5)
    assert_equal_to_scikit_learn(found, multi_class, average, tied, stable)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, reasons.WORSE)


@EVERY
def test_ties_of_few_scores_count_half_as_in_scikit_learn(multi_class, average):
    """Each bin holds equal scores only: nothing is hidden, and the value is the same to the digit."""
    rng = np.random.default_rng(3)
    leaves = np.array([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6], [0.4, 0.35, 0.25]])
    truth = np.repeat(np.arange(3), ROWS)
    reached = np.where(rng.random(truth.size) < 0.5, truth, rng.integers(0, 4, truth.size))
    arm = truth, leaves[reached]
    found = judged(multi_class, average, arm, arm)
    assert found.canary == pytest.approx(of_scikit_learn(multi_class, average, *arm), abs=1e-12)


@EVERY
def test_a_perfect_ranking_of_three_classes_is_one(multi_class, average):
    truth = np.repeat(np.arange(3), ROWS)
    perfect = truth, 0.05 + 0.85 * np.eye(3)[truth]
    found = judged(multi_class, average, perfect, perfect)
    assert of_scikit_learn(multi_class, average, *perfect) == 1.0
    assert (found.canary, found.stable) == pytest.approx((1.0, 1.0))
    assert found.half_width == 0.0
