"""Who a request is from, as a header or a cookie of it says.

In a trial that splits users the gateway says which one, in the header `assay-user-by`
(`header:<name>` or `cookie:<name>`), which comes with the stratum: so both versions tell users apart
from the first request of a step on, and no server restarts for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

Headers = Callable[[str], str | None]
"""Returns a header of a request by its name in lower case."""

USER_BY = "assay-user-by"

_KEPT_KEYS = 16


class UserKey(NamedTuple):
    """Where requests name their user; exactly one is set.

    Attributes
    ----------
    header
        Name of a header, in lower case.
    cookie
        Name of a cookie.
    """

    header: str | None = None
    cookie: str | None = None

    def of(self, header: Headers) -> str | None:
        """Return the key of the user of a request; None if it names none."""
        if self.header is not None:
            return header(self.header) or None
        return _cookie(header("cookie") or "", self.cookie or "") or None


@lru_cache(_KEPT_KEYS)
def user_key(text: str) -> UserKey | None:
    """Read `assay-user-by`; None for what this server does not know."""
    kind, _, name = text.partition(":")
    if kind == "header" and name:
        return UserKey(header=name.lower())
    if kind == "cookie" and name:
        return UserKey(cookie=name)
    return None


def _cookie(text: str, wanted: str) -> str | None:
    """Return the value of the first cookie with this name; quotes around it are none of it."""
    for pair in text.split(";"):
        name, found, value = pair.strip().partition("=")
        if found and name == wanted:
            return value.removeprefix('"').removesuffix('"')
    return None
