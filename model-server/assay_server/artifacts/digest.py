"""The digest of an artifact: the only name of it that is trusted."""

import hashlib
import re
from typing import IO

from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.uri import without_secrets

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_digest(digest: str) -> None:
    """Raise ArtifactError (InvalidDigest) unless the digest reads `sha256:` and 64 hex digits."""
    if not _DIGEST.fullmatch(digest):
        message = f"{digest!r} must be 'sha256:' and 64 lower-case hex digits"
        raise ArtifactError(Reason.INVALID_DIGEST, message)


def digest_of(file: IO[bytes]) -> str:
    """Return the digest of a whole file, which is left at its start."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return f"sha256:{found}"


def compare(uri: str, found: str, wanted: str) -> None:
    """Raise ArtifactError (DigestMismatch) unless the digest found is the one wanted."""
    if found != wanted:
        message = f"{without_secrets(uri)} has digest {found}, spec.model.digest is {wanted}"
        raise ArtifactError(Reason.DIGEST_MISMATCH, message)
