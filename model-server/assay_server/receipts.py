"""Receipts: the signed token that comes with every prediction and brings its true label home.

A receipt is `a2.<payload>.<mac>`, both parts base64url without padding. The payload says which
deployment, member, revision, rollout and step answered, what was predicted out of which classes,
the score's fine bin, when, and a nonce; never a feature value. Whoever holds the key can count the
label without having seen the prediction: no join, no store on the serving side.

Layout of the payload (big endian), then text parts joined by U+001F:

    nonce 8s | kid 4s | deployment tag 6s | member tag 4s | served at u32 | step u8 | flags u8
    predicted u16 | fine bin u16 | revision, rollout, classes...

`a1` was the same with the base bin. Such receipts still count, in the middle of their base bin. The
MAC covers the version, so that one cannot be passed off as the other.

Tags are prefixes of SHA-256 of the names, so that a receipt stays short and says nothing about
where it came from. The full deployment name enters the MAC.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from assay_server.keys import KeyRing
from assay_server.ledger.bins import fine_from_base

PREFIX = "a2"
_WITH_BASE_BINS = "a1"
# What the MAC of each version begins with.
_DOMAINS = {PREFIX: b"assay receipt 2\0", _WITH_BASE_BINS: b"assay receipt 1\0"}
MAC_BYTES = 16
MAX_LENGTH = 2048
# All class names together; a longer list is left out of the receipt (see `Receipt.classes`).
MAX_CLASS_BYTES = 512

_NONCE_BYTES = 8
_ORIGIN = struct.Struct(">4s6s4sIBB")
_ANSWER = struct.Struct(">HH")
_FIXED_BYTES = _NONCE_BYTES + _ORIGIN.size + _ANSWER.size
_NO_BIN = 0xFFFF
_CLASSES_LEFT_OUT = 1
_SEPARATOR = "\x1f"
_STRATUM = re.compile(r"([a-z0-9-]{1,16})/([0-9]{1,3})")


class Stratum(NamedTuple):
    """The rollout and step under which a request was routed."""

    rollout: str
    step: int


# For requests that did not come through the gateway's rule: served, but not evidence.
NO_STRATUM = Stratum("none", 0)


def stratum_of(header: str | None) -> Stratum:
    """Read the header `assay-stratum`; a missing or malformed one gives `NO_STRATUM`."""
    match = _STRATUM.fullmatch(header) if header else None
    if match is None or int(match[2]) > 255:
        return NO_STRATUM
    return Stratum(match[1], int(match[2]))


class ReceiptError(Exception):
    """A receipt that cannot be taken; `status` is `malformed`, `wrong_deployment` or `forged`."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a verified receipt says.

    Attributes
    ----------
    identity
        The MAC: equal for two tokens only if they are the same receipt.
    member
        Tag of the member that served (`member_tag`).
    classes
        All class names, in a binary model the positive one last; None when there were too many.
    score_bin
        Fine bin of the positive class's probability; None for multiclass models and without scores.
    """

    identity: bytes
    member: bytes
    revision: str
    stratum: Stratum
    served_at: int
    predicted: str
    classes: tuple[str, ...] | None
    score_bin: int | None


def deployment_name(namespace: str, deployment: str) -> bytes:
    """Return the name of a ModelDeployment as it enters tags and MACs."""
    return f"{namespace}/{deployment}".encode()


def deployment_tag(name: bytes) -> bytes:
    """Return the 6 bytes by which a receipt says which ModelDeployment it belongs to."""
    return hashlib.sha256(name).digest()[:6]


def member_tag(member: str) -> bytes:
    """Return the 4 bytes by which a receipt says which member served."""
    return hashlib.sha256(member.encode()).digest()[:4]


def _mac(version: str, secret: bytes, name: bytes, payload: bytes) -> bytes:
    signed = _DOMAINS[version] + name + b"\0" + payload
    return hmac.digest(secret, signed, "sha256")[:MAC_BYTES]


class Issuer:
    """Signs the receipts of one serving process.

    Parameters
    ----------
    classes
        The model's class names. In a binary model the positive one must come last.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        namespace: str,
        deployment: str,
        member: str,
        revision: str,
        classes: Sequence[str],
    ) -> None:
        self._keys = keys
        self._name = deployment_name(namespace, deployment)
        self._deployment = deployment_tag(self._name)
        self._member = member_tag(member)
        self._revision = revision
        self._classes = tuple(classes)
        self._complete = len(_SEPARATOR.join(classes).encode()) <= MAX_CLASS_BYTES

    def issue(
        self, stratum: Stratum, predicted: Sequence[int], bins: Sequence[int] | None, now: int
    ) -> list[str]:
        """Return one receipt per row.

        `predicted` are indexes into the classes, `bins` fine bins of the scores (binary models) or
        None, `now` is in Unix seconds.
        """
        kid, secret = self._keys.active()
        flags = 0 if self._complete else _CLASSES_LEFT_OUT
        origin = _ORIGIN.pack(
            kid.encode(), self._deployment, self._member, now, stratum.step, flags
        )
        random = os.urandom(_NONCE_BYTES * len(predicted))
        texts = self._texts(stratum)
        tokens = []
        for row, index in enumerate(predicted):
            nonce = random[_NONCE_BYTES * row : _NONCE_BYTES * (row + 1)]
            score_bin = bins[row] if bins is not None else _NO_BIN
            if self._complete:
                payload = nonce + origin + _ANSWER.pack(index, score_bin) + texts[0]
            else:
                payload = nonce + origin + _ANSWER.pack(0, score_bin) + texts[index]
            mac = _mac(PREFIX, secret, self._name, payload)
            tokens.append(f"{PREFIX}.{_encode(payload)}.{_encode(mac)}")
        return tokens

    def _texts(self, stratum: Stratum) -> list[bytes]:
        start = (self._revision, stratum.rollout)
        if self._complete:
            return [_SEPARATOR.join((*start, *self._classes)).encode()]
        return [_SEPARATOR.join((*start, name)).encode() for name in self._classes]


class Verifier:
    """Reads receipts of one ModelDeployment and checks their signature."""

    def __init__(self, keys: KeyRing, namespace: str, deployment: str) -> None:
        self._keys = keys
        self._name = deployment_name(namespace, deployment)
        self._deployment = deployment_tag(self._name)

    def verify(self, token: str) -> Receipt:
        """Return what the receipt says.

        Raises ReceiptError when it is not a receipt, belongs to another ModelDeployment, or was
        not signed with a key of the ring. Nothing that it says is believed before that.
        """
        version, payload, mac = _parts(token)
        kid, deployment, member, served_at, step, flags = _ORIGIN.unpack_from(payload, _NONCE_BYTES)
        if deployment != self._deployment:
            raise ReceiptError("wrong_deployment", "the receipt belongs to another ModelDeployment")
        secret = self._keys.secret(kid.rstrip(b"\0").decode("ascii", "replace"))
        if secret is None:
            raise ReceiptError("forged", "the receipt was signed with a key that is not known here")
        if not hmac.compare_digest(mac, _mac(version, secret, self._name, payload)):
            raise ReceiptError("forged", "the receipt's signature does not match")
        predicted, score_bin = _ANSWER.unpack_from(payload, _NONCE_BYTES + _ORIGIN.size)
        revision, rollout, *classes = payload[_FIXED_BYTES:].decode().split(_SEPARATOR)
        return Receipt(
            identity=mac,
            member=member,
            revision=revision,
            stratum=Stratum(rollout, step),
            served_at=served_at,
            predicted=classes[predicted],
            classes=None if flags & _CLASSES_LEFT_OUT else tuple(classes),
            score_bin=_fine_bin(version, score_bin),
        )


def _fine_bin(version: str, score_bin: int) -> int | None:
    if score_bin == _NO_BIN:
        return None
    return fine_from_base(score_bin) if version == _WITH_BASE_BINS else score_bin


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Decode base64url; only the one canonical spelling of some bytes is accepted."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if _encode(data) != text:
        raise ReceiptError("malformed", "the receipt is not base64url")
    return data


def _parts(token: str) -> tuple[str, bytes, bytes]:
    parts = token.split(".") if len(token) <= MAX_LENGTH else []
    if len(parts) != 3 or parts[0] not in _DOMAINS:
        raise ReceiptError("malformed", f"a receipt looks like {PREFIX}.<payload>.<signature>")
    payload, mac = _decode(parts[1]), _decode(parts[2])
    if len(payload) <= _FIXED_BYTES or len(mac) != MAC_BYTES:
        raise ReceiptError("malformed", "the receipt is cut short")
    return parts[0], payload, mac
