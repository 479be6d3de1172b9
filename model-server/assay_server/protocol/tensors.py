"""Tensors as they arrive: datatypes, JSON data or raw bytes to flat values, sizes checked.

Raw bytes are little endian and row-major without padding; an element of BYTES is a uint32 length
and that many bytes (Triton's extension_binary_data, also KServe's). Both ways lead to the same
values: numpy arrays of the declared datatype for numbers, lists of Python values for text and for
what holds nulls.
"""

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from assay_server.protocol.errors import ProtocolError, quoted

MAX_ROWS = 10_000
# No body holds so many values; numbers of thousands of digits, which JSON allows, end here.
_MAX_SIZE = 2**31
_LENGTH = struct.Struct("<I")

# By name, little endian. BYTES are Python objects here.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
}

Values = NDArray[Any] | list[Any]


class Tensor:
    """An input tensor: name, shape and datatype, then its values.

    Attributes
    ----------
    index
        Its place among the inputs, for errors.
    shape
        [rows] or [rows, columns], rows from 1 to `MAX_ROWS`.
    count
        How many values that is.
    values
        Flat, row-major. Numbers: an array of the datatype, with NaN for a null among floats. BYTES,
        and integers or truth values with nulls among them: a list; null is None.

    Raises
    ------
    ProtocolError
        For a datatype or shape that cannot be rows of features; status 413 for too many rows.
    """

    __slots__ = ("count", "datatype", "dtype", "index", "name", "shape", "values")

    def __init__(self, index: int, name: str, shape: Sequence[int], datatype: str) -> None:
        self.index = index
        self.name = name
        self.shape = shape
        self.datatype = datatype
        self.values: Values = []
        dtype = DATATYPES.get(datatype)
        if dtype is None:
            known = ", ".join(DATATYPES)
            raise self.error("datatype", f"{quoted(datatype)} is not one of {known}")
        self.dtype = dtype
        if not 1 <= len(shape) <= 2 or min(shape) < 1:
            found = list(shape) if len(shape) <= 8 else f"{len(shape)} dimensions"
            raise self.error(
                "shape", f"[rows, features], or [rows] for one column, is expected, got {found}"
            )
        if max(shape) > _MAX_SIZE:
            raise self.error("shape", f"a dimension is larger than {_MAX_SIZE}", 413)
        if shape[0] > MAX_ROWS:
            raise self.error(
                "shape", f"at most {MAX_ROWS} rows in one request, got {shape[0]}", 413
            )
        self.count = math.prod(shape)

    @property
    def columns(self) -> int:
        """How many columns it has: 1 for shape [rows]."""
        return self.shape[1] if len(self.shape) == 2 else 1

    def error(self, field: str, what: str, status: int = 400) -> ProtocolError:
        """Return an error about a field of this tensor."""
        return ProtocolError(f"inputs[{self.index}].{field}: {what}", status)

    def fault(self, place: int, what: str) -> ProtocolError:
        """Return an error about the value at a flat place."""
        row, column = divmod(place, self.columns)
        where = f"row {row}, column {column}" if len(self.shape) == 2 else f"row {row}"
        return self.error("data", f"{where}: {what}")

    def sized(self, got: int) -> None:
        """Raise ProtocolError unless there are as many values as the shape says."""
        if got != self.count:
            raise self.error("data", f"shape {[*self.shape]} needs {self.count} values, got {got}")

    def read_json(self, data: msgspec.Raw) -> None:
        """Take the values from JSON, nested or flat. Raises ProtocolError."""
        decoded = self._decoded(data)
        kind = self.dtype.kind
        if kind in "iuf":
            try:
                array = np.array(decoded, dtype=np.float64 if kind == "f" else self.dtype)
            except (OverflowError, TypeError, ValueError):
                pass  # a null among integers, one beyond its type, or rows of several lengths
            else:
                if array.shape == tuple(self.shape) or array.shape == (self.count,):
                    self.values = self._rounded(array.ravel())
                    return
        values = self._flat(decoded)
        self.sized(len(values))
        self._within(values)
        if kind == "b" and None not in values:
            self.values = np.array(values, dtype=self.dtype)
        else:
            self.values = values

    def read_contents(self, values: Sequence[Any]) -> None:
        """Take the values from a list that holds them in a wider type. Raises ProtocolError."""
        self.sized(len(values))
        if self.dtype.kind == "O":
            self.values = [self.text(place, encoded) for place, encoded in enumerate(values)]
            return
        try:
            self.values = np.array(values, dtype=self.dtype)
        except OverflowError:
            self._within(list(values))
            raise

    def read_bytes(self, raw: memoryview) -> None:
        """Take the values from raw bytes; numbers are not copied. Raises ProtocolError."""
        if self.dtype.kind == "O":
            self.values = self._texts(raw)
            return
        size = self.count * self.dtype.itemsize
        if len(raw) != size:
            shape = [*self.shape]
            raise self.error("data", f"shape {shape} takes {size} bytes, got {len(raw)}")
        self.values = np.frombuffer(raw, dtype=self.dtype)
        if self.dtype.kind == "b":
            beyond = self.values.view(np.uint8) > 1
            if not every(~beyond):
                raise self.fault(int(beyond.argmax()), "a BOOL is the byte 0 or 1")

    def text(self, place: int, encoded: bytes | memoryview) -> str:
        """Return an element of BYTES as text. Raises ProtocolError if it is no UTF-8."""
        try:
            return str(encoded, "utf-8")
        except UnicodeDecodeError:
            raise self.fault(place, "the text is not UTF-8") from None

    def _texts(self, raw: memoryview) -> list[Any]:
        texts: list[Any] = []
        at = 0
        while at < len(raw) and len(texts) < self.count:
            end = at + _LENGTH.size
            if end <= len(raw):
                end += _LENGTH.unpack_from(raw, at)[0]
            if end > len(raw):
                break
            texts.append(self.text(len(texts), raw[at + _LENGTH.size : end]))
            at = end
        self.sized(len(texts))
        if at != len(raw):
            raise self.error("data", f"{len(raw) - at} bytes follow the last element")
        return texts

    def _decoded(self, data: msgspec.Raw) -> list[Any]:
        try:
            return _decoders[self.dtype.kind].decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._find_fault(data)
            raise self.error("data", str(error)) from None

    def _find_fault(self, data: msgspec.Raw) -> None:
        """Raise ProtocolError for the first value of a wrong type, if it is that."""
        try:
            decoded = _anything.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        except RecursionError:
            raise self.error("data", "is nested too deeply") from None
        if not isinstance(decoded, list):
            raise self.error("data", "an array is expected")
        right = {*_JSON_TYPES[self.dtype.kind], type(None)}
        for place, value in enumerate(self._flat(decoded)):
            if type(value) not in right:
                found = _JSON_NAMES.get(type(value), "an array or object")
                raise self.fault(place, f"{found} where {self.datatype} is declared")

    def _flat(self, data: list[Any]) -> list[Any]:
        """Return nested data in one list, if its nesting is that of the shape."""
        kinds = set(map(type, data))
        if list not in kinds:
            return data
        lengths = set(map(len, data)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            raise self.error("data", "rows differ in length")
        found = [len(data), *lengths]
        self.sized(math.prod(found))
        if found != [*self.shape]:
            raise self.error("data", f"is nested as {found}, shape says {[*self.shape]}")
        return list(itertools.chain.from_iterable(data))

    def _rounded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values as the datatype holds them. Raises ProtocolError if it cannot."""
        if self.dtype.kind != "f" or self.dtype.itemsize == 8:
            return values
        with np.errstate(over="ignore"):
            rounded = values.astype(self.dtype)
        beyond = np.isinf(rounded)
        if not every(~beyond):
            raise self.fault(int(beyond.argmax()), f"does not fit into {self.datatype}")
        return rounded

    def _within(self, values: list[Any]) -> None:
        """Raise ProtocolError for the first integer that its datatype cannot hold."""
        if self.dtype.kind not in "iu":
            return
        limits = np.iinfo(self.dtype)
        low, high = int(limits.min), int(limits.max)
        for place, value in enumerate(values):
            if value is not None and not low <= value <= high:
                raise self.fault(place, f"does not fit into {self.datatype}")


def every(mask: NDArray[np.bool_]) -> bool:
    """Return `mask.all()`, which for a few values takes longer than everything around it."""
    return b"\0" not in mask.tobytes()


def raw_texts(texts: Sequence[str]) -> bytes:
    """Return a BYTES tensor as raw bytes."""
    parts: list[bytes] = []
    for text in texts:
        encoded = text.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


# What JSON may hold where a datatype of that kind is declared. Whole numbers are floats too; BYTES
# take what a table of mixed columns holds, and each column decides.
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float, int),
    "O": (str, float, int, bool),
}
_JSON_NAMES = {bool: "a truth value", int: "an integer", float: "a number", str: "text"}

_Integers = list[int | list[int | None] | None]
_decoders: dict[str, msgspec.json.Decoder[list[Any]]] = {
    "b": msgspec.json.Decoder(list[bool | list[bool | None] | None]),
    "i": msgspec.json.Decoder(_Integers),
    "u": msgspec.json.Decoder(_Integers),
    "f": msgspec.json.Decoder(list[float | list[float | None] | None]),
    "O": msgspec.json.Decoder(
        list[str | int | float | bool | list[str | int | float | bool | None] | None]
    ),
}
_anything = msgspec.json.Decoder()
