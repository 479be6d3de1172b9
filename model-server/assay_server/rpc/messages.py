"""Protobuf messages to queries, predictions and metadata to protobuf messages."""

from collections.abc import Sequence

from assay_server.protocol import Formatter, ProtocolError, Query, Scored, Signature
from assay_server.protocol.metadata import (
    model_metadata,
    repository_index,
    server_metadata,
    unknown_model,
)
from assay_server.protocol.requests import refuse_classification, refuse_shared_memory
from assay_server.protocol.table import rows_of
from assay_server.protocol.tensors import Tensor
from assay_server.rpc import open_inference_pb2 as pb

# The field of InferTensorContents that holds a datatype.
_CONTENTS = {
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


class InferCodec:
    """Reads and writes the infer messages of one model."""

    def __init__(self, signature: Signature, formatter: Formatter) -> None:
        self._signature = signature
        self._formatter = formatter

    def query(self, request: pb.ModelInferRequest) -> Query:
        """Return what a request asks. Raises ProtocolError."""
        check_model(self._signature, request.model_name, request.model_version)
        if not request.inputs:
            raise ProtocolError("inputs: a tensor of shape [rows, features] is expected, got none")
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise ProtocolError(
                f"raw_input_contents: {len(raw)} tensors for {len(request.inputs)} inputs"
            )
        tensors = []
        for index, given in enumerate(request.inputs):
            if "shared_memory_region" in given.parameters:
                refuse_shared_memory(f"inputs[{index}]")
            tensor = Tensor(index, given.name, [*given.shape], given.datatype)
            if raw:
                if given.HasField("contents"):
                    raise tensor.error("contents", "excludes raw_input_contents")
                tensor.read_bytes(memoryview(raw[index]))
            else:
                _read_contents(tensor, given.contents)
            tensors.append(tensor)
        for index, output in enumerate(request.outputs):
            if "shared_memory_region" in output.parameters:
                refuse_shared_memory(f"outputs[{index}]")
            if "classification" in output.parameters:
                refuse_classification(f"outputs[{index}]")
        wanted = [(output.name, None) for output in request.outputs]
        # Raw in, raw out: clients that can make raw tensors can read them.
        outputs = self._signature.select(wanted, binary=bool(raw))
        rows = rows_of(tensors, self._signature)
        self._signature.check_rows(outputs, len(rows))
        return Query(rows, request.id or None, outputs)

    def response(
        self, query: Query, scores: Scored, receipts: Sequence[str]
    ) -> pb.ModelInferResponse:
        """Return the answer to a query; there is one receipt per row."""
        response = pb.ModelInferResponse(
            model_name=self._signature.model,
            model_version=self._signature.version,
            id=query.id or "",
        )
        for output in self._formatter.outputs(query, scores, receipts):
            tensor = response.outputs.add(
                name=output.name, datatype=output.datatype, shape=output.shape
            )
            if query.outputs.binary:
                response.raw_output_contents.append(output.raw())
            elif output.datatype == "BYTES":
                tensor.contents.bytes_contents.extend(text.encode() for text in output.data())
            else:
                getattr(tensor.contents, _CONTENTS[output.datatype]).extend(output.data())
        return response


def check_model(signature: Signature, name: str, version: str) -> None:
    """Raise ProtocolError, status 404, if a message is about another model or version."""
    if name != signature.model or version not in {"", signature.version}:
        raise unknown_model(signature)


def server_metadata_message() -> pb.ServerMetadataResponse:
    """Return the server metadata."""
    return pb.ServerMetadataResponse(**server_metadata())


def model_metadata_message(signature: Signature) -> pb.ModelMetadataResponse:
    """Return the model metadata."""
    return pb.ModelMetadataResponse(**model_metadata(signature))


def index_message(
    signature: Signature, request: pb.RepositoryIndexRequest, *, serving: bool
) -> pb.RepositoryIndexResponse:
    """Return the repository index: one model, or none if only ready ones are asked for."""
    entries = repository_index(signature, serving=serving, only_ready=request.ready)
    return pb.RepositoryIndexResponse(models=entries)


def _read_contents(tensor: Tensor, contents: pb.InferTensorContents) -> None:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise tensor.error("datatype", f"{tensor.datatype} comes in raw_input_contents only")
    values = getattr(contents, field)
    if not values:
        raise tensor.error(f"contents.{field}", f"is missing: it holds {tensor.datatype}")
    tensor.read_contents(list(values))
