"""Quality without labels: calibrated on labelled rows, estimated on others, and where that fails."""

import json
from itertools import count

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from assay_server.calibration import CalibrationError, fit
from assay_server.drift import Drift, Inputs, State
from assay_server.drift.estimate import Estimate
from assay_server.drift.monitor import LEAST_ROWS
from assay_server.quality import MAX_BINS, ClassScores, Quality
from assay_server.reference import Reference, ReferenceFormatError
from tests.drift.quality import CASES, FAR, run, several

LABELS = {"deployment": "fraud", "revision": "r1"}
CASE = {case.name: case for case in CASES}
rng = np.random.default_rng(3)
ROWS = rng.normal(size=(4000, 3))
SCORE = 1.0 / (1.0 + np.exp(-(ROWS @ [1.5, -1.0, 0.5] - 1.0)))
TRUE = rng.random(4000) < SCORE
BOTH = np.c_[1 - SCORE, SCORE]
QUALITY = fit([False, True], TRUE, SCORE >= 0.4, BOTH)


@pytest.mark.parametrize(
    "name",
    [
        "no shift",
        "three features by .5",
        "rare positives, three by .5",
        "boosted trees, three by .5",
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_under_covariate_shift_the_estimate_is_within_a_hundredth_of_what_is(name, seed):
    found = run(CASE[name], seed)
    assert found.estimated == pytest.approx(found.realised, abs=0.01)
    if name != "no shift":
        # The reference alone would have told something else.
        assert max(np.abs(np.subtract(found.reference, found.realised))) > 0.015


@pytest.mark.parametrize("name", ["concept drift, no shift", "concept drift, three by .5"])
def test_under_concept_drift_it_is_wrong_because_it_cannot_know(name):
    found = run(CASE[name], 0)
    assert found.estimated.f1 - found.realised.f1 > 0.1
    assert found.estimated.roc_auc - found.realised.roc_auc > 0.1


def test_of_three_classes_it_is_within_a_hundredth_too():
    found = several(0, FAR)
    assert found.estimated == pytest.approx(found.realised, abs=0.01)
    assert abs(found.reference.f1 - found.realised.f1) > 0.015


def test_the_figures_of_the_reference_are_those_of_scikit_learn():
    assert QUALITY.f1 == pytest.approx(f1_score(TRUE, SCORE >= 0.4), abs=1e-12)
    assert QUALITY.roc_auc == pytest.approx(roc_auc_score(TRUE, SCORE), abs=1e-12)
    assert (QUALITY.rows, QUALITY.average) == (4000, "Binary")
    model = LogisticRegression().fit(ROWS, np.digitize(SCORE, [0.2, 0.6]))
    labels = np.digitize(np.where(TRUE, SCORE, SCORE**2), [0.2, 0.6])
    scores, predicted = model.predict_proba(ROWS), model.predict(ROWS)
    macro = fit(model.classes_, labels, predicted, scores)
    assert macro.f1 == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    own = roc_auc_score(labels, scores, multi_class="ovr")
    assert macro.roc_auc == pytest.approx(own, abs=1e-12)
    assert [entry.of_class for entry in macro.classes] == ["0", "1", "2"]


def test_on_the_rows_of_the_reference_the_estimate_is_their_own_figure():
    estimate = Estimate(QUALITY, [1])
    counts = estimate.count(BOTH, (SCORE >= 0.4).astype(np.intp))
    assert counts.sum() == 4000
    found = estimate.figures(counts)
    assert found.f1 == pytest.approx(QUALITY.f1, abs=0.005)
    # Isotonic regression flatters the ranking of the rows that it was fitted on a little.
    assert found.roc_auc == pytest.approx(QUALITY.roc_auc, abs=0.005)


def test_the_positive_class_may_be_the_first():
    turned = fit([False, True], TRUE, SCORE >= 0.4, BOTH, positive=False)
    assert turned.f1 == pytest.approx(f1_score(~TRUE, SCORE < 0.4), abs=1e-12)
    assert turned.columns(["False", "True"], 0) == [0]
    assert turned.columns(["False", "True"], 1) is None


@pytest.mark.parametrize("rate", [0.5, 0.01])
def test_rows_of_a_rare_class_have_as_many_bins_as_the_others(rate):
    labels = rng.random(20_000) < rate
    scores = rng.beta(1 + 3 * labels, 8)
    [own] = fit([0, 1], labels.astype(int), labels.astype(int), np.c_[1 - scores, scores]).classes
    bins = np.searchsorted(own.edges, scores)
    assert len(own.shares) > 0.6 * MAX_BINS
    for mine in (labels, ~labels):
        assert np.bincount(bins[mine]).max() / mine.sum() < 4 / MAX_BINS + 1 / mine.sum()


def test_scores_of_a_tree_have_a_bin_for_each_value():
    scores = rng.choice([0.1, 0.5, 0.9], 3000)
    labels = (rng.random(3000) < scores).astype(int)
    [own] = fit([0, 1], labels, labels, np.c_[1 - scores, scores]).classes
    assert own.edges == (0.1, 0.5)
    shares = [labels[scores == value].mean() for value in (0.1, 0.5, 0.9)]
    assert own.shares == pytest.approx(shares, abs=1e-9)


def test_constant_scores_have_one_bin_and_an_area_of_one_half():
    scores = np.full(100, 0.3)
    labels = np.arange(100) % 2
    quality = fit([0, 1], labels, labels, np.c_[1 - scores, scores])
    assert quality.classes[0].edges == ()
    estimate = Estimate(quality, [1])
    found = estimate.figures(estimate.count(np.c_[1 - scores, scores], labels))
    assert found.roc_auc == pytest.approx(0.5)
    assert found.f1 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["maybe", *TRUE[1:]]}, r"labels\[0\] is none"),
        ({"labels": np.array([None, *TRUE[1:]], dtype=object)}, "labels must be all numbers"),
        ({"predicted": TRUE[1:]}, "one entry per row"),
        ({"probabilities": BOTH[:, :1]}, "one entry per row"),
        ({"probabilities": BOTH - 0.5}, "between 0 and 1"),
        ({"probabilities": np.where(BOTH > 0.9, np.nan, BOTH)}, "between 0 and 1"),
        ({"labels": np.full(4000, True)}, "no row has the label 'False'"),
        ({"positive": "yes"}, "'yes' is none of the classes"),
    ],
)
def test_rows_that_will_not_do_are_refused_with_the_reason(change, message):
    given = {"labels": TRUE, "predicted": TRUE, "probabilities": BOTH} | change
    with pytest.raises(CalibrationError, match=message):
        fit([False, True], **given)


def test_more_classes_than_are_watched_are_refused():
    labels = np.arange(40) % 20
    with pytest.raises(CalibrationError, match="at most 16"):
        fit(range(20), labels, labels, np.full((40, 20), 0.05))
    with pytest.raises(CalibrationError, match="at least two"):
        fit(["a"], ["a"], ["a"], [[1.0]])
    with pytest.raises(CalibrationError, match="not binary"):
        fit(range(3), labels[:3], labels[:3], np.full((3, 3), 0.3), positive=1)


REFERENCE = Reference.of(ROWS, quality=QUALITY)


def drift_of(reference: Reference, classes=("False", "True"), positive=(1, "True")) -> Drift:
    """Return a watch for which a second passes whenever it asks, so that no row is left out."""
    inputs = Inputs(3, positive=positive, classes=classes)
    return Drift(reference.text(), inputs, LABELS, map(float, count()).__next__)


def samples(drift: Drift) -> dict[str, dict[tuple, float]]:
    return {
        sample.name: {}
        for family in text_string_to_metric_families(drift.text())
        for sample in family.samples
    } | {
        family.samples[0].name: {
            tuple(
                text
                for name, text in sorted(sample.labels.items())
                if name not in {*LABELS, "boot"}
            ): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(drift.text())
        if family.samples
    }


@pytest.mark.parametrize("size", [1, 256, 700, 1000])
def test_a_server_shows_what_its_rows_are_expected_to_be(size):
    drift = drift_of(REFERENCE)
    predicted = (SCORE >= 0.4).astype(np.intp)
    for start in range(0, 4000, size):
        rows = slice(start, start + size)
        drift.note(ROWS[rows], BOTH[rows], predicted[rows])
    found = samples(drift)
    estimate = Estimate(QUALITY, [1])
    own = estimate.figures(estimate.count(BOTH, predicted))
    assert found["assay_estimated_f1"]["Binary",] == pytest.approx(own.f1)
    assert found["assay_estimated_roc_auc"]["Binary",] == pytest.approx(own.roc_auc)
    assert found["assay_reference_f1"]["Binary",] == QUALITY.f1
    assert found["assay_reference_roc_auc"]["Binary",] == QUALITY.roc_auc
    assert found["assay_reference_labelled_rows"][()] == 4000
    cells = found["assay_estimated_outcomes_total"]
    assert sum(cells.values()) == pytest.approx(4000)
    negatives, positives = confusion_matrix(TRUE, predicted)
    for outcome, rows in zip(
        ("TrueNegative", "FalsePositive", "FalseNegative", "TruePositive"),
        (*negatives, *positives),
        strict=True,
    ):
        assert cells["True", outcome] == pytest.approx(rows, abs=40)
    right = 2 * cells["True", "TruePositive"]
    wrong = cells["True", "FalsePositive"] + cells["True", "FalseNegative"]
    assert right / (right + wrong) == pytest.approx(own.f1)


def test_expected_outcomes_never_fall():
    """To Prometheus a counter that falls by a rounding error has begun anew."""
    estimate = Estimate(QUALITY, [1])
    predicted = (SCORE >= 0.4).astype(np.intp)
    totals = np.zeros(estimate.shape, dtype=np.int64)
    before = estimate.outcomes(totals)
    for row in range(2000):
        totals += estimate.count(BOTH[[row]], predicted[[row]])
        now = estimate.outcomes(totals)
        assert (now >= before).all()
        before = now


def test_a_few_rows_have_no_estimate():
    drift = drift_of(REFERENCE)
    few = LEAST_ROWS - 1
    drift.note(ROWS[:few], BOTH[:few], np.ones(few, dtype=np.intp))
    assert "assay_estimated_f1" not in samples(drift)
    assert "assay_reference_f1" in samples(drift)


def test_the_estimate_follows_the_window():
    drift = drift_of(REFERENCE)
    sure = np.tile(BOTH[[SCORE.argmax()]], (1000, 1))
    for _ in range(13):
        drift.note(ROWS[:1000], BOTH[:1000], (SCORE[:1000] >= 0.4).astype(np.intp))
    before = samples(drift)["assay_estimated_f1"]["Binary",]
    for _ in range(13):
        drift.note(ROWS[:1000], sure, np.ones(1000, dtype=np.intp))
    assert samples(drift)["assay_estimated_f1"]["Binary",] > 0.95 > before


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (None, None),
        (("no", "yes"), (1, "yes")),
        (("False", "True"), (0, "False")),
        (("False", "True", "maybe"), None),
    ],
)
def test_of_other_classes_nothing_is_estimated_and_features_are_watched(classes, positive):
    drift = drift_of(REFERENCE, classes, positive)
    drift.note(ROWS[:1000], None if classes is None else BOTH[:1000])
    found = samples(drift)
    assert drift.state is State.WATCHED
    assert "assay_feature_psi" in found
    assert not any("estimated" in name or name == "assay_reference_f1" for name in found)


def test_classes_of_a_multiclass_model_are_found_by_name():
    labels = np.arange(300) % 3
    scores = np.full((300, 3), 0.2) + 0.4 * np.eye(3)[labels]
    quality = fit(["a", "b", "c"], np.array(["a", "b", "c"])[labels], ["a"] * 300, scores)
    assert quality.columns(["c", "a", "b"], None) == [1, 2, 0]
    assert quality.columns(["c", "a"], None) is None


def test_it_travels_in_the_reference_and_old_references_stay_what_they_were():
    assert Reference.parse(REFERENCE.text()) == REFERENCE
    old = Reference.of(ROWS)
    assert set(json.loads(old.text())) == {"version", "rows", "features", "scores"}
    assert not isinstance(Reference.parse(old.text()).quality, Quality)
    assert samples(drift_of(old)).keys() == samples(drift_of(REFERENCE)).keys() - {
        "assay_estimated_outcomes_total",
        "assay_reference_f1",
        "assay_reference_roc_auc",
        "assay_reference_labelled_rows",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(f1=1.5), "$.quality.f1"),
        (lambda c: c.update(rows=0), "$.quality.rows"),
        (lambda c: c.update(average="Micro"), "$.quality.average"),
        (lambda c: c.update(average="Macro"), "one if average is Binary"),
        (lambda c: c.update(classes=[]), "$.quality.classes"),
        (lambda c: c["classes"].append(c["classes"][0]), "classes must differ"),
        (lambda c: c["classes"][0].update(shares=[0.5]), "one more entry"),
        (lambda c: c["classes"][0].update(edges=[0.5, 0.1], shares=[0, 0, 0]), "edges must"),
        (lambda c: c["classes"][0].update(edges=[0.5], shares=[1, 0]), "must not decrease"),
        (lambda c: c["classes"][0].update(edges=[0.5], shares=[0, 2]), "shares[1]"),
    ],
)
def test_what_is_no_quality_is_refused_with_the_place(change, message):
    content = json.loads(REFERENCE.text())
    change(content["quality"])
    with pytest.raises(ReferenceFormatError) as refused:
        Reference.parse(json.dumps(content).encode())
    assert message in str(refused.value)


def test_shares_are_those_of_the_class_named():
    with pytest.raises(ValueError, match="finite"):
        ClassScores(of_class="1", edges=(float("inf"),), shares=(0.0, 1.0))
