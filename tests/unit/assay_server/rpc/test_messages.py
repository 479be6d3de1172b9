"""Protobuf messages: the same rows as in JSON, the same scores, errors that name the field."""

import math

import numpy as np
import pytest
from google.protobuf import descriptor_pool
from hypothesis import given
from hypothesis import strategies as st

from assay_server.protocol import Formatter, Parser, ProtocolError, Signature
from assay_server.rpc import open_inference_pb2 as pb
from assay_server.rpc.messages import InferCodec
from tests.unit.assay_server.protocol.builders import (
    CODES,
    body,
    raw_text,
    scores,
    signature,
    tensor,
)

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
TWO = signature(2)


def codec(model: Signature) -> InferCodec:
    return InferCodec(model, Formatter(model))


def given_tensor(values, shape, datatype="FP64", name="x", field=None):
    contents = pb.InferTensorContents(**{field or FIELDS[datatype]: values})
    return pb.ModelInferRequest.InferInputTensor(
        name=name, shape=shape, datatype=datatype, contents=contents
    )


def frame(shape, datatype="FP64", name="x"):
    return pb.ModelInferRequest.InferInputTensor(name=name, shape=shape, datatype=datatype)


def request(*inputs, **more) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(**{"model_name": "m", "inputs": inputs, **more})


def refused(message, model=TWO) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        codec(model).query(message)
    return caught.value


@pytest.mark.parametrize("datatype", sorted(CODES))
@given(st.data())
def test_messages_and_json_are_the_same_rows(datatype, data):
    code = CODES[datatype]
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    if datatype == "BOOL":
        elements = st.booleans()
    elif code[-2] == "f":
        elements = st.floats(allow_nan=False, allow_infinity=False, width=8 * int(code[-1]))
    else:
        limits = np.iinfo(code)
        low, high = max(limits.min, -(2**53) + 1), min(limits.max, 2**53 - 1)
        elements = st.integers(int(low), int(high))
    size = rows * columns
    values = data.draw(st.lists(elements, min_size=size, max_size=size))
    shape = [rows, columns]
    model = signature(columns)
    expected = Parser(model).parse(body(tensor(values, shape, datatype))).rows.tolist()
    if datatype != "FP16":
        typed = request(given_tensor(values, shape, datatype))
        assert codec(model).query(typed).rows.tolist() == expected
    raw = np.array(values, code).tobytes()
    message = request(frame(shape, datatype), raw_input_contents=[raw])
    assert codec(model).query(message).rows.tolist() == expected


def test_named_columns_of_text_and_numbers():
    model = signature(2, feature_names=("age", "colour"), categorical=frozenset({1}))
    typed = request(
        given_tensor(["rød".encode(), b"blue"], [2], "BYTES", "colour"),
        given_tensor([40, 41], [2, 1], "INT32", "age"),
    )
    raw = request(
        frame([2], "BYTES", "colour"),
        frame([2, 1], "INT32", "age"),
        raw_input_contents=[raw_text("rød", "blue"), np.array([40, 41], "<i4").tobytes()],
    )
    for message in (typed, raw):
        assert codec(model).query(message).rows.tolist() == [[40.0, "rød"], [41.0, "blue"]]


def test_nan_is_a_missing_value():
    message = request(given_tensor([math.nan, 1.0], [1, 2]))
    rows = codec(signature(2, missing=frozenset({0, 1}))).query(message).rows
    assert np.isnan(rows).tolist() == [[True, False]]
    assert "row 0, column 0: a value is missing" in refused(message).message


def test_id_outputs_and_parameters():
    more = {"parameters": {"a": pb.InferParameter(int64_param=1)}}
    first = given_tensor([1, 2], [1, 2])
    first.parameters["b"].bool_param = True
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor(name="predict", **more)
    message = request(first, model_version="1", id="q", outputs=[wanted], **more)
    query = codec(TWO).query(message)
    assert query.id == "q"
    assert query.outputs.names == {"predict", "receipt"}
    query = codec(TWO).query(request(given_tensor([1, 2], [1, 2])))
    assert query.id is None
    assert query.outputs.names == {"predict", "predict_proba", "receipt"}


@pytest.mark.parametrize(
    ("message", "status", "text"),
    [
        (request(frame([1, 2]), model_name="x"), 404, "no such model here: this server serves 'm'"),
        (request(frame([1, 2]), model_version="2"), 404, "no such model here"),
        (request(), 400, "inputs: a tensor of shape [rows, features] is expected, got none"),
        (
            request(frame([1, 2])),
            400,
            "inputs[0].contents.fp64_contents: is missing: it holds FP64",
        ),
        (
            request(frame([1, 2], "FP16")),
            400,
            "inputs[0].datatype: FP16 comes in raw_input_contents",
        ),
        (request(frame([1, 2], "BF16")), 400, "inputs[0].datatype: 'BF16' is not one of BOOL"),
        (request(given_tensor([1, 2], [])), 400, "inputs[0].shape: "),
        (request(given_tensor([1], [1, 2])), 400, "inputs[0].data: shape [1, 2] needs 2 values"),
        (request(given_tensor([1], [1, 1])), 400, "inputs[0].shape: the model takes 2 features"),
        (
            request(given_tensor([1, 2], [1, 2], field="fp32_contents")),
            400,
            "inputs[0].contents.fp64_contents: is missing",
        ),
        (
            request(given_tensor([1, 128], [1, 2], "INT8")),
            400,
            "inputs[0].data: row 0, column 1: does not fit into INT8",
        ),
        (
            request(given_tensor([1, 256], [1, 2], "UINT8")),
            400,
            "inputs[0].data: row 0, column 1: does not fit into UINT8",
        ),
        (
            request(given_tensor([b"\xff"], [1, 1], "BYTES")),
            400,
            "inputs[0].data: row 0, column 0: the text is not UTF-8",
        ),
        (
            request(frame([1, 2]), raw_input_contents=[b"", b""]),
            400,
            "raw_input_contents: 2 tensors for 1 inputs",
        ),
        (
            request(frame([1, 2]), raw_input_contents=[b"\0"]),
            400,
            "inputs[0].data: shape [1, 2] takes 16 bytes, got 1",
        ),
        (
            request(given_tensor([1, 2], [1, 2]), raw_input_contents=[b"\0" * 16]),
            400,
            "inputs[0].contents: excludes raw_input_contents",
        ),
        (request(frame([10_001, 2])), 413, "at most 10000 rows in one request, got 10001"),
    ],
)
def test_an_error_names_the_field_and_the_cause(message, status, text):
    error = refused(message)
    assert text in error.message
    assert error.status == status


def test_what_is_not_supported_is_refused_not_passed_over():
    shared = frame([1, 2])
    shared.parameters["shared_memory_region"].string_param = "r"
    assert "shared memory is not supported" in refused(request(shared)).message
    for name in ("shared_memory_region", "classification"):
        wanted = pb.ModelInferRequest.InferRequestedOutputTensor(name="predict")
        wanted.parameters[name].string_param = "2"
        message = request(given_tensor([1, 2], [1, 2]), outputs=[wanted])
        assert f"outputs[0].parameters.{name}" in refused(message).message


@given(st.data())
def test_answers_keep_every_digit(data):
    count = data.draw(st.integers(1, 4))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    flat = data.draw(st.lists(finite, min_size=2 * count, max_size=2 * count))
    scored = scores([1] * count, np.reshape(flat, (count, 2)))
    receipts = [f"a3.{number}" for number in range(count)]
    model = signature(2, classes=("0", "7"), integers=(0, 7))
    zeros = [0.0] * 2 * count
    typed = codec(model).query(request(given_tensor(zeros, [count, 2]), id="q"))
    response = codec(model).response(typed, scored, receipts)
    assert (response.model_name, response.model_version, response.id) == ("m", "1", "q")
    predict, probabilities, receipt = response.outputs
    assert [output.name for output in response.outputs] == ["predict", "predict_proba", "receipt"]
    assert (predict.datatype, [*predict.shape]) == ("INT64", [count])
    assert [*predict.contents.int64_contents] == [7] * count
    assert [*probabilities.shape] == [count, 2]
    assert np.array(probabilities.contents.fp64_contents).tobytes() == np.array(flat).tobytes()
    assert [*receipt.contents.bytes_contents] == [text.encode() for text in receipts]
    assert not response.raw_output_contents

    raw = request(frame([count, 2]), raw_input_contents=[np.array(zeros).tobytes()])
    response = codec(model).response(codec(model).query(raw), scored, receipts)
    assert not any(output.HasField("contents") for output in response.outputs)
    labels, numbers, texts = response.raw_output_contents
    assert np.frombuffer(labels, "<i8").tolist() == [7] * count
    assert numbers == np.array(flat).tobytes()
    assert texts == raw_text(*receipts)


def test_decision_scores_and_text_labels():
    model = signature(2, probabilities=False, decisions=1)
    query = codec(model).query(request(given_tensor([0, 0], [1, 2])))
    response = codec(model).response(query, scores([1], None, [-0.5]), ["x"])
    assert [output.name for output in response.outputs] == [
        "predict",
        "decision_function",
        "receipt",
    ]
    assert [*response.outputs[0].contents.bytes_contents] == [b"yes"]
    assert [*response.outputs[1].contents.fp64_contents] == [-0.5]


def fields(message) -> dict:
    """Return what is on the wire of a message: numbers, types and names, nested ones by name."""
    return {
        field.number: (
            field.name,
            field.type,
            field.is_repeated,
            field.message_type.full_name if field.message_type else None,
        )
        for field in message.fields
    }


def test_messages_are_those_of_other_peoples_clients():
    """Field by field as in the client that NVIDIA publishes, which has more calls than we do."""
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.DESCRIPTOR.pool
    ours = pb.DESCRIPTOR
    service = theirs.FindServiceByName("inference.GRPCInferenceService")
    for method in ours.services_by_name["GRPCInferenceService"].methods:
        other = service.methods_by_name[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name
        assert not other.client_streaming
        assert not other.server_streaming
    waiting = list(ours.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_types)
        found = fields(message)
        if message.full_name == "inference.ModelMetadataResponse":
            # Of the Open Inference Protocol, and not in Triton.
            assert found.pop(6)[:2] == ("properties", 11)
        if message.full_name == "inference.ModelMetadataResponse.PropertiesEntry":
            continue
        assert found == fields(theirs.FindMessageTypeByName(message.full_name))


def test_they_live_beside_other_peoples_of_the_same_name():
    assert pb.DESCRIPTOR.pool is not descriptor_pool.Default()
