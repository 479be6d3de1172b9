"""Receipts: the signed token that comes with every prediction and brings its true label home.

A receipt is `a3.<payload>.<mac>`, both parts base64url without padding. The payload says which
deployment, member, revision, rollout and step answered, what was predicted out of which classes,
the fine bins of the scores, when, a nonce, and a pseudonym of the user if requests name one; never
a feature value. Whoever holds the key can count the label without having seen the prediction: no
join, no store on the serving side.

Layout of the payload (big endian), then text parts joined by U+001F:

    nonce 8s | kid 4s | deployment tag 6s | member tag 4s | served at u32 | step u8 | flags u8
    [user tag 6s] | predicted u16 | fine bin u16, 0 to 16 times | revision, rollout, classes...

`flags`: 1 the class list is left out, 2 there is a user tag, 4 times the number of bins.

`a2` had always one bin and no user tag, `a1` the base bin in its place. Both still count, those of
`a1` in the middle of their base bin. The MAC covers the version, so that one cannot be passed off
as another.

Tags are prefixes of SHA-256 of the names, so that a receipt stays short and says nothing about
where it came from. The full deployment name enters the MAC. A user tag is keyed by the salt in
keys.json, without which nobody can tell whose it is.
"""

import binascii
import hashlib
import hmac
import os
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay_server.keys import KeyRing, Mac
from assay_server.ledger.bins import fine_from_base

PREFIX = "a3"
_WITH_ONE_BIN = "a2"
_WITH_BASE_BINS = "a1"
# What the MAC of each version begins with.
_DOMAINS = {
    PREFIX: b"assay receipt 3\0",
    _WITH_ONE_BIN: b"assay receipt 2\0",
    _WITH_BASE_BINS: b"assay receipt 1\0",
}
_USER_DOMAIN = b"assay user\0"
MAC_BYTES = 16
USER_TAG_BYTES = 6
# Users fall into so many buckets, by their tag.
BUCKETS = 128
MAX_LENGTH = 2048
# All class names together; a longer list is left out of the receipt (see `Receipt.classes`).
MAX_CLASS_BYTES = 512
# Models of more classes give no scores: their histograms would be beyond what Prometheus bears.
MAX_SCORED_CLASSES = 16

_NONCE_BYTES = 8
_ORIGIN = struct.Struct(">4s6s4sIBB")
_OLD_ANSWER = struct.Struct(">HH")
# The predicted class and 0 to 16 bins; a byte of flags has room for 63.
_ANSWERS = [struct.Struct(f">{1 + count}H") for count in range(64)]
_HEAD_BYTES = _NONCE_BYTES + _ORIGIN.size
_LEAST_BYTES = _HEAD_BYTES + 2
_NO_BIN = 0xFFFF
_CLASSES_LEFT_OUT = 1
_HAS_USER = 2
_BINS_SHIFT = 2
_SEPARATOR = "\x1f"
_STRATUM = re.compile(r"([a-z0-9-]{1,16})/([0-9]{1,3})")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_START = f"{PREFIX}.".encode()
# Padding, and the line ends that base64 brings.
_NOT_IN_TOKENS = b"=\n"
# Back again; what base64url does not know becomes what no base64 knows. Tokens have no padding.
_STANDARD = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
_PADDINGS = (b"", b"===", b"==", b"=")
# The last characters of a text of 4n + 2 and 4n + 3 in which no bit is left over.
_LAST = {0: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"}
# Strata can be made up by whoever writes the header; what is kept for them is bounded.
_KEPT_STRATA = 256
_KEPT_MACS = 64


class Stratum(NamedTuple):
    """The rollout and step under which a request was routed."""

    rollout: str
    step: int


# For requests that did not come through the gateway's rule: served, but not evidence.
NO_STRATUM = Stratum("none", 0)
# Rollouts in which nobody compares anything; `idle` is what the gateway sets without a trial. Their
# users are not counted: they never end, and the list of users would grow for ever.
NO_TRIAL = frozenset({"none", "idle"})


@lru_cache(_KEPT_STRATA)
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


class Receipt(NamedTuple):
    """What a verified receipt says.

    Attributes
    ----------
    identity
        The MAC: equal for two tokens only if they are the same receipt.
    member
        Tag of the member that served (`member_tag`).
    classes
        All class names, in a binary model the positive one last; None when there were too many.
    bins
        Fine bins of the scores: one of the positive class in a binary model, one per class in a
        multiclass one; empty without scores.
    user
        The user's tag; None when the request named no user.
    """

    identity: bytes
    member: bytes
    revision: str
    stratum: Stratum
    served_at: int
    predicted: str
    classes: tuple[str, ...] | None
    bins: tuple[int, ...]
    user: bytes | None = None


def deployment_name(namespace: str, deployment: str) -> bytes:
    """Return the name of a ModelDeployment as it enters tags and MACs."""
    return f"{namespace}/{deployment}".encode()


def deployment_tag(name: bytes) -> bytes:
    """Return the 6 bytes by which a receipt says which ModelDeployment it belongs to."""
    return hashlib.sha256(name).digest()[:6]


def member_tag(member: str) -> bytes:
    """Return the 4 bytes by which a receipt says which member served."""
    return hashlib.sha256(member.encode()).digest()[:4]


def user_tag(salt: bytes, user: str) -> bytes:
    """Return the 6 bytes by which rows of one user are known to belong together.

    Two users share a tag with a chance of 1 in 2.8e14: of a million users, none do.
    """
    return hmac.digest(salt, _USER_DOMAIN + user.encode(), "sha256")[:USER_TAG_BYTES]


def bucket_of(user: bytes) -> int:
    """Return the bucket 0..127 of a user tag."""
    return user[0] & (BUCKETS - 1)


class _Macs:
    """The keyed states of one deployment, each made once."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._known: dict[tuple[str, bytes], Mac] = {}

    def of(self, version: str, secret: bytes) -> Mac:
        mac = self._known.get((version, secret))
        if mac is None:
            if len(self._known) >= _KEPT_MACS:
                self._known.clear()
            mac = Mac(secret, _DOMAINS[version] + self._name + b"\0")
            self._known[version, secret] = mac
        return mac


class _Prefix(NamedTuple):
    """What all receipts of one stratum and second that one key signs have in common."""

    kid: str
    now: int
    mac: Mac
    head: bytes
    texts: list[bytes]


class Issuer:
    """Signs the receipts of one serving process. Any thread may use it.

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
        name = deployment_name(namespace, deployment)
        self._macs = _Macs(name)
        self._deployment = deployment_tag(name)
        self._member = member_tag(member)
        self._revision = revision
        self._classes = tuple(classes)
        self._complete = len(_SEPARATOR.join(classes).encode()) <= MAX_CLASS_BYTES
        count = 1 if len(classes) == 2 else len(classes)
        # Bins of classes that have no name in the receipt could not be counted.
        self._bins = count if self._complete and count <= MAX_SCORED_CLASSES else 0
        self._prefixes: dict[tuple[Stratum, int, bool], _Prefix] = {}

    def issue(
        self,
        stratum: Stratum,
        predicted: Sequence[int],
        bins: Sequence[int] | Sequence[Sequence[int]] | NDArray[np.integer[Any]] | None,
        now: int,
        user: str | None = None,
    ) -> list[str]:
        """Return one receipt per row.

        Parameters
        ----------
        predicted
            Indexes into the classes, one per row.
        bins
            Fine bins of the scores. Binary models: one per row, of the positive class. Multiclass:
            one list per row with one per class, in the order of the classes; not used beyond
            `MAX_SCORED_CLASSES`. None without scores.
        now
            In Unix seconds.
        user
            The user's key as the request gave it; only a keyed tag of it enters the receipts, and
            none at all if the key file has no salt.
        """
        salt = self._keys.salt() if user else None
        tag = user_tag(salt, user) if salt and user else b""
        count = self._bins if bins is not None else 0
        prefix = self._prefix(stratum, now, count, has_user=bool(tag))
        head, texts = prefix.head + tag, prefix.texts
        random = os.urandom(_NONCE_BYTES * len(predicted))
        payloads = []
        place = 0
        for index, answer in zip(predicted, self._answers(predicted, bins, count), strict=True):
            end = place + _NONCE_BYTES
            text = texts[0] if self._complete else texts[index]
            payloads.append(random[place:end] + head + answer + text)
            place = end
        return _tokens(payloads, prefix.mac)

    def _answers(self, predicted: Sequence[int], bins: Any, count: int) -> list[bytes]:
        """Return the packed prediction and bins of each row."""
        pack = _ANSWERS[count].pack
        indexes = predicted if self._complete else [0] * len(predicted)
        if count == 0:
            return [pack(index) for index in indexes]
        rows = bins.tolist() if isinstance(bins, np.ndarray) else bins
        if count == 1:
            return [pack(index, place) for index, place in zip(indexes, rows, strict=True)]
        return [pack(index, *places) for index, places in zip(indexes, rows, strict=True)]

    def _prefix(self, stratum: Stratum, now: int, count: int, *, has_user: bool) -> _Prefix:
        kid, secret = self._keys.active()
        known = self._prefixes.get((stratum, count, has_user))
        if known is not None and known.now == now and known.kid == kid:
            return known
        flags = count << _BINS_SHIFT | (_HAS_USER if has_user else 0)
        flags |= 0 if self._complete else _CLASSES_LEFT_OUT
        head = _ORIGIN.pack(kid.encode(), self._deployment, self._member, now, stratum.step, flags)
        texts = known.texts if known is not None else self._texts(stratum)
        if len(self._prefixes) >= _KEPT_STRATA:
            self._prefixes.clear()
        made = _Prefix(kid, now, self._macs.of(PREFIX, secret), head, texts)
        self._prefixes[stratum, count, has_user] = made
        return made

    def _texts(self, stratum: Stratum) -> list[bytes]:
        start = (self._revision, stratum.rollout)
        if self._complete:
            return [_SEPARATOR.join((*start, *self._classes)).encode()]
        return [_SEPARATOR.join((*start, name)).encode() for name in self._classes]


class Verifier:
    """Reads receipts of one ModelDeployment and checks their signature."""

    def __init__(self, keys: KeyRing, namespace: str, deployment: str) -> None:
        self._keys = keys
        name = deployment_name(namespace, deployment)
        self._macs = _Macs(name)
        self._deployment = deployment_tag(name)

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
        signature = self._macs.of(version, secret).digest(payload)[:MAC_BYTES]
        if not hmac.compare_digest(mac, signature):
            raise ReceiptError("forged", "the receipt's signature does not match")
        user, predicted, bins, place = _answer(version, payload, flags)
        revision, stratum, classes = _origin(payload[place:], step)
        shown = None if flags & _CLASSES_LEFT_OUT else classes
        told = classes[predicted]
        return Receipt(mac, member, revision, stratum, served_at, told, shown, bins, user)


def _answer(
    version: str, payload: bytes, flags: int
) -> tuple[bytes | None, int, tuple[int, ...], int]:
    """Return user tag, index of the predicted class, bins, and where the texts begin."""
    place = _HEAD_BYTES
    if version != PREFIX:
        predicted, score_bin = _OLD_ANSWER.unpack_from(payload, place)
        if version == _WITH_BASE_BINS and score_bin != _NO_BIN:
            score_bin = fine_from_base(score_bin)
        bins = () if score_bin == _NO_BIN else (score_bin,)
        return None, predicted, bins, place + _OLD_ANSWER.size
    user = None
    if flags & _HAS_USER:
        user = payload[place : place + USER_TAG_BYTES]
        place += USER_TAG_BYTES
    answer = _ANSWERS[flags >> _BINS_SHIFT]
    predicted, *places = answer.unpack_from(payload, place)
    return user, predicted, tuple(places), place + answer.size


@lru_cache(1024)
def _origin(texts: bytes, step: int) -> tuple[str, Stratum, tuple[str, ...]]:
    """Return revision, stratum and class names, the same objects for predictions of one origin.

    Called for signed payloads only: no stranger fills the cache.
    """
    revision, rollout, *classes = texts.decode().split(_SEPARATOR)
    return revision, Stratum(rollout, step), tuple(classes)


def _tokens(payloads: Sequence[bytes], mac: Mac) -> list[str]:
    """Return signed tokens. What can be done for all of them at once is: a server makes many."""
    to_base64 = binascii.b2a_base64
    lines = [
        b"%b%b.%b" % (_START, to_base64(payload), to_base64(signature[:MAC_BYTES]))
        for payload, signature in zip(payloads, mac.digests(payloads), strict=True)
    ]
    return b" ".join(lines).translate(_URL_SAFE, _NOT_IN_TOKENS).decode("ascii").split(" ")


def _encode(data: bytes) -> str:
    encoded = binascii.b2a_base64(data, newline=False)
    return encoded.translate(_URL_SAFE, b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Decode base64url; only the one canonical spelling of some bytes is accepted."""
    rest = len(text) % 4
    try:
        standard = text.encode("ascii").translate(_STANDARD)
        data = binascii.a2b_base64(standard + _PADDINGS[rest], strict_mode=True)
    except ValueError:
        data = b""
    if not data or (rest and text[-1] not in _LAST[rest]):
        raise ReceiptError("malformed", "the receipt is not base64url")
    return data


def _parts(token: str) -> tuple[str, bytes, bytes]:
    parts = token.split(".") if len(token) <= MAX_LENGTH else []
    if len(parts) != 3 or parts[0] not in _DOMAINS:
        raise ReceiptError("malformed", f"a receipt looks like {PREFIX}.<payload>.<signature>")
    payload, mac = _decode(parts[1]), _decode(parts[2])
    if len(payload) <= _LEAST_BYTES or len(mac) != MAC_BYTES:
        raise ReceiptError("malformed", "the receipt is cut short")
    return parts[0], payload, mac
