"""What a recipe may say, and what is said of one that cannot be used."""

import pytest

from assay_workbench.errors import WorkbenchError
from assay_workbench.estimators import check_grid, classifier
from assay_workbench.recipe import Estimator, EstimatorType, read

LEAST = """
problem: who leaves
classes: {stay: stays, leave: leaves}
data: {files: [rows.csv]}
estimator: {type: LogisticRegression}
"""


@pytest.fixture
def recipe(tmp_path):
    """Read a recipe of the least fields and some more."""

    def recipe(more: str = ""):
        path = tmp_path / "r.yaml"
        fields = {line.partition(":")[0] for line in more.splitlines()}
        kept = [line for line in LEAST.splitlines() if line.partition(":")[0] not in fields]
        path.write_text("\n".join(kept) + "\n" + more)
        return read(path)

    return recipe


def test_what_is_left_out_has_a_default(recipe):
    found = recipe()
    assert found.data.label == "label"
    assert found.hold_out == 0.25
    assert found.calibrate.when == "Auto"


def test_yaml_is_read_as_people_write_it(recipe):
    found = recipe(
        "classes: {no: stays, yes: leaves}\npositive: yes\n"
        "estimator: {type: LogisticRegression, parameters: {tol: 1e-3, C: .5, fit_intercept: false}}"
    )
    assert list(found.classes) == ["no", "yes"]
    assert found.positive == "yes"
    assert found.estimator.parameters == {"tol": 1e-3, "C": 0.5, "fit_intercept": False}


def test_classes_that_are_numbers_are_named_as_written(recipe):
    found = recipe("classes: {0: stays, 1: leaves}\npositive: 1")
    assert list(found.classes) == ["0", "1"]
    assert found.positive == "1"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("colour: red", "colour: is not known here"),
        ("imputation: {number: Mean}", "imputation.number: is not known here"),
        ("imputation: {numeric: Guess}", "imputation.numeric: Input should be 'Median', 'Mean'"),
        ("holdOut: 0.9", "holdOut: Input should be less than or equal to 0.5"),
        ("classes: {a: only}", "classes: Dictionary should have at least 2 items"),
        ("positive: other", "positive: 'other' is not one of the classes stay, leave"),
        ("estimator: {}", "estimator.type: is missing"),
        ("estimator: {type: OneVsRest}", "estimator: of names the estimator"),
        (
            "estimator: {type: OneVsOne, of: {type: OneVsOne}}",
            "estimator.of: OneVsOne cannot be made of OneVsOne",
        ),
        ("search: {method: Grid}", "search: grid is missing"),
        ("search: {grid: {C: [1]}}", "search: grid needs a method"),
        ("search: {method: Grid, grid: {C: []}}", "search.grid.C: List should have at least 1"),
        (
            "search: {method: Grid, grid: {select.keep: [1]}}",
            "search.grid.select.keep: there is no select",
        ),
        ("columns: {numeric: [a], ignore: [a]}", "columns: column 'a' is named twice"),
        ("costs: {falsePositive: 0, falseNegative: 0}", "costs: both are 0"),
        (
            "classes: {a: x, b: y, c: z}\ncosts: {falsePositive: 1, falseNegative: 2}",
            "name it with",
        ),
        ("categories: {rareBelow: 2.5}", "categories: rareBelow must be a share"),
        ("pca: {components: 0}", "pca.components: Input should be greater than"),
        ("seed: 1\nseed: 2", "the key 'seed' is there twice"),
        ("seed: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named(recipe, more, message, tmp_path):
    with pytest.raises(WorkbenchError) as caught:
        recipe(more)
    assert message in str(caught.value)
    assert str(tmp_path / "r.yaml") in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(recipe):
    with pytest.raises(WorkbenchError) as caught:
        recipe("seed: -1\nholdOut: 2")
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_is_no_recipe(tmp_path):
    path = tmp_path / "r.yaml"
    with pytest.raises(WorkbenchError, match="No such file"):
        read(path)
    path.write_text("- a\n- b\n")
    with pytest.raises(WorkbenchError, match="is no recipe"):
        read(path)


@pytest.mark.parametrize("kind", [each for each in EstimatorType if not each.startswith("One")])
def test_every_type_has_the_seed_and_scikit_learns_defaults(kind):
    found = classifier(Estimator(type=kind), 7).estimator
    changed = {
        name: value
        for name, value in found.get_params().items()
        if repr(value) != repr(type(found)().get_params()[name])
    }
    assert changed == ({"random_state": 7} if "random_state" in found.get_params() else {})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"c": 1}, "estimator.parameters.c: LogisticRegression has no such parameter; it has C, "),
        ({"C": -1}, "estimator.parameters: The 'C' parameter of LogisticRegression must be"),
        (
            {"random_state": 1},
            "estimator.parameters.random_state: cannot be set: the recipe's seed",
        ),
        ({"n_jobs": 2}, "estimator.parameters.n_jobs: cannot be set: one thread"),
    ],
)
def test_parameters_are_scikit_learns_own(parameters, message):
    wanted = Estimator(type=EstimatorType.LOGISTIC_REGRESSION, parameters=parameters)
    with pytest.raises(WorkbenchError) as caught:
        classifier(wanted, 0)
    assert str(caught.value).startswith(message)


def test_a_value_in_the_grid_that_cannot_be(recipe):
    wanted = Estimator.model_validate(
        {"type": "OneVsRest", "of": {"type": "SVM", "parameters": {"kernel": "linear"}}}
    )
    check_grid(wanted, {"C": [1, 2]}, 0)
    with pytest.raises(WorkbenchError, match=r"search\.grid\.C\[1\]: The 'C' parameter of SVC"):
        check_grid(wanted, {"C": [1, "two"]}, 0)
