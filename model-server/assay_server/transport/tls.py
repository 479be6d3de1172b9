"""The certificate of a server that speaks TLS, checked before granian gets to see it."""

import ssl
from dataclasses import dataclass
from pathlib import Path

_CURVES = {"secp256r1", "secp384r1"}


class TLSError(Exception):
    """The certificate or its key cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class TLS:
    """A certificate chain and its key, both PEM files. They are read once, at the start."""

    cert: Path
    key: Path

    def check(self) -> None:
        """Raise TLSError unless both can be used: granian would abort the process.

        What it takes is what rustls takes with ring: RSA from 2048 bits, P-256, P-384, Ed25519.
        """
        for path in (self.cert, self.key):
            try:
                path.read_bytes()
            except OSError as error:
                raise TLSError(f"cannot read {path}: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without an answer to the question for a password OpenSSL would ask the terminal.
            context.load_cert_chain(self.cert, self.key, password=lambda: "-")
        except (ssl.SSLError, ValueError) as error:
            raise TLSError(
                f"{self.cert} and {self.key} must be a certificate chain and the key that belongs to"
                f" it, in PEM, without a password (OpenSSL: {getattr(error, 'reason', None)})"
            ) from None
        if not self._key_is_usable():
            raise TLSError(
                f"{self.key} must be RSA with 2048 to 8192 bits, P-256, P-384 or Ed25519"
            )

    def _key_is_usable(self) -> bool:
        # Imported here: who speaks no TLS does without these megabytes.
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )

        match load_pem_private_key(self.key.read_bytes(), password=None):
            case rsa.RSAPrivateKey(key_size=bits):
                return 2048 <= bits <= 8192
            case ec.EllipticCurvePrivateKey(curve=curve):
                return curve.name in _CURVES
            case ed25519.Ed25519PrivateKey():
                return True
            case _:
                return False
