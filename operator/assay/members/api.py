"""One API server, spoken to in plain JSON through the official asyncio client.

The generated methods of the client parse every answer into typed models, which costs three times
the CPU (research: kopf-scale) and refuses fields that a newer server sends; so only its transport
and authentication are used. Every call has a time-out.
"""

import asyncio
import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from typing_extensions import override

from assay.api import FIELD_MANAGER
from assay.api.conditions import Reason
from assay.api.model_cluster import Limits

from . import resources
from .errors import ApiError, MemberError
from .kubeconfig import Credentials
from .limiter import Limiter
from .login import Credential
from .resolver import Resolver

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for who and when, without what: little to send, and no secret."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
CONNECTIONS = 16
"""Requests in flight to one cluster; more only queue up there."""
STREAMS = 8
"""Connections that watches hold open besides."""
PAGE = 200
"""Objects in one answer of the API server."""

PROBE_SECONDS = 10
PROBES = 3
"""A silent connection is probed after so many seconds, and given up when so many probes in a row, as
far apart, stay without an answer."""

Fence = Callable[[], float]
"""Asked right before each write: returns the seconds that it may take, or raises `MemberError`."""

_TOKEN_SECONDS = 60.0
_LINE_LIMIT = 8 * 1024 * 1024


class Api:
    """One API server.

    Parameters
    ----------
    credentials
        Who we are there.
    name
        What to call the cluster in messages.
    limits
        How fast it may be asked; None: as fast as it answers.

    Attributes
    ----------
    fences
        Leases without which nothing is written.
    """

    def __init__(self, credentials: Credentials, name: str, limits: Limits | None = None) -> None:
        self.name = name
        self.credentials = credentials
        self.fences: tuple[Fence, ...] = ()
        self._token_value: str | None = None
        self._token_read = 0.0
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._limiter = Limiter(limits.requests_per_second, limits.burst) if limits else None
        self._resolver = Resolver()
        configuration = Configuration(host=credentials.server)
        configuration.connection_pool_maxsize = CONNECTIONS + STREAMS
        configuration.tls_server_name = credentials.tls_server_name
        # Else the environment's proxies and .netrc are looked up for every request, in a thread.
        configuration.client_session_kwargs = {"read_bufsize": _LINE_LIMIT, "trust_env": False}
        configuration.ca_cert_data = credentials.ca
        try:
            with _client_certificate(credentials) as (certificate, key):
                configuration.cert_file, configuration.key_file = certificate, key
                self._client = ApiClient(configuration)
                self._client.rest_client = _Transport(configuration, self._resolver)
        except OSError as error:  # ssl.SSLError is one
            raise MemberError(
                Reason.CREDENTIALS_INVALID, f"the certificates cannot be used: {error.strerror}"
            ) from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()  # type: ignore[no-untyped-call]
        await self._resolver.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float = READ_SECONDS,
        urgent: bool = False,
        fenced: bool = True,
    ) -> dict[str, Any]:
        """Send one request and return the answer's JSON object.

        An urgent one (a rollback, a Lease) waits neither behind the others that are in flight nor
        for the limit. Only what renews a Lease is written without asking the fences. Credentials
        of a plugin that the server refuses are renewed once.

        Raises
        ------
        ApiError
            The server refused it.
        MemberError
            The server cannot be reached or does not know us.
        """
        credential, login = await self._signed_in(seconds), self.credentials.login
        send = functools.partial(
            self._request,
            method,
            path,
            query,
            body,
            (content_type, accept),
            seconds,
            urgent,
            fenced,
        )
        status, data = await send()
        if status == 401 and login and await login.refused(credential, seconds):
            status, data = await send()
        if status >= 300:
            raise self._refusal(status, data)
        answer: dict[str, Any] = json.loads(data) if data else {}
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: dict[str, Any] | None,
        types: tuple[str, str],
        seconds: float,
        urgent: bool,  # noqa: FBT001
        fenced: bool,  # noqa: FBT001
    ) -> tuple[int, bytes]:
        async with contextlib.AsyncExitStack() as stack:
            if self._limiter:
                await self._limiter.wait(urgent=urgent)
            if not urgent:
                await stack.enter_async_context(self._slots)
            if fenced and method != "GET":
                seconds = min((seconds, *(fence() for fence in self.fences)))
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
            stack.enter_context(self._translated(seconds))
            response = await self._send(method, path, query, body, types, timeout)
            return response.status, await response.read()

    async def get(self, path: str, *, accept: str = JSON, **query: str) -> dict[str, Any]:
        """Read an object or a collection."""
        return await self.request("GET", path, query=query, accept=accept)

    async def each(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every object of a collection, read page by page."""
        following = {**query, "limit": str(PAGE)}
        while True:
            answer = await self.get(path, **following)
            for document in answer["items"]:
                yield document
            if not (token := answer["metadata"].get("continue")):
                return
            following["continue"] = token

    async def find(self, path: str, *, accept: str = JSON, **query: str) -> dict[str, Any] | None:
        """Read an object; None if it is not there."""
        try:
            return await self.get(path, accept=accept, **query)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def apply(
        self,
        document: dict[str, Any],
        *,
        subresource: str = "",
        seconds: float = READ_SECONDS,
        urgent: bool = False,
        manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> dict[str, Any]:
        """Server-side apply: from then on the fields in `document` are all that `manager` owns."""
        return await self.request(
            "PATCH",
            resources.path_of(document) + subresource,
            query={"fieldManager": manager, "force": str(force).lower()},
            body=document,
            content_type=APPLY,
            seconds=seconds,
            urgent=urgent,
        )

    async def delete(self, path: str, **query: str) -> None:
        """Delete an object or, by labelSelector, a collection; fine if there is none."""
        try:
            await self.request("DELETE", path, query={"propagationPolicy": "Background", **query})
        except ApiError as error:
            if not error.missing:
                raise

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, query: dict[str, str], silence_seconds: float, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Open a stream of JSON lines (a watch) that ends when it is silent for too long.

        A half-open connection reports an error when it was probed in vain (`PROBES`); one whose
        server hangs never does: only silence tells.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
        )
        await self._signed_in(READ_SECONDS)
        if self._limiter:
            await self._limiter.wait(urgent=False)
        with self._translated(silence_seconds):
            response = await self._send("GET", path, query, None, (JSON, accept), timeout)
            try:
                if response.status >= 300:
                    raise self._refusal(response.status, await response.read())
                yield _lines(response)
            finally:
                response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: dict[str, Any] | None,
        types: tuple[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> aiohttp.ClientResponse:
        url = self.credentials.server + path + (f"?{urlencode(query)}" if query else "")
        headers = dict(zip(("Content-Type", "Accept"), types, strict=True))
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._client.call_api(
            method, url, header_params=headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _signed_in(self, seconds: float) -> Credential | None:
        """Return the plugin's credential that the next request is sent with."""
        login = self.credentials.login
        return await login.ready(seconds) if login else None

    @contextlib.contextmanager
    def _translated(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise MemberError(
                Reason.CREDENTIALS_INVALID,
                f"{self.credentials.server}: TLS failed: {error}",
            ) from error
        except TimeoutError as error:
            raise self._unreachable(f"no answer within {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _unreachable(self, why: str) -> MemberError:
        return MemberError(Reason.MEMBERS_UNREACHABLE, f"{self.credentials.server}: {why}")

    def _refusal(self, status: int, data: bytes) -> ApiError | MemberError:
        try:
            answer = json.loads(data)
            reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
        except (ValueError, AttributeError):
            reason, message = "", data[:200].decode(errors="replace")
        if status == 401:
            return MemberError(
                Reason.CREDENTIALS_INVALID,
                f"{self.credentials.server} refuses the credentials: {message or reason}",
            )
        return ApiError(status, reason, message)

    def _token(self) -> str | None:
        """Return the token; one in a file is read again now and then, for the kubelet rotates it.

        The client's own hook for that is never called while there is no first token.
        """
        if self.credentials.login:
            return self.credentials.current_token()
        now = time.monotonic()
        if self._token_value is None or now - self._token_read > _TOKEN_SECONDS:
            self._token_value = self.credentials.current_token()
            self._token_read = now
        return self._token_value


class _Transport(RESTClientObject):
    """The client's transport with a resolver that no other cluster can hold up."""

    def __init__(self, configuration: Configuration, resolver: Resolver) -> None:
        super().__init__(configuration)
        self._resolver = resolver

    @override
    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=self.maxsize,
            ssl=self.ssl_context,
            resolver=self._resolver,
            socket_factory=_probing_socket,
        )


def _probing_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make the socket for an address (of `getaddrinfo`) that notices when the other end is gone.

    A watch of something that never changes is silent for minutes, and a link that drops packets
    looks the same: only the kernel can tell them apart, by asking.
    """
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    return made


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in response.content:
        if line.strip():
            yield json.loads(line)


@contextlib.contextmanager
def _client_certificate(credentials: Credentials) -> Iterator[tuple[str | None, str | None]]:
    """Lend the certificate and key as files, which is all that ssl can load, and remove them."""
    if not credentials.certificate or not credentials.key:
        yield None, None
        return
    with tempfile.TemporaryDirectory(prefix="assay-") as directory:
        names = []
        for name, text in (("crt", credentials.certificate), ("key", credentials.key)):
            path = os.path.join(directory, name)  # noqa: PTH118
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:  # noqa: PTH123
                file.write(text)
            names.append(path)
        yield names[0], names[1]
