"""List and watch one kind of object, for as long as the operator lives.

Every client library measured goes blind on a half-open connection, dies on a reset, or repeats a
request whose resourceVersion is gone (research: kopf-scale, 2). This one asks for bookmarks, so
that silence means a dead link; lists again after 410, which an API server's restart makes the
normal path; finds what was deleted meanwhile by comparing lists; and waits a little longer after
each failure, with jitter, so that many operators do not come back at the same instant.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from .api import JSON, METADATA, METADATA_LIST, Api
from .errors import ApiError, MemberError

SILENCE_SECONDS = 75.0
"""A server that sends bookmarks speaks once a minute; longer silence is a dead link."""

_SERVER_SECONDS = 290
_PAGE = 500
_ABSENT_SECONDS = 20.0
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where a watch puts what it sees."""

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Take a whole list; what is not in it does not exist."""

    def put(self, document: dict[str, Any]) -> None:
        """Take one object that was added or changed."""

    def remove(self, document: dict[str, Any]) -> None:
        """Forget one object."""


class Watch:
    """One kind of object in one cluster.

    Parameters
    ----------
    path
        URL path of the collection.
    store
        Told of everything that is seen.
    selector, fields
        Label and field selector; everything when empty.
    metadata_only
        Whether the metadata of objects are enough.
    silence_seconds
        After so long without a word the connection is given up.
    jitter
        Draws from [0, 1); seeded in tests.
    lacks
        For a kind that the server may do without, or not show us: called with why it is so, and with
        None when it is there after all. Such a kind counts as seen, empty.

    Attributes
    ----------
    synced
        Set once the store has seen a whole list.
    heard
        When the server last said anything (`time.monotonic`).
    error
        Why it does not work now; None while it does.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        store: Store,
        *,
        selector: str = "",
        fields: str = "",
        metadata_only: bool = False,
        silence_seconds: float = SILENCE_SECONDS,
        jitter: Callable[[], float] = random.random,
        lacks: Callable[[ApiError | None], None] | None = None,
    ) -> None:
        self._api = api
        self._path = path
        self._store = store
        wanted = {"labelSelector": selector, "fieldSelector": fields}
        self._query = {key: value for key, value in wanted.items() if value}
        self._accept = (METADATA_LIST, METADATA) if metadata_only else (JSON, JSON)
        self._silence = silence_seconds
        self._jitter = jitter
        self._lacks = lacks
        self._version: str | None = None
        self.synced = asyncio.Event()
        self.heard = time.monotonic()
        self.error: Exception | None = None

    async def run(self) -> None:
        """List and watch until cancelled. Errors are logged, never raised."""
        delay = _FIRST_DELAY
        while True:
            began = time.monotonic()
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except (MemberError, ApiError, ValueError, KeyError) as error:
                if self._lacks and isinstance(error, ApiError) and error.status in {403, 404}:
                    self._take_as_empty(error, self._lacks)
                    await asyncio.sleep(_ABSENT_SECONDS)
                    continue
                again, self.error = self.error is not None, error
                if isinstance(error, ApiError) and error.gone:
                    self._version = None
                    delay = _FIRST_DELAY
                else:
                    # That a server cannot be reached is told once, by whoever minds it as a whole.
                    # Silence is no news: a kind without any change gets no bookmarks.
                    away = isinstance(error, MemberError)
                    level = logging.WARNING if again and not away else logging.DEBUG
                    log.log(level, "watch of %s in %s: %s", self._path, self._api.name, error)
            lasted = time.monotonic() - began
            delay = _FIRST_DELAY if lasted > _LONGEST_DELAY else min(2 * delay, _LONGEST_DELAY)
            await asyncio.sleep(delay * (0.5 + self._jitter()))

    async def _list(self) -> None:
        documents: list[dict[str, Any]] = []
        query = {**self._query, "limit": str(_PAGE)}
        while True:
            page = await self._api.get(self._path, accept=self._accept[0], **query)
            documents += page.get("items") or []
            if not (token := page["metadata"].get("continue")):
                break
            query["continue"] = token
        self.heard = time.monotonic()
        self._version = page["metadata"]["resourceVersion"]
        self._store.replace(documents)
        if self._lacks:
            self._lacks(None)
        self.error = None
        self.synced.set()

    def _take_as_empty(self, why: ApiError, lacks: Callable[[ApiError | None], None]) -> None:
        self._version = None
        self._store.replace([])
        lacks(why)
        self.error = None
        self.synced.set()

    async def _watch(self) -> None:
        """Follow changes until the server ends the stream, which it does every few minutes."""
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(_SERVER_SECONDS),
        }
        stream = self._api.stream(self._path, query, self._silence, self._accept[1])
        async with stream as events:
            self.error = None
            async for event in events:
                self.heard = time.monotonic()
                self._take(event["type"], event["object"])

    def _take(self, type_: str, document: dict[str, Any]) -> None:
        if type_ == "ERROR":
            raise ApiError(
                int(document.get("code", 0)),
                str(document.get("reason", "")),
                str(document.get("message", "")),
            )
        self._version = document["metadata"]["resourceVersion"]
        if type_ == "DELETED":
            self._store.remove(document)
        elif type_ != "BOOKMARK":
            self._store.put(document)
