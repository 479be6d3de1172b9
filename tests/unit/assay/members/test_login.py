"""Credentials over time: who runs the plugin when, with a clock that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from assay.api.conditions import Reason
from assay.members.api import Api
from assay.members.errors import MemberError
from assay.members.kubeconfig import Credentials
from assay.members.login import Credential, Login

from .apiserver import ApiServer, running

PATH = "/api/v1/namespaces/ml/configmaps/one"


class Plugin:
    """Gives one credential after the other; an error in their place is raised."""

    def __init__(self, *gives: Credential | str) -> None:
        self.gives = list(gives)
        self.runs = 0
        self.now = 1000.0
        self.changed = 0
        self.go = asyncio.Event()
        self.go.set()
        self.login = Login("east", self.run, self._changed, lambda: self.now)

    def _changed(self) -> None:
        self.changed += 1

    async def run(self) -> Credential:
        self.runs += 1
        await self.go.wait()
        given = self.gives.pop(0) if len(self.gives) > 1 else self.gives[0]
        if isinstance(given, str):
            raise MemberError(Reason.CREDENTIAL_PLUGIN_FAILED, given)
        return given

    async def token(self) -> str | None:
        token = (await self.login.ready(5)).token
        for _ in range(3):  # what was started meanwhile may run
            await asyncio.sleep(0)
        return token


def scenario(*gives: Credential | str) -> Callable[[Callable[[Plugin], Awaitable[None]]], None]:
    def run(steps: Callable[[Plugin], Awaitable[None]]) -> None:
        async def main() -> None:
            await steps(Plugin(*gives))

        asyncio.run(main())

    return run


def until(seconds: float, token: str) -> Credential:
    return Credential(token=token, expires=1000.0 + seconds)


def test_it_is_renewed_before_it_ends_while_the_old_one_serves() -> None:
    async def steps(plugin: Plugin) -> None:
        assert await plugin.token() == "one"
        plugin.now += 79
        assert await plugin.token() == "one"
        assert plugin.runs == 1
        plugin.now += 2
        assert await plugin.token() == "one"  # at once; the new one comes behind it
        assert plugin.runs == 2
        assert await plugin.token() == "two"
        assert plugin.changed == 0

    scenario(until(100, "one"), until(1000, "two"))(steps)


def test_many_requests_run_it_once() -> None:
    async def steps(plugin: Plugin) -> None:
        plugin.go.clear()
        waiting = [asyncio.create_task(plugin.token()) for _ in range(50)]
        await asyncio.sleep(0)
        plugin.go.set()
        assert set(await asyncio.gather(*waiting)) == {"one"}
        assert plugin.runs == 1

    scenario(Credential(token="one"))(steps)


def test_who_gives_up_waiting_does_not_end_it_for_the_others() -> None:
    async def steps(plugin: Plugin) -> None:
        plugin.go.clear()
        patient = asyncio.create_task(plugin.token())
        with pytest.raises(MemberError, match=r"has not answered within 0\.01 s"):
            await plugin.login.ready(0.01)
        plugin.go.set()
        assert await patient == "one"
        assert plugin.runs == 1

    scenario(Credential(token="one"))(steps)


def test_one_that_fails_is_left_alone_for_a_while() -> None:
    async def steps(plugin: Plugin) -> None:
        for wait in (0.0, 1.0, 1.1, 3.8):
            plugin.now += wait
            with pytest.raises(MemberError, match="broken"):
                await plugin.token()
        assert plugin.runs == 2  # after 2 s, then not before 4 more
        plugin.now += 0.3
        assert await plugin.token() == "one"

    scenario("broken", "broken", Credential(token="one"))(steps)


def test_an_old_one_is_used_to_its_end_although_there_is_no_new_one() -> None:
    async def steps(plugin: Plugin) -> None:
        assert await plugin.token() == "one"
        plugin.now += 99
        assert await plugin.token() == "one"
        plugin.now += 2
        with pytest.raises(MemberError, match="broken"):
            await plugin.token()

    scenario(until(100, "one"), "broken")(steps)


def test_one_that_is_over_when_it_comes_is_none() -> None:
    async def steps(plugin: Plugin) -> None:
        with pytest.raises(MemberError, match="a credential that is over"):
            await plugin.token()

    scenario(until(-1, "old"))(steps)


def test_another_certificate_needs_other_connections() -> None:
    async def steps(plugin: Plugin) -> None:
        await plugin.token()
        plugin.now += 90
        await plugin.token()
        assert plugin.changed == 1

    scenario(
        Credential(certificate="a", key="b", expires=1100.0), Credential(certificate="c", key="d")
    )(steps)


def connected(server: ApiServer, plugin: Plugin) -> Api:
    return Api(Credentials(server=server.url, login=plugin.login), "east")


def test_a_refused_token_is_renewed_once_and_the_request_sent_again() -> None:
    async def main() -> None:
        async with running() as (server, _):
            server.objects[PATH] = {"metadata": {}}
            server.tokens = {"two"}
            plugin = Plugin(Credential(token="one"), Credential(token="two"))
            api = connected(server, plugin)
            await api.get(PATH)
            assert server.requests == [f"GET {PATH}"] * 2
            server.tokens = {"three"}  # the plugin has no other than "two"
            for _ in range(3):
                with pytest.raises(MemberError, match="refuses the credentials"):
                    await api.get(PATH)
            assert plugin.runs == 2
            plugin.now += 31
            plugin.gives = [Credential(token="three")]
            await api.get(PATH)
            await api.close()

    asyncio.run(main())


def test_many_refusals_renew_it_once() -> None:
    async def main() -> None:
        async with running() as (server, _):
            server.objects[PATH] = {"metadata": {}}
            server.tokens = {"one"}
            plugin = Plugin(Credential(token="one"), Credential(token="two"))
            api = connected(server, plugin)
            await api.get(PATH)
            server.tokens = {"two"}
            await asyncio.gather(*(api.get(PATH) for _ in range(10)))
            assert plugin.runs == 2
            await api.close()

    asyncio.run(main())
