"""Runs a credential plugin once (client.authentication.k8s.io/v1), and believes it as little as it can.

A program that hangs is killed with everything that it has started, what it prints is bounded, and
none of it but one redacted line of its errors is ever shown.
"""

import asyncio
import contextlib
import datetime
import json
import os
import re
import signal
from typing import Any

from assay.api.conditions import Reason

from .errors import MemberError
from .login import Credential
from .profile import Access
from .providers import PROTOCOL, Provider

RUN_SECONDS = 20.0
"""For one run; what takes longer is killed."""

OUTPUT_LIMIT = 256 * 1024
"""Bytes of standard output; certificates and tokens are some thousands."""

_ERROR_LIMIT = 4096
_LINE_LIMIT = 200
_TOKEN = re.compile(r"[\x21-\x7e]+")

# Anything long enough to be a key with a digit in it, and whatever is called a secret.
_SECRETS = (
    re.compile(r"(?=[A-Za-z+/_=-]*[0-9])[A-Za-z0-9+/_=-]{20,}"),
    re.compile(
        r"(?i)(?<=bearer )\S+|"
        r"(?:token|password|passwd|secret|credential|key)[\"']?\s*[=:]\s*[\"']?\S+"
    ),
)


async def run(access: Access, *, seconds: float = RUN_SECONDS) -> Credential:
    """Run the program of `access` and return what it gave.

    Raises
    ------
    MemberError
        ``CredentialPluginFailed``; the message names the program, never what it printed but one
        redacted line of its standard error.
    """
    provider, how = access.provider, access.provider.exec_config
    environment = {
        **os.environ,  # a cloud's workload identity is found through these
        **{variable.name: variable.value for variable in how.env or ()},
        "KUBERNETES_EXEC_INFO": json.dumps(access.request),
    }
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            how.command,
            *(how.args or ()),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        # Who stops to wait while it starts would lose its number, and with it what it started.
        process = await asyncio.shield(starting)
        async with asyncio.timeout(seconds):
            output, errors = await asyncio.gather(
                _output(process.stdout, provider), _first(process.stderr)
            )
            code = await process.wait()
    except TimeoutError:
        raise _failed(provider, f"did not end within {seconds:g} s and was killed") from None
    except OSError as error:
        raise _failed(provider, f"cannot be started: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            await _end(await starting)
    if code != 0:
        raise _failed(provider, f"ended with code {code}{_line(errors, provider)}")
    return read(output, provider)


def read(output: bytes, provider: Provider) -> Credential:
    """Return the credential in a program's output. Raises `MemberError` naming the field."""
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        raise _failed(provider, "did not print JSON") from None
    if not isinstance(document, dict) or document.get("kind") != "ExecCredential":
        raise _failed(provider, "did not print an ExecCredential")
    if document.get("apiVersion") != PROTOCOL:
        raise _failed(provider, f"printed an ExecCredential of another version than {PROTOCOL}")
    status = document.get("status")
    if not isinstance(status, dict):
        raise _failed(provider, "printed an ExecCredential without status")
    credential = Credential(
        token=_text(status, "token", provider),
        certificate=_text(status, "clientCertificateData", provider),
        key=_text(status, "clientKeyData", provider),
        expires=_expiry(status.get("expirationTimestamp"), provider),
    )
    if bool(credential.certificate) != bool(credential.key):
        raise _failed(
            provider, "printed one of status.clientCertificateData and clientKeyData only"
        )
    if not credential.token and not credential.certificate:
        raise _failed(provider, "printed neither status.token nor a client certificate")
    if credential.token and not _TOKEN.fullmatch(credential.token):
        raise _failed(provider, "printed a status.token with characters that no header can hold")
    return credential


async def _output(stream: asyncio.StreamReader | None, provider: Provider) -> bytes:
    assert stream
    found = bytearray()
    while part := await stream.read(65536):
        found += part
        if len(found) > OUTPUT_LIMIT:
            raise _failed(provider, f"printed more than {OUTPUT_LIMIT} bytes and was killed")
    return bytes(found)


async def _first(stream: asyncio.StreamReader | None) -> bytes:
    """Return the first of what is written to standard error; the rest is read and dropped."""
    assert stream
    found = b""
    while part := await stream.read(65536):
        found += part[: _ERROR_LIMIT - len(found)]
    return found


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the program and of all that it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Before waiting: asyncio waits for the pipes too, which are full, or held by what left the
    # session. No public name of a Process leads to them.
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001
    for number in (1, 2):
        if pipe := transport.get_pipe_transport(number):
            pipe.close()
    await process.wait()


def _line(errors: bytes, provider: Provider) -> str:
    """Return ``: <first line>`` of standard error without what may be a secret; "" if it is empty."""
    lines = errors.decode(errors="replace").strip().splitlines()
    if not lines:
        return ""
    text = "".join(character for character in lines[0] if character.isprintable())
    for variable in provider.exec_config.env or ():
        if len(variable.value) >= 4:
            text = text.replace(variable.value, "***")
    for pattern in _SECRETS:
        text = pattern.sub("***", text)
    return f": {text[:_LINE_LIMIT]}"


def _text(status: dict[str, Any], name: str, provider: Provider) -> str | None:
    value = status.get(name)
    if value is not None and not isinstance(value, str):
        raise _failed(provider, f"printed a status.{name} that is no string")
    return value or None


def _expiry(value: object, provider: Provider) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise _failed(
            provider, "printed a status.expirationTimestamp that is no RFC 3339 time"
        ) from None


def _failed(provider: Provider, what: str) -> MemberError:
    return MemberError(
        Reason.CREDENTIAL_PLUGIN_FAILED,
        f"access provider {provider.name}: {provider.exec_config.command} {what}",
    )
