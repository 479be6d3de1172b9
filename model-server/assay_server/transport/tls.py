"""The certificate of a server that speaks TLS."""

import ssl
from dataclasses import dataclass
from pathlib import Path


class TLSError(Exception):
    """The certificate or its key cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class TLS:
    """A certificate chain and its key, both PEM files. They are read once, at the start."""

    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what handshakes are made with. Raises TLSError unless both files can be used."""
        for path in (self.cert, self.key):
            try:
                path.read_bytes()
            except OSError as error:
                raise TLSError(f"cannot read {path}: {error.strerror}") from None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # Envoy speaks 1.2 to upstreams unless it is told otherwise.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without an answer to the question for a password OpenSSL would ask the terminal.
            context.load_cert_chain(self.cert, self.key, password=lambda: "-")
        except (ssl.SSLError, ValueError) as error:
            raise TLSError(
                f"{self.cert} and {self.key} must be a certificate chain and the key that belongs to"
                f" it, in PEM, without a password (OpenSSL: {getattr(error, 'reason', None)})"
            ) from None
        return context
