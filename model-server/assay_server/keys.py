"""The keys that sign receipts: read from a file, read again when it changes.

`keys.json` is `{"active": "<kid>", "keys": {"<kid>": "<base64 of 32 bytes>"}, "salt": "<base64 of 32
bytes>"}`. New receipts are signed with the active key; every key in the file verifies. A rotation
adds a key, makes it active when all pods have the file, and drops the old one when its receipts have
expired. The salt keys the tags of users; it may be missing, and is never rotated: under another one
every user would be somebody else.
"""

import base64
import binascii
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from assay_server.logs import event

KEY_BYTES = 32
_KID = re.compile(r"[a-z0-9]{1,4}")
# Secret volumes change by a rename, so the file's identity tells. One stat a second costs nothing.
_CHECK_SECONDS = 1.0
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class KeysError(Exception):
    """The key file is missing or not what it should be."""


class Mac:
    """HMAC-SHA256 under one key of messages that begin alike.

    The state after key and beginning is kept (RFC 2104, section 4): a digest then hashes the rest
    only, in 1.8 us where `hmac.digest` takes 4.5 us for a receipt.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes, beginning: bytes) -> None:
        block = secret.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD) + beginning)
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def digest(self, rest: bytes) -> bytes:
        """Return the 32 bytes for the beginning and `rest`."""
        return self.digests((rest,))[0]

    def digests(self, rests: Iterable[bytes]) -> list[bytes]:
        """Return the 32 bytes for the beginning and each of `rests`."""
        new_inner, new_outer = self._inner.copy, self._outer.copy
        found = []
        for rest in rests:
            inner, outer = new_inner(), new_outer()
            inner.update(rest)
            outer.update(inner.digest())
            found.append(outer.digest())
        return found


class _Content(NamedTuple):
    """What a key file holds."""

    keys: Mapping[str, bytes]
    active: str
    salt: bytes | None


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
        salt: bytes | None = None,
    ) -> None:
        # One reference, so that no thread ever sees half of a new file.
        self._content = _Content(dict(keys), active, salt)
        self._path = path
        self._clock = clock
        self._seen = _identity(path) if path else None
        self._next_check = clock() + _CHECK_SECONDS

    @classmethod
    def from_file(cls, path: Path, clock: Callable[[], float] = time.monotonic) -> "KeyRing":
        """Read the file. Raises KeysError with a message for the operator when it is not usable."""
        content = _read(path)
        return cls(content.keys, content.active, path, clock, content.salt)

    @classmethod
    def ephemeral(cls) -> "KeyRing":
        """Return a ring with a random key and salt that die with the process."""
        key, salt = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
        return cls({"tmp": key}, "tmp", salt=salt)

    def active(self) -> tuple[str, bytes]:
        """Return id and secret of the key that signs now."""
        if self._clock() >= self._next_check:
            self.refresh()
        content = self._content
        return content.active, content.keys[content.active]

    def salt(self) -> bytes | None:
        """Return what keys the tags of users; None if the file has none."""
        if self._clock() >= self._next_check:
            self.refresh()
        return self._content.salt

    def secret(self, kid: str) -> bytes | None:
        """Return the secret of a key, or None if the file (read again if it changed) has none."""
        if kid not in self._content.keys or self._clock() >= self._next_check:
            self.refresh()
        return self._content.keys.get(kid)

    def refresh(self) -> None:
        """Read the file again if it is not the one that was read last."""
        self._next_check = self._clock() + _CHECK_SECONDS
        if self._path is None:
            return
        seen = _identity(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        before = self._content
        try:
            self._content = _read(self._path)
        except KeysError:
            event("keys_refused", level=40, path=str(self._path), kept=sorted(before.keys))
            return
        event("keys_read", active=self._content.active, keys=sorted(self._content.keys))
        if before.salt not in {None, self._content.salt}:
            event("salt_changed", level=40, advice="every user now counts as another one")


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows the symlink of a Secret volume, as wanted
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> _Content:
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
        keys[kid] = _secret(encoded, f"key {kid}", path)
    active = content.get("active")
    if not isinstance(active, str) or active not in keys:
        raise KeysError(f"the active key of {path} is not among its keys")
    salt = content.get("salt")
    return _Content(keys, active, None if salt is None else _secret(salt, "the salt", path))


def _secret(encoded: object, name: str, path: Path) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except binascii.Error:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeysError(f"{name} in {path} must be {KEY_BYTES} bytes in base64")
    return secret
