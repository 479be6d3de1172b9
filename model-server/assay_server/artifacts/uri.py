"""Where an artifact is: the schemes, the paths behind local ones, and URIs without secrets."""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from assay_server.artifacts.error import ArtifactError, Reason

WEB = frozenset({"http", "https"})
BUCKETS = frozenset({"s3", "gs", "az", "abfs", "abfss"})
SCHEMES = ("https", "http", "s3", "gs", "az", "abfs", "abfss", "pvc", "file")

CLAIMS = Path("/mnt/claims")
"""Where the pod mounts persistent volume claims, each in a folder of its name."""


def scheme_of(uri: str) -> str:
    """Return the scheme; a plain path is "file". Raises ArtifactError (InvalidURI)."""
    scheme = urlsplit(uri).scheme or "file"
    if scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise ArtifactError(Reason.INVALID_URI, f"scheme {scheme!r} is not supported ({known})")
    return scheme


def local_path(uri: str, claims: Path = CLAIMS) -> Path | None:
    """Return the path behind `file:`, `pvc:` or a plain path; None for what must be fetched.

    Raises ArtifactError (InvalidURI) when `pvc://claim/path` names no file within its claim.
    """
    parts = urlsplit(uri)
    if parts.scheme == "":
        return Path(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if parts.scheme != "pvc":
        return None
    inside = PurePosixPath(unquote(parts.path).lstrip("/"))
    if not parts.netloc or not inside.parts or ".." in inside.parts:
        message = f"{without_secrets(uri)} must read pvc://CLAIM/PATH, without '..'"
        raise ArtifactError(Reason.INVALID_URI, message)
    return claims / parts.netloc / inside


def without_secrets(uri: str) -> str:
    """Return the URI without user, password, query and fragment, for messages.

    What stands before the @ of an abfs URI is the container, not a password.
    """
    parts = urlsplit(uri)
    host = parts.netloc
    if parts.scheme not in ("abfs", "abfss"):
        host = host.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def file_name(uri: str) -> str:
    """Return the last part of the path: the name under which a signed folder knows the file."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name


def signature_beside(uri: str) -> str:
    """Return where the signature of an artifact is unless said otherwise: its path and `.sig`."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path}.sig"))
