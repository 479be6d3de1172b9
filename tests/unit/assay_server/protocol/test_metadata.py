"""What the server says about itself and its model."""

import pytest

from assay_server import __version__
from assay_server.protocol import ProtocolError
from assay_server.protocol.metadata import (
    fixed_model,
    index_wants_ready,
    model_list,
    model_metadata,
    not_served,
    repository_index,
    server_metadata,
)

from .builders import signature


def test_the_server_names_its_extensions():
    metadata = server_metadata()
    assert (metadata["name"], metadata["version"]) == ("assay", __version__)
    assert "binary_tensor_data" in metadata["extensions"]
    assert "receipt" in metadata["extensions"]


def test_a_model_of_numbers_is_described_by_its_matrix():
    model = signature(
        3,
        feature_names=("a", "b", "c"),
        integers=(0, 1),
        decisions=1,
        properties=(("threshold", "0.5"),),
    )
    assert model_metadata(model) == {
        "name": "m",
        "versions": ["1"],
        "platform": "sklearn",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}],
        "outputs": [
            {"name": "predict", "datatype": "INT64", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
            {"name": "decision_function", "datatype": "FP64", "shape": [-1]},
            {"name": "receipt", "datatype": "BYTES", "shape": [-1]},
        ],
        "properties": {"threshold": "0.5"},
    }


def test_a_model_of_text_and_numbers_is_described_by_its_columns():
    model = signature(2, feature_names=("age", "colour"), categorical=frozenset({1}))
    assert model_metadata(model)["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "colour", "datatype": "BYTES", "shape": [-1]},
    ]


def test_without_names_by_a_table_of_text():
    model = signature(2, categorical=frozenset({1}))
    assert model_metadata(model)["inputs"] == [
        {"name": "input", "datatype": "BYTES", "shape": [-1, 2]}
    ]


def test_several_columns_of_decisions():
    model = signature(None, classes=tuple("abc"), probabilities=False, decisions=3)
    metadata = model_metadata(model)
    assert metadata["inputs"][0]["shape"] == [-1, -1]
    assert metadata["outputs"][1] == {
        "name": "decision_function",
        "datatype": "FP64",
        "shape": [-1, 3],
    }


def test_the_index_has_the_one_model():
    assert model_list(signature()) == {"models": ["m"]}
    entry = {"name": "m", "version": "1", "state": "READY", "reason": ""}
    assert repository_index(signature(), serving=True) == [entry]
    [entry] = repository_index(signature(), serving=False)
    assert entry["state"] == "UNAVAILABLE"
    assert entry["reason"]
    assert repository_index(signature(), serving=False, only_ready=True) == []


@pytest.mark.parametrize(
    ("body", "ready"),
    [(b"", False), (b"{}", False), (b'{"ready":true}', True), (b'{"repository_name":"x"}', False)],
)
def test_an_index_request_may_ask_for_ready_models_only(body, ready):
    assert index_wants_ready(body) is ready


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready":1}', b"\xff", b'{"a":' + b"[" * 10**5])
def test_other_bodies_are_refused(body):
    with pytest.raises(ProtocolError, match="the body is not a repository index request"):
        index_wants_ready(body)


def test_nothing_is_loaded_and_the_error_says_what_to_do():
    error = fixed_model(signature(), "load")
    assert error.status == 400
    assert error.message == (
        "cannot load: this server serves one fixed model, 'm' version '1'; deploy another server"
        " for another one"
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/x", 404),
        ("GET", "/v2/models/x/ready", 404),
        ("POST", "/v2/models/x/versions/1/infer", 404),
        ("POST", "/v2/models/m/versions/2/infer", 404),
        ("GET", "/v2/models/", 404),
        ("POST", "/v2/repository/models/x/load", 400),
        ("POST", "/v2/repository/models/m/unload", 400),
        ("GET", "/v2/repository/models/m/unload", None),
        ("GET", "/v2/models/m/stats", None),
        ("GET", "/v2/models/m/versions/1/stats", None),
        ("GET", "/v2/models", None),
        ("GET", "/", None),
        ("GET", "", None),
    ],
)
def test_a_path_that_names_another_model_is_told_which_one_is_here(method, path, status):
    error = not_served(signature(), method, path)
    assert (error and error.status) == status
    assert error is None or "this server serves" in error.message
