"""One request from bytes to bytes, without a server."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.ledger.bins import fine_bin_of
from assay_server.protocol import ProtocolError
from assay_server.receipts import Issuer, Stratum, Verifier
from assay_server.scoring import Scorer

RING = KeyRing({"k1": bytes(range(32))}, "k1")
STRATUM = Stratum("0123456789", 1)
ROWS = np.array([[-2.0], [-0.1], [0.1], [2.0]])


def predictor(model, threshold=None, positive=None) -> Predictor:
    scorer = Scorer(model, threshold, positive)
    issuer = Issuer(
        RING,
        namespace="ml",
        deployment="m",
        member="east",
        revision="r1",
        classes=receipt_classes(scorer),
    )
    return Predictor(scorer, issuer, "m", "1")


def ask(model, rows=ROWS, names=(), **settings):
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.tolist()}
    body = {"inputs": [tensor], "id": "q", "outputs": [{"name": name} for name in names]}
    inferred = predictor(model, **settings).infer(json.dumps(body).encode(), STRATUM, 1000.9)
    answer = json.loads(inferred.body)
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["receipt"]["data"] == inferred.receipts
    receipts = [Verifier(RING, "ml", "m").verify(token) for token in inferred.receipts]
    return answer, outputs, receipts, inferred.predicted


@pytest.mark.parametrize(
    ("classes", "datatype", "values"),
    [
        ([0, 1], "INT64", [0, 0, 1, 1]),
        ([-5, 7], "INT64", [-5, -5, 7, 7]),
        ([0.0, 1.0], "INT64", [0, 0, 1, 1]),
        (["no", "yes"], "BYTES", ["no", "no", "yes", "yes"]),
        ([False, True], "BYTES", ["False", "False", "True", "True"]),
    ],
)
def test_every_kind_of_class(classes, datatype, values):
    model = LogisticRegression().fit([[-1], [1]], classes)
    answer, outputs, receipts, predicted = ask(model)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "1", "q")
    assert list(outputs) == ["predict", "predict_proba", "receipt"]
    assert outputs["predict"]["datatype"] == datatype
    assert outputs["predict"]["shape"] == outputs["receipt"]["shape"] == [4]
    assert outputs["predict"]["data"] == values
    assert outputs["predict_proba"]["shape"] == [4, 2]
    assert np.array_equal(
        np.reshape(outputs["predict_proba"]["data"], (4, 2)), model.predict_proba(ROWS)
    )
    assert [receipt.predicted for receipt in receipts] == [str(value) for value in values]
    assert predicted == {str(values[0]): 2, str(values[3]): 2}
    assert {(receipt.stratum, receipt.served_at) for receipt in receipts} == {(STRATUM, 1000)}


@pytest.mark.parametrize(("positive", "classes"), [(None, ("0", "1")), ("0", ("1", "0"))])
def test_the_receipt_scores_the_positive_class(positive, classes):
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    _, _, receipts, _ = ask(model, positive=positive)
    column = int(classes[1])
    expected = fine_bin_of(model.predict_proba(ROWS)[:, column]).tolist()
    assert [receipt.score_bin for receipt in receipts] == expected
    assert {receipt.classes for receipt in receipts} == {classes}
    assert [receipt.predicted for receipt in receipts] == ["0", "0", "1", "1"]


def test_a_threshold_moves_predictions_not_scores():
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    threshold = float(model.predict_proba([[2.0]])[0, 1])
    _, outputs, receipts, _ = ask(model, threshold=threshold)
    assert outputs["predict"]["data"] == [0, 0, 0, 1]
    assert [receipt.predicted for receipt in receipts] == ["0", "0", "0", "1"]


def test_outputs_are_selected_and_the_receipt_always_comes():
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    assert list(ask(model, names=["predict_proba"])[1]) == ["predict_proba", "receipt"]
    assert list(ask(model, names=["receipt"])[1]) == ["receipt"]


def test_three_classes_have_no_bin(animals):
    _, outputs, receipts, predicted = ask(animals.model, animals.rows)
    expected = animals.model.predict(animals.rows).tolist()
    assert outputs["predict"]["data"] == [receipt.predicted for receipt in receipts] == expected
    assert {receipt.score_bin for receipt in receipts} == {None}
    assert sum(predicted.values()) == len(expected)


def test_without_probabilities():
    model = LinearSVC().fit([[-1], [1]], [0, 1])
    _, outputs, receipts, _ = ask(model)
    assert list(outputs) == ["predict", "receipt"]
    assert {receipt.score_bin for receipt in receipts} == {None}
    with pytest.raises(ProtocolError, match="'predict_proba' is not an output of this model"):
        ask(model, names=["predict_proba"])


def test_metadata(animals):
    metadata = predictor(animals.model).metadata()
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 5]}]
    assert metadata["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
        {"name": "receipt", "datatype": "BYTES", "shape": [-1]},
    ]
    assert metadata["parameters"] == {"classes": "ant,bee,cat"}
