"""Training: what learns from which rows, the artifact that comes of it, and what is told of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    make_scorer,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import MinMaxScaler

from assay.judge.verdict import Average
from assay_server.artifacts.model import load
from assay_server.models.estimator import parts_of
from assay_server.models.scorer import Scorer
from assay_server.reference import Reference
from assay_workbench import artifact
from assay_workbench.clipping import Clipper
from assay_workbench.contributions import linear
from assay_workbench.errors import WorkbenchError
from assay_workbench.exploration import explore
from assay_workbench.pinning import one_thread, pinned
from assay_workbench.pipeline import build, fit, servable
from assay_workbench.recipe import EstimatorType, Metric, Recipe
from assay_workbench.search import scorer_of, search
from assay_workbench.table import read_table
from assay_workbench.training import Progress, train

ROWS = 240
NOBODY = Progress(lambda stage, steps: None, lambda steps: None)
TREES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
SMALL = {
    "MLP": {"hidden_layer_sizes": [4], "max_iter": 20},
    "RandomForest": {"n_estimators": 4},
    "GradientBoosting": {"n_estimators": 3},
    "HistGradientBoosting": {"max_iter": 3},
}


def frame(classes=("a", "b", "c"), rows=ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    shares = {2: [0.7, 0.3], 3: [0.5, 0.3, 0.2]}[len(classes)]
    codes = draw.choice(len(classes), rows, p=shares)
    size = codes + draw.normal(size=rows)
    size[::17] = 900.0
    found = pd.DataFrame(
        {
            "size": size,
            "weight": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(size=rows) - codes),
            "noise": draw.normal(size=rows),
            "colour": np.where(
                draw.random(rows) < 0.5, np.array(["red", "green", "blue"])[codes], "grey"
            ),
            "label": np.array(classes)[codes],
        }
    )  # fmt: skip
    found.loc[::23, "colour"] = None
    return found


def a_recipe(classes=("a", "b", "c"), **more) -> Recipe:
    return Recipe.model_validate(
        {
            "problem": "p",
            "classes": dict.fromkeys(classes, "x"),
            "data": {"files": ["rows.csv"]},
            "estimator": {"type": "LogisticRegression"},
            "outliers": {"policy": "Quantiles", "lower": 0.05, "upper": 0.95},
            "seed": 3,
            **more,
        }
    )


@pytest.fixture(scope="module", autouse=True)
def _alone():
    """Threads that wait for each other cost more than the models do."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("rows")
    frame().to_csv(found / "rows.csv", index=False)
    frame(("no", "yes")).to_csv(found / "two.csv", index=False)
    return found


@pytest.fixture(scope="module")
def table(folder):
    return read_table(a_recipe(), folder)


def fitted(recipe, table):
    return servable(fit(build(recipe, table).model, table, np.arange(ROWS)))


@pytest.mark.parametrize("kind", list(EstimatorType))
def test_every_estimator_is_stored_and_loaded(table, tmp_path, kind):
    estimator = {"type": kind, "parameters": SMALL.get(kind, {})}
    if kind.startswith("One"):
        estimator = {"type": kind, "of": {"type": "LinearSVM"}}
    recipe = a_recipe(estimator=estimator, calibrate={"folds": 3})
    trained = fit(build(recipe, table).model, table, np.arange(ROWS))
    model = servable(trained)
    path = tmp_path / "model.skops"
    loaded = load(path, artifact.write(model, path), TREES).object
    expected = trained.predict_proba(table.rows)
    assert np.array_equal(loaded.predict_proba(table.rows), expected)
    assert np.allclose(expected.sum(axis=1), 1.0)
    assert loaded.feature_names_in_.tolist() == list(table.names)
    again = servable(fit(build(recipe, table).model, table, np.arange(ROWS)))
    assert artifact.write(again, tmp_path / "again.skops") == artifact.write(loaded, path)


def test_scores_are_calibrated_only_where_they_are_no_probabilities(table):
    svm = {"type": "SVM"}
    assert not build(a_recipe(), table).calibrated
    assert build(a_recipe(calibrate={"when": "Always"}), table).calibrated
    assert build(a_recipe(estimator=svm), table).calibrated
    never = build(a_recipe(estimator=svm, calibrate={"when": "Never"}), table)
    assert not never.probable
    with pytest.raises(WorkbenchError, match="LogLoss needs probabilities"):
        scorer_of(Metric.LOG_LOSS, ("a", "b"), "b", probable=never.probable)
    with pytest.raises(WorkbenchError, match="F1 is of two classes"):
        scorer_of(Metric.F1, ("a", "b", "c"), None, probable=True)


@pytest.mark.parametrize("policy", ["Quantiles", "Fences"])
def test_outliers_are_clipped_to_limits_of_the_training_rows(policy):
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(500, 2))
    rows[0] = [1e6, np.nan]
    clipper = Clipper(policy, 0.05, 0.95, 1.5).fit(rows[:400])
    known = rows[1:400, 0]
    if policy == "Quantiles":
        low, high = np.quantile(rows[:400, 0], [0.05, 0.95])
    else:
        first, third = np.quantile(rows[:400, 0], [0.25, 0.75])
        low = max(first - 1.5 * (third - first), known.min())
        high = third + 1.5 * (third - first)
    expected = (np.clip(rows[:, 0], low, high) - low) / (high - low)
    prepared = clipper.transform(rows)
    assert np.allclose(prepared[:, 0], expected)
    assert np.isnan(prepared[0, 1])
    clipper.to_plain()
    assert type(clipper) is MinMaxScaler
    assert np.array_equal(clipper.transform(rows), prepared, equal_nan=True)


def test_limits_are_learned_in_each_fold_anew(table):
    """What is held out must not move what was learned."""
    recipe = a_recipe()
    some = np.arange(100)
    moved = replace(table, rows=table.rows.copy())
    moved.rows[100:, :3] = 1e9
    one = servable(fit(build(recipe, table).model, table, some))
    other = servable(fit(build(recipe, table).model, moved, some))
    assert np.array_equal(one.predict_proba(table.rows), other.predict_proba(table.rows))


def test_nothing_of_ours_is_in_the_artifact(table):
    recipe = a_recipe(
        estimator={"type": "LinearSVM"}, select={"keep": 3}, pca={"components": 2},
        calibrate={"folds": 2},
    )  # fmt: skip
    modules = {type(part).__module__ for part in parts_of(fitted(recipe, table))}
    assert not [each for each in modules if not each.startswith("sklearn.")]


def test_selection_by_mutual_information_draws_by_the_seed(table, tmp_path):
    recipe = a_recipe(select={"keep": 3, "by": "MutualInformation"})
    digests = set()
    for turn in range(2):
        np.random.seed(turn)  # noqa: NPY002 - what scikit-learn falls back to
        digests.add(artifact.write(fitted(recipe, table), tmp_path / "model.skops"))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("estimator", "more"),
    [
        ({"type": "LogisticRegression"}, {}),
        ({"type": "LogisticRegression"}, {"select": {"keep": 4}, "pca": {"components": 3}}),
        ({"type": "OneVsRest", "of": {"type": "LinearSVM"}}, {"calibrate": {"when": "Never"}}),
        (
            {"type": "LinearSVM"},
            {"imputation": {"categorical": "MostFrequent"}, "scaling": "Robust"},
        ),
    ],
)
def test_contributions_add_up_to_the_score(table, estimator, more):
    model = fitted(a_recipe(estimator=estimator, **more), table)
    found = linear(model, table, np.arange(200), None)
    start, added = found.contributions(table.rows[200:])
    last = model.steps[-1][1]
    if hasattr(last, "calibrated_classifiers_"):
        last = last.calibrated_classifiers_[0].estimator
        expected = last.decision_function(model.named_steps["columns"].transform(table.rows[200:]))
    else:
        expected = model.decision_function(table.rows[200:])
    assert np.allclose(start + added.sum(axis=2), expected)
    assert np.allclose(found.contributions(table.rows[:200])[1].mean(axis=0), 0.0)

    # The server answers the same, once it has what each column adds on average.
    scorer = Scorer(model)
    scorer.parts.centre(found.means(len(table.names)))
    assert np.allclose(scorer.parts.base, start, atol=1e-9)
    assert np.allclose(scorer.contributions(table.rows[200:]), added, atol=1e-9)


def test_contributions_speak_for_the_positive_class(folder):
    recipe = a_recipe(("no", "yes"), data={"files": ["two.csv"]})
    table = read_table(recipe, folder)
    model = fitted(recipe, table)
    for positive, sign in (("yes", 1.0), ("no", -1.0)):
        found = linear(model, table, np.arange(ROWS), positive)
        start, added = found.contributions(table.rows)
        assert found.classes == (positive,)
        score = (start + added.sum(axis=2))[:, 0]
        assert np.allclose(score, sign * model.decision_function(table.rows))
        scorer = Scorer(model, None, positive)
        scorer.parts.centre(linear(model, table, np.arange(ROWS), None).means(len(table.names)))
        assert np.allclose(scorer.contributions(table.rows), added[:, 0], atol=1e-9)
    assert (
        linear(fitted(a_recipe(estimator={"type": "SVM"}), table), table, np.arange(9), None)
        is None
    )


def test_the_search_is_scikit_learns(table):
    recipe = a_recipe(
        select={"keep": 3},
        search={"method": "Grid", "folds": 3, "grid": {"C": [0.01, 1.0], "select.keep": [2, 4]}},
    )
    untrained = build(recipe, table)
    scorer = scorer_of(Metric.MACRO_F1, ("a", "b", "c"), None, probable=True)
    done = []
    found = search(
        untrained, recipe, table.rows, table.labels, scorer, Metric.MACRO_F1, lambda: done.append(1)
    )
    expected = GridSearchCV(
        untrained.model, {"estimator__C": [0.01, 1.0], "select__k": [2, 4]}, scoring="f1_macro",
        cv=StratifiedKFold(3, shuffle=True, random_state=3),
    ).fit(table.rows, table.labels)  # fmt: skip
    assert found.best.mean == expected.best_score_
    named = {untrained.parameter(name): value for name, value in found.best.settings.items()}
    assert named == expected.best_params_
    assert len(done) == 12
    assert sorted((each.mean for each in found.tried), reverse=True) == [
        each.mean for each in found.tried
    ]


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_is_scikit_learns(table, folder, metric):
    names = {
        "Accuracy": "accuracy", "BalancedAccuracy": "balanced_accuracy", "F1": "f1",
        "MacroF1": "f1_macro", "ROCAUC": "roc_auc", "AveragePrecision": "average_precision",
        "LogLoss": "neg_log_loss", "Brier": "neg_brier_score",
    }  # fmt: skip
    two = read_table(a_recipe(("no", "yes"), data={"files": ["two.csv"]}), folder)
    model = fitted(a_recipe(("no", "yes")), two)
    ones = (two.labels == "yes").astype(int)
    as_numbers = fitted(a_recipe(("0", "1")), replace(two, labels=ones))
    mine = scorer_of(metric, ("no", "yes"), "yes", probable=True)(model, two.rows, two.labels)
    assert mine == pytest.approx(get_scorer(names[metric])(as_numbers, two.rows, ones))
    if metric is Metric.F1:
        return
    expected = get_scorer({"ROCAUC": "roc_auc_ovr"}.get(metric, names[metric]))
    if metric is Metric.AVERAGE_PRECISION:  # whose own scorer takes what is before probabilities
        expected = make_scorer(average_precision_score, response_method="predict_proba")
    model, classes = fitted(a_recipe(), table), ("a", "b", "c")
    found = scorer_of(metric, classes, None, probable=True)(model, table.rows, table.labels)
    assert found == pytest.approx(expected(model, table.rows, table.labels))


def test_settings_that_cannot_be_trained(table):
    recipe = a_recipe(
        pca={"components": 2},
        search={"method": "Grid", "folds": 2, "grid": {"pca.components": [99]}},
    )
    scorer = scorer_of(Metric.ACCURACY, ("a", "b", "c"), None, probable=True)
    with pytest.raises(WorkbenchError, match=r"search.grid: settings cannot be trained: .*99"):
        search(build(recipe, table), recipe, table.rows, table.labels, scorer, Metric.ACCURACY)


def test_exploration_is_what_pandas_says(table):
    places = np.arange(150)
    found = explore(table, places)
    numbers = frame().iloc[places]
    shown = numbers[list(found.correlated)].corr(method="spearman")
    assert np.allclose(found.correlations, shown)
    assert dict(found.missing) == {
        name: count for name, count in numbers.isna().sum().items() if count
    }
    assert dict(found.classes) == numbers["label"].value_counts().to_dict()
    size = found.numeric[0]
    assert size.quantiles == tuple(numbers["size"].quantile([0, 0.25, 0.5, 0.75, 1]))
    assert size.outliers >= 150 // 17


@pytest.fixture(scope="module")
def trained(folder):
    """A calibrated model of three classes, found by halving."""
    recipe = a_recipe(
        estimator={"type": "OneVsOne", "of": {"type": "LinearSVM"}},
        calibrate={"folds": 2},
        search={
            "method": "Halving",
            "metric": "LogLoss",
            "folds": 2,
            "grid": {"C": [0.01, 0.1, 1]},
        },
    )
    return train(recipe, folder, NOBODY)


def test_held_out_figures_are_scikit_learns(trained):
    rows = trained.table.rows[trained.held_out]
    labels = trained.table.labels[trained.held_out]
    arm = trained.evaluation.model
    predicted = trained.model.predict(rows)
    assert arm.figure("F1", "Macro").value == pytest.approx(
        f1_score(labels, predicted, average="macro")
    )
    scores = trained.model.predict_proba(rows)
    expected = roc_auc_score(labels, scores, multi_class="ovr")
    assert arm.figure("ROCAUC", "Macro").value == pytest.approx(expected)
    assert not set(trained.train) & set(trained.held_out)
    assert len(trained.train) + len(trained.held_out) == ROWS


def test_halving_lists_all_rounds(trained):
    found = trained.found
    assert len({each.rows for each in found.tried}) > 1
    assert found.best.rows == max(each.rows for each in found.tried)


def test_importance_and_dependence_are_scikit_learns(trained):
    table, places = trained.table, trained.held_out
    rows, labels = table.rows[places], table.labels[places]
    expected = permutation_importance(
        trained.model, rows, labels, scoring="neg_log_loss", n_repeats=10, random_state=3
    ).importances_mean
    found = {each.name: each.mean for each in trained.importances}
    assert np.allclose([found[name] for name in table.names], expected)
    (each,) = [each for each in trained.dependences if each.name == "size"]
    place = table.names.index("size")
    expected = partial_dependence(
        trained.model, rows, [place], custom_values={place: np.array(each.values)}, kind="average"
    ).average
    assert np.allclose([curve for _, curve in each.curves], expected)
    (colours,) = [each for each in trained.dependences if each.name == "colour"]
    assert set(colours.values) == {"red", "green", "blue", "grey"}


def test_the_reference_is_of_the_training_rows(folder):
    recipe = a_recipe(("no", "yes"), data={"files": ["two.csv"]})
    found = train(recipe, folder, NOBODY)
    reference = found.reference
    assert reference.rows == len(found.train)
    assert [each.name for each in reference.features] == list(found.table.names)
    assert reference.scores.rows == len(found.held_out)
    assert reference.scores.of_class == "yes"
    assert reference.quality.rows == len(found.held_out)
    (f1,) = [
        each.value
        for each in found.evaluation.model.figures
        if (each.metric, each.average) == ("F1", Average.BINARY)
    ]
    assert reference.quality.f1 == pytest.approx(f1)
    assert Reference.parse(reference.text()) == reference


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"holdOut": 0.01, "calibrate": {"when": "Always", "folds": 2}},
            r"of these 0 or 1 are held out",
        ),
        (
            {"search": {"method": "Grid", "folds": 20, "grid": {"C": [1]}}, "holdOut": 0.5},
            r"class 'a' has 24 rows: of these 12 are held .* and 12 are left .* but 20 are needed so that every fold has some",
        ),
        (
            {"imputation": {"numeric": "None"}},
            "imputation.numeric: is None, but LogisticRegression",
        ),
        ({"select": {"keep": 2}, "imputation": {"numeric": "None"}}, "but select takes no missing"),
    ],
)
def test_what_cannot_be_trained(tmp_path, more, message):
    few = frame().groupby("label").head(24)
    few.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(WorkbenchError, match=message):
        train(a_recipe(**more), tmp_path, NOBODY)


def test_kernels_are_pinned_by_architecture():
    wide = {"AVX2": True, "X86_V4": True, "AVX512_ICL": True, "AVX512_SPR": False}
    found = pinned(wide, ["X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"], "x86_64")
    assert found["OPENBLAS_CORETYPE"] == "Haswell"
    assert found["NPY_DISABLE_CPU_FEATURES"] == "X86_V4 AVX512_ICL"
    assert found["OMP_NUM_THREADS"] == "1"
    assert "OPENBLAS_CORETYPE" not in pinned({"AVX2": False}, [], "x86_64")
    assert pinned({}, [], "aarch64")["OPENBLAS_CORETYPE"] == "ARMV8"
