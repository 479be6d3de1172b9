"""A link that drops packets and says nothing: only the probes of the kernel tell it from silence."""

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from assay.members import api as api_module
from assay.members import kubeconfig, resources
from assay.members.api import Api
from assay.members.watch import Watch
from fleet import Cluster, Fleet

pytestmark = pytest.mark.cluster

NAMESPACE, NAME = "ml", "half-open"
TABLE = "assay-half-open"


class Seen:
    """The names that a watch has seen last."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def replace(self, documents: list[dict[str, Any]]) -> None:
        self.names = {document["metadata"]["name"] for document in documents}

    def put(self, document: dict[str, Any]) -> None:
        self.names.add(document["metadata"]["name"])

    def remove(self, document: dict[str, Any]) -> None:
        self.names.discard(document["metadata"]["name"])


def connections(server: str) -> list[str]:
    """The local ports of this process's connections to a server."""
    target = urlsplit(server)
    words = ("ss", "-Htnp", "state", "established", "dst", f"{target.hostname}:{target.port}")
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    mine = [line for line in found.splitlines() if f"pid={os.getpid()}," in line]
    return [match[1] for line in mine if (match := re.search(r":(\d+)\s", line))]


@contextlib.contextmanager
def dropped(ports: list[str]) -> Iterator[None]:
    """Drop every packet of some connections, in both directions, without a word to either end."""
    rules = f"""table inet {TABLE} {{
        chain from {{ type filter hook output priority 0; tcp sport {{ {", ".join(ports)} }} drop; }}
        chain to {{ type filter hook input priority 0; tcp dport {{ {", ".join(ports)} }} drop; }}
    }}"""
    subprocess.run(("nft", "-f", "-"), input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(("nft", "delete", "table", "inet", TABLE), check=True)


@pytest.fixture
def east(local_fleet: Fleet) -> Iterator[Cluster]:
    """A cluster in which nothing is left."""
    cluster = local_fleet.clusters["east"]
    yield cluster
    cluster.kubectl("delete", "configmap", NAME, "-n", NAMESPACE, "--ignore-not-found")


def test_a_watch_goes_on_when_its_link_drops_all_packets(
    east: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "PROBE_SECONDS", 1)

    async def until_seen(store: Seen) -> None:
        while NAME not in store.names:  # noqa: ASYNC110  (no event tells)
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        credentials = kubeconfig.parse(east.kubeconfig.read_text(), base=east.kubeconfig.parent)
        api, store = Api(credentials, "east"), Seen()
        # Silence tells nothing here: an hour of it is borne.
        watch = Watch(api, resources.path("ConfigMap", NAMESPACE), store, silence_seconds=3600.0)
        task = asyncio.create_task(watch.run())
        try:
            await watch.synced.wait()
            await asyncio.sleep(1.0)
            ports = connections(credentials.server)
            assert ports
            with dropped(ports):
                east.kubectl("create", "configmap", NAME, "-n", NAMESPACE)
                async with asyncio.timeout(60.0):
                    await until_seen(store)
            assert not set(ports) & set(connections(credentials.server))
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await api.close()

    asyncio.run(scenario())
