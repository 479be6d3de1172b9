"""Infer answers: scores and receipts to bytes.

A JSON answer is joined from fragments: what is around the values is made once per selection of
outputs, labels are encoded once, so that only scores and receipts are written per request. Floats
keep every digit.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from assay_server.protocol.requests import Query
from assay_server.protocol.signature import (
    CONTRIBUTIONS,
    DECISIONS,
    OUTPUTS,
    PREDICT,
    PROBABILITIES,
    RECEIPT,
    Signature,
)
from assay_server.protocol.tensors import DATATYPES, raw_texts

_encode = msgspec.json.Encoder().encode


class Scored(Protocol):
    """What a model answered for the n rows of one query; all scores are finite.

    Attributes
    ----------
    predicted
        Indexes of classes, shape (n,).
    probabilities
        Shape (n, K), None if the model has none.
    decisions
        Shape (n,) or (n, width), None if the model has none.
    contributions
        Shape (n, d) or (n, K, d), None if the query does not want them.
    """

    @property
    def predicted(self) -> NDArray[np.intp]: ...  # noqa: D102
    @property
    def probabilities(self) -> NDArray[np.float64] | None: ...  # noqa: D102
    @property
    def decisions(self) -> NDArray[np.float64] | None: ...  # noqa: D102
    @property
    def contributions(self) -> NDArray[np.float64] | None: ...  # noqa: D102


class Output(NamedTuple):
    """An output tensor: an array for INT64 and FP64, texts for BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | Sequence[str]

    def raw(self) -> bytes:
        """Return the values as raw bytes."""
        if not isinstance(self.values, np.ndarray):
            return raw_texts(self.values)
        return np.ascontiguousarray(self.values, DATATYPES[self.datatype]).tobytes()

    def data(self) -> list[Any]:
        """Return the values as a flat list."""
        if isinstance(self.values, np.ndarray):
            return self.values.ravel().tolist()
        return list(self.values)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The body of an answer; raw tensors follow after `json_length` bytes unless that is None."""

    body: bytes
    json_length: int | None


class Formatter:
    """Writes the answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        names = {"model_name": signature.model, "model_version": signature.version}
        self._head = _encode(names)[:-1]
        integers = signature.integers
        self._integers = None if integers is None else np.array(integers, np.int64)
        self._labels = [_encode(label) for label in (integers or signature.classes)]
        self._templates: dict[frozenset[str], bytes] = {}

    def format(self, query: Query, scores: Scored, receipts: Sequence[str]) -> Answer:
        """Return the answer to a query; there is one receipt per row."""
        if query.outputs.binary or scores.contributions is not None:
            return self._by_output(query, scores, receipts)
        labels, probabilities, decisions, tokens = self._plan(query.outputs.names, len(receipts))
        parts: list[bytes] = []
        if labels:
            found = self._labels
            parts += labels, b",".join([found[index] for index in scores.predicted.tolist()])
        if probabilities and scores.probabilities is not None:
            parts += probabilities, _encode(scores.probabilities.ravel().tolist())[1:-1]
        if decisions and scores.decisions is not None:
            parts += decisions, _encode(scores.decisions.ravel().tolist())[1:-1]
        # Receipts are base64url and points, which JSON takes as they are.
        parts += tokens, '","'.join(receipts).encode(), b'"]}]'
        parts.append(b"}" if query.id is None else b',"id":%s}' % _encode(query.id))
        return Answer(b"".join(parts), None)

    def one_by_one(
        self, names: frozenset[str], scores: Scored, receipts: Sequence[str]
    ) -> list[bytes]:
        """Return, for each of some rows, the answer in JSON to a query of that row alone.

        Written for all rows at once they cost a fraction of what they do one by one. A query that
        has an id wants that at the end (`ended`).
        """
        template = self._templates.get(names)
        if template is None:
            template = self._templates[names] = self._template(names)
        if len(receipts) == 1:
            return [template % self._lone(names, scores, receipts[0])]
        columns: list[Sequence[bytes]] = []
        if PREDICT in names:
            labels = self._labels
            columns.append([labels[index] for index in scores.predicted.tolist()])
        if PROBABILITIES in names and scores.probabilities is not None:
            columns.append(_texts(scores.probabilities))
        if DECISIONS in names and scores.decisions is not None:
            columns.append(_texts(scores.decisions))
        columns.append([receipt.encode() for receipt in receipts])
        return [template % row for row in zip(*columns, strict=True)]

    def _lone(self, names: frozenset[str], scores: Scored, receipt: str) -> tuple[bytes, ...]:
        """Return the values of one row that was scored alone, which takes half the time."""
        values: list[bytes] = []
        if PREDICT in names:
            values.append(self._labels[scores.predicted.item(0)])
        if PROBABILITIES in names and scores.probabilities is not None:
            values.append(_encode(scores.probabilities.ravel().tolist())[1:-1])
        if DECISIONS in names and scores.decisions is not None:
            values.append(_encode(scores.decisions.ravel().tolist())[1:-1])
        values.append(receipt.encode())
        return tuple(values)

    def ended(self, body: bytes, query: Query) -> Answer:
        """Return a body of `one_by_one` as the answer to a query."""
        if query.id is not None:
            body = b'%b,"id":%b}' % (body[:-1], _encode(query.id))
        return Answer(body, None)

    def _template(self, names: frozenset[str]) -> bytes:
        parts = [part.replace(b"%", b"%%") for part in self._plan(names, 1) if part]
        return b"%b".join(parts) + b'%b"]}]}'

    def outputs(self, query: Query, scores: Scored, receipts: Sequence[str]) -> Iterable[Output]:
        """Yield the output tensors that a query wants, in the order of `OUTPUTS`."""
        names = query.outputs.names
        if PREDICT in names:
            shape = scores.predicted.shape
            if self._integers is None:
                classes = self._signature.classes
                texts = [classes[index] for index in scores.predicted.tolist()]
                yield Output(PREDICT, "BYTES", shape, texts)
            else:
                yield Output(PREDICT, "INT64", shape, self._integers[scores.predicted])
        for name, values in (
            (PROBABILITIES, scores.probabilities),
            (DECISIONS, scores.decisions),
            (CONTRIBUTIONS, scores.contributions),
        ):
            if name in names and values is not None:
                yield Output(name, "FP64", values.shape, values)
        yield Output(RECEIPT, "BYTES", (len(receipts),), receipts)

    def _plan(self, names: frozenset[str], count: int) -> list[bytes]:
        """Return what comes before the values of each output; nothing for outputs left out."""
        plan: list[bytes] = []
        opening = self._head + b',"outputs":['
        closing = ""
        for name in OUTPUTS:
            if name not in names:
                plan.append(b"")
                continue
            datatype, shape = self._signature.output(name)
            sizes = ",".join(str(count if size < 0 else size) for size in shape)
            quote = '"' if name == RECEIPT else ""
            text = (
                f'{closing}{{"name":"{name}","datatype":"{datatype}","shape":[{sizes}],"data":['
                f"{quote}"
            )
            plan.append(opening + text.encode())
            opening, closing = b"", "]},"
        return plan

    def _by_output(self, query: Query, scores: Scored, receipts: Sequence[str]) -> Answer:
        """Return an answer of any outputs, of which some may follow the JSON as raw tensors."""
        tensors: list[dict[str, object]] = []
        raws = []
        for output in self.outputs(query, scores, receipts):
            tensor: dict[str, object] = {
                "name": output.name,
                "datatype": output.datatype,
                "shape": output.shape,
            }
            if output.name in query.outputs.binary:
                raw = output.raw()
                raws.append(raw)
                tensor["parameters"] = {"binary_data_size": len(raw)}
            else:
                tensor["data"] = output.data()
            tensors.append(tensor)
        answer: dict[str, object] = {"outputs": tensors}
        if query.id is not None:
            answer["id"] = query.id
        text = self._head + b"," + _encode(answer)[1:]
        return Answer(b"".join((text, *raws)), len(text) if raws else None)


def _texts(scores: NDArray[np.float64]) -> Sequence[bytes]:
    """Return the numbers of each row as JSON, without brackets."""
    if scores.ndim == 1:
        return _encode(scores.tolist())[1:-1].split(b",")
    return _encode(scores.tolist())[2:-2].split(b"],[")
