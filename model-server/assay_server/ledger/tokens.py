"""Tokens: who may send labels, and who may read the log.

A file holds one token in each line; all of them are valid, so that a token is changed by adding the
new one, telling those who need it, and taking the old one away.
"""

import hmac
import time
from collections.abc import Callable
from pathlib import Path

from assay_server.logs import event
from assay_server.transport import HTTPError, Request

_CHECK_SECONDS = 1.0
_SCHEME = "Bearer "
_CHALLENGE = (("www-authenticate", "Bearer"),)


class TokensError(Exception):
    """The file of tokens cannot be used; the message says why."""


class Tokens:
    """The tokens of a file, read again when it changes; one that turns bad changes nothing.

    Raises TokensError when the file cannot be read or holds no token.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._tokens = _read(path)
        self._next_check = clock() + _CHECK_SECONDS

    def check(self, request: Request) -> None:
        """Raise HTTPError 401 unless the request brings one of the tokens."""
        given = request.header("authorization") or ""
        if not given.startswith(_SCHEME):
            raise HTTPError(
                401, "send a token of this ledger: Authorization: Bearer ...", headers=_CHALLENGE
            )
        self._refresh()
        token = given.removeprefix(_SCHEME).strip().encode()
        # All are compared, whichever fits: how long it takes tells nothing.
        fits = [hmac.compare_digest(token, known) for known in self._tokens]
        if not any(fits):
            raise HTTPError(401, "this is not a token of this ledger", headers=_CHALLENGE)

    def _refresh(self) -> None:
        if self._clock() < self._next_check:
            return
        self._next_check = self._clock() + _CHECK_SECONDS
        try:
            self._tokens = _read(self._path)
        except TokensError:
            event("tokens_refused", level=40, path=str(self._path))


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise TokensError(f"cannot read the tokens in {path}: {error.strerror}") from None
    if not lines:
        raise TokensError(f"there is no token in {path}")
    return tuple(lines)
