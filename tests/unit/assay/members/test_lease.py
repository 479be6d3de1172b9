"""Who may write: one Lease, several who want it."""

import asyncio

import pytest

from assay.members.api import Api
from assay.members.errors import MemberError
from assay.members.lease import Lease

from .apiserver import ApiServer, running

PATH = "/apis/coordination.k8s.io/v1/namespaces/assay-system/leases/assay"


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_lease(api: Api, identity: str, clock: Clock) -> Lease:
    return Lease(api, "assay-system", "assay", identity, seconds=30, clock=clock)


def holder(server: ApiServer) -> str:
    found: str = server.objects[PATH]["spec"]["holderIdentity"]
    return found


def test_first_come_holds_and_renews() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            lease = a_lease(api, "hub-1", Clock())
            assert await lease.renew(seconds=5)
            assert await lease.renew(seconds=5)
            assert lease.held
            assert holder(server) == "hub-1"
            assert server.objects[PATH]["spec"]["leaseTransitions"] == 1

    asyncio.run(scenario())


def test_another_waits_for_the_whole_duration_without_change() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            clock = Clock()
            first, second = a_lease(api, "hub-1", clock), a_lease(api, "hub-2", clock)
            await first.renew(seconds=5)
            assert not await second.renew(seconds=5)
            assert second.holder == "hub-1"
            clock.now += 29
            await first.renew(seconds=5)
            assert not await second.renew(seconds=5)
            clock.now += 29
            assert not await second.renew(seconds=5)
            clock.now += 2
            assert await second.renew(seconds=5)
            assert holder(server) == "hub-2"
            assert not await first.renew(seconds=5)
            assert not first.held

    asyncio.run(scenario())


def test_an_old_lease_of_our_own_is_ours_at_once() -> None:
    async def scenario() -> None:
        async with running() as (_, api):
            clock = Clock()
            await a_lease(api, "hub-1", clock).renew(seconds=5)
            assert await a_lease(api, "hub-1", clock).renew(seconds=5)

    asyncio.run(scenario())


def test_it_is_not_relied_on_to_its_last_second() -> None:
    async def scenario() -> None:
        async with running() as (_, api):
            clock = Clock()
            lease = a_lease(api, "hub-1", clock)
            await lease.renew(seconds=5)
            clock.now += 23
            assert lease.fence() == pytest.approx(7)  # a write must end before others may begin
            clock.now += 2
            assert not lease.held
            with pytest.raises(MemberError):
                lease.fence()

    asyncio.run(scenario())


@pytest.mark.parametrize("next_one", ["hub-1", "hub-2"])
def test_a_released_lease_is_free(next_one: str) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            clock = Clock()
            lease = a_lease(api, "hub-1", clock)
            await lease.renew(seconds=5)
            await lease.release(seconds=5)
            assert not lease.held
            assert await a_lease(api, next_one, clock).renew(seconds=5)
            assert holder(server) == next_one

    asyncio.run(scenario())


def test_the_slower_of_two_loses() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            clock = Clock()
            first, second = a_lease(api, "hub-1", clock), a_lease(api, "hub-2", clock)
            won = await asyncio.gather(first.renew(seconds=5), second.renew(seconds=5))
            assert sorted(won) == [False, True]
            assert [first.held, second.held] == won
            assert holder(server) == ("hub-1" if won[0] else "hub-2")

    asyncio.run(scenario())
