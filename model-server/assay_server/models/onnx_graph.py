"""What the graph of an ONNX classifier says and onnxruntime does not tell: classes, missing values."""

from typing import Any

import numpy as np

from assay_server.artifacts.onnx_file import parse_onnx

Classes = list[Any]

# Nodes that hand on labels as they are, and those that choose them from a list.
_PASSING = {"Identity", "Cast", "Reshape", "Squeeze", "Flatten", "Unsqueeze"}
_CHOOSING = {"ArrayFeatureExtractor", "Gather"}
_LABEL_LISTS = {"classlabels_int64s", "classlabels_ints", "classlabels_strings"}
_TRACKS = "nodes_missing_value_tracks_true"
# TensorProto.DataType
_INTEGERS: dict[int, np.dtype[Any]] = {6: np.dtype("<i4"), 7: np.dtype("<i8")}
_TEXT = 8


class Graph:
    """The nodes of a model by what they put out."""

    def __init__(self, content: bytes) -> None:
        graph = parse_onnx(content).graph
        self._nodes = list(graph.node)
        self._by_output = {output: node for node in self._nodes for output in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}

    def classes(self, label: str) -> Classes | None:
        """Return the classes from which the output `label` is chosen; None if that is not plain."""
        name = label.encode()
        for _ in range(len(self._nodes)):
            node = self._by_output.get(name)
            if node is None:
                return None
            listed = _listed(node)
            if listed is not None:
                return listed
            kind = node.op_type.decode()
            if kind in _CHOOSING:
                return self._constant(node.input[0])
            if kind not in _PASSING:
                return None
            name = node.input[0]
        return None

    def knows_missing(self) -> bool:
        """Tell whether a part of the model does something with missing values."""
        return any(
            node.op_type == b"Imputer" or any(_tracks(item) for item in node.attribute)
            for node in self._nodes
        )

    def _constant(self, name: bytes) -> Classes | None:
        tensor = self._constants.get(name)
        if tensor is None:
            return None
        if tensor.data_type == _TEXT:
            return [value.decode() for value in tensor.string_data]
        dtype = _INTEGERS.get(tensor.data_type)
        if dtype is None:
            return None
        if tensor.raw_data:
            return list(np.frombuffer(bytes(tensor.raw_data), dtype).tolist())
        return [*tensor.int32_data, *tensor.int64_data] or None


def _listed(node: Any) -> Classes | None:
    for item in node.attribute:
        if item.name.decode(errors="replace") in _LABEL_LISTS:
            return [text.decode() for text in item.strings] or list(item.ints)
    return None


def _tracks(attribute: Any) -> bool:
    return attribute.name == _TRACKS.encode() and any(attribute.ints)
