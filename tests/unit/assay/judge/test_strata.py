"""Strata: no Simpson's paradox, nothing lost when there is one, small ones find a neighbour."""

import numpy as np
import pytest

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, Policy, Verdict, judge, strata
from assay.judge.looks import ArmCells, Part
from assay.judge.metrics import metric_of

from .builders import LABELS, confusion, scores

SPEC = MetricSpec("f1", "F1", 0.05)


def component(spec, arm):
    (reading,) = metric_of(spec).read([arm])
    return reading.component


F1 = component(SPEC, confusion(9, 9, 9, 9))
AUC = component(MetricSpec("auc", "ROCAUC", 0.02), scores(*np.ones((2, 5), int)))


def cells(*rows):
    return np.array(rows, dtype=float)


def table(stable, canary, kind=F1):
    """Standardise one look; rows of F1 are [tn, fp, fn, tp]."""
    return standardised(kind, ArmCells(stable[None]), ArmCells(canary[None]))


def standardised(kind, stable, canary):
    return strata.standardise(Part.of(kind, 1.0, stable, canary))


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


def draws(rng, sizes, probabilities):
    return np.array(
        [rng.multinomial(n, p) for n, p in zip(sizes, probabilities, strict=True)], dtype=float
    )


@pytest.mark.parametrize("kind", [F1, AUC], ids=["F1", "AUC"])
def test_the_variance_of_unlike_strata_is_what_resampling_shows(kind):
    rng = np.random.default_rng(4)
    probabilities = [
        np.concatenate(
            [p * np.array([1, 2, 3, 5, 9]) / 20, (1 - p) * np.array([9, 5, 3, 2, 1]) / 20]
        )
        if kind is AUC
        else np.array([1 - 1.2 * p, 0.2 * p, 0.2 * p, 0.8 * p])
        for p in (0.5, 0.35, 0.2)
    ]
    runs = 600
    stable, canary = (
        ArmCells(np.array([draws(rng, sizes, probabilities) for _ in range(runs)]))
        for sizes in ((1900, 1600, 1000), (100, 400, 1000))
    )
    both = standardised(kind, stable, canary)
    arms_variances = strata.variances(
        both,
        kind.gradient(both.smooth, both.effective),
        np.zeros((1, runs)),
    )
    stable_values, canary_values = kind.value(both.shares)
    differences = canary_values - stable_values
    variances = arms_variances[0, 0].sum(axis=0)
    assert np.mean(variances) == pytest.approx(np.var(differences), rel=0.15)
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(runs)


def test_the_variance_of_weighted_rows_is_what_resampling_shows():
    """Rows predicted positive are always labelled, others one in ten, and then count ten times."""
    rng = np.random.default_rng(6)
    chances, picked = np.array([0.5, 0.1, 0.1, 0.3]), np.array([0.1, 1.0, 0.1, 1.0])
    runs = 800
    rows = rng.multinomial(3000, chances, (2, runs))
    labelled = rng.binomial(rows, picked)[:, :, None, :].astype(float)
    arms = [ArmCells(each / picked, each / picked**2) for each in labelled]
    both = standardised(F1, arms[0], arms[1])
    arms_variances = strata.variances(
        both,
        F1.gradient(both.smooth, both.effective),
        np.zeros((1, runs)),
    )
    values = F1.value(both.shares)
    truth = 0.6 / 0.8
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(2 * runs))
    assert np.mean(arms_variances[0, 0].sum(axis=0)) == pytest.approx(
        np.var(values[1] - values[0]), rel=0.15
    )


def test_the_residuals_of_dependent_groups_show_their_variance():
    """Ten rows of a user are all right or all wrong: the variance is ten times that of rows."""
    rng = np.random.default_rng(8)
    runs, users = 300, 64
    groups = []
    for _ in range(2):
        hits = rng.random((runs, users)) < 0.8
        cells = np.zeros((runs, users, 1, 4))
        cells[..., 0, 3], cells[..., 0, 1] = 10.0 * hits, 10.0 * ~hits
        groups.append(cells)
    arms = [ArmCells(each.sum(axis=1), groups=each) for each in groups]
    both = standardised(F1, arms[0], arms[1])
    moved = strata.residuals(both, F1.gradient(both.smooth, both.effective))
    values = F1.value(both.shares)
    assert moved.shape == (runs, users)
    assert np.mean((moved**2).sum(axis=1)) == pytest.approx(np.var(values[1] - values[0]), rel=0.25)


def test_one_stratum_keeps_its_counts_to_the_last_bit():
    both = table(cells([1664, 336, 360, 1640]), cells([416, 84, 90, 410]))
    assert both.effective[1, 0].tolist() == [416, 84, 90, 410]
    assert both.weights.tolist() == [[1.0]]


def test_effective_counts_are_those_of_the_stratum_that_limits():
    both = table(
        cells([500, 50, 50, 400], [500, 50, 50, 400]), cells([20, 2, 2, 16], [5000, 500, 500, 4000])
    )
    assert both.effective[1].sum() == pytest.approx(
        1.0 / (0.0859**2 / 40 + 0.9141**2 / 1e4), rel=0.01
    )


def test_a_stratum_that_one_arm_never_saw_has_no_weight():
    both = table(cells([60, 10, 10, 50], [99, 4, 5, 99]), cells([60, 10, 10, 50], [0, 0, 0, 0]))
    assert both.weights.tolist() == [[1.0, 0.0]]
    assert both.shares[0, 0] == pytest.approx(np.array([60, 10, 10, 50]) / 130)


def test_no_common_stratum_is_no_comparison():
    with np.errstate(all="ignore"):
        nothing = table(cells([60, 10, 10, 50], [0, 0, 0, 0]), cells([0, 0, 0, 0], [6, 1, 1, 5]))
    assert np.isnan(F1.value(nothing.shares)).all()


def test_small_strata_join_the_neighbour_of_nearest_stable_metric():
    stable = cells([1000, 100, 100, 800], [1000, 350, 350, 300], [1000, 105, 105, 790])
    canary = cells([100, 10, 10, 80], [100, 35, 35, 30], [10, 1, 1, 8])
    both = table(stable, canary)
    assert both.weights[0] == pytest.approx([(2200 + 2020) / 6420, 2200 / 6420, 0.0])


def test_many_looks_at_once_are_what_each_is_alone():
    """Looks with and without small strata, and one without any common stratum."""
    rng = np.random.default_rng(2)
    stable = rng.integers(0, 60, (40, 3, 4)).astype(float)
    canary = rng.integers(0, 12, (40, 3, 4)).astype(float)
    canary[5] = 0.0
    with np.errstate(all="ignore"):
        together = standardised(F1, ArmCells(stable), ArmCells(canary))
        for look in range(40):
            alone = table(stable[look], canary[look])
            for name in ("weights", "shares", "smooth", "effective"):
                ours = getattr(together, name)
                ours = ours[look] if name == "weights" else ours[:, look]
                theirs = getattr(alone, name)
                theirs = theirs[0] if name == "weights" else theirs[:, 0]
                assert ours == pytest.approx(theirs, nan_ok=True), (look, name)


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
