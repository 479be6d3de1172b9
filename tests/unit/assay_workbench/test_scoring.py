"""From tables to scored rows: every fault is named by row and column."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from assay_workbench.candidate import Candidate, Rule
from assay_workbench.dataset import Dataset
from assay_workbench.errors import WorkbenchError
from assay_workbench.sample import ScoreKind
from assay_workbench.scoring import Question, score


def scored(model, table, tmp_path, rule=None, positive=None, suffix="csv"):
    path = tmp_path / f"table.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    candidate = Candidate(model, rule or Rule())
    with score(Dataset.open(path, "label"), Question((candidate,), positive), 2**20) as sample:
        return list(sample.parts())


def table_of(case):
    return case.rows.assign(label=case.labels)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_are_the_models_own(binary, tmp_path, suffix):
    (part,) = scored(binary.model, table_of(binary), tmp_path, suffix=suffix)
    np.testing.assert_allclose(part.answers[0].scores, binary.scores, rtol=1e-12)
    names = np.array(["bad", "good"])
    assert names[part.labels].tolist() == binary.labels.tolist()
    assert names[part.answers[0].predicted].tolist() == binary.predicted.tolist()


def test_columns_are_found_by_name_in_any_order(binary, tmp_path):
    table = table_of(binary)[["label", "f5", "f3", "f4", "f0", "f1", "f2"]]
    (part,) = scored(binary.model, table, tmp_path)
    np.testing.assert_allclose(part.answers[0].scores, binary.scores, rtol=1e-12)


def test_a_threshold_is_the_servers_rule(binary, tmp_path):
    (part,) = scored(binary.model, table_of(binary), tmp_path, Rule("good", 0.2))
    expected = (binary.scores[:, 1] >= 0.2).astype(int)
    assert part.answers[0].predicted.tolist() == expected.tolist()


def test_a_model_of_decision_values(binary, ridge, tmp_path):
    (part,) = scored(ridge, table_of(binary), tmp_path)
    values = skops.io.load(ridge).decision_function(binary.rows)
    np.testing.assert_allclose(part.answers[0].scores, np.column_stack([-values, values]))
    assert Candidate(ridge, Rule()).kind is ScoreKind.DECISION


def test_a_baseline_with_its_classes_in_another_order_is_brought_into_the_same(binary, tmp_path):
    class Turned(Candidate):
        """Classes good, bad: no library sorts so, other people's ONNX files do."""

        def __init__(self, path):
            super().__init__(path, Rule())
            self.classes = self.classes[::-1]

        def score(self, rows):
            found = super().score(rows)
            return found._replace(
                predicted=1 - found.predicted, probabilities=found.probabilities[:, ::-1]
            )

    question = Question((Candidate(binary.model, Rule()), Turned(binary.model)))
    with score(Dataset.open(binary.data, "label"), question, 2**20) as sample:
        (part,) = sample.parts()
    first, second = part.answers
    assert first.predicted.tolist() == second.predicted.tolist()
    np.testing.assert_array_equal(first.scores, second.scores)


def test_categories_stay_text(tmp_path):
    table = pd.DataFrame(
        {"code": ["007", "7", "007", "8"] * 10, "x": np.arange(40.0), "label": ["n", "y"] * 20}
    )
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["code"]), (StandardScaler(), ["x"])),
        LogisticRegression(),
    ).fit(table[["code", "x"]], table["label"])
    skops.io.dump(pipeline, tmp_path / "model.skops")
    (part,) = scored(tmp_path / "model.skops", table, tmp_path)
    np.testing.assert_allclose(
        part.answers[0].scores, pipeline.predict_proba(table[["code", "x"]]), rtol=1e-9
    )


def test_labels_that_are_numbers_match_by_value(tmp_path):
    rows = pd.DataFrame({"x": np.arange(20.0)})
    labels = (np.arange(20) >= 10).astype(int)
    skops.io.dump(LogisticRegression().fit(rows, labels), tmp_path / "model.skops")
    for given in (labels, labels.astype(float), labels.astype(str)):
        for suffix in ("csv", "parquet"):
            (part,) = scored(
                tmp_path / "model.skops", rows.assign(label=given), tmp_path, suffix=suffix
            )
            assert part.labels.tolist() == labels.tolist()


class TestFaults:
    def fails(self, case, tmp_path, change, suffix="csv"):
        table = table_of(case).astype({"f2": object, "label": object})
        change(table)
        if suffix == "parquet":
            table = table.astype({"f2": float})
        with pytest.raises(WorkbenchError) as error:
            scored(case.model, table, tmp_path, suffix=suffix)
        return str(error.value)

    def test_a_missing_column(self, binary, tmp_path):
        message = self.fails(binary, tmp_path, lambda table: table.pop("f2"))
        assert "has no column 'f2'; it has 'f0'" in message

    def test_a_value_that_is_no_number(self, binary, tmp_path):
        def change(table):
            table.loc[4, "f2"] = "much"

        message = self.fails(binary, tmp_path, change)
        assert "row 5: column 'f2': 'much' is no number" in message

    @pytest.mark.parametrize("text", ["", "NA", "nan", " null "])
    def test_a_value_that_is_missing(self, binary, tmp_path, text):
        def change(table):
            table.loc[4, "f2"] = text

        message = self.fails(binary, tmp_path, change)
        assert "row 5: column 'f2' has no value" in message
        assert "imputes" in message

    def test_nan_in_a_parquet_file(self, binary, tmp_path):
        def change(table):
            table.loc[7, "f2"] = np.nan

        message = self.fails(binary, tmp_path, change, "parquet")
        assert "row 8: column 'f2' has no value" in message

    def test_an_infinite_value(self, binary, tmp_path):
        def change(table):
            table.loc[0, "f2"] = "inf"

        assert "row 1: column 'f2' is infinite" in self.fails(binary, tmp_path, change)

    def test_a_label_that_the_model_does_not_know(self, binary, tmp_path):
        def change(table):
            table.loc[2, "label"] = "ugly"

        message = self.fails(binary, tmp_path, change)
        assert "row 3: column 'label': 'ugly' is no class of the model, which knows bad, good" in (
            message
        )

    def test_a_row_without_a_label(self, binary, tmp_path):
        def change(table):
            table.loc[2, "label"] = None

        assert "row 3: column 'label' is empty" in self.fails(binary, tmp_path, change)

    def test_no_rows(self, binary, tmp_path):
        with pytest.raises(WorkbenchError, match="has no rows"):
            scored(binary.model, table_of(binary)[:0], tmp_path)

    def test_a_positive_class_that_is_none(self, binary, tmp_path):
        with pytest.raises(WorkbenchError, match="--positive: 'best' is no class"):
            scored(binary.model, table_of(binary), tmp_path, positive="best")

    def test_models_of_different_classes(self, binary, animals):
        question = Question(tuple(Candidate(case.model, Rule()) for case in (binary, animals)))
        with pytest.raises(WorkbenchError, match="only models of the same classes"):
            score(Dataset.open(binary.data, "label"), question, 2**20)

    def test_a_number_of_columns_that_does_not_fit(self, binary, tmp_path):
        model = LogisticRegression().fit(binary.rows.to_numpy(), binary.labels)
        skops.io.dump(model, tmp_path / "model.skops")
        table = table_of(binary).drop(columns="f2")
        with pytest.raises(WorkbenchError, match=r"has 5 columns beside 'label', but .* takes 6"):
            scored(tmp_path / "model.skops", table, tmp_path)

    def test_probabilities_that_do_not_add_up_to_one(self, binary, tmp_path, monkeypatch):
        original = Candidate.score

        def doubled(self, rows):
            found = original(self, rows)
            probabilities = found.probabilities.copy()
            probabilities[3] *= 2.0
            return found._replace(probabilities=probabilities)

        monkeypatch.setattr(Candidate, "score", doubled)
        with pytest.raises(WorkbenchError, match=r"row 4: the probabilities .* add up to 2"):
            scored(binary.model, table_of(binary), tmp_path)

    def test_a_row_that_the_model_refuses_is_found(self, tmp_path):
        table = pd.DataFrame({"code": ["a", "b"] * 30, "label": ["n", "y"] * 30})
        pipeline = make_pipeline(OneHotEncoder(), LogisticRegression())
        pipeline.fit(table[["code"]], table["label"])
        skops.io.dump(pipeline, tmp_path / "model.skops")
        table.loc[41, "code"] = "c"
        with pytest.raises(WorkbenchError, match=r"row 42: .*refused"):
            scored(tmp_path / "model.skops", table, tmp_path)
