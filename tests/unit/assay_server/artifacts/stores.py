"""Stores as the clouds run them, on the loopback: each refuses who does not prove who he is.

S3 is moto, a server nobody here wrote, which checks AWS signatures and policies; it cannot share an
environment with the operator (python-dateutil), so it has one of its own in the cache. Google's and
Azure's are small servers of our own for reading one object: the emulators that package registries
have either speak another of Google's protocols or need a newer Node than Debian's. Both check the
credentials as the clouds do, by their published rules.
"""

import base64
import email.utils
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

HERE = Path(__file__).parent
BUCKET, KEY = "models", "fraud/7/model.skops"


@dataclass(frozen=True)
class Store:
    """One object behind `uri`; `settings` are the keys of the Secret with which it may be read."""

    uri: str
    settings: dict[str, str]


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ObjectHandler(BaseHTTPRequestHandler):
    """HEAD and GET with ranges of one object, for whoever `allowed` lets in."""

    protocol_version = "HTTP/1.1"
    content = b""
    path_of_object = ""

    def allowed(self) -> bool:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if not self.allowed():
            self.reply(403, b"<Error><Code>AuthenticationFailed</Code></Error>", body=body)
        elif unquote(urlsplit(self.path).path) != self.path_of_object:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>", body=body)
        elif wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", "")):
            first, last = int(wanted[1]), min(int(wanted[2]), len(self.content) - 1)
            where = f"bytes {first}-{last}/{len(self.content)}"
            part = self.content[first : last + 1]
            self.reply(206, part, body=body, **{"content-range": where})
        else:
            self.reply(200, self.content, body=body)

    def reply(self, status: int, content: bytes, *, body: bool, **headers: str) -> None:
        self.send_response(status)
        moment = email.utils.formatdate(usegmt=True)
        etag = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'
        described = {"content-length": str(len(content)), "etag": etag, "last-modified": moment}
        for name, value in {**described, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def google(content: bytes) -> Iterator[Store]:
    """Google Cloud Storage: every request with a JWT that the service account has signed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = "reader@project.iam.example.com"

    class Google(ObjectHandler):
        path_of_object = f"/{BUCKET}/{KEY}"

        def allowed(self) -> bool:
            signed, _, signature = (
                self.headers.get("authorization", "").removeprefix("Bearer ").rpartition(".")
            )
            try:
                key.public_key().verify(
                    unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
                )
            except InvalidSignature:
                return False
            claims = json.loads(unpadded(signed.split(".")[1]))
            return bool(claims["iss"] == account and claims["exp"] > time.time())

    Google.content = content
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    with listening(Google) as address:
        document = {
            "type": "service_account",
            "client_email": account,
            "private_key_id": "k1",
            "private_key": pem,
            "gcs_base_url": address,
        }
        settings = {"GOOGLE_APPLICATION_CREDENTIALS": json.dumps(document)}
        yield Store(f"gs://{BUCKET}/{KEY}", settings)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextmanager
def azure(content: bytes) -> Iterator[Store]:
    """Azure Blob Storage: every request signed with the account's key (SharedKey)."""
    account, secret = "reader", secrets.token_bytes(32)

    class Azure(ObjectHandler):
        path_of_object = f"/{BUCKET}/{KEY}"

        def allowed(self) -> bool:
            header = {name.lower(): value for name, value in self.headers.items()}
            named = "".join(
                f"{name}:{header[name].strip()}\n"
                for name in sorted(header)
                if name.startswith("x-ms-")
            )
            parts = urlsplit(self.path)
            query = "".join(
                f"\n{name}:{','.join(sorted(values))}"
                for name, values in sorted(parse_qs(parts.query).items())
            )
            # Empty: content's encoding, language, length, MD5 and type; four conditions.
            lines = [self.command, *[""] * 5, header["date"], *[""] * 4, header.get("range", "")]
            text = "\n".join(lines) + f"\n{named}/{account}{parts.path}{query}"
            made = base64.b64encode(hmac.digest(secret, text.encode(), "sha256")).decode()
            return hmac.compare_digest(
                header.get("authorization", ""), f"SharedKey {account}:{made}"
            )

    Azure.content = content
    with listening(Azure) as address:
        settings = {
            "AZURE_STORAGE_ACCOUNT_NAME": account,
            "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(secret).decode(),
            "AZURE_STORAGE_ENDPOINT": address,
        }
        yield Store(f"az://{BUCKET}/{KEY}", settings)


@contextmanager
def amazon(content: bytes, folder: Path) -> Iterator[Store]:
    """S3 by moto, from the first request after setting up with its checks on."""
    python = moto()
    file = folder / "object"
    file.write_bytes(content)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    # The first calls, those of s3_contents.py but for the last, need no rights yet.
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "5"}
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen(
            [python.parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        until_listening(port, server)
        made = json.loads(
            subprocess.check_output(
                [python, HERE / "s3_contents.py", address, BUCKET, KEY, file], text=True
            )
        )
        settings = {
            "AWS_ACCESS_KEY_ID": made["id"],
            "AWS_SECRET_ACCESS_KEY": made["secret"],
            "AWS_ENDPOINT_URL": address,
        }
        yield Store(f"s3://{BUCKET}/{KEY}", settings)
    finally:
        server.kill()
        server.wait()


def moto() -> Path:
    """Return the interpreter of moto's own environment, made on first use."""
    locked = HERE / "moto.txt"
    name = hashlib.sha256(locked.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("ASSAY_CACHE") or Path.home() / ".cache" / "assay")
    place = cache / "moto" / name
    if not (place / "ready").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, place], check=True)
        install = [uv, "pip", "install", "-q", "--require-hashes", "-r", locked]
        subprocess.run([*install, "--python", place / "bin" / "python"], check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    while True:
        assert server.poll() is None, "the S3 server ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
