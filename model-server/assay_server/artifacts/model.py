"""Loads an artifact that is already here: digest first, then format, then content."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assay_server.artifacts.digest import check_digest, compare, digest_of
from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.joblib_file import code_on_load, load_joblib
from assay_server.artifacts.onnx_file import load_onnx
from assay_server.artifacts.skops_file import load_skops


class Format(enum.StrEnum):
    """How an artifact is stored."""

    SKOPS = "Skops"
    ONNX = "Onnx"
    JOBLIB = "Joblib"
    """Runs code on load; only where it is allowed twice (joblib_file)."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What was in an artifact.

    Attributes
    ----------
    object
        Skops, Joblib: the fitted estimator. Onnx: the bytes of the model, which are known to open
        in onnxruntime.
    reference
        Summary of the training data for drift (JSON), unread; None when the artifact has none.
    """

    object: Any
    format: Format
    reference: bytes | None


def load(
    path: Path,
    digest: str,
    trusted: Sequence[str] = (),
    *,
    format: Format = Format.SKOPS,  # noqa: A002 - the word that users know from the manifest
    unsafe: bool = False,
) -> LoadedModel:
    """Check the digest of an artifact and build the model in it from the same open file.

    Parameters
    ----------
    trusted
        Types that a skops file may hold in addition to those that skops trusts itself.
    unsafe
        Whether a joblib file may run its code.

    Raises
    ------
    ArtifactError
        InvalidDigest, FetchFailed, DigestMismatch, SizeLimit, UnsupportedFormat, UnsafeFormat,
        UntrustedTypes or VersionMismatch.
    """
    check_digest(digest)
    try:
        with path.open("rb") as file:
            compare(str(path), digest_of(file), digest)
            return _load(file, trusted, format, unsafe=unsafe)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ArtifactError(Reason.FETCH_FAILED, message) from None


def _load(
    file: IO[bytes],
    trusted: Sequence[str],
    format: Format,  # noqa: A002
    *,
    unsafe: bool,
) -> LoadedModel:
    if format is Format.JOBLIB:
        return LoadedModel(load_joblib(file, unsafe=unsafe), format, None)
    if what := code_on_load(file):
        message = f"the artifact is {what}, which runs code on load; save it with skops"
        raise ArtifactError(Reason.UNSUPPORTED_FORMAT, message)
    model, reference = load_skops(file, trusted) if format is Format.SKOPS else load_onnx(file)
    return LoadedModel(model, format, reference)
