"""Categories to numbers by dictionary: what encoders come down to.

A lookup is learned by asking the fitted encoder about every category it knows, about one that it
does not know, and about a missing one. Dropped, infrequent and unknown categories then need no
rules of their own here.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from assay_server.models.compiled.steps import CannotCompileError
from assay_server.models.scores import Rows

# More are left to scikit-learn.
_MOST_CATEGORIES = 50_000
_UNKNOWN_TEXT = "\0no category"

Entry = float | int
Answers = Callable[[Any, int, int], Entry]
"""(the encoder's output, row, column of the input) to the entry."""


class UnknownCategoryError(ValueError):
    """A category that the model refuses."""


class Lookup:
    """Entries by category; `missing` is NaN's, `unknown` any other's, None for a refusal."""

    __slots__ = ("_known", "_missing", "_unknown")

    def __init__(
        self, known: dict[Hashable, Entry], missing: Entry | None, unknown: Entry | None
    ) -> None:
        self._known = known
        self._missing = missing
        self._unknown = unknown

    def entries(self, values: list[Any]) -> list[Entry]:
        """Return one entry per value. Raises UnknownCategoryError."""
        known = self._known
        try:
            return [known[value] for value in values]
        except KeyError:
            return [self._entry(value) for value in values]

    def filled(self, missing: object, value: object) -> "Lookup":
        """Return a lookup that takes `missing` for `value`, as an imputer before it does."""
        entry = self._entry(value)
        if is_nan(missing):
            return Lookup(self._known, entry, self._unknown)
        return Lookup({**self._known, missing: entry}, self._missing, self._unknown)

    def _entry(self, value: Any) -> Entry:
        entry = self._missing if is_nan(value) else self._known.get(value, self._unknown)
        if entry is None:
            raise UnknownCategoryError("a category is not known to the model")
        return entry


def learned(encoder: Any, answers: Answers, *, objects: bool) -> list[Lookup]:
    """Return one lookup per column of a fitted encoder.

    `objects` says that rows are objects, not numbers. Raises CannotCompileError.
    """
    categories = [column.tolist() for column in encoder.categories_]
    if sum(map(len, categories)) > _MOST_CATEGORIES or not all(categories):
        raise CannotCompileError(f"{type(encoder).__name__}: too many categories, or none")
    usual = [values[0] for values in categories]
    lookups = []
    for column, values in enumerate(categories):
        output = encoder.transform(_rows(usual, column, values, objects=objects))
        entries = [answers(output, row, column) for row in range(len(values))]
        known = {value: entry for value, entry in zip(values, entries, strict=True)}  # noqa: C416 - NaN is its own key
        missing = next((known.pop(value) for value in values if is_nan(value)), None)
        unknown = _asked(encoder, answers, usual, column, _unknown(values), objects=objects)
        if missing is None:
            missing = _asked(encoder, answers, usual, column, math.nan, objects=objects)
        lookups.append(Lookup(known, missing, unknown))
    return lookups


def one_hot_answers(widths: Sequence[int]) -> Answers:
    """Return how to read a one-hot encoder: the output column that is 1.

    None is 1 for dropped and ignored categories; their entry is the width of the whole output.
    """
    starts = np.cumsum([0, *widths]).tolist()

    def answer(output: Any, row: int, column: int) -> int:
        line = sparse.csr_array(output[row : row + 1])
        places = [
            int(place)
            for place, value in zip(line.indices, line.data, strict=True)
            if starts[column] <= place < starts[column + 1] and value
        ]
        if len(places) > 1 or any(value != 1.0 for value in line.data):
            raise CannotCompileError("an encoder with more than one 1 for a category")
        return places[0] if places else int(starts[-1])

    return answer


def ordinal_answer(output: Any, row: int, column: int) -> float:
    """Read an encoder with one number per category."""
    return float(output[row, column])


def is_nan(value: object) -> bool:
    """Tell whether a value of any type is NaN."""
    return isinstance(value, float) and math.isnan(value)


def _asked(
    encoder: Any, answers: Answers, usual: list[Any], column: int, value: Any, *, objects: bool
) -> Entry | None:
    try:
        output = encoder.transform(_rows(usual, column, [value], objects=objects))
    except ValueError:
        return None
    return answers(output, 0, column)


def _rows(usual: list[Any], column: int, values: Iterable[Any], *, objects: bool) -> Rows:
    lines = [[*usual[:column], value, *usual[column + 1 :]] for value in values]
    return np.array(lines, dtype=object if objects else np.float64)


def _unknown(values: list[Any]) -> Any:
    numbers = [float(value) for value in values if not isinstance(value, str) and value is not None]
    if len(numbers) < len(values):
        return _UNKNOWN_TEXT
    return max((number for number in numbers if math.isfinite(number)), default=0.0) + 1.0
