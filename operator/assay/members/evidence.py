"""A member's Prometheus: its own session, its own few threads, so that a slow one is alone with it."""

import asyncio
import concurrent.futures
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

from assay.api.model_cluster import PrometheusSource
from assay.evidence import errors
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.member import MemberEvidence
from assay.evidence.prometheus import Connection, Trial, read, read_number, read_vector

from .kubeconfig import Credentials

_Answer = TypeVar("_Answer")

THREADS = 4
"""Queries in flight to one member's Prometheus, besides one of the past."""

NUMBER_THREADS = 8
"""Besides them, of users: what they ask for may be slow, and counts do not wait for it."""

CALM_THREADS = 1
"""Besides them, for what nobody waits for: drift is asked for one ModelDeployment after the other."""

QUERY_SECONDS = 5.0
PATIENCE_SECONDS = 3.0
"""A look does not wait longer than this for one member."""


class _Adapter(HTTPAdapter):
    """Checks the server's certificate against another name (kubeconfig tls-server-name)."""

    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name
        super().__init__(pool_maxsize=THREADS + 1 + NUMBER_THREADS + CALM_THREADS, max_retries=0)

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._server_name:
            kwargs |= {"server_hostname": self._server_name, "assert_hostname": self._server_name}
        super().init_poolmanager(*args, **kwargs)


class PrometheusReader:
    """Reads evidence of one member.

    Parameters
    ----------
    source
        Service (through the API server's proxy, with the member's credentials) or url (without).
    credentials
        Of the member.
    """

    def __init__(self, source: PrometheusSource, credentials: Credentials) -> None:
        self.interval = source.scrape_interval_seconds
        self._files = tempfile.TemporaryDirectory(prefix="assay-")
        self._credentials: Credentials | None = None
        session = requests.Session()
        session.trust_env = False  # else REQUESTS_CA_BUNDLE and .netrc win over what we set
        url = source.url or ""
        if source.service:
            url = service_url(credentials.server, source.service)
            self._authenticate(session, credentials)
        session.mount(url, _Adapter(credentials.tls_server_name if source.service else None))
        self._session = session
        self._connection = Connection(url, session=session, timeout_seconds=QUERY_SECONDS)
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, "prometheus")
        self._past = concurrent.futures.ThreadPoolExecutor(1, "prometheus-past")
        self._numbers = concurrent.futures.ThreadPoolExecutor(NUMBER_THREADS, "prometheus-number")
        self._calm = concurrent.futures.ThreadPoolExecutor(CALM_THREADS, "prometheus-calm")
        self._reading: dict[tuple[str, ...], concurrent.futures.Future[Any]] = {}

    async def read(
        self,
        trial: Trial,
        window_seconds: float,
        at: float | None = None,
    ) -> MemberEvidence:
        """Return the counts of one trial, as they are or were `at` (Unix seconds).

        Raises `EvidenceUnavailable`, after a few seconds at the latest. While an answer is late no
        further question is asked for the same ModelDeployment. The past has a thread of its own:
        it never keeps the present waiting.
        """
        question = functools.partial(
            read,
            self._connection,
            trial,
            scrape_interval_seconds=self.interval,
            window_seconds=window_seconds,
            at=at,
        )
        when, threads = ("present", self._threads) if at is None else ("past", self._past)
        return await self._ask((trial.namespace, trial.deployment, when), threads, question)

    async def number(self, key: tuple[str, ...], promql: str) -> float | None:
        """Return the one number that `promql` gives now, `None` if it gives none.

        Raises `EvidenceUnavailable`, after a few seconds at the latest. While an answer is late no
        further question is asked for the same `key`.
        """
        question = functools.partial(read_number, self._connection, promql)
        return await self._ask(("number", *key), self._numbers, question)

    async def vector(self, key: tuple[str, ...], promql: str, limit: int) -> Sequence[Any]:
        """Return the series that `promql` gives now, of which there must not be more than `limit`.

        For what nobody waits for: it is asked in a thread of its own. Raises `EvidenceUnavailable`,
        after a few seconds at the latest. While an answer is late no further question is asked for
        the same `key`.
        """
        question = functools.partial(read_vector, self._connection, promql, limit)
        return await self._ask(("vector", *key), self._calm, question)

    async def _ask(
        self,
        key: tuple[str, ...],
        threads: concurrent.futures.Executor,
        question: Callable[[], _Answer],
    ) -> _Answer:
        late = self._reading.get(key)
        if late and not late.done():
            raise self._late()
        self._sign()
        asked = self._reading[key] = threads.submit(question)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), PATIENCE_SECONDS)
        except TimeoutError:
            raise self._late() from None
        finally:
            if asked.done():
                self._reading.pop(key, None)

    def close(self) -> None:
        """Let go of the threads and connections; a query that hangs ends by its own time-out."""
        for threads in (self._threads, self._past, self._numbers, self._calm):
            threads.shutdown(wait=False, cancel_futures=True)
        self._connection.close()
        self._files.cleanup()

    def _authenticate(self, session: requests.Session, credentials: Credentials) -> None:
        session.verify = self._file("ca.crt", credentials.ca) if credentials.ca else True
        if credentials.certificate and credentials.key:
            session.cert = (
                self._file("tls.crt", credentials.certificate),
                self._file("tls.key", credentials.key),
            )
        self._credentials = credentials

    def _sign(self) -> None:
        """Put the token of now on what follows; only the API server gets it."""
        if self._credentials and (token := self._credentials.current_token()):
            self._session.headers["Authorization"] = f"Bearer {token}"

    def _file(self, name: str, text: str) -> str:
        path = Path(self._files.name) / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    def _late(self) -> EvidenceUnavailable:
        return EvidenceUnavailable(
            errors.PROMETHEUS_UNREACHABLE,
            f"{self._connection.url} did not answer within {PATIENCE_SECONDS:g} s",
        )


def service_url(server: str, service: str) -> str:
    """Return the address of ``namespace/name:port`` through the proxy of an API server."""
    namespace, _, target = service.partition("/")
    return f"{server}/api/v1/namespaces/{namespace}/services/{target}/proxy"
