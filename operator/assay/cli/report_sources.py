"""How a report reaches the members' Prometheus: as the person who asks may."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import click
import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

from assay.api.model_cluster import ModelClusterSpec, PrometheusSource
from assay.evidence.prometheus import Connection
from assay.members.evidence import service_url
from assay.placement import Candidate

from .bill_text import clusters_on
from .cluster import Cluster, Refused
from .contexts import Members
from .document import InputError

QUERY_SECONDS = 10.0


@dataclass(frozen=True)
class Source:
    """A member's Prometheus.

    Attributes
    ----------
    member
        Its name.
    connection
        `None` if there is no way to it; `problem` says what to do.
    scrape_interval_seconds
        Counts older than three of these are refused.
    """

    member: str
    connection: Connection | None
    scrape_interval_seconds: int
    problem: str = ""


class _ThroughApiServer(HTTPAdapter):
    """Sends what goes to a Service through the proxy of its cluster's API server, as the caller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        super().__init__(max_retries=0)

    @override
    def send(
        self, request: requests.PreparedRequest, *args: object, **kwargs: object
    ) -> requests.Response:
        path = str(request.url).removeprefix(self._cluster.server)
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in {"accept", "accept-encoding"}
        }
        try:
            answer = self._cluster.get(path, kept, QUERY_SECONDS)
        except Refused as error:
            raise requests.ConnectionError(error.message) from error
        return self.build_response(request, answer)


def addresses(words: Iterable[str]) -> dict[str, str]:
    """Return the URL by member of ``MEMBER=URL``. Raises `InputError`."""
    found = {}
    for word in words:
        member, _, url = word.partition("=")
        if not member or not url.startswith(("http://", "https://")):
            raise InputError(
                f"--prometheus: {word!r} is not MEMBER=URL, such as east=http://127.0.0.1:9090"
            )
        found[member] = url
    return found


def model_clusters(hub: Cluster) -> tuple[Candidate, ...]:
    """Return what the hub knows of members; says so on stderr if it may not be read."""
    try:
        return clusters_on(hub)
    except Refused as error:
        if error.status != 403:
            raise
        click.echo(f"note: ModelClusters cannot be read: {error.message}", err=True)
        return ()


def sources(
    names: Iterable[str],
    known: Mapping[str, ModelClusterSpec],
    members: Members,
    urls: Mapping[str, str],
) -> list[Source]:
    """Return how each member's Prometheus is asked.

    Parameters
    ----------
    names
        Of the members.
    known
        Their ModelClusters.
    members
        Those that the caller's kubeconfig reaches.
    urls
        Addresses that the caller gave, which come first.
    """
    return [_source(name, known.get(name), members, urls.get(name)) for name in names]


def _source(name: str, spec: ModelClusterSpec | None, members: Members, url: str | None) -> Source:
    source = spec.prometheus if spec else None
    interval = (source or PrometheusSource()).scrape_interval_seconds
    session = requests.Session()
    session.trust_env = False  # the operator's way, too: no proxies, no .netrc
    if url is None and source is not None:
        url = source.url
    if url is not None:
        return Source(name, _connection(url, session), interval)
    if source is None or source.service is None:
        return Source(
            name,
            None,
            interval,
            f"where its Prometheus is is not known: there is no ModelCluster {name} that you may "
            f"read. Give --prometheus {name}=URL",
        )
    cluster = members.get(name, spec)
    if cluster is None:
        return Source(
            name,
            None,
            interval,
            f"its Prometheus is Service {source.service} behind its API server. Give --contexts "
            f"{name}=CONTEXT, or forward a port and give --prometheus {name}=http://127.0.0.1:PORT",
        )
    url = service_url(cluster.server, source.service)
    session.mount(url, _ThroughApiServer(cluster))
    return Source(name, _connection(url, session), interval)


def _connection(url: str, session: requests.Session) -> Connection:
    return Connection(url, session=session, timeout_seconds=QUERY_SECONDS)
