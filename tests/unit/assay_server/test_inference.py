"""One request from bytes to bytes, without a server."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from assay_server.inference import Job, Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.ledger.bins import fine_bin_of, fine_bin_of_decision
from assay_server.models import ScoreKind, Scorer
from assay_server.protocol import ProtocolError, Query
from assay_server.receipts import Issuer, Stratum, Verifier, user_tag

RING = KeyRing({"k1": bytes(range(32))}, "k1")
STRATUM = Stratum("0123456789", 1)
ROWS = np.array([[-2.0], [-0.1], [0.1], [2.0]])


def predictor(model, threshold=None, positive=None, score=None, ring=RING) -> Predictor:
    scorer = Scorer(model, threshold, positive, score)
    issuer = Issuer(
        ring,
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
    server = predictor(model, **settings)
    query = server.parser.parse(json.dumps(body).encode())
    inferred = server.predict(query, STRATUM, 1000.9)
    answer = json.loads(server.format(query, inferred).body)
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
    assert np.reshape(outputs["predict_proba"]["data"], (4, 2)) == pytest.approx(
        model.predict_proba(ROWS), abs=1e-12
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
    assert [receipt.bins for receipt in receipts] == [(place,) for place in expected]
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


def test_three_classes_have_a_bin_each(animals):
    _, outputs, receipts, predicted = ask(animals.model, animals.rows)
    expected = animals.model.predict(animals.rows).tolist()
    assert outputs["predict"]["data"] == [receipt.predicted for receipt in receipts] == expected
    probabilities = np.reshape(outputs["predict_proba"]["data"], (-1, 3))
    bins = fine_bin_of(probabilities).tolist()
    assert [list(receipt.bins) for receipt in receipts] == bins
    assert sum(predicted.values()) == len(expected)


@pytest.mark.parametrize(("positive", "sign"), [(None, 1.0), ("0", -1.0)])
def test_a_model_without_probabilities_gives_decisions(positive, sign):
    model = LinearSVC().fit([[-1], [1]], [0, 1])
    _, outputs, receipts, _ = ask(model, positive=positive)
    assert list(outputs) == ["predict", "decision_function", "receipt"]
    decisions = np.array(outputs["decision_function"]["data"])
    assert outputs["decision_function"]["shape"] == [4]
    assert decisions == pytest.approx(model.decision_function(ROWS), abs=1e-12)
    bins = fine_bin_of_decision(sign * decisions).tolist()
    assert [receipt.bins for receipt in receipts] == [(place,) for place in bins]
    with pytest.raises(ProtocolError, match="'predict_proba' is not an output of this model"):
        ask(model, names=["predict_proba"])


def test_votes_of_duels_are_decisions_of_classes(animals):
    model = OneVsOneClassifier(LinearSVC()).fit(animals.rows, animals.labels)
    _, outputs, receipts, _ = ask(model, animals.rows)
    decisions = np.reshape(outputs["decision_function"]["data"], (-1, 3))
    assert decisions == pytest.approx(model.decision_function(animals.rows), abs=1e-12)
    bins = fine_bin_of_decision(decisions).tolist()
    assert [list(receipt.bins) for receipt in receipts] == bins


def test_duels_of_an_svm_are_served_but_no_scores():
    rows, labels = load_iris(return_X_y=True)
    digits = labels + (rows[:, 0] > 6) * 3  # five classes, ten duels
    model = SVC(decision_function_shape="ovo").fit(rows, digits)
    _, outputs, receipts, _ = ask(model, rows[:5])
    classes = len(model.classes_)
    assert outputs["decision_function"]["shape"] == [5, classes * (classes - 1) // 2]
    assert {receipt.bins for receipt in receipts} == {()}


def test_decisions_are_served_beside_probabilities_when_they_are_the_scores():
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    _, outputs, receipts, _ = ask(model, score=ScoreKind.DECISION)
    assert list(outputs) == ["predict", "predict_proba", "decision_function", "receipt"]
    bins = fine_bin_of_decision(np.array(outputs["decision_function"]["data"])).tolist()
    assert [receipt.bins for receipt in receipts] == [(place,) for place in bins]


def queries(server: Predictor, *parts: np.ndarray) -> list[Query]:
    found = []
    for number, rows in enumerate(parts):
        tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.tolist()}
        body = {"inputs": [tensor], "id": f"q{number}"}
        found.append(server.parser.parse(json.dumps(body).encode()))
    return found


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 2, 1), (4,), (3, 1)])
@pytest.mark.parametrize("apart", [False, True])
def test_queries_answered_together_get_what_they_get_alone(animals, sizes, apart):
    server = predictor(animals.model)
    rows = np.split(animals.rows[: sum(sizes)], np.cumsum(sizes)[:-1])
    asked = queries(server, *rows)
    strata = [Stratum("r", number if apart else 1) for number in range(len(asked))]
    jobs = [Job.of(query, stratum) for query, stratum in zip(asked, strata, strict=True)]
    together = server.answer(jobs, 1000.0)
    for job, found in zip(jobs, together, strict=True):
        alone = server.predict(job.query, job.stratum, 1000.0)
        assert found.predicted == alone.predicted
        one, other = (json.loads(server.format(job.query, each).body) for each in (found, alone))
        receipts = [Verifier(RING, "ml", "m").verify(token) for token in one["outputs"][-1]["data"]]
        assert {receipt.stratum for receipt in receipts} == {job.stratum}
        assert one["outputs"][:-1] == other["outputs"][:-1]
        assert one["id"] == other["id"]
        assert [receipt.bins for receipt in receipts] == [
            Verifier(RING, "ml", "m").verify(token).bins for token in alone.receipts
        ]


def test_users_of_a_batch_keep_their_own_tags():
    ring = KeyRing({"k1": bytes(range(32))}, "k1", salt=bytes(32))
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    server = predictor(model, ring=ring)
    asked = queries(server, *ROWS.reshape(4, 1, 1))
    users = ["ann", None, "bob", "ann"]
    jobs = [Job.of(query, STRATUM, user) for query, user in zip(asked, users, strict=True)]
    tags = [
        Verifier(ring, "ml", "m").verify(found.receipts[0]).user
        for found in server.answer(jobs, 1000.0)
    ]
    assert tags == [user and user_tag(bytes(32), user) for user in users]


def test_the_signature_is_the_models(animals):
    signature = predictor(animals.model).signature
    assert signature.classes == ("ant", "bee", "cat")
    assert signature.integers is None
    assert signature.features == 5
    assert signature.outputs == ("predict", "predict_proba", "contributions", "receipt")
    assert signature.output("contributions") == ("FP64", [-1, 3, 5])
    properties = dict(signature.properties)
    assert len(json.loads(properties.pop("contributions_base"))) == 3
    assert properties == {
        "contributions_against": "prepared columns of 0",
        "classes": '["ant", "bee", "cat"]',
        "engine": "compiled",
        "score": "Probability",
    }


def test_the_signature_says_what_computes_and_what_scores_are():
    rows, labels = load_iris(return_X_y=True)
    signature = predictor(SVC().fit(rows, labels)).signature
    assert dict(signature.properties)["engine"] == "scikit-learn"
    assert dict(signature.properties)["score"] == "Decision"


def test_the_signature_has_the_decision_rule():
    model = LogisticRegression().fit([[-1], [1]], [0, 1])
    properties = dict(predictor(model, threshold=0.25, positive="0").signature.properties)
    assert properties["positive_label"] == "0"
    assert properties["threshold"] == "0.25"


class TestContributions:
    """What each column adds to the score of a linear model, for those that ask."""

    def test_of_several_classes_they_add_up_to_the_decisions(self):
        rows, labels = load_iris(return_X_y=True)
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
        _, outputs, _, _ = ask(model, rows, ["contributions"])
        assert set(outputs) == {"contributions", "receipt"}
        found = outputs["contributions"]
        assert (found["datatype"], found["shape"]) == ("FP64", [150, 3, 4])
        parts = np.reshape(found["data"], (150, 3, 4))
        properties = dict(predictor(model).signature.properties)
        base = np.array(json.loads(properties["contributions_base"]))
        assert properties["contributions_against"] == "prepared columns of 0"
        np.testing.assert_allclose(base + parts.sum(axis=2), model.decision_function(rows))
        one = parts[7, 2, 3]
        scaled = model[0].transform(rows)[7, 3]
        assert one == pytest.approx(model[1].coef_[2, 3] * scaled, rel=1e-12)

    @pytest.mark.parametrize(("positive", "sign"), [("no", -1), ("yes", 1)])
    def test_of_two_classes_they_speak_for_the_positive_one(self, positive, sign):
        model = LogisticRegression().fit(ROWS, ["no", "no", "yes", "yes"])
        _, outputs, _, _ = ask(model, names=["contributions", "predict"], positive=positive)
        assert outputs["contributions"]["shape"] == [4, 1]
        found = outputs["contributions"]["data"]
        np.testing.assert_allclose(found, sign * model.coef_[0, 0] * ROWS[:, 0])
        _, alone, _, _ = ask(model, ROWS[2:3], ["contributions"], positive=positive)
        assert alone["contributions"]["data"] == found[2:3]

    def test_they_come_to_nobody_who_does_not_ask(self):
        server = predictor(LogisticRegression().fit(ROWS, [0, 0, 1, 1]))
        assert "contributions" in server.signature.outputs
        assert "contributions" not in server.signature.everything.names

    @pytest.mark.parametrize(
        "model",
        [
            DecisionTreeClassifier(),
            make_pipeline(PolynomialFeatures(), LogisticRegression()),
            OneVsOneClassifier(LogisticRegression()),
        ],
    )
    def test_a_model_whose_columns_do_not_add_up_has_none(self, model):
        rows, labels = load_iris(return_X_y=True)
        fitted = model.fit(rows, labels)
        assert "contributions" not in predictor(fitted).signature.outputs
        with pytest.raises(ProtocolError, match="not an output of this model"):
            ask(fitted, rows, ["contributions"])

    def test_of_too_many_rows_they_are_refused(self):
        rows = np.random.default_rng(0).normal(size=(400, 40))
        model = LinearDiscriminantAnalysis().fit(rows, np.arange(400) % 20)
        most = predictor(model).signature.contributions
        rows = rows[: most + 1]
        with pytest.raises(ProtocolError, match=f"for at most {most} rows at once, not {most + 1}"):
            ask(model, rows, ["contributions"])
        assert ask(model, rows, ["predict"])

    def test_as_raw_numbers(self):
        model = LogisticRegression().fit(ROWS, [0, 0, 1, 1])
        tensor = {"name": "x", "shape": [4, 1], "datatype": "FP64", "data": ROWS.tolist()}
        wish = {"name": "contributions", "parameters": {"binary_data": True}}
        server = predictor(model)
        query = server.parser.parse(json.dumps({"inputs": [tensor], "outputs": [wish]}).encode())
        answer = server.format(query, server.predict(query, STRATUM, 0))
        raw = np.frombuffer(answer.body[answer.json_length :], "<f8")
        np.testing.assert_allclose(raw, model.coef_[0, 0] * ROWS[:, 0])
