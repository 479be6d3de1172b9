"""The decision rule: classes, thresholds and ties as scikit-learn has them, errors as one kind."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from assay_server.models import (
    EngineName,
    ModelFailedError,
    ScoreKind,
    Scorer,
    UnsupportedModelError,
    class_name,
    prepare,
)

MODELS = [
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression(C=1e6)),
    RandomForestClassifier(n_estimators=4, random_state=0),
    DecisionTreeClassifier(max_depth=2, random_state=0),
    GradientBoostingClassifier(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
    GaussianNB(),
    KNeighborsClassifier(n_neighbors=4),
    OneVsRestClassifier(LogisticRegression()),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_predictions_and_probabilities_are_the_models(model, classes):
    rows, labels = make_classification(
        n_samples=400, n_informative=5, n_classes=classes, flip_y=0.2, random_state=1
    )
    rows = rows.round(1)  # ties, also between trees and neighbours
    model.fit(rows, labels)
    scorer = Scorer(model)
    scores = scorer.score(rows)
    assert np.array_equal(scores.predicted, model.predict(rows))
    if scorer.engine is EngineName.COMPILED:
        assert scores.probabilities == pytest.approx(model.predict_proba(rows), abs=1e-12)
    else:
        assert np.array_equal(scores.probabilities, model.predict_proba(rows))


def test_a_tie_goes_to_the_model():
    """At a decision value within rounding of 0 both probabilities are exactly one half."""
    model = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    model.intercept_[:] = 0.0
    rows = np.array([[1e-18], [-1e-18], [0.0]])
    assert model.predict_proba(rows)[0].tolist() == [0.5, 0.5]
    assert model.predict(rows).tolist() == [1, 0, 0]
    assert Scorer(model).score(rows).predicted.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("label", "positive"), [(None, 1), ("1", 1), ("0", 0)])
def test_threshold_is_greater_or_equal(artifact, label, positive):
    rows = artifact.rows[:200]
    probabilities = Scorer(artifact.model).score(rows).probabilities[:, positive]
    threshold = float(np.sort(probabilities)[100])  # a value that occurs
    scores = Scorer(artifact.model, threshold, label).score(rows)
    assert np.array_equal(scores.predicted == positive, probabilities >= threshold)
    assert (scores.predicted == positive).sum() == 100


@pytest.mark.parametrize("model", [LinearSVC(), SVC(), RidgeClassifier()], ids=str)
def test_a_model_without_probabilities_gives_decisions(model):
    rows, labels = load_iris(return_X_y=True)
    model.fit(rows, labels)
    scorer = Scorer(model)
    scores = scorer.score(rows)
    assert scorer.score_kind is ScoreKind.DECISION
    assert scores.probabilities is None
    assert scorer.decision_width == 3
    assert scores.decisions == pytest.approx(model.decision_function(rows), abs=1e-9)
    assert np.array_equal(scores.predicted, model.predict(rows))


def test_scores_are_what_was_asked_for_or_the_model_is_refused():
    rows, labels = load_iris(return_X_y=True)
    both = LogisticRegression().fit(rows, labels)
    assert Scorer(both).score_kind is ScoreKind.PROBABILITY
    assert Scorer(both).score(rows).decisions is None
    scorer = Scorer(both, score=ScoreKind.DECISION)
    assert scorer.score(rows).decisions == pytest.approx(both.decision_function(rows), abs=1e-9)
    assert scorer.has_probabilities
    with pytest.raises(UnsupportedModelError, match="score Decision needs a model with decision_f"):
        Scorer(GaussianNB().fit(rows, labels), score=ScoreKind.DECISION)
    with pytest.raises(UnsupportedModelError, match="needs a model with predict_proba; it gives D"):
        Scorer(LinearSVC().fit(rows, labels), score=ScoreKind.PROBABILITY)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=5),
        make_pipeline(SimpleImputer(), GaussianNB()),
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), SimpleImputer(), LinearSVC()),
    ],
    ids=str,
)
def test_missing_values_reach_a_model_that_takes_them(model):
    rows, labels = load_iris(return_X_y=True)
    rows[::3, 1] = np.nan
    model.fit(rows, labels)
    scorer = Scorer(model)
    assert scorer.takes_missing
    assert np.array_equal(scorer.score(rows).predicted, model.predict(rows))


@pytest.mark.parametrize("model", [LogisticRegression(), GaussianNB(), SVC()], ids=str)
def test_missing_values_are_not_taken_by_a_model_that_refuses_them(model):
    rows, labels = load_iris(return_X_y=True)
    assert not Scorer(model.fit(rows, labels)).takes_missing


@pytest.mark.parametrize("final", [LogisticRegression(), GaussianNB()], ids=str)
def test_a_value_missing_in_another_column_is_the_clients_fault(final):
    rows, labels = load_iris(return_X_y=True)
    columns = ColumnTransformer([("filled", SimpleImputer(), [0])], remainder="passthrough")
    scorer = Scorer(make_pipeline(columns, final).fit(rows, labels))
    assert scorer.takes_missing
    scorer.score(np.array([[np.nan, 1.0, 1.0, 1.0]]))
    with pytest.raises(ModelFailedError) as caught:
        scorer.score(np.array([[1.0, np.nan, 1.0, 1.0]]))
    assert caught.value.refused_input


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.int64(1), "1"),
        (1.0, "1"),
        (np.float64(0), "0"),
        (0.5, "0.5"),
        ("x", "x"),
        (True, "True"),
    ],
)
def test_class_names(value, name):
    assert class_name(value) == name


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (LinearRegression().fit([[0], [1]], [0, 1]), {}, "not a fitted classifier"),
        (LogisticRegression(), {}, "not a fitted classifier"),
        (
            MultiOutputClassifier(LogisticRegression()).fit([[0], [1]], [[0, 1], [1, 0]]),
            {},
            "several outputs",
        ),
        (LogisticRegression().fit([[0], [1]], ["a\n", "b"]), {}, "control characters"),
        (LinearSVC().fit([[0], [1]], [0, 1]), {"threshold": 0.5}, "threshold needs a binary model"),
        (GaussianNB().fit([[0], [1], [2]], [0, 1, 2]), {"threshold": 0.5}, "threshold needs"),
        (GaussianNB().fit([[0], [1], [2]], [0, 1, 2]), {"positive_label": "1"}, "has 3 classes"),
        (
            GaussianNB().fit([[0], [1]], [0, 1]),
            {"positive_label": "2"},
            "'2' is not a class (0, 1)",
        ),
    ],
)
def test_a_model_that_cannot_be_served_says_why(model, settings, message):
    with pytest.raises(UnsupportedModelError) as caught:
        Scorer(model, **settings)
    assert message in str(caught.value)


class Broken:
    """A model that misbehaves when it is asked."""

    classes_ = np.array([0, 1])

    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, rows):
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.full((len(rows), 2), self.answer)

    def predict(self, rows):
        return np.zeros(len(rows))


@pytest.mark.parametrize(
    ("answer", "refused"), [(ValueError("x"), True), (KeyError("x"), False), (np.nan, False)]
)
def test_a_failing_model_is_one_kind_of_error(answer, refused):
    with pytest.raises(ModelFailedError) as caught:
        Scorer(Broken(answer)).score(np.zeros((2, 1)))
    assert caught.value.refused_input is refused


def test_every_part_predicts_in_the_calling_thread():
    rows, labels = load_iris(return_X_y=True)
    inner = make_pipeline(StandardScaler(), KNeighborsClassifier(n_jobs=-1))
    model = OneVsRestClassifier(inner, n_jobs=2).fit(rows, labels)
    prepare(model)
    assert model.n_jobs == 1
    assert {estimator[-1].n_jobs for estimator in model.estimators_} == {1}
