"""What the kubelet is told."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from assay.controller import health as module
from assay.controller.health import Health


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[Health, aiohttp.ClientSession]]:
    health = Health(0)
    await health.start()
    assert health._runner
    port = next(port for host, port, *_ in health._runner.addresses if host == "0.0.0.0")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        yield health, client
    await health.stop()


async def status(client: aiohttp.ClientSession, path: str) -> int:
    async with client.get(path) as response:
        return response.status


def test_it_is_ready_when_told() -> None:
    async def scenario() -> None:
        async with serving() as (health, client):
            assert await status(client, "/readyz") == 503
            health.ready = True
            assert await status(client, "/readyz") == 200
            assert await status(client, "/metrics") == 200

    asyncio.run(scenario())


def test_it_is_dead_with_a_task_that_must_not_end() -> None:
    async def fails() -> None:
        raise RuntimeError("a bug")

    async def scenario() -> None:
        async with serving() as (health, client):
            stopped = health.watch(asyncio.create_task(asyncio.sleep(3600), name="stopped"))
            stopped.cancel()
            assert await status(client, "/healthz") == 200
            broken = health.watch(asyncio.create_task(fails(), name="watch of the hub"))
            await asyncio.wait([broken])
            async with client.get("/healthz") as response:
                assert response.status == 500
                assert (await response.json())["dead"] == ["watch of the hub"]

    asyncio.run(scenario())


def test_it_is_dead_when_its_loop_does_not_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "STUCK_SECONDS", 1.0)

    async def scenario() -> None:
        async with serving() as (_, client):
            assert await status(client, "/healthz") == 200
            time.sleep(1.2)  # noqa: ASYNC251  (that is the fault)
            assert await status(client, "/healthz") == 500

    asyncio.run(scenario())
