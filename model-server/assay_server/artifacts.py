"""Model artifacts: fetch by URI, check the digest, load without running code from the artifact.

Formats that execute code on load (pickle, joblib, cloudpickle) are refused by their content, not
by their name. A skops file may build only types that skops trusts itself (scikit-learn's public
estimators, numpy) and those the operator of the server named; never what the artifact asks for.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from assay_server.logs import event

SCHEMES = ("http", "https", "file")
MAX_BYTES = 2 * 1024**3
_CHUNK = 1024 * 1024
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

# How files begin that are pickles, or that joblib wraps around a pickle.
_CODE_ON_LOAD = {
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x78\x01": "a compressed joblib pickle",
    b"\x78\x5e": "a compressed joblib pickle",
    b"\x78\x9c": "a compressed joblib pickle",
    b"\x78\xda": "a compressed joblib pickle",
    b"ZF0x": "a compressed joblib pickle",
    b"\x1f\x8b": "a gzip file, as joblib writes around a pickle",
    b"BZh": "a bzip2 file, as joblib writes around a pickle",
    b"\xfd7zXZ": "an xz file, as joblib writes around a pickle",
    b"\x5d\x00\x00": "an lzma file, as joblib writes around a pickle",
    b"\x04\x22\x4d\x18": "an lz4 file, as joblib writes around a pickle",
    b"(": "a pickle of protocol 0 or 1",
    b"c": "a pickle of protocol 0 or 1",
}


class ArtifactError(Exception):
    """An artifact that cannot be served; reads as one line, `Reason: what happened`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {' '.join(message.split())}")
        self.reason = reason


def fetch(uri: str, digest: str, target: Path, max_bytes: int = MAX_BYTES) -> None:
    """Bring the artifact to `target`, which appears at once and only with the right digest.

    A target that is already there with this digest is kept (the container started again).
    Raises ArtifactError with reason InvalidDigest, FetchFailed, SizeLimit or DigestMismatch.
    """
    check_digest(digest)
    if target.is_file():
        with target.open("rb") as existing:
            if digest_of(existing) == digest:
                return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial:
            try:
                found = _stream(uri, partial, max_bytes)
                _compare(uri, found, digest)
                partial.flush()
                os.fsync(partial.fileno())
                Path(partial.name).chmod(0o644)
                Path(partial.name).replace(target)
            except BaseException:
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ArtifactError("FetchFailed", f"cannot write {target}: {error.strerror}") from None


def local_path(uri: str) -> Path | None:
    """Return the path of a `file:` URI or a plain path, None for a URI that must be fetched."""
    parts = urlsplit(uri)
    if parts.scheme == "":
        return Path(uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def load(path: Path, digest: str, trusted: Sequence[str] = ()) -> Any:
    """Check the digest of a skops file and build the model in it from the same open file.

    `trusted` names types in addition to those that skops trusts itself. Raises ArtifactError with
    reason InvalidDigest, FetchFailed, DigestMismatch, UnsupportedFormat, UntrustedTypes or
    VersionMismatch.
    """
    check_digest(digest)
    try:
        with path.open("rb") as file:
            _compare(str(path), digest_of(file), digest)
            _check_format(file)
            return _load_skops(file, trusted)
    except OSError as error:
        raise ArtifactError("FetchFailed", f"cannot read {path}: {error.strerror}") from None


def check_digest(digest: str) -> None:
    """Raise ArtifactError unless the digest reads `sha256:` and 64 hex digits."""
    if not _DIGEST.fullmatch(digest):
        message = f"{digest!r} must be 'sha256:' and 64 lower-case hex digits"
        raise ArtifactError("InvalidDigest", message)


def digest_of(file: IO[bytes]) -> str:
    """Return the digest of a whole file, which is left at its start."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return f"sha256:{found}"


def without_secrets(uri: str) -> str:
    """Return the URI without user, password, query and fragment, for messages."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _compare(uri: str, found: str, wanted: str) -> None:
    if found != wanted:
        message = f"{without_secrets(uri)} has digest {found}, spec.model.digest is {wanted}"
        raise ArtifactError("DigestMismatch", message)


def _stream(uri: str, target: IO[bytes], max_bytes: int) -> str:
    """Copy the artifact into `target` and return its digest; stop at the first byte too many."""
    digest = hashlib.sha256()
    size = 0
    name = without_secrets(uri)
    with _failures_named(name), _open(uri) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise ArtifactError("SizeLimit", f"{name} is larger than {max_bytes} bytes")
            digest.update(chunk)
            target.write(chunk)
    return f"sha256:{digest.hexdigest()}"


@contextlib.contextmanager
def _failures_named(name: str) -> Iterator[None]:
    try:
        yield
    except ArtifactError:
        raise
    except FileNotFoundError:
        raise ArtifactError("FetchFailed", f"{name} does not exist") from None
    except TimeoutError:
        raise ArtifactError("FetchFailed", f"{name} did not answer in time") from None
    except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
        cause = getattr(error, "message", "") or getattr(error, "strerror", "") or ""
        status = getattr(error, "status", "")
        detail = " ".join(str(part) for part in (type(error).__name__, status, cause) if part)
        raise ArtifactError("FetchFailed", f"cannot read {name}: {detail}") from None


def _open(uri: str) -> Any:
    path = local_path(uri)
    if path is not None:
        return path.open("rb")
    scheme = urlsplit(uri).scheme
    if scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise ArtifactError("FetchFailed", f"scheme {scheme!r} is not supported ({known})")
    # Only here: a server whose init container fetched the model never pays for these.
    import aiohttp  # noqa: PLC0415
    import fsspec  # noqa: PLC0415

    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
    )
    options = {"timeout": timeout, "trust_env": True}
    files, name = fsspec.url_to_fs(uri, client_kwargs=options)
    # block_size=0 streams one response (else fsspec asks range by range); with any size given it
    # does not ask for the size first, which would hide why a server cannot be reached.
    return files.open(name, "rb", block_size=0, size=1)


def _check_format(file: IO[bytes]) -> None:
    start = file.read(8)
    file.seek(0)
    for magic, what in _CODE_ON_LOAD.items():
        if start.startswith(magic):
            message = f"the artifact is {what}, which runs code on load; save it with skops"
            raise ArtifactError("UnsupportedFormat", message)
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        names, size = set(), 0
    file.seek(0)
    if "schema.json" not in names:
        raise ArtifactError("UnsupportedFormat", "the artifact is not a skops file")
    if size > MAX_BYTES:
        raise ArtifactError("SizeLimit", f"the artifact unpacks to {size} bytes ({MAX_BYTES} max)")


def _load_skops(file: IO[bytes], trusted: Sequence[str]) -> Any:
    import skops.io  # noqa: PLC0415 - brings all of scikit-learn, which only `serve` needs
    from sklearn.exceptions import InconsistentVersionWarning  # noqa: PLC0415

    try:
        untrusted = sorted(set(skops.io.get_untrusted_types(file=file)) - set(trusted))
        if untrusted:
            raise ArtifactError(
                "UntrustedTypes",
                f"the artifact holds types that are not trusted: {', '.join(untrusted)};"
                " name them in ASSAY_TRUSTED_TYPES if you trust them",
            )
        file.seek(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = skops.io.load(file, trusted=list(trusted))
    except ArtifactError:
        raise
    except Exception as error:  # whatever a broken file makes skops raise
        message = f"the skops file cannot be loaded ({type(error).__name__})"
        raise ArtifactError("UnsupportedFormat", message) from error
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            _check_version(warning.message)
    return model


def _check_version(skew: Any) -> None:
    """Refuse a model of another minor version of scikit-learn: its predictions may differ."""
    saved, here = skew.original_sklearn_version, skew.current_sklearn_version
    if str(saved).split(".")[:2] != str(here).split(".")[:2]:
        message = f"the model was saved with scikit-learn {saved}, this server has {here}"
        raise ArtifactError("VersionMismatch", message)
    event("version_skew", level=30, saved=saved, here=here)
