"""One infer request from bytes to bytes: parse, score, sign, format. Knows no transport.

Nothing here keeps state between requests, so it may run in any thread; what must be counted is
returned and counted by the caller.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay_server.ledger.bins import fine_bin_of
from assay_server.protocol import (
    OUTPUTS,
    Answer,
    OutputTensor,
    ProtocolError,
    Query,
    format_answer,
    parse,
)
from assay_server.receipts import Issuer, Stratum
from assay_server.scoring import ModelFailedError, Scorer, Scores


@dataclass(frozen=True, slots=True)
class Inferred:
    """An answered request: the response body, its receipts, and rows per predicted class."""

    body: bytes
    receipts: list[str]
    predicted: Mapping[str, int]


def receipt_classes(scorer: Scorer) -> tuple[str, ...]:
    """Return the model's classes in the order of receipts: a binary model's positive one last."""
    if scorer.positive is None:
        return scorer.classes
    return scorer.classes[1 - scorer.positive], scorer.classes[scorer.positive]


class Predictor:
    """Answers infer requests for one loaded model."""

    def __init__(self, scorer: Scorer, issuer: Issuer, name: str, version: str) -> None:
        self._scorer = scorer
        self._issuer = issuer
        self._name = name
        self._version = version
        self._outputs = frozenset(
            output for output in OUTPUTS if output != "predict_proba" or scorer.has_probabilities
        )
        order = receipt_classes(scorer)
        self._place = np.array([order.index(name) for name in scorer.classes])
        self._values = scorer.values
        if np.issubdtype(self._values.dtype, np.floating) and np.all(self._values % 1 == 0):
            self._values = self._values.astype(np.int64)
        self._integers = np.issubdtype(self._values.dtype, np.integer)

    def infer(self, body: bytes, stratum: Stratum, now: float) -> Inferred:
        """Answer one request; `now` is in Unix seconds. Raises ProtocolError."""
        query = parse(body, self._scorer.features, self._outputs)
        try:
            scores = self._scorer.score(query.rows)
        except ModelFailedError as error:
            if error.refused_input:
                raise ProtocolError(f"inputs[0].data: {error}") from error
            raise ProtocolError(str(error), 500) from error
        receipts = self._receipts(scores, stratum, int(now))
        answer = Answer(self._name, self._version, self._tensors(query, scores, receipts), query.id)
        counts = Counter(scores.predicted.tolist())
        predicted = {self._scorer.classes[index]: count for index, count in counts.items()}
        return Inferred(format_answer(answer), receipts, predicted)

    def metadata(self) -> dict[str, object]:
        """Return the body of the model metadata response."""
        width = self._scorer.features or -1
        datatypes = {
            "predict": "INT64" if self._integers else "BYTES",
            "predict_proba": "FP64",
            "receipt": "BYTES",
        }
        shapes = {"predict": [-1], "predict_proba": [-1, len(self._scorer.classes)]}
        positive, threshold = self._scorer.positive, self._scorer.threshold
        return {
            "name": self._name,
            "versions": [self._version],
            "platform": "sklearn",
            "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, width]}],
            "outputs": [
                {"name": name, "datatype": datatypes[name], "shape": shapes.get(name, [-1])}
                for name in OUTPUTS
                if name in self._outputs
            ],
            "parameters": {
                "classes": ",".join(self._scorer.classes),
                **({} if positive is None else {"positive_label": self._scorer.classes[positive]}),
                **({} if threshold is None else {"threshold": repr(threshold)}),
            },
        }

    def _receipts(self, scores: Scores, stratum: Stratum, now: int) -> list[str]:
        positive = self._scorer.positive
        bins = None
        if positive is not None and scores.probabilities is not None:
            bins = fine_bin_of(scores.probabilities[:, positive]).tolist()
        return self._issuer.issue(stratum, self._place[scores.predicted].tolist(), bins, now)

    def _tensors(self, query: Query, scores: Scores, receipts: list[str]) -> list[OutputTensor]:
        count = len(receipts)
        tensors = []
        if "predict" in query.outputs:
            if self._integers:
                values = self._values[scores.predicted].tolist()
            else:
                values = [self._scorer.classes[index] for index in scores.predicted.tolist()]
            datatype = "INT64" if self._integers else "BYTES"
            tensors.append(OutputTensor("predict", datatype, [count], values))
        if "predict_proba" in query.outputs and scores.probabilities is not None:
            flat = scores.probabilities.ravel().tolist()
            shape = list(scores.probabilities.shape)
            tensors.append(OutputTensor("predict_proba", "FP64", shape, flat))
        tensors.append(OutputTensor("receipt", "BYTES", [count], receipts))
        return tensors
