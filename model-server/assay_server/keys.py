"""The keys that sign receipts: read from a file, read again when it changes.

`keys.json` is `{"active": "<kid>", "keys": {"<kid>": "<base64 of 32 bytes>"}}`. New receipts are
signed with the active key; every key in the file verifies. A rotation adds a key, makes it active,
and drops the old one when its receipts have expired.
"""

import base64
import binascii
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from assay_server.logs import event

KEY_BYTES = 32
_KID = re.compile(r"[a-z0-9]{1,4}")
# Secret volumes change by a rename, so the file's identity tells. One stat a second costs nothing.
_CHECK_SECONDS = 1.0


class KeysError(Exception):
    """The key file is missing or not what it should be."""


class KeyRing:
    """The signing keys by id; `active` signs, all verify.

    A file that turns bad after the start is reported and the last good keys stay in use: a broken
    rotation must not stop predictions or turn true receipts into forged ones.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        active: str,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = dict(keys)
        self._active = active
        self._path = path
        self._clock = clock
        self._seen = _identity(path) if path else None
        self._next_check = clock() + _CHECK_SECONDS

    @classmethod
    def from_file(cls, path: Path, clock: Callable[[], float] = time.monotonic) -> "KeyRing":
        """Read the file. Raises KeysError with a message for the operator when it is not usable."""
        keys, active = _read(path)
        return cls(keys, active, path, clock)

    @classmethod
    def ephemeral(cls) -> "KeyRing":
        """Return a ring with a random key that dies with the process."""
        return cls({"tmp": secrets.token_bytes(KEY_BYTES)}, "tmp")

    def active(self) -> tuple[str, bytes]:
        """Return id and secret of the key that signs now."""
        if self._clock() >= self._next_check:
            self.refresh()
        return self._active, self._keys[self._active]

    def secret(self, kid: str) -> bytes | None:
        """Return the secret of a key, or None if the file (read again if it changed) has none."""
        if kid not in self._keys or self._clock() >= self._next_check:
            self.refresh()
        return self._keys.get(kid)

    def refresh(self) -> None:
        """Read the file again if it is not the one that was read last."""
        self._next_check = self._clock() + _CHECK_SECONDS
        if self._path is None:
            return
        seen = _identity(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys, self._active = _read(self._path)
        except KeysError:
            event("keys_refused", level=40, path=str(self._path), kept=sorted(self._keys))
        else:
            event("keys_read", active=self._active, keys=sorted(self._keys))


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows the symlink of a Secret volume, as wanted
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[dict[str, bytes], str]:
    try:
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise KeysError(f"cannot read the key file {path}: {error.strerror}") from None
    except msgspec.DecodeError:
        raise KeysError(f"the key file {path} is not JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("keys"), dict):
        raise KeysError(f'the key file {path} must hold {{"active": ..., "keys": {{...}}}}')
    keys = {}
    for kid, encoded in content["keys"].items():
        if not _KID.fullmatch(kid):
            raise KeysError(f"key id {kid!r} in {path} must be 1 to 4 of a-z and 0-9")
        keys[kid] = _secret(encoded, kid, path)
    active = content.get("active")
    if not isinstance(active, str) or active not in keys:
        raise KeysError(f"the active key of {path} is not among its keys")
    return keys, active


def _secret(encoded: object, kid: str, path: Path) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except binascii.Error:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeysError(f"key {kid} in {path} must be {KEY_BYTES} bytes in base64")
    return secret
