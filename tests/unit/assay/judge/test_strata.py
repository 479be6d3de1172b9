"""Strata: no Simpson's paradox, nothing lost when there is one, small ones find a neighbour."""

import numpy as np
import pytest

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.judge import METRICS, MetricSpec, Policy, Verdict, judge, strata

from .builders import LABELS, confusion

F1 = METRICS["F1"]
SPEC = MetricSpec("f1", "F1", 0.05)


def cells(*rows):
    return np.array(rows, dtype=float)


def table(stable, canary):
    found = strata.standardise(stable, canary, F1.pseudo(3), F1.value)
    assert found is not None
    return found


def stratum(name, stable, canary):
    return Stratum(name, confusion(*stable), confusion(*canary))


def times(counts, factor):
    return tuple(round(count * factor) for count in counts)


MANY_POSITIVES = (4100, 840, 900, 4160)
FEW_POSITIVES = (120, 180, 130, 9570)


def test_pooling_would_promote_what_standardising_finds_equal():
    """Shares of 50 % and 5 % in unlike clusters: pooled, the same model gains .131 of F1."""
    counts = Evidence(
        (
            stratum("a/0", times(MANY_POSITIVES, 1), times(MANY_POSITIVES, 1)),
            stratum("b/0", times(FEW_POSITIVES, 19), times(FEW_POSITIVES, 1)),
        )
    )
    metric = judge([SPEC], Policy(), counts).metrics[0]
    assert metric.difference == pytest.approx(0.0, abs=1e-12)
    assert metric.lower < 0.0 < metric.upper


def test_equal_strata_say_what_one_stratum_of_all_says():
    one = Evidence((stratum("a/0", times(MANY_POSITIVES, 4), MANY_POSITIVES),))
    four = Evidence(
        tuple(stratum(f"{name}/0", MANY_POSITIVES, times(MANY_POSITIVES, 0.25)) for name in "abcd")
    )
    whole, parts = (judge([SPEC], Policy(), each).metrics[0] for each in (one, four))
    assert parts.stable == pytest.approx(whole.stable, abs=1e-12)
    assert parts.log_e_promote == pytest.approx(whole.log_e_promote, abs=0.02)


@pytest.mark.parametrize("metric", ["F1", "ROCAUC"])
def test_the_variance_of_unlike_strata_is_what_resampling_shows(metric):
    rng = np.random.default_rng(4)
    sizes = {"stable": (1900, 1600, 1000), "canary": (100, 400, 1000)}
    prevalence = (0.5, 0.35, 0.2)
    probabilities = [
        np.concatenate(
            [p * np.array([1, 2, 3, 5, 9]) / 20, (1 - p) * np.array([9, 5, 3, 2, 1]) / 20]
        )
        if metric == "ROCAUC"
        else np.array([0.8 * p, 0.4 * p, 1 - 1.2 * p])
        for p in prevalence
    ]
    kind = METRICS[metric]
    differences, variances = [], []
    for _ in range(600):
        stable, canary = (
            np.array(
                [rng.multinomial(n, p) for n, p in zip(sizes[arm], probabilities, strict=True)],
                dtype=float,
            )
            for arm in ("stable", "canary")
        )
        width = stable.shape[1]
        both = strata.standardise(stable, canary, kind.pseudo(width), kind.value)
        gradients = tuple(
            kind.gradient(arm.smooth, arm.effective) for arm in (both.stable, both.canary)
        )
        of_canary, of_stable = strata.variances(both, gradients, kind.components(width), (0.0,))
        differences.append(kind.value(both.canary.shares) - kind.value(both.stable.shares))
        variances.append(of_canary[0, 0] + of_stable[0])
    assert np.mean(variances) == pytest.approx(np.var(differences), rel=0.15)
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(600)


def test_one_stratum_keeps_its_counts_to_the_last_bit():
    both = table(cells([1640, 696, 1664]), cells([410, 174, 416]))
    assert both.canary.effective.tolist() == [410, 174, 416]
    assert both.weights.tolist() == [1.0]


def test_effective_counts_are_those_of_the_stratum_that_limits():
    both = table(cells([400, 100, 500], [400, 100, 500]), cells([16, 4, 20], [4000, 1000, 5000]))
    assert both.canary.effective.sum() == pytest.approx(
        1.0 / (0.0859**2 / 40 + 0.9141**2 / 1e4), rel=0.01
    )


def test_a_stratum_that_one_arm_never_saw_is_left_out():
    both = table(cells([50, 20, 60], [99, 9, 99]), cells([50, 20, 60], [0, 0, 0]))
    assert len(both.weights) == 1


def test_no_common_stratum_is_no_comparison():
    nothing = strata.standardise(
        cells([50, 20, 60], [0, 0, 0]), cells([0, 0, 0], [5, 2, 6]), F1.pseudo(3), F1.value
    )
    assert nothing is None


def test_small_strata_join_the_neighbour_of_nearest_stable_metric():
    stable = cells([800, 200, 1000], [300, 700, 1000], [790, 210, 1000])
    canary = cells([80, 20, 100], [30, 70, 100], [8, 2, 10])
    both = table(stable, canary)
    assert len(both.weights) == 2
    assert both.weights == pytest.approx([(2200 + 2020) / 6420, 2200 / 6420])


def test_joining_strata_mixes_both_arms_alike():
    """10 000 rows of stable beside 10 of the canary in one step, the reverse mix in the other."""
    counts = Evidence(
        (
            stratum("a/0", times(MANY_POSITIVES, 1), (4, 1, 1, 4)),
            stratum("a/1", times(FEW_POSITIVES, 0.1), times(FEW_POSITIVES, 1)),
        )
    )
    metric = judge([SPEC], Policy(), counts).metrics[0]
    assert abs(metric.difference) < 0.01
    assert judge([SPEC], Policy(), counts).verdict is Verdict.HOLD


def test_the_smallest_strata_of_all_still_give_an_answer():
    counts = Evidence(
        tuple(stratum(f"m{index}/0", (8, 2, 2, 8), (8, 2, 2, 8)) for index in range(9))
    )
    metric = judge([SPEC], Policy(), counts).metrics[0]
    assert metric.difference == pytest.approx(0.0, abs=1e-12)
    assert metric.past_burn_in


def test_strata_without_scores_do_not_disturb_auc():
    empty = ArmCounts.counted(LABELS)
    assert Evidence((Stratum("a/0", empty, empty),)).labelled == (0, 0)
