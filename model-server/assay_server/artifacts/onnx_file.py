"""ONNX files: read as data before onnxruntime sees them, and refused if they point outside.

A tensor of an ONNX model may name a file in which its numbers are. Such a name could be any path of
the server, and the digest would not cover what is in it, so models with external data are refused.

The messages below are the parts of onnx.proto that say so, and those that name a classifier's
classes. The whole package `onnx` would add 20 MB to the image for them.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import IO, Any

from assay_server.artifacts.error import ArtifactError, Reason

REFERENCE = b"assay.reference"
"""The metadata property with the training data's summary (see skops_file.REFERENCE)."""

MAX_BYTES = 2**31 - 1
"""No protobuf message can be larger."""

_EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL."""

# Name, number and type of the fields by message, from onnx.proto (ONNX IR version 13). Types: i
# int64, s string (kept as bytes: it may hold anything), or the name of a message; * repeats.
_FIELDS = {
    "ModelProto": (
        "ir_version 1 i; graph 7 GraphProto; opset_import 8 OperatorSetIdProto*;"
        " metadata_props 14 StringStringEntryProto*; training_info 20 TrainingInfoProto*;"
        " functions 25 FunctionProto*"
    ),
    "OperatorSetIdProto": "domain 1 s; version 2 i",
    "StringStringEntryProto": "key 1 s; value 2 s",
    "TrainingInfoProto": "initialization 1 GraphProto; algorithm 2 GraphProto",
    "FunctionProto": "node 7 NodeProto*; attribute_proto 11 AttributeProto*",
    "GraphProto": "node 1 NodeProto*; initializer 5 TensorProto*; sparse 15 SparseTensorProto*",
    "NodeProto": "input 1 s*; output 2 s*; op_type 4 s; attribute 5 AttributeProto*",
    "AttributeProto": (
        "name 1 s; t 5 TensorProto; g 6 GraphProto; ints 8 i*; strings 9 s*;"
        " tensors 10 TensorProto*; graphs 11 GraphProto*;"
        " sparse_tensor 22 SparseTensorProto; sparse_tensors 23 SparseTensorProto*"
    ),
    "SparseTensorProto": "values 1 TensorProto; indices 2 TensorProto",
    "TensorProto": (
        "data_type 2 i; int32_data 5 i*; string_data 6 s*; int64_data 7 i*; name 8 s; raw_data 9 s;"
        " external_data 13 StringStringEntryProto*; data_location 14 i"
    ),
}


def load_onnx(file: IO[bytes]) -> tuple[bytes, bytes | None]:
    """Return the checked content of an open ONNX file, and its reference for drift, if any.

    The content is what `onnxruntime.InferenceSession` takes. Raises ArtifactError
    (UnsupportedFormat, SizeLimit).
    """
    file.seek(0)
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        message = f"an ONNX file must not be larger than {MAX_BYTES} bytes"
        raise ArtifactError(Reason.SIZE_LIMIT, message)
    model = parse_onnx(content)
    if any(tensor.external_data or tensor.data_location == _EXTERNAL for tensor in _tensors(model)):
        raise _unsupported(
            "the ONNX model keeps numbers in other files, which its digest does not cover;"
            " save it as one file (onnx.save_model with save_as_external_data=False)"
        )
    _check_opens(content, model)
    properties = {item.key: item.value for item in model.metadata_props}
    return content, properties.get(REFERENCE)


def parse_onnx(content: bytes) -> Any:
    """Return a ModelProto with the fields of `_FIELDS`. Raises ArtifactError (UnsupportedFormat)."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = _message_class().FromString(content)
    except (DecodeError, RecursionError):
        raise _unsupported("the artifact is not an ONNX file") from None
    # Almost any short run of bytes is some protobuf message, so ask for what a model must have.
    if not model.ir_version or not model.HasField("graph") or not model.opset_import:
        raise _unsupported("the artifact is not an ONNX file")
    return model


def _check_opens(content: bytes, model: Any) -> None:
    """Open the model once. It is freed again: whoever serves opens it with settings of its own."""
    import onnxruntime  # noqa: PLC0415 - 30 MB that only a server of ONNX needs

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime has a dozen kinds; its messages quote the model
        sets = ", ".join(
            f"{item.domain.decode(errors='replace') or 'ai.onnx'} {item.version}"
            for item in model.opset_import
        )
        message = (
            f"onnxruntime {onnxruntime.__version__} cannot open the model"
            f" ({type(error).__name__}; operator sets {sets[:200]})"
        )
        raise _unsupported(message) from None


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor of a model, in graphs within graphs and in functions too."""
    graphs = [model.graph]
    for training in model.training_info:
        graphs += (training.initialization, training.algorithm)
    nodes = [node for function in model.functions for node in function.node]
    attributes = [item for function in model.functions for item in function.attribute_proto]
    while graphs or nodes or attributes:
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            yield from graph.initializer
            yield from _parts(graph.sparse)
        elif nodes:
            attributes.extend(nodes.pop().attribute)
        else:
            attribute = attributes.pop()
            graphs += (attribute.g, *attribute.graphs)
            yield attribute.t
            yield from attribute.tensors
            yield from _parts((attribute.sparse_tensor, *attribute.sparse_tensors))


def _parts(sparse: Iterable[Any]) -> Iterator[Any]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


@functools.cache
def _message_class() -> Any:
    """Return the class of ModelProto, in a pool of its own: `onnx` may be in this process too."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="assay/onnx.proto", package="assay.onnx", syntax="proto2"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for entry in fields.split("; "):
            label, number, kind = entry.split()
            field = message.field.add(name=label, number=int(number))
            field.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind in ("i", "s"):
                field.type = kinds.TYPE_INT64 if kind == "i" else kinds.TYPE_BYTES
            else:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".assay.onnx.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("assay.onnx.ModelProto"))


def _unsupported(message: str) -> ArtifactError:
    return ArtifactError(Reason.UNSUPPORTED_FORMAT, message)
