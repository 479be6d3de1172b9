"""Artifacts behind http and https: one response, streamed; credentials for one origin only."""

import ssl
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from assay_server.artifacts.credentials import Credentials
from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.uri import without_secrets
from assay_server.logs import event

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0


def open_web(uri: str, credentials: Credentials) -> tuple[Any, int | None]:
    """Open `uri`; return a file-like object and the size that the server tells, if it does.

    A redirect from https to http is refused. On a redirect to another origin aiohttp leaves the
    Authorization header behind.
    """
    # Only here: a server whose init container fetched the model never pays for these.
    import aiohttp  # noqa: PLC0415
    from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    options: dict[str, Any] = {
        "timeout": aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
        ),
        # Proxies of the environment.
        "trust_env": True,
        "trace_configs": [trace],
        "headers": _headers(uri, credentials),
    }
    request: dict[str, Any] = {}
    if authority := credentials.authority():
        request["ssl"] = _trusting(authority)
    files = HTTPFileSystem(client_kwargs=options, skip_instance_cache=True, **request)
    # block_size=0 streams one response (else fsspec asks range by range); with any size given it
    # does not ask for the size first, which would hide why a server cannot be reached.
    file = files.open(uri, "rb", block_size=0, size=1)
    length = file.r.headers.get("content-length", "")
    return file, int(length) if length.isdecimal() else None


def _headers(uri: str, credentials: Credentials) -> dict[str, str]:
    authorization = credentials.authorization()
    if authorization is None:
        return {}
    parts = urlsplit(uri)
    if parts.username is not None:
        message = "credentials are in spec.model.uri and in the Secret: take them out of the URI"
        raise ArtifactError(Reason.CREDENTIALS_INVALID, message)
    if parts.scheme == "http":
        event("credentials_in_clear", level=30, source=without_secrets(uri), advice="use https")
    return {"Authorization": authorization}


def _trusting(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError):
        message = "ca.crt must hold certificates in PEM"
        raise ArtifactError(Reason.CREDENTIALS_INVALID, message) from None
    return context


async def _check_redirect(_session: Any, _context: SimpleNamespace, redirect: Any) -> None:
    from yarl import URL  # noqa: PLC0415

    target = redirect.url.join(URL(redirect.response.headers.get("Location", "")))
    if redirect.url.scheme == "https" and target.scheme != "https":
        where = without_secrets(str(redirect.url))
        message = f"{where} redirects from https to {target.scheme}, which is refused"
        raise ArtifactError(Reason.FETCH_FAILED, message)
