"""What ends a request otherwise than well."""

from collections.abc import Mapping

import msgspec

Header = tuple[str, str]

CLOSE: Header = ("connection", "close")


class HTTPError(Exception):
    """An answer other than success, with a message for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: tuple[Header, ...] = (),
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode({"error": message, **(more or {})})
        self.headers = headers


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


def stalled(seconds: float) -> HTTPError:
    """Return the answer to a request whose body stopped coming."""
    return HTTPError(408, f"the body did not arrive within {seconds:.0f} s", headers=(CLOSE,))


def too_large(limit: int) -> HTTPError:
    """Return the answer to a body beyond `limit` bytes."""
    return HTTPError(413, f"the body is larger than {limit} bytes", headers=(CLOSE,))


def broken() -> HTTPError:
    """Return the answer to a body in chunks that are none."""
    return HTTPError(400, "the chunks of the body are broken", headers=(CLOSE,))
