"""skops files: built from types that are trusted, and from nothing else.

skops trusts scikit-learn's public estimators and numpy itself, and we what two of these are made of.
Whoever runs the server may name further types; what the artifact asks for never counts.
"""

import warnings
import zipfile
from collections.abc import Iterable, Sequence
from typing import IO, Any

from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.logs import event

HARMLESS = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
)
"""Types that skops leaves out although `SimpleImputer` and `CalibratedClassifierCV` consist of them.

They hold what public estimators hold, and run no code of the artifact. Trees are not among them: whose
nodes point outside crash the process (skops says so).
"""

MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_REFERENCE_BYTES = 16 * 1024**2

REFERENCE = "assay-reference.json"
"""The member with the training data's summary, so that one digest covers model and reference."""


def load_skops(file: IO[bytes], trusted: Sequence[str]) -> tuple[Any, bytes | None]:
    """Return the model in an open skops file, and its reference for drift if it brings one.

    Raises ArtifactError (UnsupportedFormat, SizeLimit, UntrustedTypes, VersionMismatch).
    """
    reference = _members(file)
    import skops.io  # noqa: PLC0415 - brings all of scikit-learn, which only `serve` needs

    trusted = [*HARMLESS, *trusted]
    try:
        file.seek(0)
        untrusted = sorted(set(skops.io.get_untrusted_types(file=file)) - set(trusted))
        if untrusted:
            raise ArtifactError(
                Reason.UNTRUSTED_TYPES,
                f"the artifact holds types that are not trusted: {', '.join(untrusted)};"
                " whoever runs the operator may trust them by its chart's value operator.trustedTypes"
                " (of a server by itself: ASSAY_TRUSTED_TYPES)",
            )
        file.seek(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = skops.io.load(file, trusted=trusted)
    except ArtifactError:
        raise
    except Exception as error:  # whatever a broken file makes skops raise
        message = f"the skops file cannot be loaded ({type(error).__name__})"
        raise ArtifactError(Reason.UNSUPPORTED_FORMAT, message) from error
    check_versions(caught)
    return model, reference


def _members(file: IO[bytes]) -> bytes | None:
    """Check the zip file before skops sees it; return its reference for drift."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            size = sum(member.file_size for member in archive.infolist())
            if "schema.json" not in members:
                raise ArtifactError(Reason.UNSUPPORTED_FORMAT, "the artifact is not a skops file")
            if size > MAX_UNPACKED_BYTES:
                message = f"the artifact unpacks to {size} bytes ({MAX_UNPACKED_BYTES} max)"
                raise ArtifactError(Reason.SIZE_LIMIT, message)
            if REFERENCE not in members:
                return None
            if members[REFERENCE].file_size > MAX_REFERENCE_BYTES:
                message = f"{REFERENCE} in the artifact is larger than {MAX_REFERENCE_BYTES} bytes"
                raise ArtifactError(Reason.SIZE_LIMIT, message)
            return archive.read(REFERENCE)
    except ArtifactError:
        raise
    except Exception as error:  # zipfile raises half a dozen kinds over broken files
        message = "the artifact is not a skops file"
        raise ArtifactError(Reason.UNSUPPORTED_FORMAT, message) from error


def check_versions(caught: Iterable[warnings.WarningMessage]) -> None:
    """Refuse a model of another minor version of scikit-learn: its predictions may differ.

    Raises ArtifactError (VersionMismatch); another patch version is only logged.
    """
    from sklearn.exceptions import InconsistentVersionWarning  # noqa: PLC0415

    for warning in caught:
        skew = warning.message
        if not isinstance(skew, InconsistentVersionWarning):
            continue
        saved, here = skew.original_sklearn_version, skew.current_sklearn_version
        if str(saved).split(".")[:2] != str(here).split(".")[:2]:
            message = f"the model was saved with scikit-learn {saved}, this server has {here}"
            raise ArtifactError(Reason.VERSION_MISMATCH, message)
        event("version_skew", level=30, saved=saved, here=here)
