"""values.yaml, its schema and the table in the README say the same."""

import json
import pathlib
from typing import Any

import pytest
import yaml

from tools import chart_values

CHART = pathlib.Path(__file__).parents[3] / "charts" / "assay"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

EXAMPLE = """\
# What it is.
# In two lines.
role: hub

# One.
one:
  # Two.
  two:
    a: 1
  inner:
    # Deep.
    three: [x|y]
"""


def test_a_mapping_without_comments_in_it_is_one_value() -> None:
    assert chart_values.documented(EXAMPLE) == [
        ("role", "hub", "What it is. In two lines."),
        ("one", None, "One."),
        ("one.two", {"a": 1}, "Two."),
        ("one.inner.three", ["x|y"], "Deep."),
    ]


def test_a_value_without_a_comment_is_named() -> None:
    with pytest.raises(ValueError, match=r"one\.inner has no comment"):
        chart_values.documented(EXAMPLE.replace("    # Deep.\n", ""))


def test_the_table_stands_between_its_marks() -> None:
    page = f"before\n{chart_values.BEGIN}\nold\n{chart_values.END}\nafter\n"
    found = chart_values.readme(page, EXAMPLE)
    assert "old" not in found
    assert found.startswith("before\n")
    assert found.endswith("\nafter\n")
    assert '| `role` | `"hub"` | What it is. In two lines. |' in found
    with pytest.raises(ValueError, match="needs the lines"):
        chart_values.readme("nothing", EXAMPLE)


def known(schema: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Everything that the schema knows by its path."""
    found = {}
    for name, inner in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        found[path] = inner
        found |= known(inner, f"{path}.")
    return found


def keys(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, value in values.items():
        found.add(f"{prefix}{name}")
        if isinstance(value, dict):
            found |= keys(value, f"{prefix}{name}.")
    return found


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = known(SCHEMA)
    free = {path for path, inner in schema.items() if not closed(inner)}
    inside = {path for path in keys(yaml.safe_load(VALUES)) if not under(path, free)}
    # Values that are empty by default and whose keys the schema names; `global` is Helm's own.
    open_by_default = {"policies.largestMargins", "policies.namespaceSelector", "global"}
    assert {path for path in schema if not under(path, open_by_default)} - {"global"} == {
        path for path in inside if not under(path, open_by_default)
    }


def closed(schema: dict[str, Any]) -> bool:
    """Whether it says which keys there may be."""
    return schema.get("type") != "object" or "properties" in schema


def under(path: str, parents: set[str]) -> bool:
    return any(path.startswith(f"{parent}.") for parent in parents)


def test_nothing_is_let_through_unseen() -> None:
    """Every object of the schema refuses unknown keys, or is Kubernetes' own."""
    theirs = {"resources", "nodeSelector", "affinity", "global"}
    for path, inner in known(SCHEMA).items():
        if inner.get("type") == "object" and path.rpartition(".")[2] not in theirs:
            assert "additionalProperties" in inner, path
