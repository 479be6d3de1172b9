"""List and watch over real HTTP: what breaks, and what is seen afterwards."""

import asyncio
import contextlib
from typing import Any

import pytest
from aiohttp import web

from assay.members.watch import Watch

from .apiserver import ApiServer, running, send, until

PATH = "/apis/apps/v1/deployments"


def a_thing(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ml", "resourceVersion": str(version)}}


class Seen:
    """A store that remembers everything."""

    def __init__(self) -> None:
        self.lists: list[set[str]] = []
        self.changes: list[str] = []

    def replace(self, documents: list[dict[str, Any]]) -> None:
        self.lists.append({document["metadata"]["name"] for document in documents})

    def put(self, document: dict[str, Any]) -> None:
        self.changes.append(f"+{document['metadata']['name']}")

    def remove(self, document: dict[str, Any]) -> None:
        self.changes.append(f"-{document['metadata']['name']}")


async def silent(_: web.StreamResponse) -> None:
    """A half-open link: nothing comes, and nothing ends."""
    await asyncio.sleep(3600)


async def ends(_: web.StreamResponse) -> None:
    """The server closes the stream, as it does every few minutes."""


@contextlib.asynccontextmanager
async def watching(server: ApiServer, api: Any, silence: float = 30.0) -> Any:
    seen = Seen()
    watch = Watch(api, PATH, seen, silence_seconds=silence, jitter=lambda: 0.0)
    task = asyncio.create_task(watch.run())
    try:
        yield seen, watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_changes_are_seen() -> None:
    async def changes(response: web.StreamResponse) -> None:
        await send(response, "ADDED", a_thing("b", 201))
        await send(response, "BOOKMARK", a_thing("", 205))
        await send(response, "DELETED", a_thing("b", 206))
        await asyncio.sleep(3600)

    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{PATH}/a", a_thing("a", 0))
            server.watches = [changes]
            async with watching(server, api) as (seen, watch):
                await until(lambda: len(seen.changes) == 2)
                assert watch.synced.is_set()
            assert (seen.lists, seen.changes) == ([{"a"}], ["+b", "-b"])
            assert server.queries[1]["allowWatchBookmarks"] == "true"

    asyncio.run(scenario())


def test_an_ended_stream_goes_on_where_it_was() -> None:
    async def bookmark(response: web.StreamResponse) -> None:
        await send(response, "BOOKMARK", a_thing("", 777))

    async def scenario() -> None:
        async with running() as (server, api):
            server.watches = [bookmark, ends]
            async with watching(server, api) as (seen, _):
                await until(lambda: len(server.requests) >= 3)
            assert server.queries[2]["resourceVersion"] == "777"
            assert len(seen.lists) == 1

    asyncio.run(scenario())


def test_gone_in_the_stream_lists_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{PATH}/a", a_thing("a", 0))

            async def gone(response: web.StreamResponse) -> None:
                del server.objects[f"{PATH}/a"]  # deleted while nobody could watch
                await send(response, "ERROR", {"code": 410, "reason": "Expired", "message": "old"})

            server.watches = [gone]
            async with watching(server, api) as (seen, _):
                await until(lambda: len(seen.lists) == 2)
            assert seen.lists == [{"a"}, set()]

    asyncio.run(scenario())


def test_a_half_open_link_is_given_up() -> None:
    async def late(response: web.StreamResponse) -> None:
        await send(response, "MODIFIED", a_thing("a", 300))
        await asyncio.sleep(3600)

    async def scenario() -> None:
        async with running() as (server, api):
            server.watches = [silent, late]
            async with watching(server, api, silence=0.2) as (seen, _):
                await until(lambda: seen.changes == ["+a"])

    asyncio.run(scenario())


def test_refusals_are_tried_again_and_known() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.refuse[f"GET {PATH}"] = (403, "deployments is forbidden")
            async with watching(server, api) as (seen, watch):
                await until(lambda: watch.error is not None)
                assert "forbidden" in str(watch.error)
                del server.refuse[f"GET {PATH}"]
                await until(lambda: len(seen.lists) == 1)
                assert watch.error is None

    asyncio.run(scenario())


def test_nonsense_does_not_end_the_watch() -> None:
    async def nonsense(response: web.StreamResponse) -> None:
        await response.write(b"<html>\n")

    async def change(response: web.StreamResponse) -> None:
        await send(response, "ADDED", a_thing("a", 300))
        await asyncio.sleep(3600)

    async def scenario() -> None:
        async with running() as (server, api):
            server.watches = [nonsense, change]
            async with watching(server, api) as (seen, _):
                await until(lambda: seen.changes == ["+a"])

    asyncio.run(scenario())


@pytest.mark.parametrize("code", [403, 404])
def test_a_kind_that_may_be_missing_counts_as_seen_until_it_is_there(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.members.watch._ABSENT_SECONDS", 0.01)

    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{PATH}/a", a_thing("a", 0))
            server.refuse[f"GET {PATH}"] = (code, "nothing for you")
            said: list[int | None] = []
            seen = Seen()
            watch = Watch(
                api, PATH, seen, lacks=lambda why: said.append(why.status if why else None)
            )
            task = asyncio.create_task(watch.run())
            await watch.synced.wait()
            assert (seen.lists[0], said[0]) == (set(), code)
            del server.refuse[f"GET {PATH}"]
            await until(lambda: seen.lists[-1] == {"a"})
            assert said[-1] is None
            task.cancel()

    asyncio.run(scenario())
