"""Receipt keys of a ModelDeployment: made once, kept in its members, the same in all of them.

They never touch the hub's objects, status, events or logs. A hub that starts reads them back from
any member that has them; members that have different ones (one was away when they were made) end
up with all of them, so that no receipt becomes worthless.

Keys are changed without a refused label. A new one is spread before anything is signed with it, and
an old one stays for as long as a receipt that it signed can be labelled. The salt of user tags never
changes: a user is the same one under any key.
"""

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from assay.render.naming import receipts_name

from . import resources
from .api import Api
from .errors import ApiError, MemberError

KEY_BYTES = 32
READ_SECONDS = 3.0

SHORTEST_SECONDS = 3600
"""Keys are not changed more often than this."""

SPREAD_SECONDS = 600
"""So long a new key is in the members before it signs: kubelets bring a changed Secret to their pods
within about two minutes, and a ledger must know a key before the first label of its receipts."""

_FILE = "keys.json"
_KID = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_keys(now: float) -> str:
    """Return the content of keys.json with one new random key, made at `now` (Unix seconds)."""
    kid = _new_kid()
    return _text(
        {"active": kid, "keys": {kid: _random()}, "made": {kid: int(now)}, "salt": _random()}
    )


def rotated(text: str, now: float, window_seconds: int) -> str:
    """Return the keys as they should be at `now` (Unix seconds); mostly `text` itself.

    Rule 1. The newest key is followed by another one after `window_seconds`, an hour at least.
    Rule 2. A key signs from `SPREAD_SECONDS` after it was made until the next one signs.
    Rule 3. A key goes when the last receipt that it signed cannot be labelled any more; it signed
    until somebody looked and ended it, however late.

    A key of before keys had an age counts as made now; salts of before there were any are made.
    """
    document = _valid(text)
    if document is None:
        return text
    keys, salt = dict(document["keys"]), document["salt"] or _random()
    made = {kid: document["made"].get(kid, int(now)) for kid in keys}
    ended = {kid: at for kid, at in document["ended"].items() if kid in keys}
    active = document["active"]
    if now - max(made.values()) >= max(window_seconds, SHORTEST_SECONDS):
        kid = _new_kid()
        keys[kid], made[kid] = _random(), int(now)
    spread = [kid for kid in keys if now - made[kid] >= SPREAD_SECONDS]
    newest = max(spread, key=lambda kid: (made[kid], kid), default=active)
    if made[newest] > made[active]:
        active = newest
    # Also a key of another member that was away when ours were made.
    older = (kid for kid in keys if kid != active and made[kid] <= made[active])
    ended |= {kid: int(now) for kid in older if kid not in ended}
    for kid, at in list(ended.items()):
        # Pods sign with it until the kubelet has brought them the next one.
        if now - at > window_seconds + SPREAD_SECONDS:
            del keys[kid], made[kid], ended[kid]
    return _text({"active": active, "keys": keys, "made": made, "ended": ended, "salt": salt})


def seconds_to_rotation(text: str, now: float, window_seconds: int) -> float:
    """Return when `rotated` has something to do next, in seconds from `now`; 0 if it has now."""
    document = _valid(text)
    if document is None or not document["made"]:
        return 0.0
    newest: int = max(document["made"].values())
    if document["made"].get(document["active"]) != newest:
        return max(0.0, newest + SPREAD_SECONDS - now)
    return max(0.0, newest + max(window_seconds, SHORTEST_SECONDS) - now)


async def read_keys(apis: Mapping[str, Api], namespace: str, name: str) -> tuple[str | None, bool]:
    """Return the keys that `apis` (members by name) hold, merged, and whether all could be asked.

    The keys are None when no member has any.
    """
    found = await asyncio.gather(
        *(_read(apis[member], namespace, name) for member in sorted(apis)), return_exceptions=True
    )
    complete = True
    texts = []
    for item in found:
        if isinstance(item, (MemberError, ApiError)):
            complete = False
        elif isinstance(item, BaseException):
            raise item
        elif item is not None:
            texts.append(item)
    return merge(texts), complete


def merge(texts: Iterable[str]) -> str | None:
    """Return all keys of several keys.json as one; the first one's active key and salt stay."""
    documents = [document for text in texts if (document := _valid(text)) is not None]
    if not documents:
        return None
    merged: dict[str, Any] = {"active": documents[0]["active"], "keys": {}, "made": {}, "ended": {}}
    for document in reversed(documents):
        merged["keys"] |= document["keys"]
        merged["made"] |= document["made"]
        merged["ended"] |= document["ended"]
    merged["ended"].pop(merged["active"], None)
    merged["salt"] = next((each["salt"] for each in documents if each["salt"]), None)
    return _text(merged)


async def _read(api: Api, namespace: str, name: str) -> str | None:
    path = resources.path("Secret", namespace, receipts_name(name))
    try:
        secret = await api.request("GET", path, seconds=READ_SECONDS)
    except ApiError as error:
        if error.missing:
            return None
        raise
    try:
        return base64.b64decode((secret.get("data") or {}).get(_FILE, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _valid(text: str) -> dict[str, Any] | None:
    """Return keys.json with all its parts, None if it is not usable."""
    try:
        document: dict[str, Any] = json.loads(text)
        found = {
            "active": document["active"],
            "keys": dict(document["keys"]),
            "made": {kid: int(at) for kid, at in document.get("made", {}).items()},
            "ended": {kid: int(at) for kid, at in document.get("ended", {}).items()},
            "salt": document.get("salt"),
        }
        secrets_ = [*found["keys"].values(), *([found["salt"]] if found["salt"] else [])]
        sizes = {len(base64.b64decode(each)) for each in secrets_}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found["active"] in found["keys"] and sizes == {KEY_BYTES} else None


def _new_kid() -> str:
    return "".join(secrets.choice(_KID) for _ in range(4))


def _random() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _text(document: Mapping[str, Any]) -> str:
    given = {name: value for name, value in document.items() if value}
    return json.dumps(given, sort_keys=True, separators=(",", ":"))
