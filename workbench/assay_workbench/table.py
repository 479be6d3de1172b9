"""The rows of a recipe in memory, as the model takes them, and the roles of their columns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay_server.models.classes import class_name
from assay_workbench.candidate import digest_of
from assay_workbench.dataset import Batch, Dataset
from assay_workbench.errors import RecipeError, WorkbenchError
from assay_workbench.recipe import Recipe
from assay_workbench.scoring import numbers, texts, whole

FEW = 50
"""Different texts that a column may always have; with more, and one in two rows its own, it names rows."""


@dataclass(frozen=True)
class File:
    """A file that was read: its name as the recipe has it, rows, and ``sha256:<hex>``."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True)
class Column:
    """A column and its role.

    Attributes
    ----------
    role
        ``numeric``, ``categorical`` or ``ignore``.
    why
        Where the role comes from.
    """

    name: str
    role: str
    why: str


@dataclass(frozen=True, eq=False)
class Table:
    """Labelled rows.

    Attributes
    ----------
    rows
        Shape (n, d): float64, or objects if there are categories; NaN where there is no value.
    names
        Of the d columns.
    categorical
        Places of the columns of names.
    labels
        Names of the true classes, shape (n,).
    columns
        All of the files but the label, those that are ignored too.
    """

    rows: NDArray[Any]
    names: tuple[str, ...]
    categorical: tuple[int, ...]
    labels: NDArray[np.str_]
    columns: tuple[Column, ...]
    files: tuple[File, ...]

    @property
    def numeric(self) -> tuple[int, ...]:
        """Places of the columns of numbers."""
        return tuple(each for each in range(len(self.names)) if each not in self.categorical)


def read_table(recipe: Recipe, folder: Path, shown: Callable[[int], object] = int) -> Table:
    """Read the files of a recipe.

    Parameters
    ----------
    folder
        That paths in the recipe are relative to.
    shown
        Called with the number of rows after each batch.

    Raises
    ------
    WorkbenchError
        For whatever is wrong with the files, their labels or the roles.
    """
    datasets = _open(recipe, folder)
    columns = _Columns(recipe, datasets[0])
    files = []
    for name, dataset in zip(recipe.data.files, datasets, strict=True):
        rows = 0
        for batch in dataset.batches(dataset.names):
            columns.take(dataset, batch)
            rows += batch.columns.num_rows
            shown(batch.columns.num_rows)
        files.append(File(name, rows, digest_of(dataset.path)))
    labels = np.array(columns.labels, dtype=np.str_)
    _check_classes(recipe, labels)
    kept = [each for each in columns.roles() if each.role != "ignore"]
    if not kept:
        raise WorkbenchError(f"{datasets[0].path}: no column is left to learn from")
    places = tuple(at for at, each in enumerate(kept) if each.role == "categorical")
    rows_of = np.empty((labels.size, len(kept)), dtype=object if places else np.float64)
    for place, each in enumerate(kept):
        rows_of[:, place] = columns.values(each)
    names = tuple(each.name for each in kept)
    return Table(rows_of, names, places, labels, tuple(columns.roles()), tuple(files))


def _open(recipe: Recipe, folder: Path) -> list[Dataset]:
    found: list[Dataset] = []
    for name in recipe.data.files:
        dataset = Dataset.open(folder / name, recipe.data.label, recipe.data.delimiter)
        if found and set(dataset.names) != set(found[0].names):
            other = sorted(set(dataset.names) ^ set(found[0].names))
            raise WorkbenchError(
                f"{dataset.path}: has other columns than {found[0].path}: only one has "
                f"{', '.join(map(repr, other))}"
            )
        found.append(dataset)
    roles = recipe.columns
    for role, names in (
        ("numeric", roles.numeric),
        ("categorical", roles.categorical),
        ("ignore", roles.ignore),
    ):
        found[0].check(names, f" (columns.{role} of the recipe names it)")
        if recipe.data.label in names:
            raise RecipeError(
                f"columns.{role}: {recipe.data.label!r} is the label, and cannot be learned from"
            )
    return found


def _check_classes(recipe: Recipe, labels: NDArray[np.str_]) -> None:
    if not labels.size:
        raise WorkbenchError(f"{recipe.data.files[0]}: has no rows")
    present = set(labels.tolist())
    if len(present) == 1:
        raise WorkbenchError(
            f"all {labels.size} rows are of class {present.pop()!r}: a model needs rows of two "
            "classes or more to learn from"
        )
    for name in recipe.classes:
        if name not in present:
            raise RecipeError(
                f"classes.{name}: no row is of this class; leave it out, or bring rows of it"
            )


class _Columns:
    """Values of all columns so far, as numbers while they are some, and as they were read."""

    def __init__(self, recipe: Recipe, first: Dataset) -> None:
        self._recipe = recipe
        self._names = [name for name in first.names if name != recipe.data.label]
        self.labels: list[str] = []
        self._known = set(recipe.classes)
        self._numbers: dict[str, list[NDArray[np.float64]] | None] = {}
        self._held: dict[str, list[pa.Array]] = {}
        self._odd: dict[str, str] = {}
        self._declared: dict[str, str] = {
            name: role
            for role in ("numeric", "categorical", "ignore")
            for name in getattr(recipe.columns, role)
        }
        for name in self._names:
            self._numbers[name] = []
            self._held[name] = []

    def take(self, dataset: Dataset, batch: Batch) -> None:
        """Take in rows of a file."""
        self.labels += _labels(dataset, batch, self._known)
        for name in self._names:
            role = self._declared.get(name)
            if role == "ignore" or name in self._odd:
                continue
            column = batch.columns.column(name)
            if odd := _odd(column.type):
                if role is not None:
                    raise RecipeError(
                        f"columns.{role}: {name!r} holds {odd} in {dataset.path}; make numbers or "
                        "names of it"
                    )
                self._odd[name] = f"holds {odd}"
                continue
            if role != "categorical":
                self._take_numbers(dataset, batch, name, declared=role is not None)
            if role != "numeric":
                self._held[name].append(column)

    def _take_numbers(self, dataset: Dataset, batch: Batch, name: str, *, declared: bool) -> None:
        held = self._numbers[name]
        if held is None:
            return
        try:
            held.append(numbers(dataset, batch, name))
        except WorkbenchError as error:
            if declared:
                raise WorkbenchError(f"{error} (columns.numeric says so)") from None
            self._numbers[name] = None

    def roles(self) -> list[Column]:
        """Return the role of each column. Raises `WorkbenchError` for one that cannot be."""
        return [self._role(name) for name in self._names]

    def values(self, column: Column) -> NDArray[Any]:
        """Return the values of a column that is not ignored."""
        if column.role == "categorical":
            return np.concatenate([texts(each) for each in self._held[column.name]])
        held = self._numbers[column.name]
        return np.concatenate([] if held is None else held)

    def _role(self, name: str) -> Column:
        declared = self._declared.get(name)
        if declared == "ignore":
            return Column(name, "ignore", "the recipe says so")
        if name in self._odd:
            return Column(name, "ignore", self._odd[name])
        role = declared or ("categorical" if self._numbers[name] is None else "numeric")
        values = self.values(Column(name, role, ""))
        useless = _useless(values, role)
        if declared is not None:
            if useless:
                raise RecipeError(
                    f"columns.{declared}: {name!r} {useless}, so nothing can be learned from it; "
                    "put it under columns.ignore"
                )
            return Column(name, role, "the recipe says so")
        useless = useless or _names_rows(values, role)
        if useless:
            return Column(name, "ignore", useless)
        return Column(name, role, "all values are numbers" if role == "numeric" else "holds texts")


def _odd(kind: pa.DataType) -> str:
    """Say what a column holds if it is neither numbers nor names."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_temporal(kind):
        return "times"
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return f"values of the type {kind}"
    return ""


def _useless(values: NDArray[Any], role: str) -> str:
    missing = values != values  # noqa: PLR0124 - NaN
    if missing.all():
        return "has no values"
    known = values[~missing]
    if (known == known[0]).all() and (role == "numeric" or not missing.any()):
        return f"has one value only ({known[0]})"
    return ""


def _names_rows(values: NDArray[Any], role: str) -> str:
    """Say why a column seems to name rows; what it teaches holds for no other row."""
    if role == "categorical":
        different = len({value for value in values.tolist() if isinstance(value, str)})
        if different > max(FEW, values.size / 2):
            return f"seems to name rows: it has {different} different texts"
        return ""
    ordered = np.sort(values)
    if values.size > FEW and (np.diff(ordered) == 1.0).all():
        return "seems to number the rows"
    return ""


def _labels(dataset: Dataset, batch: Batch, known: set[str]) -> list[str]:
    found = []
    for place, value in enumerate(batch.columns.column(dataset.label).to_pylist()):
        where = f"{dataset.path}: row {batch.first + place}: column {dataset.label!r}"
        if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
            raise WorkbenchError(
                f"{where} is empty: every row needs its true class; leave such rows out"
            )
        name = next((each for each in (class_name(value), whole(value)) if each in known), None)
        if name is None:
            raise WorkbenchError(
                f"{where}: {value!r} is none of the recipe's classes ({_some(sorted(known))}): add it "
                "to classes, or leave such rows out"
            )
        found.append(name)
    return found


def _some(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
