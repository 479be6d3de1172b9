"""One line in the log for each request that failed, or for each request.

A line says when, what path, which status, how long, and the request's id: what the client or the
gateway sent as `x-request-id`, else the id in the request's body, else a new one that the client is
told. Nothing else of a request goes into a log: neither values nor labels, receipts and tokens, nor
paths that are not ours, in which any of these might be.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from assay_server.logs import event

HEADER = "x-request-id"
MAX_ID = 64
LINES_PER_SECOND = 100
"""Lines about failures. More are left out and counted: a flood must not fill disks."""

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._:/+=@-]")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Logged(StrEnum):
    """Which requests are logged."""

    FAILED = "Failed"
    ALL = "All"


def clean_id(text: str | None) -> str | None:
    """Return an id as it may be logged and sent back; None if there is nothing in it.

    It is cut to 64 characters, and what is not a letter, a digit or one of `._:/+=@-` becomes `_`.
    """
    return _NOT_IN_ID.sub("_", text[:MAX_ID]) if text else None


def new_id() -> str:
    """Return an id for a request that has none."""
    return secrets.token_hex(8)


class AccessLog:
    """Writes the lines. Belongs to one thread."""

    def __init__(
        self, logged: Logged = Logged.FAILED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.logs_all = logged is Logged.ALL
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def write(
        self,
        method: str,
        path: str,
        status: int | str,
        seconds: float,
        request_id: str | None,
        *,
        failed: bool,
        cause: Mapping[str, str] | None = None,
    ) -> None:
        """Write the line of a request that was answered.

        Parameters
        ----------
        path
            One of the paths that are served, or a word for all others.
        status
            Of HTTP, or the name of a status of gRPC.
        failed
            Whether it is a failure: an answer to "are you ready?" may be 503 and none.
        cause
            Of an error of the server: what `logs.failure` says.
        """
        more: dict[str, object] = dict(cause or {})
        if not self.logs_all:
            if not failed or not self._has_room():
                return
            if self._left_out:
                more["left_out"] = self._left_out
                self._left_out = 0
        event(
            "request_failed" if failed else "request",
            level=logging.INFO if cause is None else logging.ERROR,
            method=method if method in _METHODS else "other",
            path=path,
            status=status,
            ms=round(seconds * 1e3, 3),
            id=request_id,
            **more,
        )

    def _has_room(self) -> bool:
        """Take room for a line in this second, or count it as left out."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_SECOND:
            self._left_out += 1
            return False
        self._lines += 1
        return True
