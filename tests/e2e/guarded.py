"""An artifact store that asks for a token over TLS, with a certificate that nobody else signed."""

import datetime
import functools
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override


@dataclass(frozen=True)
class Guarded:
    """The store's address, and what a Secret must hold to get in."""

    url: str
    secret: dict[str, str]


@contextmanager
def guarded(directory: Path, address: str, token: str) -> Iterator[Guarded]:
    """Serve `directory` on `address` to whoever brings `token`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        @override
        def do_GET(self) -> None:
            if self.headers.get("authorization") == f"Bearer {token}":
                super().do_GET()
            else:
                self.send_error(401)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    authority, context = _self_signed(directory.parent, address)
    handler = functools.partial(Handler, directory=str(directory))
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"https://{address}:{server.server_port}"
        yield Guarded(url, {"token": token, "ca.crt": authority})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _self_signed(folder: Path, address: str) -> tuple[str, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a guarded store")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "guarded.crt").write_bytes(text)
    (folder / "guarded.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "guarded.crt", folder / "guarded.key")
    return text.decode(), context
