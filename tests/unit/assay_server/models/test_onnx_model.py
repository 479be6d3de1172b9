"""ONNX classifiers by onnxruntime: classes, columns and scores as the graph and its maker mean them."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from assay_server.models import EngineName, ModelFailedError, ScoreKind, Scorer
from assay_server.models.errors import UnsupportedModelError

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS, LABELS = load_iris(return_X_y=True)
NAMES = np.array(["ant", "bee", "cat"])[LABELS]
SINGLE = ROWS[:1].astype(np.float32)


def exported(model, like=SINGLE, *, zipmap=False, **properties) -> bytes:
    exported = to_onnx(model, like, options={"zipmap": zipmap})
    return with_properties(exported, **properties)


def with_properties(model, **properties) -> bytes:
    for key, value in properties.items():
        item = model.metadata_props.add()
        item.key, item.value = f"assay.{key}", value
    return model.SerializeToString()


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize(
    "labels", [NAMES, LABELS + 5, (LABELS == 1).astype(int)], ids=["names", "numbers", "two"]
)
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(3, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        MLPClassifier(max_iter=5, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_predictions_and_probabilities_are_those_of_the_model(model, labels, zipmap):
    model = make_pipeline(StandardScaler(), model).fit(ROWS, labels)
    scorer = Scorer(exported(model, zipmap=zipmap))
    assert scorer.engine is EngineName.ONNX
    assert scorer.score_kind is ScoreKind.PROBABILITY
    assert scorer.classes == tuple(str(value) for value in model.classes_)
    assert scorer.features == 4
    # What single precision holds of the rows; a tree may split between that and double precision.
    rows = ROWS.astype(np.float32).astype(np.float64)
    scores = scorer.score(rows)
    near = np.abs(scores.probabilities - model.predict_proba(rows)).max(axis=1) < 1e-5
    assert near.mean() > 0.98
    predicted = scorer.values[scores.predicted]
    assert np.array_equal(predicted[near], model.predict(rows)[near])


def test_double_inputs_keep_every_digit():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, NAMES)
    scores = Scorer(exported(model, ROWS[:1])).score(ROWS)
    assert scores.probabilities == pytest.approx(model.predict_proba(ROWS), abs=1e-12)


TWO = (LABELS == 1).astype(int)


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        *((SVC(), labels) for labels in (LABELS, TWO)),
        *((SGDClassifier(random_state=0), labels) for labels in (LABELS, TWO)),
        (OneVsOneClassifier(LogisticRegression()), LABELS),  # of two classes it cannot be exported
    ],
    ids=lambda part: type(part).__name__ if hasattr(part, "fit") else f"{len(set(part))}",
)
def test_scores_that_are_no_probabilities_are_decisions(model, labels):
    """Exporters call these outputs probabilities too; onnxruntime turns the columns of some."""
    model = make_pipeline(StandardScaler(), model).fit(ROWS, labels)
    scorer = Scorer(exported(model))
    assert scorer.score_kind is ScoreKind.DECISION
    scores = scorer.score(ROWS)
    assert scores.probabilities is None
    assert scores.decisions == pytest.approx(model.decision_function(ROWS), rel=1e-4, abs=1e-4)
    assert scorer.decision_width == (1 if len(set(labels)) == 2 else 3)
    with pytest.raises(UnsupportedModelError, match="score Probability is asked for"):
        Scorer(exported(model), score=ScoreKind.PROBABILITY)


def people() -> tuple[pd.DataFrame, object]:
    frame = pd.DataFrame(ROWS.astype(np.float32), columns=["a", "b", "c", "d"])
    frame["city"] = np.random.default_rng(0).choice(["x", "y"], len(frame))
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "c", "d"]),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return frame, make_pipeline(columns, LogisticRegression()).fit(frame, NAMES)


def test_an_input_for_each_column_names_the_columns():
    frame, model = people()
    scorer = Scorer(exported(model, frame[:1]))
    assert scorer.feature_names == ("a", "b", "c", "d", "city")
    assert scorer.categorical == {4}
    assert scorer.takes_missing
    scores = scorer.score(frame.to_numpy(dtype=object))
    assert scores.probabilities == pytest.approx(model.predict_proba(frame), abs=1e-5)
    hole = frame.to_numpy(dtype=object)[:1]
    hole[0, 0] = np.nan
    filled = frame[:1].assign(a=np.nan)
    assert scorer.score(hole).probabilities == pytest.approx(model.predict_proba(filled), abs=1e-5)


def test_properties_name_classes_and_columns():
    model = LogisticRegression().fit(ROWS, LABELS)
    content = exported(
        model,
        classes=json.dumps([0, 1, 2]),
        feature_names=json.dumps(["a", "b", "c", "d"]),
    )
    scorer = Scorer(content)
    assert scorer.feature_names == ("a", "b", "c", "d")
    assert scorer.classes == ("0", "1", "2")
    assert not scorer.takes_missing


def network(outputs, rows="n", scores=TensorProto.DOUBLE) -> onnx.ModelProto:
    """x @ w, as a network of another framework would come; the label is what `outputs` says."""
    weights = helper.make_tensor("w", TensorProto.DOUBLE, [2, 2], [1.0, -1.0, 0.5, -0.5])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["sums"]),
        helper.make_node("Softmax", ["sums"], ["p"], axis=1),
        helper.make_node("ArgMax", ["sums"], ["label"], axis=1, keepdims=0),
    ]
    found = {
        "p": helper.make_tensor_value_info("p", scores, [rows, 2]),
        "label": helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [rows, 2])],
        [found[name] for name in outputs],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_network_with_labels_has_numbered_classes():
    scorer = Scorer(network(["label", "p"]).SerializeToString())
    assert scorer.classes == ("0", "1")
    scores = scorer.score(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert scores.predicted.tolist() == [0, 1]
    assert scores.probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_a_network_without_labels_needs_its_classes_to_be_named():
    with pytest.raises(UnsupportedModelError, match="no output of labels, nor the property assay"):
        Scorer(network(["p"]).SerializeToString())
    scorer = Scorer(with_properties(network(["p"]), classes='["no", "yes"]'), 0.9)
    assert scorer.classes == ("no", "yes")
    scores = scorer.score(np.array([[-1.0, 0.0], [-9.0, 0.0]]))
    assert scores.predicted.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            to_onnx(LinearRegression().fit(ROWS, LABELS), SINGLE).SerializeToString(),
            "no output of labels",
        ),
        (network(["label"]).SerializeToString(), "no output of scores"),
        (network(["label", "p"], rows=1).SerializeToString(), "exactly 1 rows at a time"),
        (b"\x08\x09", "onnxruntime cannot open the model"),
        (with_properties(network(["label", "p"]), classes="0,1"), "must be a JSON array"),
        (with_properties(network(["label", "p"]), classes="[0]"), "1 classes, but 2 scores"),
        (with_properties(network(["label", "p"]), classes='["a", "b"]'), "not among the classes"),
        (
            with_properties(network(["label", "p"]), feature_names='["a"]'),
            "has 1 names for 2 columns",
        ),
    ],
    ids=[
        *("regression", "no scores", "one row", "no model", "no array", "few classes"),
        *("other classes", "few names"),
    ],
)
def test_what_is_no_classifier_says_why(content, message):
    with pytest.raises(UnsupportedModelError, match=message):
        Scorer(content)


def test_a_whole_number_is_wanted_where_the_model_takes_whole_numbers():
    model = RandomForestClassifier(3, random_state=0).fit(ROWS.astype(np.int64), LABELS)
    scorer = Scorer(exported(model, ROWS[:1].astype(np.int64)))
    assert scorer.score(np.array([[5.0, 3.0, 1.0, 0.0]])).predicted.shape == (1,)
    with pytest.raises(ModelFailedError) as caught:
        scorer.score(np.array([[5.5, 3.0, 1.0, 0.0]]))
    assert caught.value.refused_input
