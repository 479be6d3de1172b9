"""What it costs to read a request and to write its answer, without model, receipt or transport.

The shortest of many short rounds: on a machine with other work the mean says little.
"""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from sklearn.datasets import load_breast_cancer

from assay_server.protocol import Answer, Formatter, Parser, Query, Scored, Signature

ROUNDS = 200
FEATURES = 30
ROWS = load_breast_cancer().data
NAMES = tuple(load_breast_cancer().feature_names)


def body(rows: np.ndarray, datatype: str = "FP64", **more: object) -> bytes:
    """Return a JSON request with flat data."""
    data = rows.ravel().tolist()
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


def columns(row: np.ndarray) -> bytes:
    """Return a JSON request with one tensor per column."""
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
        for name, value in zip(NAMES, row.tolist(), strict=True)
    ]
    return json.dumps({"inputs": tensors}).encode()


def raw(rows: np.ndarray) -> tuple[bytes, int]:
    """Return a request with a raw tensor, and the length of its JSON."""
    parameters = {"binary_data_size": rows.nbytes}
    shape = list(rows.shape)
    tensor = {"name": "x", "shape": shape, "datatype": "FP64", "parameters": parameters}
    wish = {"binary_data_output": True}
    head = json.dumps({"inputs": [tensor], "parameters": wish}).encode()
    return head + rows.tobytes(), len(head)


def alone(formatter: Formatter, query: Query, scores: Scored, receipt: str) -> Answer:
    """Write the answer to a query of one row that was scored alone."""
    [body] = formatter.one_by_one(query.outputs.names, scores, [receipt])
    return formatter.ended(body, query)


def together(formatter: Formatter, query: Query, scores: Scored, receipt: str) -> list[Answer]:
    """Write the answers to queries of one row each that were scored together."""
    receipts = [receipt] * len(scores.predicted)
    bodies = formatter.one_by_one(query.outputs.names, scores, receipts)
    return [formatter.ended(body, query) for body in bodies]


def shortest(call: Callable[[], object], times: int) -> float:
    """Return the microseconds of one call."""
    found = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            call()
        found = min(found, (time.perf_counter() - start) / times)
    return found * 1e6


def main() -> None:
    """Print the table."""
    model = Signature("m", "1", ("0", "1"), integers=(0, 1), features=FEATURES, feature_names=NAMES)
    parser, formatter = Parser(model), Formatter(model)
    one, many = ROWS[:1], np.resize(ROWS, (1000, FEATURES))
    digits = np.random.default_rng(0).normal(size=(1, FEATURES))
    answer = SimpleNamespace(
        predicted=np.array([1]),
        probabilities=np.array([[0.0123456789012345, 0.9876543210987655]]),
        decisions=None,
    )
    batch, answers = (
        SimpleNamespace(
            predicted=np.ones(count, dtype=np.intp),
            probabilities=np.random.default_rng(0).dirichlet((1, 1), count),
            decisions=None,
        )
        for count in (32, 1000)
    )
    receipt = "a3." + "x" * 150
    plain, in_raw = body(one), raw(one)
    query, raw_query = parser.parse(plain), parser.parse(*in_raw)
    cases: list[tuple[str, int, Callable[[], object]]] = [
        ("read one row", 500, lambda: parser.parse(plain)),
        *(
            (f"read one row, {what}", 500, lambda content=content: parser.parse(*content))
            for what, content in (
                ("17 digits", (body(digits),)),
                ("id and outputs", (body(one, id="42", outputs=[{"name": "predict"}]),)),
                ("FP32", (body(one, "FP32"),)),
                ("INT64", (body(one.astype(np.int64), "INT64"),)),
                ("raw", in_raw),
                ("30 named columns", (columns(ROWS[0]),)),
            )
        ),
        ("write one row", 500, lambda: alone(formatter, query, answer, receipt)),
        ("write 32 queries of one row", 30, lambda: together(formatter, query, batch, receipt)),
        ("write one row, raw", 500, lambda: formatter.format(raw_query, answer, [receipt])),
        *(
            (f"read 1000 rows{what}", 3, lambda content=content: parser.parse(*content))
            for what, content in (("", (body(many),)), (", raw", raw(many)))
        ),
        ("write 1000 rows", 3, lambda: formatter.format(query, answers, [receipt] * 1000)),
    ]
    for name, times, call in cases:
        print(f"{name:32}{shortest(call, times):10.2f} us")


if __name__ == "__main__":
    main()
