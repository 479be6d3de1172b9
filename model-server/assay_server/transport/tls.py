"""The certificate of a server that speaks TLS, and its renewals."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from assay_server.logs import event


class TLSError(Exception):
    """The certificate or its key cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class TLS:
    """A certificate chain and its key, both PEM files."""

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
        except (OSError, ValueError) as error:
            raise TLSError(
                f"{self.cert} and {self.key} must be a certificate chain and the key that belongs to"
                f" it, in PEM, without a password (OpenSSL: {getattr(error, 'reason', error)})"
            ) from None
        return context


class Renewals:
    """A certificate that is replaced on disk now and then, as cert-manager does it.

    `context` is for new handshakes; what is connected stays. Raises TLSError at first.
    """

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._seen = self._state()
        self.context = tls.context()

    def look(self) -> None:
        """Take up a pair of files that has changed; keep the old one if the new one is no pair."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self.context = self._tls.context()
        except TLSError as error:
            event("certificate_not_renewed", level=40, message=str(error))
        else:
            event("certificate_renewed")

    def _state(self) -> list[tuple[int, int]]:
        found = []
        for path in (self._tls.cert, self._tls.key):
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((status.st_ino, status.st_mtime_ns))
        return found
