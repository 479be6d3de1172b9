"""ONNX files: real ones open, and none reaches out of itself."""

import numpy as np
import onnx
import onnx.helper as make
import onnxruntime
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from assay_server.artifacts import Format, load

FLOAT = onnx.TensorProto.FLOAT


@pytest.fixture
def check(tmp_path, digest):
    """Write a model (or bytes) and load it."""

    def check(model):
        path = tmp_path / "model.onnx"
        content = model if isinstance(model, bytes) else model.SerializeToString()
        path.write_bytes(content)
        return load(path, digest(path), format=Format.ONNX)

    return check


def rows_and_labels():
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    return rows, (rows.sum(axis=1) > 0).astype(int)


@pytest.mark.parametrize("kind", [LogisticRegression, RandomForestClassifier])
def test_a_converted_model_opens(check, kind):
    rows, labels = rows_and_labels()
    fitted = kind().fit(rows, labels)
    loaded = check(to_onnx(fitted, rows[:1], options={"zipmap": False}))
    assert (loaded.format, loaded.reference) == ("Onnx", None)
    session = onnxruntime.InferenceSession(loaded.object)
    assert (session.run(None, {"X": rows})[0] == fitted.predict(rows)).all()


def a_model(*nodes, initializers=(), opset=17, domain="", functions=(), inputs=("x",)):
    nodes = nodes or (make.make_node("Identity", ["x"], ["y"]),)
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info(name, FLOAT, [1]) for name in inputs],
        [make.make_tensor_value_info("y", FLOAT, [1])],
        list(initializers),
    )
    imports = [make.make_opsetid(domain, opset)]
    return make.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def test_a_reference_travels_in_the_metadata(check):
    model = a_model()
    onnx.helper.set_model_props(model, {"assay.reference": '{"ä": 1}', "other": "x"})
    assert check(model).reference == '{"ä": 1}'.encode()


def outside(name="w", location="/etc/passwd"):
    tensor = onnx.TensorProto(name=name, data_type=FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def hidden(name="w"):
    """Where the location is set, and the flag that says so is not."""
    tensor = outside(name)
    tensor.ClearField("data_location")
    return tensor


def constant(tensor, **more):
    return make.make_node("Constant", [], ["w"], value=tensor, **more)


def within(branch_tensor):
    """A branch of an If, in a branch of an If."""
    inner = make.make_graph([constant(branch_tensor)], "inner", [], [])
    node = make.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    return make.make_graph([node], "outer", [], [])


def sparse(values, indices):
    found = onnx.SparseTensorProto(dims=[1])
    found.values.CopyFrom(values)
    found.indices.CopyFrom(indices)
    return found


def a_function(node):
    return make.make_function("f", "F", ["a"], ["b"], [node], [make.make_opsetid("", 17)])


def with_graph(**fields):
    model = a_model()
    for name, values in fields.items():
        getattr(model.graph, name).extend(values)
    return model


def trained(tensor):
    model = a_model()
    model.training_info.add().algorithm.initializer.append(tensor)
    return model


def attribute(**fields):
    node = make.make_node("Identity", ["x"], ["y"])
    found = node.attribute.add(name="a")
    for name, values in fields.items():
        getattr(found, name).extend(values)
    return a_model(node)


INSIDE = make.make_tensor("w", FLOAT, [1], [1.0])
OUTSIDE = {
    "an initializer": a_model(initializers=[outside()]),
    "an initializer without the flag": a_model(initializers=[hidden()]),
    "a constant": a_model(constant(outside())),
    "a branch in a branch": a_model(
        make.make_node("If", ["x"], ["y"], then_branch=within(outside()))
    ),
    "a function": a_model(functions=[a_function(constant(outside()))]),
    "values of a sparse initializer": with_graph(sparse_initializer=[sparse(outside(), INSIDE)]),
    "indices of a sparse initializer": with_graph(sparse_initializer=[sparse(INSIDE, outside())]),
    "a list of tensors": attribute(tensors=[INSIDE, outside()]),
    "a list of sparse tensors": attribute(sparse_tensors=[sparse(INSIDE, outside())]),
    "a list of graphs": attribute(graphs=[within(outside())]),
    "training": trained(outside()),
}


@pytest.mark.parametrize("model", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_numbers_in_other_files_are_refused(check, failure, model):
    line = failure(check, model)
    assert line.startswith("UnsupportedFormat: the ONNX model keeps numbers in other files")


def test_the_fields_are_those_of_onnx():
    """Names differ at will, numbers and nesting must not."""
    from assay_server.artifacts.onnx_file import _FIELDS

    for message, fields in _FIELDS.items():
        real = {field.number: field for field in getattr(onnx, message).DESCRIPTOR.fields}
        for entry in fields.split("; "):
            _, number, kind = entry.split()
            found = real[int(number)]
            nested = found.message_type.name if found.message_type else None
            assert nested == (None if kind[0].islower() else kind.rstrip("*"))
            assert found.is_repeated == kind.endswith("*")


def test_every_place_for_a_tensor_is_looked_at():
    """A new version of onnx.proto with a new place fails here, not in production."""
    from assay_server.artifacts.onnx_file import _FIELDS

    known = {
        (message, int(entry.split()[1]))
        for message, fields in _FIELDS.items()
        for entry in fields.split("; ")
    }
    leads = {"TensorProto", "SparseTensorProto"}
    while True:
        more = {
            message.name
            for message in onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values()
            if any(
                field.message_type and field.message_type.name in leads for field in message.fields
            )
        }
        if more <= leads:
            break
        leads |= more
    reached = {
        (message.name, field.number)
        for message in onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values()
        for field in message.fields
        if field.message_type and field.message_type.name in leads
    }
    assert reached - known == set()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x08\x07", b"\xff" * 100, a_model().SerializeToString()[:-9], b"\n" * 1000],
)
def test_anything_else_is_refused(check, failure, content):
    assert failure(check, content) == "UnsupportedFormat: the artifact is not an ONNX file"


@pytest.mark.parametrize(
    ("model", "sets"),
    [
        (a_model(opset=99), "operator sets ai.onnx 99"),
        (a_model(make.make_node("Nonsense", ["x"], ["y"])), "operator sets ai.onnx 17"),
        (
            a_model(make.make_node("Own", ["x"], ["y"], domain="corp"), domain="corp", opset=1),
            "operator sets corp 1",
        ),
        (a_model(make.make_node("Identity", ["nowhere"], ["y"])), "operator sets ai.onnx 17"),
    ],
)
def test_what_onnxruntime_does_not_know_is_refused(check, failure, model, sets):
    line = failure(check, model)
    assert line.startswith(
        f"UnsupportedFormat: onnxruntime {onnxruntime.__version__} cannot open the model ("
    )
    assert sets in line
