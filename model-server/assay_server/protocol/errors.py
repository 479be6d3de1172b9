"""What a client is told when its request cannot be answered."""

import msgspec

# Longer names are cut in messages: an error must not carry a whole body back.
_SHOWN = 64

_encoder = msgspec.json.Encoder()


class ProtocolError(Exception):
    """A request that cannot be answered; the message says which field and why.

    Attributes
    ----------
    message
        For the client. It names fields, rows, columns and types, never the value of a feature.
    status
        The HTTP status; gRPC maps it to its own codes.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def error_body(message: str, **more: object) -> bytes:
    """Return the body of an error response: `{"error": message}` and what else helps."""
    return _encoder.encode({"error": message, **more})


def quoted(name: str) -> str:
    """Return a client's name for something, quoted, escaped and cut to a bearable length."""
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "...")
