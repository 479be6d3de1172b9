"""ONNX classifiers by onnxruntime, in the calling thread.

A classifier has an output of labels, one per row, and one of scores: a matrix, or a dictionary per
row as skl2onnx's `zipmap` makes it. Its classes come from the metadata property `assay.classes` (a
JSON array), else from the graph, else from the dictionaries. The names of columns come from
`assay.feature_names`, or from the inputs if there is one per column.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from assay_server.models.classes import class_name
from assay_server.models.columns import Columns
from assay_server.models.engines import Opened
from assay_server.models.errors import UnsupportedModelError
from assay_server.models.onnx_graph import Classes, Graph
from assay_server.models.scores import EngineName, Floats, Indexes, Rows, ScoreKind, Scores

PLATFORM = "onnxruntime_onnx"

_CLASSES = "assay.classes"
_NAMES = "assay.feature_names"
_NUMBERS: dict[str, type[np.generic]] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_TEXT = "tensor(string)"
_LABELS = {"tensor(int64)", "tensor(int32)", "tensor(bool)", _TEXT}
_SCORES = {"tensor(double)", "tensor(float)"}
# How far from 1 the sum of single-precision probabilities may be.
_SUM = 1e-3
_TRIED_ROWS = 64


@dataclass(frozen=True, slots=True)
class _Input:
    """Columns `start` to `stop` of the rows, as one tensor of the model."""

    name: str
    kind: str
    start: int
    stop: int

    def tensor(self, rows: Rows) -> NDArray[Any]:
        """Return the tensor. Raises ValueError for values that it cannot hold."""
        part = rows[:, self.start : self.stop]
        if self.kind == _TEXT:
            return np.array([[_text(value) for value in row] for row in part.tolist()], object)
        numbers = np.asarray(part, np.float64)
        dtype = _NUMBERS[self.kind]
        tensor = numbers.astype(dtype)
        if np.dtype(dtype).kind != "f" and not np.array_equal(tensor, numbers):
            raise ValueError("a whole number is expected")
        return np.ascontiguousarray(tensor)


class OnnxModel:
    """An engine that asks an onnxruntime session. Any thread may use it."""

    name = EngineName.ONNX

    def __init__(self, session: Any, inputs: list[_Input], label: str | None, scores: str) -> None:
        self._session = session
        self._inputs = inputs
        self._outputs = [scores] if label is None else [label, scores]
        self._has_label = label is not None
        self._classes: Classes = []
        self._places: dict[Any, int] = {}
        self._second = -1
        self.has_probabilities = False
        self.decision_width = 0

    def know(self, classes: Classes, kind: ScoreKind, second: int = -1) -> None:
        """Say which classes there are, in the order of the scores, and what scores are.

        `second` is the column with the decisions for the second of two classes.
        """
        self._classes = classes
        self._second = second
        self._places = {value: place for place, value in enumerate(classes)}
        self.has_probabilities = kind is ScoreKind.PROBABILITY
        if kind is ScoreKind.DECISION:
            self.decision_width = 1 if len(classes) == 2 else len(classes)

    def ask(self, rows: Rows) -> tuple[list[Any] | None, Any]:
        """Return labels and scores as the model gives them."""
        given = {each.name: each.tensor(rows) for each in self._inputs}
        outputs = self._session.run(self._outputs, given)
        labels = outputs[0].ravel().tolist() if self._has_label else None
        return labels, outputs[-1]

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:  # noqa: ARG002 - labels come anyhow
        """Score rows, n >= 1. Raises whatever the model raises."""
        labels, given = self.ask(rows)
        scores = self.matrix(given)
        predicted: Indexes
        if labels is None:
            predicted = scores.argmax(axis=1)
        else:
            predicted = np.array([self._places[label] for label in labels], np.intp)
        if not self.has_probabilities:
            binary = len(self._classes) == 2
            return Scores(predicted, None, scores[:, self._second] if binary else scores)
        if scores.shape[1] == 1:
            scores = np.concatenate([1.0 - scores, scores], axis=1)
        return Scores(predicted, scores)

    def matrix(self, given: Any) -> Floats:
        """Return scores as shape (n, width)."""
        if isinstance(given, list):
            return np.array([[row[value] for value in self._classes] for row in given], np.float64)
        matrix = np.asarray(given, np.float64)
        return matrix.reshape(len(matrix), -1)


def open_onnx(content: bytes, kind: ScoreKind | None) -> Opened:
    """Open an ONNX classifier.

    `kind` is what its scores have to be; None: what they are. Raises UnsupportedModelError.
    """
    session = _session(content)
    properties = session.get_modelmeta().custom_metadata_map
    inputs = _inputs(session)
    label, scores = _outputs(session)
    if label is None and _CLASSES not in properties:
        raise UnsupportedModelError(
            f"the ONNX model has no output of labels, nor the property {_CLASSES}: no classifier"
        )
    graph = Graph(content)
    columns = Columns(
        inputs[-1].stop, _names(properties, inputs), dict.fromkeys(_texts(inputs), ("",))
    )
    engine = OnnxModel(session, inputs, label, scores)
    tried = _tried(columns)
    try:
        labels, given = engine.ask(tried)
    except Exception as error:
        message = f"the ONNX model does not answer rows of zeros ({type(error).__name__})"
        raise UnsupportedModelError(message) from error
    width = _width(given)
    listed = _property(properties, _CLASSES)
    if listed is None and label is not None:
        listed = graph.classes(label)
    classes = _classes(listed, labels, given, width)
    engine.know(classes, ScoreKind.DECISION)
    found = _kind(engine.matrix(given))
    if kind not in {None, found}:
        raise UnsupportedModelError(f"score {kind} is asked for, the ONNX model gives {found}")
    second = -1
    if found is ScoreKind.DECISION and len(classes) == 2 and labels is not None:
        second = _second(engine.matrix(given), [label == classes[1] for label in labels])
    engine.know(classes, found, second)
    missing = range(inputs[-1].stop) if graph.knows_missing() else ()
    return Opened(engine, _values(classes), columns, frozenset(missing), found, PLATFORM)


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena keeps the memory of the largest request for ever.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        message = f"onnxruntime cannot open the model ({type(error).__name__})"
        raise UnsupportedModelError(message) from error


def _inputs(session: Any) -> list[_Input]:
    inputs = []
    start = 0
    for given in session.get_inputs():
        if given.type not in {*_NUMBERS, _TEXT} or len(given.shape) != 2:
            raise UnsupportedModelError(
                f"input {given.name!r} of the ONNX model is {given.type} of shape {given.shape};"
                " a matrix of numbers or text is expected"
            )
        rows, width = given.shape
        if isinstance(rows, int):
            raise UnsupportedModelError(
                f"the ONNX model takes exactly {rows} rows at a time; export it with a free number"
            )
        if not isinstance(width, int) or width < 1:
            raise UnsupportedModelError(
                f"input {given.name!r} of the ONNX model has no fixed width"
            )
        inputs.append(_Input(given.name, given.type, start, start + width))
        start += width
    if not inputs:
        raise UnsupportedModelError("the ONNX model has no inputs")
    return inputs


def _outputs(session: Any) -> tuple[str | None, str]:
    """Return the names of the output of labels, if there is one, and of that of scores."""
    labels = [each.name for each in session.get_outputs() if each.type in _LABELS]
    scores = [
        each.name
        for each in session.get_outputs()
        if each.type in _SCORES or each.type.startswith("seq(map(")
    ]
    if not scores or len(labels) > 1:
        raise UnsupportedModelError("the ONNX model has no output of scores: it is no classifier")
    return (labels[0] if labels else None), scores[0]


def _names(properties: dict[str, str], inputs: list[_Input]) -> tuple[str, ...] | None:
    listed = _property(properties, _NAMES)
    if listed is not None:
        if len(listed) != inputs[-1].stop:
            raise UnsupportedModelError(
                f"{_NAMES} has {len(listed)} names for {inputs[-1].stop} columns"
            )
        return tuple(str(name) for name in listed)
    if len(inputs) > 1 and all(each.stop == each.start + 1 for each in inputs):
        return tuple(each.name for each in inputs)
    return None


def _texts(inputs: list[_Input]) -> list[int]:
    return [
        column for each in inputs if each.kind == _TEXT for column in range(each.start, each.stop)
    ]


def _property(properties: dict[str, str], name: str) -> list[Any] | None:
    text = properties.get(name)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, (str, int)) for each in found):
        raise UnsupportedModelError(f"the property {name} must be a JSON array of names")
    return found


def _tried(columns: Columns) -> Rows:
    """Return rows of zeros and of random numbers, to see what the model answers."""
    rows = columns.blank(_TRIED_ROWS)
    numbers = [each for each in range(rows.shape[1]) if each not in columns.text]
    random = np.random.default_rng(0)
    # Whole, for inputs of integers; 0 or 1, for truth values.
    rows[1:, numbers] = random.integers(0, 2, size=(_TRIED_ROWS - 1, len(numbers)))
    return rows


def _width(given: Any) -> int:
    """Return how many scores there are for a row."""
    if isinstance(given, list):
        return len(dict(given[0]))
    return int(given.size // len(given))


def _classes(listed: Classes | None, labels: list[Any] | None, given: Any, width: int) -> Classes:
    count = max(width, 2)
    if isinstance(given, list):
        keys = list(given[0])
        return listed if listed is not None and set(listed) == set(keys) else keys
    if listed is None and labels is not None and not isinstance(labels[0], str):
        listed = list(range(count))
    if listed is None:
        raise UnsupportedModelError(
            f"the ONNX model does not tell its classes; add the property {_CLASSES}, a JSON array"
        )
    if len(listed) != count:
        raise UnsupportedModelError(f"{len(listed)} classes, but {width} scores for each row")
    if labels is not None and not set(labels) <= set(listed):
        raise UnsupportedModelError(f"labels that are not among the classes; see {_CLASSES}")
    return listed


def _kind(scores: Floats) -> ScoreKind:
    """Return what scores are: probabilities if they can be."""
    within = np.all((scores >= -_SUM) & (scores <= 1.0 + _SUM))
    whole = scores.shape[1] == 1 or np.all(np.abs(scores.sum(axis=1) - 1.0) < _SUM)
    return ScoreKind.PROBABILITY if within and whole else ScoreKind.DECISION


def _second(scores: Floats, second: list[bool]) -> int:
    """Return the column that is positive for the second class.

    onnxruntime's SVMClassifier puts it first, all others last.
    """
    agreed: list[int] = ((scores > 0) == np.array(second)[:, np.newaxis]).sum(axis=0).tolist()
    if len(agreed) == 2 and agreed[0] == agreed[1]:
        raise UnsupportedModelError("the labels of the ONNX model do not follow from its scores")
    return agreed.index(max(agreed))


def _values(classes: Classes) -> NDArray[Any]:
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in classes)
    return np.array(classes if whole else [class_name(each) for each in classes])


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("a text is missing")
    return value if isinstance(value, str) else class_name(value)
