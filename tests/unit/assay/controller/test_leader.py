"""The leader ends at once: a process of its own, against a real HTTP server."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.controller.leader import LOST

from ..members.apiserver import ApiServer, running, until  # noqa: TID252

LEASE = "/apis/coordination.k8s.io/v1/namespaces/assay-system/leases/assay-operator"
RECORD = "/api/v1/namespaces/ml/configmaps/fraud-rollout"
PROGRAM = """
import asyncio, sys
from assay.controller import leader
from assay.members.api import Api
from assay.members.kubeconfig import Credentials

async def main():
    leader.LEASE_SECONDS, leader.RENEW_SECONDS, leader.ANSWER_SECONDS = 5, 0.1, 3600.0
    api = Api(Credentials(server=sys.argv[1]), "hub")
    await leader.Leader(api, "assay-system", "pod-1").acquire()
    record = {"apiVersion": "v1", "kind": "ConfigMap"}
    record["metadata"] = {"namespace": "ml", "name": "fraud-rollout"}
    while True:
        await api.apply(record)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def leading() -> AsyncIterator[tuple[ApiServer, asyncio.subprocess.Process]]:
    """A process that leads and writes all the time."""
    async with running() as (server, _):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, server.url)
        try:
            await until(
                lambda: process.returncode is not None or f"PATCH {RECORD}" in server.requests
            )
            assert process.returncode is None
            yield server, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def others(server: ApiServer) -> None:
    """Let somebody else hold the Lease."""
    found: dict[str, Any] = server.objects[LEASE]
    server.put(LEASE, {**found, "spec": {**found["spec"], "holderIdentity": "pod-2"}})


def test_it_ends_when_another_leads() -> None:
    async def scenario() -> None:
        async with leading() as (server, process):
            others(server)
            assert await process.wait() == LOST

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_it_ends_in_time_although_its_renewal_hangs(method: str) -> None:
    async def scenario() -> None:
        async with leading() as (server, process):
            server.delay[f"{method} {LEASE}"] = 3600
            assert await process.wait() == LOST

    asyncio.run(scenario())


def test_after_a_pause_it_writes_nothing() -> None:
    async def scenario() -> None:
        async with leading() as (server, process):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(5.5)  # longer than the Lease
            others(server)
            server.requests.clear()
            process.send_signal(signal.SIGCONT)
            assert await process.wait() == LOST
            assert f"PATCH {RECORD}" not in server.requests

    asyncio.run(scenario())
