"""Receipt keys of a ModelDeployment: made once, kept in its members, the same in all of them.

They never touch the hub's objects, status, events or logs. A hub that starts reads them back from
any member that has them; members that have different ones (one was away when they were made) end
up with all of them, so that no receipt becomes worthless.
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
_FILE = "keys.json"
_KID = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_keys() -> str:
    """Return the content of keys.json with one new random key."""
    kid = "".join(secrets.choice(_KID) for _ in range(4))
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return _text(kid, {kid: key})


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
    """Return all keys of several keys.json as one; the first one's active key stays active."""
    active: str | None = None
    keys: dict[str, str] = {}
    for text in texts:
        document = _valid(text)
        if document is None:
            continue
        active = active or document["active"]
        keys = {**document["keys"], **keys}
    return _text(active, keys) if active else None


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
    try:
        document: dict[str, Any] = json.loads(text)
        sizes = {len(base64.b64decode(key)) for key in document["keys"].values()}
        return document if document["active"] in document["keys"] and sizes == {KEY_BYTES} else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _text(active: str, keys: dict[str, str]) -> str:
    return json.dumps({"active": active, "keys": keys}, sort_keys=True, separators=(",", ":"))
