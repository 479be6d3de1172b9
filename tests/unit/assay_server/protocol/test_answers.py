"""Infer answers: every digit, every output, JSON and raw bytes, and back again."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.protocol import Formatter, Parser, Query, Selection

from .builders import CODES, body, raw_text, scores, signature, tensor

EVERYTHING = ("predict", "predict_proba", "receipt")
finite = st.floats(allow_nan=False, allow_infinity=False)


def query(names=EVERYTHING, binary=(), name=None) -> Query:
    return Query(np.zeros((1, 2)), name, Selection(frozenset(names), frozenset(binary)))


def read(answer) -> dict[str, dict]:
    """Return the output tensors by name as a client sees them; raw ones get their `data`."""
    end = len(answer.body) if answer.json_length is None else answer.json_length
    document = json.loads(answer.body[:end])
    assert document["model_name"] == "m"
    assert document["model_version"] == "1"
    raw = answer.body[end:]
    tensors = {}
    for output in document["outputs"]:
        tensors[output["name"]] = output
        if "data" in output:
            continue
        size = output["parameters"]["binary_data_size"]
        content, raw = raw[:size], raw[size:]
        if output["datatype"] == "BYTES":
            texts = []
            while content:
                length = int.from_bytes(content[:4], "little")
                texts.append(content[4 : 4 + length].decode())
                content = content[4 + length :]
            output["data"] = texts
        else:
            output["data"] = np.frombuffer(content, CODES[output["datatype"]]).tolist()
    assert raw == b""
    return tensors


@pytest.mark.parametrize("binary", [(), ("predict",), ("predict_proba", "receipt"), EVERYTHING])
@given(st.data())
def test_every_digit_of_every_score_arrives(binary, data):
    model = signature(2)
    count = data.draw(st.integers(1, 5))
    predicted = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    flat = data.draw(st.lists(finite, min_size=2 * count, max_size=2 * count))
    receipts = [f"a3.{number}.x-_" for number in range(count)]
    scored = scores(predicted, np.reshape(flat, (count, 2)))
    answer = Formatter(model).format(query(binary=binary), scored, receipts)
    outputs = read(answer)
    assert list(outputs) == list(EVERYTHING)
    assert {name for name in outputs if "parameters" in outputs[name]} == set(binary)
    assert outputs["predict"]["datatype"] == outputs["receipt"]["datatype"] == "BYTES"
    assert outputs["predict"]["data"] == [("no", "yes")[index] for index in predicted]
    assert outputs["predict_proba"]["shape"] == [count, 2]
    assert outputs["predict_proba"]["datatype"] == "FP64"
    # Equal as numbers, bit by bit: also the sign of zero.
    assert np.array(outputs["predict_proba"]["data"]).tobytes() == np.array(flat).tobytes()
    assert outputs["receipt"]["shape"] == outputs["predict"]["shape"] == [count]
    assert outputs["receipt"]["data"] == receipts


@given(st.data())
def test_an_answer_sent_back_as_a_request_is_the_same_matrix(data):
    width, count = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    size = width * count
    matrix = np.reshape(data.draw(st.lists(finite, min_size=size, max_size=size)), (count, width))
    model = signature(width, classes=tuple("abcd"[:width]))
    parser = Parser(model)
    scored = scores([0] * count, matrix)
    for binary in ((), ("predict_proba",)):
        asked = query(["predict_proba", "receipt"], binary)
        answer = Formatter(model).format(asked, scored, ["x"] * count)
        output = read(answer)["predict_proba"]
        back = parser.parse(body(tensor(output["data"], output["shape"], output["datatype"])))
        assert back.rows.tobytes() == matrix.tobytes()


@pytest.mark.parametrize(
    ("classes", "integers", "datatype", "values"),
    [
        (("0", "1"), (0, 1), "INT64", [1, 0]),
        (("-5", "7"), (-5, 7), "INT64", [7, -5]),
        (("nein", "jå"), None, "BYTES", ["jå", "nein"]),
        (('"', "\\"), None, "BYTES", ["\\", '"']),
    ],
)
@pytest.mark.parametrize("binary", [(), ("predict",)])
def test_labels_of_every_kind(classes, integers, datatype, values, binary):
    model = signature(2, classes=classes, integers=integers)
    scored = scores([1, 0], np.eye(2))
    output = read(Formatter(model).format(query(binary=binary), scored, ["x", "y"]))["predict"]
    assert (output["datatype"], output["shape"], output["data"]) == (datatype, [2], values)


@pytest.mark.parametrize("binary", [(), ("decision_function",)])
@pytest.mark.parametrize(("width", "shape"), [(1, [3]), (3, [3, 3])])
def test_decision_scores(width, shape, binary):
    decisions = np.arange(3.0 * width).reshape(shape) - 2.5
    model = signature(2, classes=tuple("abc"), probabilities=False, decisions=width)
    asked = query(model.outputs, binary)
    outputs = read(Formatter(model).format(asked, scores([0, 1, 2], None, decisions), ["x"] * 3))
    assert list(outputs) == ["predict", "decision_function", "receipt"]
    assert outputs["decision_function"]["shape"] == shape
    assert outputs["decision_function"]["data"] == decisions.ravel().tolist()


@pytest.mark.parametrize("names", [("receipt",), ("predict", "receipt"), EVERYTHING])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("binary", [(), ("receipt",)])
def test_only_the_outputs_asked_for_come(names, count, binary):
    scored = scores([1] * count, [[0.25, 0.75]] * count)
    answer = Formatter(signature(2)).format(query(names, binary), scored, ["x"] * count)
    assert tuple(read(answer)) == names


@given(st.none() | st.text())
def test_the_id_is_echoed(text):
    for binary in ((), EVERYTHING):
        scored = scores([1], [[0.25, 0.75]])
        answer = Formatter(signature(2)).format(query(binary=binary, name=text), scored, ["x"])
        document = json.loads(answer.body[: answer.json_length])
        assert document.get("id") == text
        assert ("id" in document) == (text is not None)


def test_names_that_json_must_escape():
    model = signature(2, model='a"b', version="\\1")
    for binary in ((), EVERYTHING):
        scored = scores([1], [[0.25, 0.75]])
        answer = Formatter(model).format(query(binary=binary), scored, ["x"])
        document = json.loads(answer.body[: answer.json_length])
        assert (document["model_name"], document["model_version"]) == ('a"b', "\\1")


def test_raw_texts_are_spelled_as_the_extension_says():
    answer = Formatter(signature(2)).format(
        query(["predict", "receipt"], ["predict", "receipt"]),
        scores([1, 0], np.eye(2)),
        ["r", "s"],
    )
    assert answer.body[answer.json_length :] == raw_text("yes", "no") + raw_text("r", "s")


@pytest.mark.parametrize("names", [("receipt",), ("predict_proba", "receipt"), EVERYTHING])
@given(st.data())
def test_rows_written_together_are_what_each_would_be_alone(names, data):
    formatter = Formatter(signature(2, classes=("50%", "%s"), model="100%b"))
    count = data.draw(st.integers(1, 4))
    flat = data.draw(st.lists(finite, min_size=2 * count, max_size=2 * count))
    predicted = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    probabilities = np.reshape(flat, (count, 2))
    receipts = [f"a3.{number}" for number in range(count)]
    together = formatter.one_by_one(frozenset(names), scores(predicted, probabilities), receipts)
    for row, body_so_far in enumerate(together):
        asked = query(names, name=data.draw(st.none() | st.text()))
        one = scores(predicted[row : row + 1], probabilities[row : row + 1])
        alone = formatter.format(asked, one, receipts[row : row + 1])
        assert formatter.ended(body_so_far, asked) == alone


def test_decision_scores_written_together():
    for width, rows in ((1, [0.5, -1.5]), (3, [[0.5, -1.0, 2.0], [1e-9, 0.0, 3.0]])):
        model = signature(2, classes=tuple("abc"), probabilities=False, decisions=width)
        formatter = Formatter(model)
        for part in (rows, rows[:1]):
            asked = query(model.outputs)
            receipts = ["x"] * len(part)
            scored = scores([0] * len(part), None, part)
            together = formatter.one_by_one(asked.outputs.names, scored, receipts)
            for row, body_so_far in enumerate(together):
                alone = formatter.format(asked, scores([0], None, part[row : row + 1]), ["x"])
                assert formatter.ended(body_so_far, asked) == alone
