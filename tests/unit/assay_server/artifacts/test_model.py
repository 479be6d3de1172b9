"""Loading: digest first, then format; nothing in an artifact runs unless that is allowed twice."""

import gzip
import io
import json
import pickle
import sys
import zipfile

import joblib
import pytest
import sklearn
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from assay_server.artifacts import Format, load, skops_file

WRONG = "sha256:" + "0" * 64


def test_a_skops_model_loads_and_predicts_alike(artifact):
    loaded = load(artifact.path, artifact.digest)
    model = loaded.object
    assert (loaded.format, loaded.reference) == ("Skops", None)
    expected = artifact.model.predict_proba(artifact.rows)
    assert (model.predict_proba(artifact.rows) == expected).all()


def test_the_digest_is_checked_before_loading(artifact, failure):
    assert failure(load, artifact.path, WRONG).startswith("DigestMismatch: ")


class Bomb:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code from the artifact ran",))


def joblib_bytes(**settings) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(), buffer, **settings)
    return buffer.getvalue()


METHODS = ("zlib", "gzip", "bz2", "xz", "lzma")
DRESSES = {
    **{
        f"pickle {number}": pickle.dumps(Bomb(), number)
        for number in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "joblib": joblib_bytes(),
    **{f"joblib, {method}": joblib_bytes(compress=(method, 3)) for method in METHODS},
    "pickle, gzip": gzip.compress(pickle.dumps(Bomb())),
}


@pytest.mark.parametrize("content", DRESSES.values(), ids=DRESSES)
def test_a_pickle_in_any_dress_is_refused(tmp_path, digest, failure, content):
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    line = failure(load, path, digest(path))
    assert line.startswith("UnsupportedFormat: the artifact is a")
    assert line.endswith("which runs code on load; save it with skops")


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a skops file"),
        (b"hello", "is not a skops file"),
        (b"PK\x03\x04 cut", "is not a skops file"),
        (zipped(data_pkl=pickle.dumps(Bomb())), "is not a skops file"),
        (zipped(schema_json=b"{"), "cannot be loaded (JSONDecodeError)"),
        (zipped(schema_json=b"{}"), "cannot be loaded (TypeError)"),
    ],
)
def test_anything_else_is_refused(tmp_path, digest, failure, content, message):
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    line = failure(load, path, digest(path))
    assert line.startswith("UnsupportedFormat: ")
    assert message in line


def test_an_archive_that_unpacks_to_too_much_is_refused(artifact, monkeypatch, failure):
    monkeypatch.setattr(skops_file, "MAX_UNPACKED_BYTES", 1000)
    assert failure(load, artifact.path, artifact.digest).startswith("SizeLimit: ")


def shout(rows):
    return rows


def test_types_are_trusted_by_the_operator_only(tmp_path, digest, failure):
    """The artifact names a function; it is not even imported unless the operator allows it."""
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(json.dumps), path)
    line = failure(load, path, digest(path))
    assert line.startswith("UntrustedTypes: the artifact holds types that are not trusted: json.")
    assert "trustedTypes" in line
    model = load(path, digest(path), ["json.dumps"]).object
    assert model.func is json.dumps


def with_version(model, version: str, path):
    """Save a model as another version of scikit-learn would have."""
    skops.io.dump(model, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["schema.json"].decode().replace(sklearn.__version__, version)
    assert version in text
    members["schema.json"] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_another_minor_version_of_sklearn_is_refused(tmp_path, digest, failure):
    path = tmp_path / "model.skops"
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    with_version(model, "1.2.3", path)
    assert failure(load, path, digest(path)) == (
        "VersionMismatch: the model was saved with scikit-learn 1.2.3,"
        f" this server has {sklearn.__version__}"
    )
    patch = ".".join([*sklearn.__version__.split(".")[:2], "99"])
    with_version(model, patch, path)
    assert load(path, digest(path)).object.predict([[1]]).tolist() == [1]


def test_a_file_that_is_not_there(tmp_path, failure):
    line = failure(load, tmp_path / "none", WRONG)
    assert line == f"FetchFailed: cannot read {tmp_path}/none: No such file or directory"


def with_member(artifact, path, content, name=skops_file.REFERENCE):
    path.write_bytes(artifact.path.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    return path


def test_the_reference_travels_with_the_model(artifact, tmp_path, digest, failure, monkeypatch):
    path = with_member(artifact, tmp_path / "m", b'{"features": []}')
    loaded = load(path, digest(path))
    assert loaded.reference == b'{"features": []}'
    assert (loaded.object.predict(artifact.rows) == artifact.model.predict(artifact.rows)).all()
    monkeypatch.setattr(skops_file, "MAX_REFERENCE_BYTES", 3)
    line = failure(load, path, digest(path))
    assert line == "SizeLimit: assay-reference.json in the artifact is larger than 3 bytes"


def test_a_format_is_what_the_manifest_says_not_what_the_file_is_called(
    artifact, tmp_path, digest, failure
):
    line = failure(load, artifact.path, artifact.digest, format=Format.ONNX)
    assert line == "UnsupportedFormat: the artifact is not an ONNX file"
    path = tmp_path / "m.onnx"
    path.write_bytes(pickle.dumps(Bomb()))
    line = failure(load, path, digest(path), format=Format.ONNX)
    assert line.startswith("UnsupportedFormat: the artifact is a pickle")


def test_joblib_is_refused_unless_allowed(tmp_path, digest, failure):
    path = tmp_path / "m.joblib"
    path.write_bytes(joblib_bytes())
    line = failure(load, path, digest(path), format=Format.JOBLIB)
    assert line.startswith(
        "UnsafeFormat: a joblib file runs code on load. It needs spec.model.unsafe"
    )
    assert "allowUnsafeModels" in line


@pytest.mark.parametrize("compress", [0, ("gzip", 3)])
def test_and_loudly_loaded_when_it_is(tmp_path, digest, events, compress):
    path = tmp_path / "m.joblib"
    joblib.dump(LogisticRegression().fit([[0], [1]], [0, 1]), path, compress=compress)
    loaded = load(path, digest(path), format=Format.JOBLIB, unsafe=True)
    assert loaded.object.predict([[1]]).tolist() == [1]
    assert (loaded.format, loaded.reference) == ("Joblib", None)
    assert [name for name, _ in events()] == ["unsafe_model"]


def test_allowing_joblib_allows_nothing_else(tmp_path, digest, failure):
    path = tmp_path / "m"
    path.write_bytes(joblib_bytes())
    line = failure(load, path, digest(path), unsafe=True)
    assert line.startswith("UnsupportedFormat: the artifact is a pickle")


class Failing:
    """Fails when unpickled."""

    def __reduce__(self):
        return (int, ("secret words of the artifact",))


def test_a_joblib_file_that_cannot_be_loaded(tmp_path, digest, failure):
    path = tmp_path / "m"
    path.write_bytes(pickle.dumps(Failing()))
    line = failure(load, path, digest(path), format=Format.JOBLIB, unsafe=True)
    assert line == "UnsupportedFormat: the joblib file cannot be loaded (ValueError)"


def test_joblib_of_another_minor_version_of_sklearn(tmp_path, digest, failure, monkeypatch):
    path = tmp_path / "m"
    with monkeypatch.context() as other:
        other.setattr(sys.modules["sklearn.base"], "__version__", "1.2.3")
        joblib.dump(LogisticRegression().fit([[0], [1]], [0, 1]), path)
    line = failure(load, path, digest(path), format=Format.JOBLIB, unsafe=True)
    assert line.startswith("VersionMismatch: the model was saved with scikit-learn 1.2.3")
