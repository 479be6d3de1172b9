"""TLS: versions, what a certificate must be, and clients that never finish the handshake."""

import ssl
from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from assay_server.transport import TLS, TLSError
from tests.certificates import certificate as self_signed

PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8
KEYS = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate for 127.0.0.1: certificate(kind of key) -> TLS."""

    def make(kind="P-256", key_format=PKCS8, encryption=None) -> TLS:
        folder = tmp_path_factory.mktemp("certificate")
        key = KEYS[kind]()
        tls = TLS(folder / "tls.crt", folder / "tls.key")
        tls.cert.write_bytes(self_signed(key, "127.0.0.1").public_bytes(PEM))
        tls.key.write_bytes(key.private_bytes(PEM, key_format, encryption or NoEncryption()))
        return tls

    return make


@pytest.fixture(scope="module")
def server(start, certificate):
    tls = certificate()
    with start(tls=[str(tls.cert), str(tls.key)]) as server:
        yield server


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_work(server, version):
    server.context.minimum_version = server.context.maximum_version = version
    with server.connect() as connection:
        assert connection.socket.version() == version.name.replace("_", ".")
        assert connection.ask("POST", "/echo", b"x" * 100_000)[::2] == (200, b"x" * 100_000)
    server.context.minimum_version = ssl.TLSVersion.TLSv1_2
    server.context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


def test_clients_that_offer_http_2_get_http_1(server):
    server.context.set_alpn_protocols(["h2", "http/1.1"])
    with server.connect() as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.ask("GET", "/ready")[0] == 200


def test_the_end_is_orderly(server):
    with server.connect() as connection:
        connection.send(b"GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert connection.answer()[0] == 200
        assert connection.socket.recv(1) == b""  # an end without goodbye would raise


def test_the_last_answer_may_be_taken_slowly(start, certificate):
    """After a second without goodbye the rest of it was thrown away."""
    tls = certificate()
    given = {"tls": [str(tls.cert), str(tls.key)], "set": {"connection.IDLE_SECONDS": 0.5}}
    with start(**given) as server, server.connect() as connection:
        request = b"GET /large?size=20000000 HTTP/1.1\r\nconnection: close\r\n\r\n"
        connection.send(request)
        for _ in range(3):
            with server.connect() as idle:
                assert idle.is_closed()
        assert len(connection.answer()[2]) == 20_000_000


def test_who_says_no_goodbye_is_not_waited_for(start, certificate):
    tls = certificate()
    with start(tls=[str(tls.cert), str(tls.key)]) as server, server.connect() as connection:
        assert connection.ask("GET", "/ready", connection="close")[0] == 200
        server.until(lambda: not server.connections())


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(start, certificate):
    files, second, other = certificate(), certificate(), certificate()

    def fingerprint() -> bytes:
        with server.connect() as connection:
            return connection.socket.getpeercert(binary_form=True)

    def said(name: str) -> list[dict]:
        return [event for event in server.events() if event["event"] == name]

    given = {"tls": [str(files.cert), str(files.key)], "set": {"listener.SWEEP_SECONDS": 0.01}}
    with start(**given) as server:
        server.context.check_hostname = False
        server.context.verify_mode = ssl.CERT_NONE
        with server.connect() as kept:
            first = fingerprint()
            files.key.write_bytes(other.key.read_bytes())
            server.until(lambda: said("certificate_not_renewed"))
            assert str(files.key) in said("certificate_not_renewed")[0]["message"]
            assert fingerprint() == first
            files.cert.unlink()
            assert fingerprint() == first
            files.key.write_bytes(second.key.read_bytes())
            files.cert.write_bytes(second.cert.read_bytes())
            server.until(lambda: said("certificate_renewed"))
            assert fingerprint() == ssl.PEM_cert_to_DER_cert(second.cert.read_text()) != first
            assert kept.ask("GET", "/ready")[0] == 200


def test_handshakes_that_never_end_hold_up_nobody(server):
    context, server.context = server.context, None
    try:
        with ExitStack() as stack:
            for number in range(300):
                connection = stack.enter_context(server.connect())
                connection.send((b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n")[number % 3])
            server.context = context
            assert server.ask("GET", "/ready")[0] == 200
    finally:
        server.context = context


def test_files_that_vanish_while_they_are_read_are_an_error_like_others(certificate, monkeypatch):
    """cert-manager's volumes swap links; what else was raised ended the look at deadlines."""
    files = certificate()
    files.key.unlink()
    monkeypatch.setattr(type(files.key), "read_bytes", lambda _: b"")
    with pytest.raises(TLSError, match="No such file"):
        files.context()


@pytest.mark.parametrize("kind", ["RSA 2048", "P-256", "P-384", "P-521", "Ed25519"])
def test_keys_that_serve(start, certificate, kind):
    tls = certificate(kind)
    with start(tls=[str(tls.cert), str(tls.key)]) as server:
        assert server.ask("GET", "/ready")[0] == 200


def test_keys_that_are_too_small_are_refused(certificate):
    with pytest.raises(TLSError, match="EE_KEY_TOO_SMALL"):
        certificate("RSA 1024").context()


def test_other_forms_of_a_key_are_taken(certificate):
    certificate("RSA 2048", PrivateFormat.TraditionalOpenSSL).context()
    certificate("P-256", PrivateFormat.TraditionalOpenSSL).context()


def test_a_file_that_is_missing_broken_locked_or_of_another_pair_is_named(certificate):
    good, other = certificate(), certificate()
    with pytest.raises(TLSError, match=f"cannot read {other.key}x: No such file"):
        TLS(good.cert, other.key.with_suffix(".keyx")).context()
    for pair in (
        TLS(good.cert, other.key),
        TLS(good.key, good.key),
        TLS(good.cert, good.cert),
        certificate(encryption=BestAvailableEncryption(b"secret")),
    ):
        with pytest.raises(TLSError, match="must be a certificate chain and the key"):
            pair.context()
