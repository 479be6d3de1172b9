"""Credentials for fetching: the files of a mounted Secret. They never leave this package.

A Secret is mounted as files and not turned into environment variables: a variable could change how
the program itself runs, and every child process and crash dump would carry it.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay_server.artifacts.error import ArtifactError, Reason

_WEB = ("token", "username", "password", "ca.crt")
_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")
_MAX_BYTES = 64 * 1024

GOOGLE_KEY = "GOOGLE_APPLICATION_CREDENTIALS"
"""The file of this name is the service account's key itself (JSON), as kubectl makes it of a file."""


@dataclass(frozen=True)
class Credentials:
    """What a Secret holds for the fetch; nothing by default, then the environment alone counts.

    Attributes
    ----------
    values
        By key of the Secret: `token` or `username` and `password` for https, `ca.crt` for
        servers with a private authority, and AWS_*, AZURE_* and GOOGLE_* for buckets.
    """

    # Kept out of repr: it could reach a log.
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of_directory(cls, directory: Path) -> "Credentials":
        """Read a mounted Secret. Raises ArtifactError (CredentialsInvalid), also when it is empty.

        Other keys than those above are left alone.
        """
        values = {}
        try:
            for file in sorted(directory.iterdir()):
                if file.name in _WEB or file.name.startswith(_PREFIXES):
                    values[file.name] = _text(file)
        except OSError as error:
            raise _invalid(f"cannot read {directory}: {error.strerror}") from None
        if not values:
            raise _invalid(
                "the Secret of spec.model.credentials.secretName is not in this cluster, or holds"
                " none of token, username, ca.crt, AWS_..., AZURE_..., GOOGLE_..."
            )
        return cls(values)

    def authorization(self) -> str | None:
        """Return the Authorization header for http and https; None without credentials for them."""
        token, username = self.values.get("token"), self.values.get("username")
        if token is not None and username is not None:
            raise _invalid("the Secret holds both a token and a username: which one counts?")
        if token is not None:
            return f"Bearer {_one_line('token', token)}"
        if username is None:
            return None
        password = self.values.get("password")
        if password is None:
            raise _invalid("the Secret holds a username and no password")
        if ":" in username:
            raise _invalid("a username must not hold a colon")
        pair = f"{_one_line('username', username)}:{_one_line('password', password)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def authority(self) -> str | None:
        """Return the PEM certificates of private authorities, to be trusted beside the usual ones."""
        return self.values.get("ca.crt")

    def settings(self, prefix: str) -> dict[str, str]:
        """Return the settings of one kind of bucket, `AWS_` for instance."""
        return {name: value for name, value in self.values.items() if name.startswith(prefix)}


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _invalid(f"{file.name} is longer than {_MAX_BYTES} bytes")
    try:
        # Files made by an editor or `echo` end with a line break that is no part of the secret.
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _invalid(f"{file.name} is not UTF-8 text") from None


def _one_line(name: str, value: str) -> str:
    if not value or not value.isprintable():
        raise _invalid(f"{name} must be one line of printable characters")
    return value


def _invalid(message: str) -> ArtifactError:
    return ArtifactError(Reason.CREDENTIALS_INVALID, message)
