"""Members that take a connection or a question and never answer: the others do not notice."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.members import api, session
from assay.members import member as module
from assay.members.kubeconfig import Credentials
from assay.members.member import Member

from .apiserver import ApiServer, running, until
from .test_apply import R7, a_plan, a_revision
from .test_member import SPEC

SILENT = 12
"""More than the threads that the event loop has for everybody on a machine with 2 cores."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a silent one waits for longer than a test: no time-out saves the others."""
    for name in ("ANSWER_SECONDS", "APPLY_SECONDS", "HEARTBEAT_SECONDS"):
        monkeypatch.setattr(module, name, 3600.0)
    monkeypatch.setattr(api, "CONNECT_SECONDS", 3600.0)
    monkeypatch.setattr(session, "LEASE_SECONDS", 7200)


@contextlib.asynccontextmanager
async def a_member(name: str, url: str) -> AsyncIterator[Member]:
    async def credentials() -> Credentials:
        return Credentials(server=url, token="t")

    member = Member(name, SPEC, credentials, "origin-1", lambda *_: None, lambda _: None)
    task = asyncio.create_task(member.run())
    try:
        yield member
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def a_black_hole() -> AsyncIterator[str]:
    """Accepts connections, reads what comes, answers nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while await reader.read(65536):
                pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def a_good_one(url: str = "") -> AsyncIterator[tuple[ApiServer, Member]]:
    async with running() as (server, _):
        server.objects["/version"] = {"gitVersion": "v1.35.4"}
        async with a_member("good", url or server.url) as member:
            yield server, member


def test_black_holes_from_the_start() -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            hole = await stack.enter_async_context(a_black_hole())
            silent = [
                await stack.enter_async_context(a_member(f"hole-{number}", hole))
                for number in range(SILENT)
            ]
            _, good = await stack.enter_async_context(a_good_one())
            await until(lambda: good.state.reachable)
            for weight in range(20):
                await good.submit("ml", "fraud", a_plan(weight, a_revision(R7)))
            assert not any(member.settled.is_set() for member in silent)
            views = [await member.view("ml", "fraud") for member in (good, *silent)]
            assert [view.reachable for view in views] == [True] + [False] * SILENT

    asyncio.run(scenario())


def test_one_that_falls_silent_while_it_is_written_to() -> None:
    async def scenario() -> None:
        async with a_good_one() as (_, good), a_good_one() as (server, falls_silent):
            await until(lambda: good.state.reachable and falls_silent.state.reachable)
            server.silent = True
            stuck = [
                falls_silent.submit("ml", f"model-{number}", a_plan(number, a_revision(R7)))
                for number in range(50)
            ]
            for number in range(50):
                await good.submit("ml", f"model-{number}", a_plan(number, a_revision(R7)))
            assert not any(work.done() for work in stuck)
            urgent = falls_silent.submit("ml", "model-0", a_plan(), urgent=True)
            await good.submit("ml", "model-0", a_plan(), urgent=True)
            assert not urgent.done()

    asyncio.run(scenario())


def test_names_that_nobody_answers_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that hangs holds its thread; it is the member's own."""
    real, release = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        if host.endswith(".invalid"):
            release.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(release.set)
            silent = [
                await stack.enter_async_context(
                    a_member(f"lost-{number}", f"http://lost-{number}.invalid:6443")
                )
                for number in range(SILENT)
            ]
            async with running() as (server, _):
                server.objects["/version"] = {"gitVersion": "v1.35.4"}
                port = server.url.rpartition(":")[2]
                named = a_member("good", f"http://localhost:{port}")
                good = await stack.enter_async_context(named)
                await until(lambda: good.state.reachable)
                await good.submit("ml", "fraud", a_plan(50, a_revision(R7)))
                await asyncio.to_thread(int)  # where the judge works
                assert not release.is_set()
                assert not any(member.state.reachable for member in silent)

    asyncio.run(scenario())
