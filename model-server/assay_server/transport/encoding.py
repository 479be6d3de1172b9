"""Content encodings: what clients may send and take, compressed in bounds. Knows no connection."""

import gzip
import zlib

# HTTP calls zlib's own format deflate; zlib tells it from gzip by itself.
TAKEN = frozenset({"gzip", "x-gzip", "deflate"})
_WINDOW_BITS_OF_EITHER = 47
# Not as small as at the default level, but made in a fraction of the time.
_LEVEL = 1


class EncodingError(Exception):
    """The bytes are not one complete compressed body."""


class Inflation:
    """A compressed body that is inflated step by step, never further than asked for.

    gzip of several members is refused: thousands of empty ones would cost more than one that
    holds something.
    """

    def __init__(self, data: bytes) -> None:
        self._rest = data
        self._member = zlib.decompressobj(_WINDOW_BITS_OF_EITHER)
        self._parts: list[bytes] = []
        self._size = 0

    def up_to(self, size: int) -> bool:
        """Inflate to at most `size` bytes in all; return whether that was everything.

        Raises EncodingError.
        """
        while not self._member.eof:
            # One byte more than asked for tells a body that ends here from one that goes on.
            room = size + 1 - self._size
            if room <= 0:
                return False
            try:
                part = self._member.decompress(self._rest, room)
            except zlib.error:
                raise EncodingError from None
            self._rest = self._member.unconsumed_tail
            if not part and not self._rest and not self._member.eof:
                raise EncodingError
            self._parts.append(part)
            self._size += len(part)
        if self._member.unused_data:
            raise EncodingError
        return self._size <= size

    def result(self) -> bytes:
        """Return what was inflated."""
        return b"".join(self._parts)


def deflate(body: bytes) -> bytes:
    """Return the body as gzip."""
    return gzip.compress(body, _LEVEL, mtime=0)


def takes_gzip(accepted: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    allowed = {}
    for entry in accepted.lower().split(","):
        name, _, weight = entry.partition(";")
        allowed[name.strip()] = weight.replace(" ", "").rstrip("0.") != "q="
    return allowed.get("gzip", allowed.get("*", False))
