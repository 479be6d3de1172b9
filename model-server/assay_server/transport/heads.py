"""Heads of requests and of answers: what their bytes mean, and the bytes of ours."""

import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from assay_server.transport.errors import Header

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Clock:
    """The header that tells when an answer was made, to the second."""

    def __init__(self) -> None:
        self.header = b""
        self.tick()

    def tick(self) -> None:
        """Look at the time. To be called every second."""
        self.header = f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()


def answer_head(
    status: int, content_type: str, length: int, date: bytes, headers: Iterable[Header]
) -> bytes:
    """Return the head of an answer.

    Parameters
    ----------
    content_type
        "" where there is no body.
    headers
        Are our own: nothing a client sent is in them but ids without control characters.
    """
    more = ""
    for name, value in headers:
        more += f"{name}: {value}\r\n"
    end = more.encode("latin-1")
    return b"%b%d\r\n%b%b\r\n" % (_beginning(status, content_type), length, date, end)


@cache
def _beginning(status: int, content_type: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    kind = f"content-type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status} {phrase}\r\nserver: assay\r\n{kind}content-length: ".encode()


# Clients ask for the same few targets again and again.
@lru_cache(maxsize=64)
def path_and_query(target: bytes) -> tuple[str, str]:
    """Return the path of a request's target, unquoted, and its query, still quoted.

    Raises ValueError if it is not ASCII, or not UTF-8 once unquoted.
    """
    text = target.decode("ascii")
    if not text.startswith("/") and (parts := urlsplit(text)).scheme:
        # Whole addresses are for proxies, but servers have to take them (RFC 9112, 3.2.2).
        text = f"{parts.path or '/'}?{parts.query}"
    path, _, query = text.partition("?")
    return (unquote(path, errors="strict") if "%" in path else path), query
