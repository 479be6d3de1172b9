"""Opens an artifact wherever it is, and says in one way what went wrong."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay_server.artifacts.bucket import open_bucket
from assay_server.artifacts.credentials import Credentials
from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.uri import BUCKETS, CLAIMS, local_path, scheme_of, without_secrets
from assay_server.artifacts.web import open_web

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers after which the same request may succeed."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_UNKNOWN = re.compile(r"Configuration key: '(\w{1,64})'")
_HINTS = {
    "Account must be specified": "the Secret holds no AZURE_STORAGE_ACCOUNT_NAME",
    "Invalid Access Key": "AZURE_STORAGE_ACCOUNT_KEY in the Secret is not base64",
    "GCP credential": "GOOGLE_APPLICATION_CREDENTIALS in the Secret is no key of a service account",
    "Invalid RSA key": "GOOGLE_APPLICATION_CREDENTIALS in the Secret holds no usable private key",
    # Without any of its own a store asks the cloud's machine for credentials.
    "/latest/": "no credentials for S3: name a Secret in spec.model.credentials",
    "metadata": "no credentials for this store: name a Secret in spec.model.credentials",
}
"""What obstore says when it cannot begin, and what to do about it."""
_KIND = re.compile(r"kind: (Connect|Timeout|Request|Interrupted|Decode)\b")


class Source:
    """An open artifact. Reading it raises ArtifactError (FetchFailed) in one way, whatever it is.

    Attributes
    ----------
    size
        In bytes, as its place tells; None if it does not.
    """

    def __init__(self, uri: str, file: Any, size: int | None) -> None:
        self._uri = uri
        self._file = file
        self.size = size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end."""
        with _failures_named(self._uri):
            chunk: bytes = self._file.read(size)
            return chunk


@contextlib.contextmanager
def opened(uri: str, credentials: Credentials, claims: Path = CLAIMS) -> Iterator[Source]:
    """Open `uri` for reading.

    Raises ArtifactError (FetchFailed, InvalidURI, CredentialsInvalid) that names the URI without
    its secrets.
    """
    with _failures_named(uri):
        file, size = _open(uri, credentials, claims)
    with contextlib.closing(file):
        yield Source(uri, file, size)


def _open(uri: str, credentials: Credentials, claims: Path) -> tuple[Any, int | None]:
    scheme = scheme_of(uri)
    path = local_path(uri, claims)
    if path is not None:
        file = path.open("rb")
        return file, path.stat().st_size
    return (open_bucket if scheme in BUCKETS else open_web)(uri, credentials)


@contextlib.contextmanager
def _failures_named(uri: str) -> Iterator[None]:
    name = without_secrets(uri)
    try:
        yield
    except ArtifactError:
        raise
    except FileNotFoundError:
        raise ArtifactError(Reason.FETCH_FAILED, f"{name} does not exist") from None
    except IsADirectoryError:
        raise ArtifactError(Reason.FETCH_FAILED, f"{name} is a folder, not a file") from None
    except PermissionError:
        raise ArtifactError(Reason.FETCH_FAILED, f"{name} may not be read") from None
    except TimeoutError:
        message = f"{name} did not answer in time"
        raise ArtifactError(Reason.FETCH_FAILED, message, transient=True) from None
    except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
        detail, transient = _explained(error)
        message = f"cannot read {name}: {detail}"
        raise ArtifactError(Reason.FETCH_FAILED, message, transient=transient) from None


def _explained(error: Exception) -> tuple[str, bool]:
    """Return what happened, and whether it may pass by itself.

    Messages of the libraries are not quoted as they are: they hold URLs with their queries, where
    a shared access signature is a password.
    """
    import aiohttp  # noqa: PLC0415

    name = type(error).__name__
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{name} {error.status} {error.message}", error.status in _LATER
    if isinstance(error, aiohttp.ClientSSLError):
        return f"{name}: the certificate or TLS of the server is not accepted", False
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return f"{name} {getattr(error, 'strerror', '') or ''}".strip(), True
    if isinstance(error, (OSError, asyncio.IncompleteReadError)):
        return f"{name} {getattr(error, 'strerror', '') or ''}".strip(), True
    if type(error).__module__.startswith("obstore"):
        return _explained_store(name, str(error))
    return name, False


def _explained_store(name: str, text: str) -> tuple[str, bool]:
    """Read obstore's message: what is wrong with the settings, the status, or the kind of failure."""
    if unknown := _UNKNOWN.search(text):
        return f"the Secret holds {unknown[1].upper()}, which is no setting of this store", False
    for words, hint in _HINTS.items():
        if words in text:
            return hint, False
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        parts = [name, status[1], code[1] if code else ""]
        return " ".join(part for part in parts if part), int(status[1]) in _LATER
    if kind := _KIND.search(text):
        return f"{name} {kind[1]}", True
    return name, False
