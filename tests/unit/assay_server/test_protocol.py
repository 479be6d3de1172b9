"""Open Inference Protocol v2: what is read, and which field an error names."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.protocol import ProtocolError, parse

OUTPUTS = frozenset({"predict", "predict_proba", "receipt"})
finite = st.floats(allow_nan=False, allow_infinity=False)


def body(data, shape, datatype="FP64", **more) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_flat_and_nested_data_are_the_same_rows(rows, columns, data):
    values = data.draw(st.lists(finite, min_size=rows * columns, max_size=rows * columns))
    expected = np.array(values).reshape(rows, columns)
    for form in (values, expected.tolist()):
        query = parse(body(form, [rows, columns]), columns, OUTPUTS)
        assert query.rows.dtype == np.float64
        assert np.array_equal(query.rows, expected)


def test_integers_are_numbers_in_every_datatype():
    for datatype in ("FP64", "FP32", "INT64"):
        assert parse(body([1, -2], [1, 2], datatype), 2, OUTPUTS).rows.tolist() == [[1.0, -2.0]]


def test_fp32_is_rounded_to_what_the_type_holds():
    rows = parse(body([0.1], [1, 1], "FP32"), 1, OUTPUTS).rows
    assert rows[0, 0] == float(np.float32(0.1)) != 0.1


def test_id_and_outputs():
    query = parse(body([1.0], [1, 1], id="a", outputs=[{"name": "predict"}]), 1, OUTPUTS)
    assert query.id == "a"
    assert query.outputs == {"predict", "receipt"}
    assert parse(body([1.0], [1, 1]), 1, OUTPUTS).outputs == OUTPUTS
    assert parse(body([1.0], [1, 1]), 1, OUTPUTS).id is None


def test_parameters_are_allowed_everywhere():
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1], "parameters": {"a": 1}}
    text = json.dumps({"inputs": [tensor], "parameters": {"b": True}}).encode()
    assert parse(text, 1, OUTPUTS).rows.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (b"", "the body is not an inference request"),
        (b"{", "the body is not an inference request"),
        (b"\xff\xfe", "the body is not an inference request"),
        (b"[]", "the body is not an inference request"),
        (b"{}", "`inputs`"),
        (b'{"inputs": []}', "inputs: one tensor of shape [rows, features] is expected, got 0"),
        (body([1.0], [1, 1], "FP16"), "inputs[0].datatype: 'FP16' is not one of FP64, FP32, INT64"),
        (body([1.0, 2.0], [2]), "inputs[0].shape: [rows, features] is expected, got [2]"),
        (body([], [0, 2]), "inputs[0].shape: [rows, features] is expected, got [0, 2]"),
        (body([1.0], [1, 1]), "inputs[0].shape: the model takes 2 features, got 1"),
        (body([1.0], [1, 2]), "inputs[0].data: shape [1, 2] needs 2 values, got 1"),
        (body([[1.0, 2.0], [3.0, 4.0]], [1, 2]), "inputs[0].data: shape [1, 2] needs 2 values"),
        (body([[1.0], [2.0]], [1, 2]), "inputs[0].data: is nested as [2, 1], shape says [1, 2]"),
        (body([[1.0], [2.0, 3.0]], [1, 2]), "inputs[0].data: rows differ in length"),
        (body(["1", "2"], [1, 2]), "inputs[0].data: Expected `float`, got `str`"),
        (body([None, 2.0], [1, 2]), "inputs[0].data: Expected `float`, got `null`"),
        (body([1.5, 2.0], [1, 2], "INT64"), "inputs[0].data: Expected `int`, got `float`"),
        (body([2**63, 1], [1, 2], "INT64"), "inputs[0].data: a value does not fit into INT64"),
        (body([1e39, 1], [1, 2], "FP32"), "inputs[0].data: a value does not fit into FP32"),
        (body([1.0, 2.0], [1, 2], outputs=[{"name": "x"}]), "outputs: 'x' is not an output"),
        (body([1.0, 2.0], [1, 2]).replace(b"1.0", b"NaN"), "the body is not"),
        (body([1.0, 2.0], [1, 2]).replace(b"1.0", b"1e999"), "inputs[0].data: "),
    ],
)
def test_an_error_names_the_field_and_the_cause(request_body, message):
    with pytest.raises(ProtocolError) as caught:
        parse(request_body, 2, OUTPUTS)
    assert message in caught.value.message
    assert caught.value.status == 400


def test_too_many_rows_is_413():
    with pytest.raises(ProtocolError, match="at most 10000 rows") as caught:
        parse(body([0] * 10_001, [10_001, 1]), 1, OUTPUTS)
    assert caught.value.status == 413


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(garbage):
    with pytest.raises(ProtocolError):
        parse(garbage, 2, OUTPUTS)
