"""Roles of columns, and what is said of tables that cannot be learned from."""

import datetime

import numpy as np
import pandas as pd
import pytest

from assay_workbench.errors import WorkbenchError
from assay_workbench.recipe import Recipe
from assay_workbench.table import read_table

ROWS = 120


def a_recipe(**more) -> Recipe:
    return Recipe.model_validate(
        {
            "problem": "p",
            "classes": {"a": "one", "b": "other"},
            "data": {"files": ["rows.csv"]},
            "estimator": {"type": "LogisticRegression"},
            **more,
        }
    )


def rows(**more) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "size": draw.normal(size=ROWS),
            "colour": draw.choice(["red", "blue"], ROWS),
            "label": ["a", "b"] * (ROWS // 2),
            **more,
        }
    )


@pytest.fixture
def table(tmp_path):
    def table(frame, recipe=None, name="rows.csv"):
        if name.endswith(".csv"):
            frame.to_csv(tmp_path / name, index=False)
        else:
            frame.to_parquet(tmp_path / name)
        return read_table(recipe or a_recipe(data={"files": [name]}), tmp_path)

    return table


def roles(table):
    return {each.name: (each.role, each.why) for each in table.columns}


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_roles_follow_from_values(table, name):
    found = table(
        rows(
            number=range(ROWS), id=[f"x{row}" for row in range(ROWS)], one=7, none=np.nan,
            gaps=[1.5, None, 2.5] * (ROWS // 3),
        ),
        name=name,
    )  # fmt: skip
    assert found.names == ("size", "colour", "gaps")
    assert found.categorical == (1,)
    assert np.isnan(found.rows[1, 2])
    said = roles(found)
    assert said["number"] == ("ignore", "seems to number the rows")
    assert said["id"][1] == f"seems to name rows: it has {ROWS} different texts"
    assert said["one"] == ("ignore", "has one value only (7.0)")
    assert said["none"] == ("ignore", "has no values")
    assert found.files[0].rows == ROWS


def test_numbers_alone_are_one_matrix_of_floats(table):
    found = table(rows().drop(columns="colour"))
    assert found.rows.dtype == np.float64


def test_declared_categories_keep_their_text(table):
    recipe = a_recipe(columns={"categorical": ["code"]})
    found = table(rows(code=["007", "7"] * (ROWS // 2)), recipe)
    assert set(found.rows[:, 2]) == {"007", "7"}


def test_categories_that_are_numbers_in_parquet_are_named_as_in_a_csv(table):
    recipe = a_recipe(data={"files": ["rows.parquet"]}, columns={"categorical": ["code"]})
    found = table(rows(code=[1.0, 2.0] * (ROWS // 2)), recipe, "rows.parquet")
    assert set(found.rows[:, 2]) == {"1", "2"}


def test_times_are_no_numbers(table):
    frame = rows(day=[datetime.date(2026, 1, 1)] * ROWS)
    assert roles(table(frame, name="rows.parquet"))["day"] == ("ignore", "holds times")
    recipe = a_recipe(data={"files": ["rows.parquet"]}, columns={"numeric": ["day"]})
    with pytest.raises(WorkbenchError, match=r"columns\.numeric: 'day' holds times"):
        table(frame, recipe, "rows.parquet")


def test_rows_of_two_files(tmp_path):
    rows().to_csv(tmp_path / "one.csv", index=False)
    rows()[["label", "colour", "size"]].to_csv(tmp_path / "two.csv", index=False)
    recipe = a_recipe(data={"files": ["one.csv", "two.csv"]})
    found = read_table(recipe, tmp_path)
    assert np.array_equal(found.rows[:ROWS], found.rows[ROWS:])
    rows(more=1).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(
        WorkbenchError, match=r"two.csv: has other columns than .*: only one has 'more'"
    ):
        read_table(recipe, tmp_path)


@pytest.mark.parametrize(
    ("frame", "more", "message"),
    [
        (rows(), {"columns": {"numeric": ["height"]}}, r"has no column 'height'.*columns.numeric"),
        (rows(), {"columns": {"ignore": ["label"]}}, r"columns.ignore: 'label' is the label"),
        (rows(), {"data": {"files": ["rows.csv"], "label": "y"}}, r"has no column 'y'"),
        (rows(), {"columns": {"numeric": ["colour"]}}, r"row 1: column 'colour': .* is no number"),
        (
            rows(one=3),
            {"columns": {"numeric": ["one"]}},
            r"columns.numeric: 'one' has one value only \(3.0\), so nothing can be learned",
        ),
        (rows(label="a"), {}, r"all 120 rows are of class 'a'"),
        (
            rows(label=["a", "b"] * 59 + ["a", None]),
            {},
            r"row 120: column 'label' is empty: every row needs its true class",
        ),
        (rows(label=["a", "c"] * 60), {}, r"row 2: column 'label': 'c' is none of the recipe's"),
        (
            rows(),
            {"classes": {"a": "x", "b": "y", "c": "z"}},
            r"classes.c: no row is of this class",
        ),
        (rows().assign(colour="red", size=1), {}, r"no column is left to learn from"),
        (rows()[:0], {}, r"has no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from(table, frame, more, message):
    with pytest.raises(WorkbenchError, match=message):
        table(frame, a_recipe(**more))
