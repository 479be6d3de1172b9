"""Brings an artifact to a file: streamed, checked on the way, there at once or not at all."""

import contextlib
import fcntl
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from assay_server.artifacts.credentials import Credentials
from assay_server.artifacts.digest import check_digest, compare, digest_of
from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.signature import MAX_SIGNATURE_BYTES, Signers, verify
from assay_server.artifacts.source import Source, opened
from assay_server.artifacts.uri import CLAIMS, file_name, signature_beside, without_secrets
from assay_server.logs import event

MAX_BYTES = 2 * 1024**3
_CHUNK = 1024 * 1024
_PROGRESS_SECONDS = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """How often a failed attempt is made again, when it may pass by itself.

    Attributes
    ----------
    attempts
        All together, the first one included.
    first_pause
        Seconds before the second attempt; every further pause is twice as long. Half of a pause is
        random, so that the pods of a Deployment do not come all at once.
    """

    attempts: int = 5
    first_pause: float = 1.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after so many failed attempts."""
        whole = self.first_pause * 2.0 ** (attempt - 1)
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing


@dataclass(frozen=True)
class Signing:
    """That the artifact must be signed.

    Attributes
    ----------
    signers
        The keys that are trusted; one of them must have signed.
    uri
        Where the signature is; None: beside the artifact, `.sig` behind its name.
    """

    signers: Signers
    uri: str | None = None


def fetch(
    uri: str,
    digest: str,
    target: Path,
    max_bytes: int = MAX_BYTES,
    *,
    credentials: Credentials | None = None,
    signing: Signing | None = None,
    claims: Path = CLAIMS,
    patience: Patience | None = None,
) -> None:
    """Bring the artifact to `target`, which appears at once and only with the right digest.

    A target that is already there with this digest is kept (the container started again). A
    signature binds a digest, so it is checked before the first byte of the artifact is asked for.
    Two processes with one target take turns.

    Raises ArtifactError with reason InvalidDigest, InvalidURI, CredentialsInvalid,
    SignatureInvalid, FetchFailed, SizeLimit or DigestMismatch.
    """
    check_digest(digest)
    credentials = credentials or Credentials()
    patience = patience or Patience()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target.parent):
            if signing is not None:
                _check_signature(uri, digest, target, credentials, signing, claims, patience)
            if not _is_there(target, digest):
                _retried(
                    uri,
                    lambda: _download(uri, digest, target, max_bytes, credentials, claims),
                    patience,
                )
    except OSError as error:
        message = f"cannot write {target}: {error.strerror}"
        raise ArtifactError(Reason.FETCH_FAILED, message) from None


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel drops with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_there(target: Path, digest: str) -> bool:
    if not target.is_file():
        return False
    with target.open("rb") as existing:
        return digest_of(existing) == digest


def _retried(uri: str, attempt: Callable[[], _T], patience: Patience) -> _T:
    """Make an attempt until it succeeds, fails for good, or patience ends."""
    for number in range(1, patience.attempts):
        try:
            return attempt()
        except ArtifactError as error:
            if not error.transient:
                raise
            pause = patience.pause(number)
            event(
                "fetch_retry",
                level=30,
                source=without_secrets(uri),
                attempt=number,
                cause=str(error),
                pause_seconds=round(pause, 1),
            )
            time.sleep(pause)
    return attempt()


def _download(
    uri: str, digest: str, target: Path, max_bytes: int, credentials: Credentials, claims: Path
) -> None:
    # One name for all attempts: what a killed process left is written over, not left for ever.
    partial = target.with_name(f".{target.name}.partial")
    begun = time.monotonic()
    try:
        with partial.open("wb") as file:
            with opened(uri, credentials, claims) as source:
                compare(uri, _copy(uri, source, file, max_bytes), digest)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        partial.chmod(0o644)
        partial.replace(target)
        seconds = round(time.monotonic() - begun, 3)
        event("fetched", source=without_secrets(uri), bytes=size, seconds=seconds)
    finally:
        partial.unlink(missing_ok=True)


def _copy(uri: str, source: Source, target: IO[bytes], max_bytes: int) -> str:
    """Copy the artifact into `target` and return its digest; stop at the first byte too many."""
    name = without_secrets(uri)
    too_large = ArtifactError(Reason.SIZE_LIMIT, f"{name} is larger than {max_bytes} bytes")
    if source.size is not None and source.size > max_bytes:
        raise too_large
    digest, size = hashlib.sha256(), 0
    told = time.monotonic()
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        digest.update(chunk)
        target.write(chunk)
        if time.monotonic() - told >= _PROGRESS_SECONDS:
            told = time.monotonic()
            event("fetch_progress", source=name, bytes=size, of=source.size)
    return f"sha256:{digest.hexdigest()}"


def _check_signature(
    uri: str,
    digest: str,
    target: Path,
    credentials: Credentials,
    signing: Signing,
    claims: Path,
    patience: Patience,
) -> None:
    """Verify the signature of `digest` and keep it beside the target.

    A pod that starts again verifies the kept one, by the keys of now: it needs no store for what it
    has already. Only if that fails the signature is fetched anew.
    """
    kept = target.with_name(f"{target.name}.sig")
    name = file_name(uri)
    if kept.is_file():
        with contextlib.suppress(ArtifactError):
            verify(kept.read_bytes(), signing.signers, name, digest)
            return
    where = signing.uri or signature_beside(uri)
    bundle = _retried(where, lambda: _read_signature(where, credentials, claims), patience)
    key = verify(bundle, signing.signers, name, digest)
    event("signature_verified", source=without_secrets(where), key=key, digest=digest)
    kept.write_bytes(bundle)


def _read_signature(uri: str, credentials: Credentials, claims: Path) -> bytes:
    content = b""
    with opened(uri, credentials, claims) as source:
        while chunk := source.read(MAX_SIGNATURE_BYTES + 1):
            content += chunk
            if len(content) > MAX_SIGNATURE_BYTES:
                name = without_secrets(uri)
                message = f"{name} is larger than {MAX_SIGNATURE_BYTES} bytes: it is no signature"
                raise ArtifactError(Reason.SIGNATURE_INVALID, message)
    return content
