"""Tensors to the rows that a model takes: one matrix, or columns put in the model's order."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_server.protocol.errors import ProtocolError, quoted
from assay_server.protocol.signature import Signature
from assay_server.protocol.tensors import Tensor, every

Rows = NDArray[Any]
# Below it every integer is a float64.
EXACT = 2.0**53
_NUMERALS = frozenset("0123456789+-.eE")


def rows_of(tensors: Sequence[Tensor], signature: Signature) -> Rows:
    """Return the rows, shape (n, d): float64, or objects for a model with categorical columns.

    Numbers come as float64 and are refused if that cannot hold them. Values of categorical columns
    come as they are: text, integers, truth values. What is missing is NaN.

    Raises
    ------
    ProtocolError
        With the field, and where it is about a value, its row and column.
    """
    first = tensors[0]
    if len(tensors) > 1 or _is_column(first, signature):
        return _from_columns(_in_order(tensors, signature), signature)
    if len(first.shape) == 1 and signature.features != 1:
        raise first.error("shape", f"[rows, features] is expected, got {[*first.shape]}")
    if signature.features is not None and first.columns != signature.features:
        raise first.error(
            "shape", f"the model takes {signature.features} features, got {first.columns}"
        )
    return _from_matrix(first, signature)


def _is_column(tensor: Tensor, signature: Signature) -> bool:
    """Tell whether a lone tensor is one of several columns, the others of which were forgotten."""
    names = signature.feature_names or ()
    return len(names) > 1 and tensor.columns == 1 and tensor.name in names


def _in_order(tensors: Sequence[Tensor], signature: Signature) -> list[Tensor]:
    """Return one tensor per column of the model, in its order."""
    names = signature.feature_names
    if names is None:
        raise ProtocolError(
            f"inputs: one tensor of shape [rows, features] is expected, got {len(tensors)}: this"
            " model knows no names of columns"
        )
    columns: dict[str, Tensor] = {}
    rows = tensors[0].shape[0]
    for tensor in tensors:
        shown = quoted(tensor.name)
        if tensor.name in columns:
            raise tensor.error("name", f"column {shown} comes twice")
        if tensor.columns != 1:
            shape = [*tensor.shape]
            raise tensor.error(
                "shape", f"[rows] or [rows, 1] is expected of column {shown}, got {shape}"
            )
        if tensor.shape[0] != rows:
            raise tensor.error(
                "shape",
                f"column {shown} has {tensor.shape[0]} rows, {quoted(tensors[0].name)} has {rows}",
            )
        columns[tensor.name] = tensor
    known = set(names)
    for name, tensor in columns.items():
        if name not in known:
            raise tensor.error("name", f"the model has no column {quoted(name)}")
    missing = [name for name in names if name not in columns]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ProtocolError(f"inputs: column {quoted(missing[0])}{more} is missing")
    return [columns[name] for name in names]


def _from_columns(columns: Sequence[Tensor], signature: Signature) -> Rows:
    shape = (columns[0].shape[0], len(columns))
    rows: Rows = np.empty(shape, dtype=object if signature.categorical else np.float64)
    for index, tensor in enumerate(columns):
        column = _Column(tensor, tensor.values, signature, first=index)
        rows[:, index] = column.as_is() if index in signature.categorical else column.floats()
    return rows


def _from_matrix(tensor: Tensor, signature: Signature) -> Rows:
    width = tensor.columns
    if not signature.categorical:
        return _Column(tensor, tensor.values, signature, width=width).floats().reshape(-1, width)
    rows: Rows = np.empty((tensor.shape[0], width), dtype=object)
    for index in range(width):
        column = _Column(tensor, tensor.values[index::width], signature, first=index)
        if index in signature.categorical:
            rows[:, index] = column.as_is()
        else:
            rows[:, index] = column.floats(numerals=True)
    return rows


class _Column:
    """Flat values of one column of the model, or of `width` of them, from the `first` on."""

    __slots__ = ("_first", "_signature", "_tensor", "_values", "_width")

    def __init__(
        self,
        tensor: Tensor,
        values: NDArray[Any] | list[Any],
        signature: Signature,
        *,
        first: int = 0,
        width: int = 1,
    ) -> None:
        self._tensor = tensor
        self._values = values
        self._signature = signature
        self._first = first
        self._width = width

    def as_is(self) -> list[Any]:
        """Return the values as they are, NaN for missing ones."""
        if not isinstance(self._values, list) and self._values.dtype.kind == "f":
            self._finite(self._values)
        values = self._values if isinstance(self._values, list) else self._values.tolist()
        missing = [place for place, value in enumerate(values) if value is None or value != value]  # noqa: PLR0124 - NaN
        if missing and self._first not in self._signature.missing:
            raise self._missing(missing[0])
        for place in missing:
            values[place] = math.nan
        return values

    def floats(self, *, numerals: bool = False) -> NDArray[np.float64]:
        """Return the values as float64, each of them exact, NaN for missing ones.

        `numerals`: text counts if it spells a number, as clients have it that send a whole mixed
        table as BYTES.
        """
        values = self._values
        if isinstance(values, list):
            if self._tensor.dtype.kind == "O" and not numerals:
                raise self._fault(0, "BYTES where the model takes a number")
            numbers = [self._number(place, value) for place, value in enumerate(values)]
            return self._finite(np.array(numbers, dtype=np.float64))
        # Raw bytes may start anywhere; not every library copes with numbers that do.
        floats = values.astype(np.float64, copy=not values.flags.aligned)
        if values.dtype.kind == "f":
            return self._finite(floats)
        if values.dtype.itemsize == 8 and not every(np.abs(floats) < EXACT):
            for place in np.flatnonzero(np.abs(floats) >= EXACT).tolist():
                self._number(place, int(values[place]))
        return floats

    def _number(self, place: int, value: str | float | None) -> float:
        if value is None:
            return math.nan
        if isinstance(value, str):
            try:
                return _numeral(value)
            except ValueError:
                raise self._fault(place, "text where the model takes a number") from None
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number != value:
            raise self._fault(
                place,
                "an integer beyond 2^53 that float64, in which the model computes, cannot hold",
            )
        return number

    def _finite(self, floats: NDArray[Any]) -> NDArray[Any]:
        """Return the values if all are finite, or missing where the model takes that."""
        if every(np.isfinite(floats)):
            return floats
        if (infinite := np.isinf(floats)).any():
            raise self._fault(int(infinite.argmax()), "a number is infinite")
        allowed = self._signature.missing
        missing = np.isnan(floats).reshape(-1, self._width)
        for column in range(self._width):
            if self._first + column not in allowed and missing[:, column].any():
                row = int(missing[:, column].argmax())
                raise self._missing(row * self._width + column)
        return floats

    def _missing(self, place: int) -> ProtocolError:
        return self._fault(
            place, "a value is missing, and the model takes none that is missing there"
        )

    def _fault(self, place: int, what: str) -> ProtocolError:
        row, column = divmod(place, self._width)
        where = self._signature.column(self._first + column)
        return self._tensor.error("data", f"row {row}, {where}: {what}")


def _numeral(text: str) -> float:
    """Return the number that a text spells: decimal digits, no `nan`, no spaces.

    Raises ValueError.
    """
    if not _NUMERALS.issuperset(text):
        raise ValueError(text)
    return float(text)
