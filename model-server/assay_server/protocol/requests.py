"""Infer requests: bytes to rows.

Almost every request is one matrix, or one row, of floats. `Parser` reads such a body in one typed
pass straight into rows, and only if everything about it is as it should be; whatever else there
is, and every error, takes the general way. Both ways give the same rows.
"""

import struct
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import msgspec
import numpy as np

from assay_server.protocol.errors import ProtocolError
from assay_server.protocol.signature import Selection, Signature
from assay_server.protocol.table import EXACT, Rows, rows_of
from assay_server.protocol.tensors import MAX_ROWS, Tensor, every

# Says where the JSON ends and raw tensors begin, in requests and in answers.
JSON_LENGTH_HEADER = "inference-header-content-length"

_float64 = np.dtype(np.float64)
_PLAIN = ("FP64", "FP32", "INT64")


class Query(msgspec.Struct, frozen=True, gc=False):
    """A parsed request: its rows, the id to echo, the outputs asked for.

    Attributes
    ----------
    given
        Rows of shape (n, d), float64, or objects if the model has categorical columns. Or the bytes
        of one row of float64: what most requests are costs no array of its own (see `gathered`).
    """

    given: Rows | bytes
    id: str | None
    outputs: Selection

    def count(self) -> int:
        """Return how many rows there are."""
        given = self.given
        return 1 if type(given) is bytes else len(given)

    @property
    def rows(self) -> Rows:
        """The rows, which may be read-only."""
        given = self.given
        return _table((given,)) if isinstance(given, bytes) else given


def gathered(queries: Sequence[Query]) -> Rows:
    """Return the rows of some queries of one model, at least one, in their order."""
    given = [query.given for query in queries]
    if {*map(type, given)} == {bytes}:
        return _table(cast("list[bytes]", given))
    return (
        np.concatenate([query.rows for query in queries]) if len(queries) > 1 else queries[0].rows
    )


def _table(rows: Sequence[bytes]) -> Rows:
    """Return rows of float64 that are all equally wide."""
    shape = len(rows), len(rows[0]) // _float64.itemsize
    return np.ndarray(shape, _float64, b"".join(rows))


# Parameters are allowed everywhere; these have a meaning, all others are passed over.
class _InputParameters(msgspec.Struct):
    binary_data_size: int | None = None
    shared_memory_region: str | None = None


_UNMARKED = (None, _InputParameters())


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class _Parameters(msgspec.Struct):
    binary_data_output: bool = False


class _Output(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: _InputParameters | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: _Parameters | None = None


class _PlainInput(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[int | float | list[int | float]]
    parameters: _InputParameters | None = None


class _PlainRequest(msgspec.Struct, gc=False):
    inputs: list[_PlainInput]
    id: str | None = None
    outputs: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()


class _Wishes(msgspec.Struct):
    outputs: list[_Output] | None = None
    parameters: _Parameters | None = None


_general = msgspec.json.Decoder(_Request)
_plain = msgspec.json.Decoder(_PlainRequest)
_wishes = msgspec.json.Decoder(_Wishes)
# Clients wish in few ways; what each amounts to is worked out once.
_KEPT_WISHES = 64
_WISH_BYTES = 1024
# What comes of data that is not what its datatype says, or not nested as its shape says.
_NOT_PLAIN = (
    *(msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    *(OverflowError, TypeError, ValueError, struct.error),
)


class Parser:
    """Reads the infer requests of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._width = 0 if signature.categorical else signature.features or 0
        self._one_row = [1, self._width]
        self._row = struct.Struct(f"{self._width}d")
        names = signature.feature_names or ()
        self._places = {name: place for place, name in enumerate(names)}
        self._selections: dict[tuple[bytes, bytes], Selection] = {}

    def parse(self, body: bytes, json_length: int | None = None) -> Query:
        """Return what the request asks.

        Parameters
        ----------
        body
            JSON, and behind it raw tensors if `json_length` is given.
        json_length
            The number in the header `Inference-Header-Content-Length`; None without the header.

        Raises
        ------
        ProtocolError
            With the field and the cause; status 413 for too many rows, else 400.
        """
        query = self.parse_plain(body) if json_length is None else None
        return query or self._parse_any(body, json_length)

    def parse_plain(self, body: bytes) -> Query | None:
        """Return what a body of JSON numbers without nulls asks; None if it is anything else.

        No header needs to be looked at before: a body with raw tensors cannot be taken for that.
        Raises ProtocolError for its outputs.
        """
        if not self._width:
            return None
        try:
            request = _plain.decode(body)
            rows = self._plain_rows(request.inputs)
            if rows is None:
                return None
            selection = self._plain_selection(request, len(rows))
        except _NOT_PLAIN:
            return None
        return Query(rows, request.id, selection)

    def _parse_any(self, body: bytes, json_length: int | None) -> Query:
        content = memoryview(body)
        raw = None
        if json_length is not None:
            if json_length > len(body):
                raise ProtocolError(
                    f"{JSON_LENGTH_HEADER}: {json_length} of a body of {len(body)} bytes"
                )
            content, raw = content[:json_length], content[json_length:]
        try:
            request = _general.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"the body is not an inference request: {error}") from None
        except RecursionError:
            message = "the body is not an inference request: it is nested too deeply"
            raise ProtocolError(message) from None
        if not request.inputs:
            raise ProtocolError("inputs: a tensor of shape [rows, features] is expected, got none")
        rows = None if raw is None else self._plain_raw(request.inputs, raw)
        if rows is None:
            rows = rows_of(_tensors(request.inputs, raw), self._signature)
        selection = self._selection(request)
        self._signature.check_rows(selection, len(rows))
        return Query(rows, request.id, selection)

    def _plain_rows(self, inputs: Sequence[_PlainInput]) -> Rows | bytes | None:
        """Return numbers without nulls as rows; None, or `_NOT_PLAIN`, if they are not that."""
        if len(inputs) != 1:
            return self._plain_columns(inputs)
        tensor = inputs[0]
        if tensor.datatype not in _PLAIN or tensor.parameters not in _UNMARKED:
            return None
        data: Any = tensor.data
        if tensor.shape == self._one_row and tensor.datatype == "FP64":
            if len(data) == 1 and self._width > 1:
                data = data[0]
            return self._row.pack(*data)
        rows = np.array(data, None if tensor.datatype == "INT64" else _float64)
        if not self._fits(tensor.shape, rows.shape):
            return None
        rows = rows.reshape(tensor.shape)
        if tensor.datatype == "INT64":
            return _exact(rows) if rows.dtype.kind == "i" else None
        return rows if tensor.datatype == "FP64" else _single(rows)

    def _plain_columns(self, inputs: Sequence[_PlainInput]) -> Rows | None:
        if len(inputs) != self._width or len(self._places) != self._width:
            return None
        count = len(inputs[0].data)
        columns: list[Any] = [None] * self._width
        integers = False
        for tensor in inputs:
            place = self._places.get(tensor.name)
            if place is None or columns[place] is not None or tensor.parameters not in _UNMARKED:
                return None
            if tensor.shape not in ([count], [count, 1]):
                return None
            if tensor.datatype == "INT64" and set(map(type, tensor.data)) == {int}:
                integers = True
            elif tensor.datatype != "FP64":
                return None
            columns[place] = tensor.data
        table = np.array(columns, _float64)
        if table.shape != (self._width, count) or not 1 <= count <= MAX_ROWS:
            return None
        rows = np.ascontiguousarray(table.T)
        return _exact(rows) if integers else rows

    def _plain_raw(self, inputs: Sequence[_Input], raw: memoryview) -> Rows | None:
        """Return one matrix of raw FP64 without NaN as rows; None if it is anything else."""
        tensor = inputs[0]
        shape, parameters = tensor.shape, tensor.parameters
        if len(inputs) != 1 or tensor.datatype != "FP64" or tensor.data or parameters is None:
            return None
        if parameters.binary_data_size != len(raw) or parameters.shared_memory_region is not None:
            return None
        if len(shape) != 2 or shape[1] != self._width or not 1 <= shape[0] <= MAX_ROWS:
            return None
        if len(raw) != shape[0] * self._width * _float64.itemsize or not self._width:
            return None
        rows: Rows = np.ndarray(shape, _float64, raw)
        if not rows.flags.aligned:
            rows = rows.copy()
        return rows if every(np.isfinite(rows)) else None

    def _fits(self, shape: list[int], found: tuple[int, ...]) -> bool:
        """Tell whether data nested as `found` is rows of this model as `shape` says."""
        if len(shape) != 2 or shape[1] != self._width or not 1 <= shape[0] <= MAX_ROWS:
            return False
        return list(found) in (shape, [shape[0] * shape[1]])

    def _plain_selection(self, request: _PlainRequest, rows: int) -> Selection:
        """Return the outputs wanted of so many rows. Raises ProtocolError, or `_NOT_PLAIN` if they are no outputs."""
        if not request.outputs and not request.parameters:
            return self._signature.everything
        key = bytes(request.outputs), bytes(request.parameters) if request.parameters else b""
        selection = self._selections.get(key)
        if selection is None:
            outputs, parameters = (text or b"null" for text in key)
            wishes = _wishes.decode(b'{"outputs":%b,"parameters":%b}' % (outputs, parameters))
            selection = self._selection(wishes)
            if len(self._selections) < _KEPT_WISHES and sum(map(len, key)) <= _WISH_BYTES:
                self._selections[key] = selection
        self._signature.check_rows(selection, rows)
        return selection

    def _selection(self, request: _Request | _Wishes) -> Selection:
        """Return the outputs wanted; refuse parameters that would change them but cannot."""
        if request.outputs is None and request.parameters is None:
            return self._signature.everything
        wanted: list[tuple[str, bool | None]] = []
        for index, output in enumerate(request.outputs or ()):
            own = None
            if output.parameters is not None:
                own = output.parameters.binary_data
                if output.parameters.shared_memory_region is not None:
                    refuse_shared_memory(f"outputs[{index}]")
                if output.parameters.classification is not None:
                    refuse_classification(f"outputs[{index}]")
            wanted.append((output.name, own))
        binary = request.parameters is not None and request.parameters.binary_data_output
        return self._signature.select(wanted, binary=binary)


def json_length_of(header: str | None) -> int | None:
    """Read the header that says how long the JSON is. Raises ProtocolError."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= 12):
        raise ProtocolError(f"{JSON_LENGTH_HEADER}: a number of bytes is expected")
    return int(header)


def refuse_shared_memory(where: str) -> NoReturn:
    """Raise ProtocolError for a tensor that is said to be in shared memory."""
    raise ProtocolError(
        f"{where}.parameters.shared_memory_region: shared memory is not supported; send the data in"
        " the request"
    )


def refuse_classification(where: str) -> NoReturn:
    """Raise ProtocolError for an output that is wanted as Triton's `value:index:label` texts."""
    raise ProtocolError(
        f"{where}.parameters.classification: is not supported; ask for predict_proba"
    )


def _exact(rows: Rows) -> Rows | None:
    """Return integers as float64; None if one is so large that this might change it."""
    floats = rows.astype(_float64, copy=False)
    return floats if every(np.abs(floats) < EXACT) else None


def _single(rows: Rows) -> Rows | None:
    """Return what FP32 holds of the numbers; None if one does not fit."""
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32).astype(_float64)
    return rounded if every(np.isfinite(rounded)) else None


def _tensors(inputs: Sequence[_Input], raw: memoryview | None) -> list[Tensor]:
    tensors = []
    at = 0
    for index, given in enumerate(inputs):
        tensor = Tensor(index, given.name, given.shape, given.datatype)
        tensors.append(tensor)
        size = None
        if given.parameters is not None:
            if given.parameters.shared_memory_region is not None:
                refuse_shared_memory(f"inputs[{index}]")
            size = given.parameters.binary_data_size
        if size is None:
            if not given.data:
                raise tensor.error("data", "is missing")
            tensor.read_json(given.data)
            continue
        field = "parameters.binary_data_size"
        if raw is None:
            raise tensor.error(
                field, f"needs the header {JSON_LENGTH_HEADER}, which says where data begins"
            )
        if given.data:
            raise tensor.error(field, "excludes data")
        if not 0 <= size <= len(raw) - at:
            raise tensor.error(field, f"{size} bytes, but {len(raw) - at} are left in the body")
        tensor.read_bytes(raw[at : at + size])
        at += size
    if raw is not None and at != len(raw):
        raise ProtocolError(f"{len(raw) - at} bytes at the end of the body belong to no input")
    return tensors
