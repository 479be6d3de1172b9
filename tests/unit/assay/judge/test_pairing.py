"""Shadow traffic: both versions answer every row, and only where they differ does it vary."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from assay.evidence.errors import EvidenceError
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.paired import PairedCounts, PairedScores
from assay.judge import MetricSpec, Policy, Verdict, judge_pairs, reasons
from assay.judge.comparison import compare
from assay.judge.decision import borders
from assay.judge.metrics import metric_of
from assay.judge.pairing import read_pairs

LABELS = ("0", "1")
BINS, COARSE = 256, 32
F1 = MetricSpec("f1", "F1", 0.03)
AUC = MetricSpec("auc", "ROCAUC", 0.02)


def answers(rng, rows, correlation=0.9, separations=(1.8, 1.8)):
    """Truth, and both versions' scores: binormal, with correlated noise."""
    truth = (rng.random(rows) < 0.5).astype(int)
    noise = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], rows)
    return truth, *(noise[:, arm] + truth * separations[arm] for arm in range(2))


def paired(truth, stable, canary):
    outcomes = np.zeros((2, 2, 2), int)
    np.add.at(outcomes, (truth, (stable > 0.9).astype(int), (canary > 0.9).astype(int)), 1)
    places = [np.clip(((x + 5) / 12 * BINS).astype(int), 0, BINS - 1) for x in (stable, canary)]
    histograms = [
        ScoreHistogram(
            np.bincount(at[truth == 1], minlength=BINS), np.bincount(at[truth == 0], minlength=BINS)
        )
        for at in places
    ]
    joint = np.zeros((2, COARSE, COARSE), int)
    factor = BINS // COARSE
    np.add.at(joint, (1 - truth, places[0] // factor, places[1] // factor), 1)
    return PairedCounts(LABELS, outcomes, {"1": PairedScores(*histograms, joint)})


def test_the_values_are_those_of_scikit_learn():
    truth, stable, canary = answers(np.random.default_rng(1), 4000)
    f1, auc = judge_pairs([F1, AUC], Policy(), paired(truth, stable, canary)).metrics
    for found, scores in ((f1.stable, stable), (f1.canary, canary)):
        assert found == pytest.approx(f1_score(truth, scores > 0.9), abs=1e-12)
    for found, scores in ((auc.stable, stable), (auc.canary, canary)):
        assert found == pytest.approx(roc_auc_score(truth, scores), abs=auc.half_width)


@pytest.mark.parametrize(("spec", "coarse"), [(F1, 1.0), (AUC, 1.18)], ids=["F1", "AUC"])
def test_the_variance_is_what_resampling_shows(spec, coarse):
    """A coarse joint histogram overstates that of AUC a little (statistics 2c: 1.04 to 1.18)."""
    rng = np.random.default_rng(2)
    metric = metric_of(spec)
    differences, variances = [], []
    for _ in range(400):
        looks = read_pairs(metric, paired(*answers(rng, 800)))
        found = compare(spec, looks, borders(spec, Policy(), 1)).measured
        differences.append(found.difference)
        variances.append(found.variances[0, 0])
    assert np.mean(variances) == pytest.approx(coarse * np.var(differences), rel=0.2)


def test_pairs_decide_with_a_fraction_of_the_labels():
    """Statistics 2c: at a score correlation of .9 eight times fewer than a split in halves."""
    rng = np.random.default_rng(3)
    found = judge_pairs([F1], Policy(), paired(*answers(rng, 1500)))
    assert (found.verdict, found.reason) == (Verdict.PROMOTE, reasons.NOT_WORSE)


def test_a_worse_canary_is_rolled_back():
    rng = np.random.default_rng(4)
    counts = paired(*answers(rng, 1500, separations=(1.8, 1.2)))
    assert judge_pairs([F1, AUC], Policy(), counts).verdict is Verdict.ROLLBACK


def test_versions_that_agree_on_every_row_are_not_promoted_by_a_handful():
    truth, stable, _ = answers(np.random.default_rng(5), 60)
    few = judge_pairs([AUC], Policy(), paired(truth, stable, stable))
    assert few.metrics[0].difference == 0.0
    assert few.verdict is Verdict.HOLD
    truth, stable, _ = answers(np.random.default_rng(5), 2000)
    assert judge_pairs([AUC], Policy(), paired(truth, stable, stable)).verdict is Verdict.PROMOTE


def test_versions_without_errors_are_promoted_by_the_exact_test():
    """Nothing varies, so the asymptotic test has nothing to go by: 200 positives are enough."""
    perfect = np.zeros((2, 2, 2), int)
    perfect[0, 0, 0], perfect[1, 1, 1] = 300, 200
    found = judge_pairs([F1], Policy(), PairedCounts(LABELS, perfect))
    assert (found.verdict, found.reason) == (Verdict.PROMOTE, reasons.NOT_WORSE)
    assert "(by the exact test: " in found.message
    few = judge_pairs([F1], Policy(), PairedCounts(LABELS, perfect // 4))
    assert few.message.endswith("are fewer than 5, so the exact test decides")


def test_merging_is_adding_and_loses_nothing():
    rng = np.random.default_rng(6)
    truth, stable, canary = answers(rng, 3000)
    whole = paired(truth, stable, canary)
    parts = [paired(truth[i::3], stable[i::3], canary[i::3]) for i in range(3)]
    merged = parts[2] + parts[0] + parts[1]
    assert judge_pairs([F1, AUC], Policy(), merged) == judge_pairs([F1, AUC], Policy(), whole)


def test_false_rollbacks_of_an_equal_canary_stay_rare():
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(150):
        truth, stable, canary = answers(rng, 1200)
        for rows in range(100, 1300, 100):
            part = paired(truth[:rows], stable[:rows], canary[:rows])
            verdict = judge_pairs([F1], Policy(), part).verdict
            if verdict is not Verdict.HOLD:
                break
        verdicts.append(verdict)
    assert verdicts.count(Verdict.ROLLBACK) <= 13  # 5 % of 150 and three standard deviations
    assert verdicts.count(Verdict.PROMOTE) >= 100


def test_no_labels_hold():
    nothing = PairedCounts(LABELS, np.zeros((2, 2, 2), int))
    assert judge_pairs([F1], Policy(), nothing).reason == reasons.NO_LABELS


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        (np.zeros((2, 2), int), "outcomes: has 2 dimensions instead of 3"),
        (np.full((2, 2, 2), -1), r"outcomes\[0\]\[0\]\[0\]: -1 is negative"),
        (np.zeros((2, 3, 2), int), "outcomes: is 2 x 3 x 2 for 2 labels"),
    ],
)
def test_bad_counts_are_named(outcomes, message):
    with pytest.raises(EvidenceError, match=message):
        PairedCounts(LABELS, outcomes)


def test_a_joint_histogram_must_add_up():
    truth, stable, canary = answers(np.random.default_rng(8), 100)
    good = paired(truth, stable, canary).scores["1"]
    with pytest.raises(EvidenceError, match="does not add up to the scores of stable"):
        PairedScores(good.stable, good.canary, good.joint + 1)
