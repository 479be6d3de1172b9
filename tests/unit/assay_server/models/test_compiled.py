"""Compiled pipelines answer as scikit-learn does, or scikit-learn answers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC

from assay_server.models import EngineName, ModelFailedError, Scorer
from assay_server.models.columns import columns_of
from assay_server.models.compiled import CannotCompileError, compiled
from assay_server.models.compiled.linear import Folded, Stepwise
from assay_server.models.compiled.proof import NotEqualError, prove
from assay_server.models.estimator import Estimator, prepare
from assay_server.models.scores import Scores

pytestmark = pytest.mark.filterwarnings("ignore")

HEADS = {
    "logistic": LogisticRegression(),
    "logistic without intercept": LogisticRegression(fit_intercept=False),
    "logistic cv": LogisticRegressionCV(Cs=2, cv=2),
    "one-vs-rest": OneVsRestClassifier(LogisticRegression()),
    "one-vs-rest of pipelines": OneVsRestClassifier(
        make_pipeline(RobustScaler(), LogisticRegression())
    ),
    "one-vs-rest of svms": OneVsRestClassifier(LinearSVC()),
    "one-vs-one": OneVsOneClassifier(LogisticRegression()),
    "one-vs-one of pipelines": OneVsOneClassifier(make_pipeline(MaxAbsScaler(), LinearSVC())),
    "svm": LinearSVC(),
    "ridge": RidgeClassifier(),
    "ridge cv": RidgeClassifierCV(),
    "hinge": SGDClassifier(random_state=0),
    "log loss": SGDClassifier(loss="log_loss", random_state=0),
    "perceptron": Perceptron(random_state=0),
    "discriminant": LinearDiscriminantAnalysis(),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=2),
    "calibrated pipelines": CalibratedClassifierCV(
        make_pipeline(StandardScaler(), LogisticRegression()), cv=2
    ),
    "calibrated duels": CalibratedClassifierCV(OneVsOneClassifier(LogisticRegression()), cv=2),
    "searched": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
}
STEPS = {
    "nothing": [],
    "scaled": [StandardScaler()],
    "centred": [StandardScaler(with_std=False)],
    "only scaled": [RobustScaler(with_centering=False)],
    "clipped": [MinMaxScaler(clip=True)],
    "two scalers": [MinMaxScaler((-1, 3)), StandardScaler()],
    "filled": [SimpleImputer(strategy="median"), StandardScaler()],
    "filled late": [StandardScaler(), SimpleImputer(), MaxAbsScaler()],
    "told": [SimpleImputer(add_indicator=True), StandardScaler()],
    "products": [StandardScaler(), PolynomialFeatures(2)],
    "some products": [PolynomialFeatures(3, interaction_only=True, include_bias=False)],
    "some columns": [ColumnTransformer([("a", StandardScaler(), [3, 1])], remainder="drop")],
    "weighed": [
        ColumnTransformer(
            [("a", StandardScaler(), [2, 1]), ("b", "passthrough", [0])],
            transformer_weights={"a": 0.5, "b": 3.0},
        )
    ],
    "nested": [
        ColumnTransformer(
            [("a", make_pipeline(SimpleImputer(), MinMaxScaler()), [0, 1])],
            remainder=RobustScaler(),
        ),
        StandardScaler(),
    ],
}


def table(classes: int, *, far: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of four features on unlike scales, and their classes."""
    rows, labels = make_classification(
        200, 4, n_informative=3, n_redundant=0, n_classes=classes, random_state=seed
    )
    return rows * [1.0, 100.0, 0.01, 5.0] + [far, 3.0, 0.0, -7.0], labels


def check(model, rows, *, engine=EngineName.COMPILED) -> Scorer:
    """Compare a scorer with its model on the rows of its training."""
    expected = model.predict(rows)
    scores_of = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    scores = getattr(model, scores_of)(rows)
    scorer = Scorer(model)
    assert scorer.engine is engine, scorer.engine_reason
    given = rows.to_numpy(dtype=object) if isinstance(rows, pd.DataFrame) else rows
    found = scorer.score(given)
    ours = found.decisions if found.probabilities is None else found.probabilities
    assert ours == pytest.approx(scores, rel=1e-9, abs=1e-9)
    assert np.array_equal(scorer.values[found.predicted], expected)
    return scorer


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_compiled(head, classes):
    rows, labels = table(classes)
    check(make_pipeline(StandardScaler(), HEADS[head]).fit(rows, labels), rows)


@pytest.mark.parametrize("steps", STEPS)
def test_every_step_is_compiled(steps):
    rows, labels = table(2)
    if steps in {"filled", "filled late", "told"}:
        rows[::5, 2] = rows[::7, 0] = np.nan
    model = make_pipeline(*STEPS[steps], LogisticRegression()).fit(rows, labels)
    scorer = check(model, rows)
    everywhere = frozenset(range(4))
    filled = {"filled": everywhere, "filled late": everywhere, "told": everywhere}
    unused = {"some columns": {0, 2}, "weighed": {3}, "nested": {0, 1}}
    assert scorer.missing == (filled | unused).get(steps, frozenset())


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([*STEPS]), max_size=2, unique=True),
    st.sampled_from([*HEADS]),
    st.integers(2, 4),
    st.integers(0, 2**16),
)
def test_whatever_is_compiled_is_right(steps, head, classes, seed):
    """Chains that were never thought of: equal if compiled, and served by scikit-learn if not."""
    rows, labels = table(classes, seed=seed)
    chain = [step for name in steps for step in STEPS[name]]
    try:
        model = make_pipeline(*chain, HEADS[head]).fit(rows, labels)
    except ValueError:  # columns that an earlier step took away
        return
    scorer = Scorer(model)
    random = np.random.default_rng(seed)
    asked = rows + rows.std(axis=0) * random.standard_normal(rows.shape)
    found = scorer.score(asked)
    if found.probabilities is not None:
        assert found.probabilities == pytest.approx(model.predict_proba(asked), abs=1e-9)
    else:
        assert found.decisions == pytest.approx(model.decision_function(asked), rel=1e-9, abs=1e-9)


@given(st.integers(1, 63), st.integers(0, 63))
def test_a_row_gets_the_same_answer_whatever_comes_with_it(count, start):
    """To the last bit, so that an answer can be had again."""
    rows, model = ALONE
    everything = model.score(rows)
    part = model.score(rows[start : start + count])
    for ours, theirs in zip(part, everything.part(start, start + count), strict=True):
        assert ours is None or ours.tobytes() == theirs.tobytes()


def _alone():
    rows, labels = make_classification(
        200, 33, n_informative=9, n_classes=5, n_clusters_per_class=1, random_state=0
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    return rows[:64], Scorer(model)


ALONE = _alone()


def people(count: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, count),
            "city": random.choice(
                ["Aarhus", "Bergen", "Cork", "Delft"], count, p=[0.5, 0.3, 0.15, 0.05]
            ),
            "income": random.lognormal(8, 1, count),
            "member": random.choice([True, False], count),
            "children": random.integers(0, 3, count),
            "size": random.choice(["S", "M", "L"], count),
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "city"] = np.nan
    return frame, np.where(frame["income"] > 3000, "rich", "poor")


def numbers():
    return make_pipeline(SimpleImputer(), StandardScaler())


TABLES = {
    "one-hot": [("c", OneHotEncoder(handle_unknown="ignore"), ["city", "member", "children"])],
    "unknown is an error": [("c", OneHotEncoder(), ["city", "children"])],
    "dropped and infrequent": [
        (
            "c",
            OneHotEncoder(drop="first", min_frequency=40, handle_unknown="infrequent_if_exist"),
            ["city", "size"],
        )
    ],
    "one dropped if binary": [("c", OneHotEncoder(drop="if_binary"), ["member", "size"])],
    "filled before": [
        (
            "c",
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
            ),
            ["city", "size"],
        )
    ],
    "filled with a word": [
        (
            "c",
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="none"),
                OneHotEncoder(handle_unknown="ignore"),
            ),
            ["city", "size"],
        )
    ],
    "ordinal": [
        (
            "c",
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
            ),
            ["city", "size"],
        )
    ],
    "target": [("c", TargetEncoder(), ["city", "size"])],
    "by place": [("c", OneHotEncoder(handle_unknown="ignore"), [1, 5])],
    "by slice": [("c", OneHotEncoder(handle_unknown="ignore"), slice(3, 6))],
    "by type": [
        (
            "c",
            OneHotEncoder(handle_unknown="ignore"),
            make_column_selector(dtype_exclude="number"),
        )
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_names_and_numbers_is_compiled_without_pandas(name):
    frame, labels = people()
    columns = ColumnTransformer([("n", numbers(), ["age", "income"]), *TABLES[name]])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    scorer = check(model, frame)
    assert scorer.feature_names == ("age", "city", "income", "member", "children", "size")
    assert scorer.takes_missing
    assert scorer.categorical <= {1, 5}


def test_features_of_names_are_scaled_and_multiplied_after_them():
    frame, labels = people()
    columns = make_column_transformer(
        (numbers(), ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["size"]),
    )
    for step in (StandardScaler(), PolynomialFeatures(2), MinMaxScaler(clip=True)):
        check(make_pipeline(columns, step, LogisticRegression()).fit(frame, labels), frame)


def test_a_pipeline_set_to_give_dataframes_gives_arrays():
    frame, labels = people()
    columns = make_column_transformer(
        (numbers(), ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["size"]),
    ).set_output(transform="pandas")
    check(make_pipeline(columns, LogisticRegression()).fit(frame, labels), frame)


def test_an_unknown_category_is_refused_by_who_refuses_it_in_scikit_learn():
    frame, labels = people()
    columns = make_column_transformer((OneHotEncoder(), ["size"]), remainder="drop")
    model = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    row = frame.to_numpy(dtype=object)[:1]
    row[0, 5] = "XXL"
    with pytest.raises(ValueError, match="Found unknown categories"):
        model.predict(pd.DataFrame(row, columns=frame.columns))
    scorer = Scorer(model)
    assert scorer.engine is EngineName.COMPILED
    with pytest.raises(ModelFailedError) as caught:
        scorer.score(row)
    assert caught.value.refused_input


def test_none_as_a_category_is_what_the_protocol_calls_missing():
    frame = pd.DataFrame({"size": np.array(["S", "M", None, "L"] * 20, dtype=object)})
    labels = np.array([0, 0, 1, 1] * 20)
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, labels)
    expected = model.predict_proba(frame)[:4]
    found = Scorer(model).score(np.array([["S"], ["M"], [np.nan], ["L"]], dtype=object))
    assert found.probabilities == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (QuantileTransformer(n_quantiles=10), "QuantileTransformer is not compiled"),
        (FunctionTransformer(np.log1p), "FunctionTransformer with a function of its own"),
    ],
    ids=str,
)
def test_what_is_not_compiled_is_served_by_scikit_learn_and_says_why(step, reason):
    rows, labels = table(2)
    rows = np.abs(rows)
    model = make_pipeline(step, LogisticRegression()).fit(rows, labels)
    scorer = check(model, rows, engine=EngineName.SCIKIT_LEARN)
    assert scorer.engine_reason == reason


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (RandomForestClassifier(3, random_state=0), "RandomForestClassifier is not compiled"),
        (SVC(), "SVC is not compiled"),
        (SGDClassifier(loss="modified_huber"), "probabilities of the loss modified_huber"),
        (
            CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2),
            "CalibratedClassifierCV other than by sigmoids",
        ),
        (
            OneVsRestClassifier(RandomForestClassifier(3, random_state=0)),
            "RandomForestClassifier is not compiled",
        ),
    ],
    ids=str,
)
def test_other_classifiers_are_served_by_scikit_learn(head, reason):
    rows, labels = table(3)
    scorer = check(head.fit(rows, labels), rows, engine=EngineName.SCIKIT_LEARN)
    assert scorer.engine_reason == reason


def test_text_that_a_vectorizer_takes_is_served_by_scikit_learn():
    frame, labels = people()
    columns = ColumnTransformer(
        [("t", TfidfVectorizer(token_pattern="."), "size"), ("n", numbers(), ["age"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    scorer = check(model, frame, engine=EngineName.SCIKIT_LEARN)
    assert scorer.categorical == {5}


class Subclass(LogisticRegression):
    """Whoever overrides a method means something by it."""

    def predict_proba(self, rows):
        return super().predict_proba(rows)[:, ::-1]


def test_a_subclass_is_not_taken_for_its_base():
    rows, labels = table(2)
    model = Subclass().fit(rows, labels)
    assert Scorer(model).engine is EngineName.SCIKIT_LEARN


def engines(model):
    """Return a prepared model's scikit-learn engine and columns."""
    prepare(model)
    return Estimator(model, checked=True), columns_of(model)


class Other:
    """An engine that changes what another one answers."""

    def __init__(self, engine, change):
        self.engine = engine
        self.change = change

    def score(self, rows, *, rule=True):
        return self.change(self.engine.score(rows), rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found, _: found._replace(probabilities=found.probabilities + 2e-9), "differ by 2"),
        (
            lambda found, rows: found._replace(
                probabilities=found.probabilities + 1e-6 * (np.abs(rows) > 100).any(1)[:, None]
            ),
            "scores differ",
        ),
        (lambda found, _: found._replace(predicted=1 - found.predicted), "another class"),
        (lambda found, _: Scores(found.predicted, None), "another shape"),
        (
            lambda found, _: found._replace(probabilities=found.probabilities * np.nan),
            "one refuses a row",
        ),
    ],
    ids=["by a bit", "far out only", "class", "no scores", "no number"],
)
def test_the_proof_finds_every_kind_of_difference(change, message):
    rows, labels = table(2)
    engine, columns = engines(
        make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    )
    prove(Other(engine, lambda found, _: found), engine, columns)
    with pytest.raises(NotEqualError, match=message):
        prove(Other(engine, change), engine, columns)


def test_the_proof_finds_a_wrong_category():
    frame, labels = people()
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city", "size"]))
    engine, columns = engines(make_pipeline(columns, LogisticRegression()).fit(frame, labels))

    def wrong(found, rows):
        return found._replace(
            probabilities=found.probabilities - 0.1 * (rows[:, 1] == "Delft")[:, None]
        )

    with pytest.raises(NotEqualError):
        prove(Other(engine, wrong), engine, columns)


def test_a_model_that_refuses_everything_proves_nothing():
    rows, labels = table(2)
    engine, columns = engines(LogisticRegression().fit(rows, labels))

    def refuse(found, rows):
        raise ValueError

    with pytest.raises(NotEqualError, match="refuses nearly all"):
        prove(Other(engine, refuse), Other(engine, refuse), columns)


def test_far_from_zero_folding_loses_nothing_and_rounding_of_scikit_learns_own_is_kept():
    """Seconds since 1970: a folded centre would cost seven digits of the probability."""
    for scaler in (StandardScaler(), RobustScaler(), MinMaxScaler()):
        rows, labels = table(2, far=1.7e9)
        model = make_pipeline(scaler, LogisticRegression(C=100)).fit(rows, labels)
        assert check(model, rows).engine is EngineName.COMPILED


def test_the_careful_form_is_taken_when_the_fast_one_differs():
    rows, labels = table(2, far=1e12)
    model = make_pipeline(MinMaxScaler(), StandardScaler(), LogisticRegression(C=1e6))
    model.fit(rows, labels)
    engine, columns = engines(model)
    proven = compiled(model, engine, columns, decisions=False)
    assert isinstance(proven.engine._total, Stepwise)
    rows, labels = table(2)
    model.fit(rows, labels)
    engine, columns = engines(model)
    proven = compiled(model, engine, columns, decisions=False)
    assert isinstance(proven.engine._total, Folded)


def test_a_broken_model_cannot_be_compiled():
    rows, labels = table(2)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    engine, columns = engines(model)
    del model[0].mean_
    with pytest.raises(CannotCompileError, match="AttributeError while compiling"):
        compiled(model, engine, columns, decisions=False)
