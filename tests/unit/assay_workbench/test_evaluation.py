"""Every figure equals scikit-learn's own on the same rows."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from assay.judge.verdict import Average, MultiClass
from assay_workbench.comparison import Reading
from assay_workbench.errors import WorkbenchError
from assay_workbench.evaluation import Settings, evaluate
from assay_workbench.thresholds import Costs

RATIOS = {
    "Precision": metrics.precision_score,
    "Recall": metrics.recall_score,
    "F1": metrics.f1_score,
}


def value(arm, metric, average=None, of=None, multi_class=None):
    (found,) = [each for each in arm.figures if each.key == (metric, average, of, multi_class)]
    return found.value


@pytest.fixture(scope="module")
def two(binary):
    return binary.evaluated(positive="good", costs=Costs(1.0, 4.0))


@pytest.fixture(scope="module")
def three(animals):
    return animals.evaluated()


class TestEqualToScikitLearn:
    def test_accuracy_and_confusion_matrix(self, two, binary, three, animals):
        for found, case in ((two, binary), (three, animals)):
            expected = metrics.accuracy_score(case.labels, case.predicted)
            assert value(found.model, "Accuracy") == pytest.approx(expected, abs=1e-12)
            matrix = metrics.confusion_matrix(case.labels, case.predicted)
            assert found.model.confusion.tolist() == matrix.tolist()

    @pytest.mark.parametrize("name", RATIOS)
    @pytest.mark.parametrize("average", [Average.MACRO, Average.MICRO, Average.WEIGHTED])
    def test_averages_over_classes(self, two, binary, three, animals, name, average):
        for found, case in ((two, binary), (three, animals)):
            expected = RATIOS[name](case.labels, case.predicted, average=average.lower())
            assert value(found.model, name, average) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("name", RATIOS)
    def test_each_class_and_the_positive_one(self, two, binary, three, animals, name):
        expected = RATIOS[name](binary.labels, binary.predicted, pos_label="good")
        assert value(two.model, name, Average.BINARY, "good") == pytest.approx(expected, abs=1e-12)
        each = RATIOS[name](animals.labels, animals.predicted, average=None)
        for of, wanted in zip(("ant", "bee", "cat"), each, strict=True):
            assert value(three.model, name, None, of) == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED])
    @pytest.mark.parametrize("multi_class", MultiClass)
    def test_roc_auc_of_several_classes(self, three, animals, average, multi_class):
        short = {"OneVsRest": "ovr", "OneVsOne": "ovo"}[multi_class]
        expected = metrics.roc_auc_score(
            animals.labels, animals.scores, multi_class=short, average=average.lower()
        )
        found = value(three.model, "ROCAUC", average, None, multi_class)
        assert found == pytest.approx(expected, abs=1e-12)

    def test_ranks_of_two_classes(self, two, binary):
        truth, scores = binary.labels == "good", binary.scores[:, 1]
        assert value(two.model, "ROCAUC", Average.BINARY, "good") == pytest.approx(
            metrics.roc_auc_score(truth, scores), abs=1e-12
        )
        assert value(two.model, "AveragePrecision", Average.BINARY, "good") == pytest.approx(
            metrics.average_precision_score(truth, scores), abs=1e-12
        )

    def test_the_first_class_as_the_positive_one(self, binary):
        found = binary.evaluated(positive="bad").model
        truth, scores = binary.labels == "bad", binary.scores[:, 0]
        assert value(found, "AveragePrecision", Average.BINARY, "bad") == pytest.approx(
            metrics.average_precision_score(truth, scores), abs=1e-12
        )
        assert value(found, "F1", Average.BINARY, "bad") == pytest.approx(
            metrics.f1_score(binary.labels, binary.predicted, pos_label="bad"), abs=1e-12
        )

    @pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED])
    def test_average_precision_of_several_classes(self, three, animals, average):
        expected = metrics.average_precision_score(
            animals.labels, animals.scores, average=average.lower()
        )
        found = value(three.model, "AveragePrecision", average)
        assert found == pytest.approx(expected, abs=1e-12)

    def test_losses(self, two, binary, three, animals):
        for found, case in ((two, binary), (three, animals)):
            expected = metrics.log_loss(case.labels, case.scores)
            assert value(found.model, "LogLoss") == pytest.approx(expected, abs=1e-12)
        expected = metrics.brier_score_loss(binary.labels, binary.scores[:, 1], pos_label="good")
        assert value(two.model, "Brier") == pytest.approx(expected, abs=1e-12)
        expected = metrics.brier_score_loss(animals.labels, animals.scores)
        assert value(three.model, "Brier") == pytest.approx(expected, abs=1e-12)

    def test_calibration_curve_and_error(self, two, binary, three, animals):
        truth, scores = binary.labels == "good", binary.scores[:, 1]
        observed, predicted = calibration_curve(truth, scores, n_bins=10)
        points = two.model.calibration["good"]
        np.testing.assert_allclose([each.observed for each in points], observed, atol=1e-12)
        np.testing.assert_allclose([each.predicted for each in points], predicted, atol=1e-12)
        rows = np.array([each.rows for each in points])
        expected = (rows * np.abs(observed - predicted)).sum() / rows.sum()
        assert value(two.model, "ECE", Average.BINARY, "good") == pytest.approx(expected)
        # Of several classes: of the likeliest.
        best = animals.scores.argmax(axis=1)
        right = np.array(["ant", "bee", "cat"])[best] == animals.labels
        confidence = animals.scores.max(axis=1)
        observed, predicted = calibration_curve(right, confidence, n_bins=10)
        rows = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], confidence))
        rows = rows[rows > 0]
        expected = (rows * np.abs(observed - predicted)).sum() / rows.sum()
        assert value(three.model, "ECE") == pytest.approx(expected)

    def test_curves(self, two, binary):
        truth, scores = binary.labels == "good", binary.scores[:, 1]
        (curves,) = two.model.curves
        rates, hits, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
        np.testing.assert_allclose(curves.roc[0], rates)
        np.testing.assert_allclose(curves.roc[1], hits)
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        np.testing.assert_allclose(curves.precision_recall[0], recall[:-1][::-1])
        np.testing.assert_allclose(curves.precision_recall[1], precision[:-1][::-1])

    def test_tables_of_thresholds_and_their_costs(self, two, binary):
        truth, scores = binary.labels == "good", binary.scores[:, 1]
        (table,) = two.model.thresholds
        for outcome in table.listed:
            predicted = scores >= outcome.threshold
            tn, fp, fn, tp = metrics.confusion_matrix(truth, predicted).ravel().tolist()
            assert (
                outcome.true_negatives,
                outcome.false_positives,
                outcome.false_negatives,
                outcome.true_positives,
            ) == (tn, fp, fn, tp)
            assert outcome.cost(Costs(1.0, 4.0)) == pytest.approx((fp + 4 * fn) / len(truth))
            assert outcome.f1 == pytest.approx(metrics.f1_score(truth, predicted))

    def test_what_a_model_of_decision_values_has(self, binary, ridge, read):
        found = read(ridge, binary.data, "--positive", "good")
        import skops.io

        scores = skops.io.load(ridge).decision_function(binary.rows)
        truth = binary.labels == "good"
        of = {(each["metric"], each["average"]): each["value"] for each in found["metrics"]}
        assert of["ROCAUC", "Binary"] == pytest.approx(metrics.roc_auc_score(truth, scores))
        assert ("LogLoss", None) not in of
        assert any("no probabilities" in note for note in found["notes"])


class TestRowsThatDoNotFit:
    def test_confusion_matrix_losses_and_thresholds_stay_exact(self, binary, two):
        found = binary.evaluated(4_000, "good", costs=Costs(1.0, 4.0))
        assert not found.exact
        for name in ("Accuracy", "LogLoss", "Brier"):
            assert value(found.model, name) == pytest.approx(value(two.model, name), abs=1e-12)
        assert found.model.thresholds[0].listed == two.model.thresholds[0].listed
        assert value(found.model, "ECE", Average.BINARY, "good") == pytest.approx(
            value(two.model, "ECE", Average.BINARY, "good")
        )

    @pytest.mark.parametrize("metric", ["ROCAUC", "AveragePrecision"])
    def test_ranks_are_within_what_bins_may_hide(self, binary, two, metric):
        found = binary.evaluated(4_000, "good").model
        (figure,) = [each for each in found.figures if each.metric == metric]
        exact = value(two.model, metric, Average.BINARY, "good")
        assert 0.0 < figure.hidden < 0.006
        assert abs(figure.value - exact) <= figure.hidden

    def test_of_several_classes_too(self, animals, three):
        found = animals.evaluated(4_000)
        for figure, exact in zip(found.model.figures, three.model.figures, strict=True):
            assert figure.key == exact.key
            assert figure.value == pytest.approx(exact.value, abs=figure.hidden + 1e-12)

    def test_differences_are_the_same_but_for_bins(self, binary, two):
        found = binary.evaluated(4_000, "good", costs=Costs(1.0, 4.0))
        for coarse, exact in zip(
            found.comparison.differences, two.comparison.differences, strict=True
        ):
            assert coarse.value == pytest.approx(exact.value, abs=coarse.hidden + 1e-12)
            wide = coarse.hidden + 2e-3
            assert coarse.interval.upper == pytest.approx(exact.interval.upper, abs=2 * wide)


class TestComparison:
    def test_a_worse_model_is_called_so(self, binary, two):
        readings = {each.model.key: each.reading for each in two.comparison.differences}
        assert readings["ROCAUC", Average.BINARY, "good", None] in set(Reading)
        assert readings["LogLoss", None, None, None] is Reading.BETTER

    def test_a_model_and_itself_are_the_same(self, binary):
        from dataclasses import replace

        found = replace(binary, baseline=binary.model).evaluated(positive="good")
        assert {each.value for each in found.comparison.differences} == {0.0}
        assert {each.reading for each in found.comparison.differences} <= {
            Reading.SAME, Reading.UNDECIDED,
        }  # fmt: skip
        assert found.comparison.mcnemar.p == 1.0


class TestWithoutAValue:
    def test_one_class_only_is_refused(self, by_hand):
        with pytest.raises(WorkbenchError, match="all 3 rows are of class '1'"):
            evaluate(by_hand([1, 1, 1], [1, 0, 1], np.full((3, 2), 0.5)), Settings())

    def test_constant_scores_rank_nothing(self, by_hand):
        sample = by_hand([0, 1, 1, 0], [1, 1, 1, 1], np.full((4, 2), 0.5))
        found = evaluate(sample, Settings()).model
        assert value(found, "ROCAUC", Average.BINARY, "1") == 0.5
        assert value(found, "AveragePrecision", Average.BINARY, "1") == 0.5
        assert any("All rows have the same score" in note for note in found.notes)

    def test_a_class_that_is_never_predicted_has_no_precision_and_counts_as_zero(self, by_hand):
        labels, predicted = [0, 1, 1, 0], [0, 0, 0, 0]
        scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
        found = evaluate(by_hand(labels, predicted, scores), Settings()).model
        assert value(found, "Precision", Average.BINARY, "1") is None
        assert value(found, "Precision", Average.MACRO) == metrics.precision_score(
            labels, predicted, average="macro", zero_division=0
        )
        assert any("never" in note or "No row is predicted" in note for note in found.notes)

    def test_a_class_without_rows_leaves_no_auc_over_all(self, by_hand):
        scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
        sample = by_hand([0, 1, 1, 0], [0, 1, 1, 0], scores, ("a", "b", "c"), None)
        found = evaluate(sample, Settings()).model
        (figure,) = [
            each for each in found.figures
            if each.key == ("ROCAUC", Average.MACRO, None, MultiClass.ONE_VS_ONE)
        ]  # fmt: skip
        assert figure.value is None
        assert "'c'" in figure.why

    def test_a_model_without_scores_has_its_confusion_matrix(self, by_hand):
        found = evaluate(by_hand([0, 1, 1, 0], [0, 1, 0, 0], None), Settings()).model
        assert value(found, "Accuracy") == 0.75
        assert found.curves == ()

    def test_costs_of_three_classes_need_a_positive_one(self, animals):
        with pytest.raises(WorkbenchError, match="--positive"):
            animals.evaluated(costs=Costs(1.0, 2.0))
