"""Artifacts: fetched whole or not at all, checked, and never allowed to run code."""

import gzip
import io
import json
import pickle
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joblib
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from assay_server import artifacts
from assay_server.artifacts import ArtifactError, fetch, load, local_path, without_secrets


class Files(BaseHTTPRequestHandler):
    """Answers `/model` with the content, `/moved` with a redirect, `/cut` with half of it."""

    content = b"m" * 300_000

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/model")
            self.end_headers()
        elif self.path.split("?")[0] in {"/model", "/cut"}:
            self.send_response(200)
            self.send_header("content-length", str(len(self.content)))
            self.end_headers()
            half = len(self.content) // 2 if self.path == "/cut" else None
            self.wfile.write(self.content[:half])
        else:
            self.send_error(404)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def content_digest(tmp_path, digest):
    path = tmp_path / "original"
    path.write_bytes(Files.content)
    return digest(path)


WRONG = "sha256:" + "0" * 64


def failure(call, *arguments) -> str:
    with pytest.raises(ArtifactError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert line.startswith(f"{caught.value.reason}: ")
    assert "\n" not in line
    return line


def only(folder) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("path", ["/model", "/moved", "/model?token=x"])
def test_fetch_over_http(site, tmp_path, content_digest, path):
    target = tmp_path / "new" / "model"
    fetch(site + path, content_digest, target)
    assert target.read_bytes() == Files.content
    assert only(target.parent) == ["model"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_fetch_a_local_file(tmp_path, content_digest, form):
    target = tmp_path / "model"
    fetch(form.format(tmp_path / "original"), content_digest, target)
    assert target.read_bytes() == Files.content


def test_a_target_with_the_right_digest_is_kept(tmp_path, content_digest):
    fetch("http://127.0.0.1:1/gone", content_digest, tmp_path / "original")


def test_a_target_with_another_digest_is_replaced(site, tmp_path, content_digest):
    target = tmp_path / "model"
    target.write_bytes(b"old")
    fetch(f"{site}/model", content_digest, target)
    assert target.read_bytes() == Files.content


def test_a_wrong_digest_leaves_nothing(site, tmp_path, content_digest):
    target = tmp_path / "t" / "model"
    line = failure(fetch, f"{site}/model", WRONG, target)
    assert line == (
        f"DigestMismatch: {site}/model has digest {content_digest}, spec.model.digest is {WRONG}"
    )
    assert only(target.parent) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "FetchFailed: {site}/missing does not exist"),
        ("/cut", "FetchFailed: cannot read {site}/cut: "),
    ],
)
def test_a_failed_download_says_so(site, tmp_path, path, message):
    target = tmp_path / "t" / "model"
    assert failure(fetch, site + path, WRONG, target).startswith(message.format(site=site))
    assert only(target.parent) == []


def test_nobody_listens(tmp_path):
    line = failure(fetch, "http://127.0.0.1:1/m", WRONG, tmp_path / "m")
    assert line.startswith("FetchFailed: cannot read http://127.0.0.1:1/m: ClientConnectorError")


def test_size_limit(site, tmp_path, content_digest):
    target = tmp_path / "t" / "model"
    line = failure(fetch, f"{site}/model", content_digest, target, 299_999)
    assert line == f"SizeLimit: {site}/model is larger than 299999 bytes"
    assert only(target.parent) == []
    fetch(f"{site}/model", content_digest, target, 300_000)


@pytest.mark.parametrize("uri", ["s3://bucket/m", "simplecache::http://h/m", "github://o:r@/m"])
def test_other_schemes_are_refused(tmp_path, uri):
    assert "is not supported (http, https, file)" in failure(fetch, uri, WRONG, tmp_path / "m")


def test_a_missing_file(tmp_path):
    line = failure(fetch, f"{tmp_path}/none", WRONG, tmp_path / "m")
    assert line == f"FetchFailed: {tmp_path}/none does not exist"
    assert failure(load, tmp_path / "none", WRONG).startswith("FetchFailed: cannot read")


@pytest.mark.parametrize("bad", ["", "abc", "sha256:abc", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_a_digest_must_be_a_digest(tmp_path, bad):
    assert failure(fetch, "file:///m", bad, tmp_path / "m").startswith("InvalidDigest: ")


def test_secrets_stay_out_of_messages():
    uri = "https://user:pass@host:1/a/b?token=1#x"
    assert without_secrets(uri) == "https://host:1/a/b"
    assert local_path("file:///a%20b").as_posix() == "/a b"
    assert local_path(uri) is None


def test_a_skops_model_loads_and_predicts_alike(artifact):
    model = load(artifact.path, artifact.digest)
    expected = artifact.model.predict_proba(artifact.rows)
    assert (model.predict_proba(artifact.rows) == expected).all()


def test_the_digest_is_checked_before_loading(artifact):
    assert failure(load, artifact.path, WRONG).startswith("DigestMismatch: ")


class Bomb:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code from the artifact ran",))


def joblib_bytes(**settings) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(), buffer, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps(Bomb(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
        joblib_bytes(),
        *(joblib_bytes(compress=(method, 3)) for method in ("zlib", "gzip", "bz2", "xz", "lzma")),
        gzip.compress(pickle.dumps(Bomb())),
    ],
)
def test_a_pickle_in_any_dress_is_refused(tmp_path, digest, content):
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
def test_anything_else_is_refused(tmp_path, digest, content, message):
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    line = failure(load, path, digest(path))
    assert line.startswith("UnsupportedFormat: ")
    assert message in line


def test_an_archive_that_unpacks_to_too_much_is_refused(artifact, monkeypatch):
    monkeypatch.setattr(artifacts, "MAX_BYTES", 1000)
    assert failure(load, artifact.path, artifact.digest).startswith("SizeLimit: ")


def shout(rows):
    return rows


def test_types_are_trusted_by_the_operator_only(tmp_path, digest):
    """The artifact names a function; it is not even imported unless the operator allows it."""
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(json.dumps), path)
    line = failure(load, path, digest(path))
    assert line.startswith("UntrustedTypes: the artifact holds types that are not trusted: json.")
    assert "ASSAY_TRUSTED_TYPES" in line
    model = load(path, digest(path), ["json.dumps"])
    assert model.func is json.dumps


def with_version(model, version: str, path):
    """Save a model as another version of scikit-learn would have."""
    skops.io.dump(model, path)
    import sklearn

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["schema.json"].decode().replace(sklearn.__version__, version)
    assert version in text
    members["schema.json"] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_another_minor_version_of_sklearn_is_refused(tmp_path, digest):
    import sklearn

    path = tmp_path / "model.skops"
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    with_version(model, "1.2.3", path)
    assert failure(load, path, digest(path)) == (
        "VersionMismatch: the model was saved with scikit-learn 1.2.3,"
        f" this server has {sklearn.__version__}"
    )
    patch = ".".join([*sklearn.__version__.split(".")[:2], "99"])
    with_version(model, patch, path)
    assert load(path, digest(path)).predict([[1]]).tolist() == [1]
