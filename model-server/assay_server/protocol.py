"""Open Inference Protocol v2 over REST: request bytes to rows, answers to response bytes."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MAX_ROWS = 10_000
INPUT_TYPES = ("FP64", "FP32", "INT64")
OUTPUTS = ("predict", "predict_proba", "receipt")


class ProtocolError(Exception):
    """A request that cannot be answered; the message says which field and why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Tensor(msgspec.Struct):
    """An input tensor as it arrives; `data` stays raw until the shape is known to be sane."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class Wanted(msgspec.Struct):
    """An entry of a request's `outputs`."""

    name: str


class Inference(msgspec.Struct):
    """The body of an infer request. Parameters are allowed everywhere and mean nothing here."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] | None = None


class OutputTensor(msgspec.Struct):
    """An output tensor; `data` is flat, in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class Answer(msgspec.Struct, omit_defaults=True):
    """The body of an infer response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed request: float64 rows of shape (n, d), the id to echo, the outputs asked for."""

    rows: NDArray[np.float64]
    id: str | None
    outputs: frozenset[str]


_body = msgspec.json.Decoder(Inference)
_flat_floats = msgspec.json.Decoder(list[float])
_nested_floats = msgspec.json.Decoder(list[list[float]])
_flat_ints = msgspec.json.Decoder(list[int])
_nested_ints = msgspec.json.Decoder(list[list[int]])
_encoder = msgspec.json.Encoder()


def parse(body: bytes, features: int | None, outputs: frozenset[str]) -> Query:
    """Read an infer request.

    Parameters
    ----------
    body
        JSON. One input tensor of shape [rows, features], data nested or flat.
    features
        How many features the model takes; None if it does not say.
    outputs
        What the model can give; also what a request without `outputs` gets.

    Raises
    ------
    ProtocolError
        With the field and the cause.
    """
    try:
        request = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the body is not an inference request: {error}") from None
    if len(request.inputs) != 1:
        raise ProtocolError(
            f"inputs: one tensor of shape [rows, features] is expected, got {len(request.inputs)}"
        )
    rows = _rows(request.inputs[0], features)
    wanted = outputs
    if request.outputs:
        wanted = frozenset(output.name for output in request.outputs) | {"receipt"}
        for name in sorted(wanted - outputs):
            known = ", ".join(name for name in OUTPUTS if name in outputs)
            raise ProtocolError(f"outputs: {name!r} is not an output of this model ({known})")
    return Query(rows, request.id, wanted)


def format_answer(answer: Answer) -> bytes:
    """Return the response body; floats keep every digit."""
    return _encoder.encode(answer)


def error_body(message: str, **more: object) -> bytes:
    """Return the body of an error response: `{"error": message}` and what else helps."""
    return _encoder.encode({"error": message, **more})


def _rows(tensor: Tensor, features: int | None) -> NDArray[np.float64]:
    where = "inputs[0]"
    if tensor.datatype not in INPUT_TYPES:
        known = ", ".join(INPUT_TYPES)
        raise ProtocolError(f"{where}.datatype: {tensor.datatype!r} is not one of {known}")
    if len(tensor.shape) != 2 or min(tensor.shape) < 1:
        raise ProtocolError(f"{where}.shape: [rows, features] is expected, got {tensor.shape}")
    if features is not None and tensor.shape[1] != features:
        raise ProtocolError(
            f"{where}.shape: the model takes {features} features, got {tensor.shape[1]}"
        )
    if tensor.shape[0] > MAX_ROWS:
        raise ProtocolError(
            f"{where}.shape: at most {MAX_ROWS} rows in one request, got {tensor.shape[0]}", 413
        )
    values = _values(tensor, where)
    if values.size != math.prod(tensor.shape):
        raise ProtocolError(
            f"{where}.data: shape {tensor.shape} needs {math.prod(tensor.shape)} values,"
            f" got {values.size}"
        )
    if values.ndim == 2 and list(values.shape) != tensor.shape:
        raise ProtocolError(
            f"{where}.data: is nested as {list(values.shape)}, shape says {tensor.shape}"
        )
    return values.reshape(tensor.shape)


def _values(tensor: Tensor, where: str) -> NDArray[np.float64]:
    raw = bytes(tensor.data)
    nested = raw[1:].lstrip()[:1] == b"["
    if tensor.datatype == "INT64":
        decoder: msgspec.json.Decoder[Any] = _nested_ints if nested else _flat_ints
    else:
        decoder = _nested_floats if nested else _flat_floats
    try:
        decoded = decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"{where}.data: {error}") from None
    if nested and len({len(row) for row in decoded}) > 1:
        raise ProtocolError(f"{where}.data: rows differ in length")
    try:
        if tensor.datatype == "INT64":
            return np.array(decoded, dtype=np.int64).astype(np.float64)
        values = np.array(decoded, dtype=np.float64)
    except OverflowError:
        raise ProtocolError(f"{where}.data: a value does not fit into INT64") from None
    if tensor.datatype == "FP32":
        # Rounded to what the client's type can hold, computed in double precision as in training.
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
        if not np.isfinite(values).all():
            raise ProtocolError(f"{where}.data: a value does not fit into FP32")
    return values
