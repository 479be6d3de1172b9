"""Scoring agrees with scikit-learn to the last bit and the last tie."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from assay_server.scoring import (
    ModelFailedError,
    Scorer,
    UnsupportedModelError,
    class_name,
    single_threaded,
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
    scores = Scorer(model).score(rows)
    assert np.array_equal(scores.predicted, model.predict(rows))
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
    probabilities = artifact.model.predict_proba(rows)[:, positive]
    threshold = float(np.sort(probabilities)[100])  # a value that occurs
    scores = Scorer(artifact.model, threshold, label).score(rows)
    assert np.array_equal(scores.predicted == positive, probabilities >= threshold)
    assert (scores.predicted == positive).sum() == 100


def test_a_model_without_probabilities_predicts():
    rows, labels = load_iris(return_X_y=True)
    model = LinearSVC().fit(rows, labels)
    scores = Scorer(model).score(rows)
    assert scores.probabilities is None
    assert np.array_equal(scores.predicted, model.predict(rows))


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


def test_every_step_predicts_in_the_calling_thread():
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_jobs=-1))
    single_threaded(model)
    assert model.named_steps["randomforestclassifier"].n_jobs == 1
