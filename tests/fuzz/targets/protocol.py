"""Infer requests: parsed, scored, answered; the fast way to rows against the general one.

An input is a byte that chooses the model (its first bit: with the header that says where raw
tensors begin), three bytes of that header, and the body.
"""

import json
import warnings
from typing import Any

import msgspec
import numpy as np

from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.models import Scorer, configure_sklearn
from assay_server.protocol import Answer, ProtocolError, Query, error_body
from assay_server.receipts import NO_STRATUM, Issuer
from tests.fuzz import subjects
from tests.fuzz.targets import WrongError

_HAS_HEADER = 0x80
_HEAD = 4


def _predictor(model: Any) -> Predictor:
    scorer = Scorer(model)
    issuer = Issuer(
        KeyRing({"k1": subjects.SECRET}, "k1", salt=subjects.SALT),
        namespace=subjects.NAMESPACE,
        deployment=subjects.DEPLOYMENT,
        member=subjects.MEMBER,
        revision="r1",
        classes=receipt_classes(scorer),
    )
    return Predictor(scorer, issuer, subjects.DEPLOYMENT, subjects.VERSION)


class Target:
    """Everything between the bytes of a request and those of its answer."""

    max_bytes = 8192
    words = (
        *('"inputs"', '"outputs"', '"parameters"', '"name"', '"shape"', '"datatype"', '"data"'),
        *('"id"', '"binary_data"', '"binary_data_size"', '"binary_data_output"', "null", "1e308"),
        *('"FP64"', '"FP32"', '"FP16"', '"INT64"', '"UINT8"', '"BOOL"', '"BYTES"', "true"),
        *('"classification"', '"shared_memory_region"', '"predict"', '"predict_proba"', "-0.0"),
        *("9007199254740993", "18446744073709551616", '"age"', '"colour"', '"red"', "\\ud800"),
    )

    def __init__(self) -> None:
        warnings.simplefilter("ignore")
        configure_sklearn()
        models = (subjects.binary(), subjects.animals(), subjects.people())
        self._predictors = [_predictor(model) for model in models]

    def seeds(self) -> list[bytes]:
        """Return requests of every shape."""
        one = {"name": "x", "shape": [1, 3], "datatype": "FP64"}
        row = [0.5, -1.0, 2.0]
        bodies: list[tuple[int, dict[str, Any]]] = [
            (0, {"inputs": [{**one, "data": row}]}),
            (0, {"inputs": [{**one, "data": [row, row], "shape": [2, 3]}], "id": "7"}),
            (0, {"inputs": [{**one, "datatype": "INT64", "data": [1, 2, 3]}]}),
            (0, {"inputs": [{**one, "datatype": "FP32", "data": [None, 1, 2.5]}]}),
            (0, {"inputs": [{**one, "datatype": "BOOL", "data": [True, False, True]}]}),
            (1, {"inputs": [{**one, "shape": [1, 2], "data": [1, 2]}], "outputs": [{"name": "predict"}]}),
            (2, {"inputs": [{**one, "datatype": "BYTES", "shape": [1, 2], "data": [0.5, "red"]}]}),
            (
                2,
                {
                    "inputs": [
                        {"name": "colour", "shape": [2], "datatype": "BYTES", "data": ["red", None]},
                        {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [1.5, -2]},
                    ],
                    "parameters": {"binary_data_output": True},
                },
            ),
        ]  # fmt: skip
        plain = [bytes([model, 0, 0, 0]) + json.dumps(body).encode() for model, body in bodies]
        return [*plain, *self._raw()]

    def _raw(self) -> list[bytes]:
        """Return requests with raw tensors."""
        found = []
        texts = b"\3\0\0\0red\5\0\0\0gr\xc3\xbcn"
        for model, name, shape, datatype, raw in (
            (0, "x", [2, 3], "FP64", subjects.rows(3, 2).tobytes()),
            (0, "x", [1, 3], "FP16", np.ones(3, "<f2").tobytes()),
            (1, "x", [1, 2], "UINT8", b"\1\2"),
            (2, "colour", [2], "BYTES", texts),
        ):
            parameters = {"binary_data_size": len(raw)}
            tensor = {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}
            inputs: list[dict[str, Any]] = [tensor]
            if model == 2:
                inputs += [{"name": "age", "shape": [2], "datatype": "FP64", "data": [1, 2]}]
            text = json.dumps({"inputs": inputs}).encode()
            head = bytes([model | _HAS_HEADER]) + len(text).to_bytes(_HEAD - 1)
            found.append(head + text + raw)
        return found

    def __call__(self, data: bytes) -> None:
        """Answer one request."""
        if len(data) < _HEAD:
            return
        predictor = self._predictors[(data[0] & ~_HAS_HEADER) % len(self._predictors)]
        body = data[_HEAD:]
        length = int.from_bytes(data[1:_HEAD]) if data[0] & _HAS_HEADER else None
        try:
            query = predictor.parser.parse(body, length)
            _check_rows(predictor, query, body, length)
            prediction = predictor.predict(query, NO_STRATUM, subjects.NOW)
            _check_answer(query, predictor.format(query, prediction))
        except ProtocolError as error:
            error_body(error.message)
            if error.status not in {400, 413}:
                raise


def _check_rows(predictor: Predictor, query: Query, body: bytes, length: int | None) -> None:
    if length is not None:
        return
    general = predictor.parser._parse_any(body, None)
    if general.rows.tolist() != query.rows.tolist() and not np.array_equal(
        general.rows.astype(float), query.rows.astype(float), equal_nan=True
    ):
        raise WrongError("the two ways to rows differ")
    if (general.id, general.outputs) != (query.id, query.outputs):
        raise WrongError("the two ways to id and outputs differ")


def _check_answer(query: Query, answer: Answer) -> None:
    document = msgspec.json.decode(answer.body[: answer.json_length])
    for output in document["outputs"]:
        if output["shape"][0] != len(query.rows):
            raise WrongError("an output has another number of rows than the request")
    if "receipt" not in {output["name"] for output in document["outputs"]}:
        raise WrongError("there is no receipt")
