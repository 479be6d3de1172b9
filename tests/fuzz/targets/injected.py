"""A target with a bug that only coverage leads to: proof that one would be found."""


class Target:
    """Fails on what begins with `bug!`."""

    words = ("hello",)
    max_bytes = 64

    def seeds(self) -> list[bytes]:
        """Return nothing that is near to it."""
        return [b"hello"]

    def __call__(self, data: bytes) -> None:
        """Compare byte by byte, so that each right one is new coverage."""
        for place, byte in enumerate(b"bug!"):
            if place >= len(data) or data[place] != byte:
                return
        raise ValueError("injected")
