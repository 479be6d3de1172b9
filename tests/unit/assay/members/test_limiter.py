"""Requests per second to one member: who waits, and who never does."""

import asyncio

from assay.api.model_cluster import Limits
from assay.members.api import Api
from assay.members.kubeconfig import Credentials
from assay.members.limiter import Limiter

from .apiserver import running, until

PATH = "/api/v1/namespaces/ml/configmaps/one"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_one_after_the_other() -> None:
    clock = Clock()
    limiter = Limiter(10, 3, clock)
    assert [round(limiter.take(), 6) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]
    clock.now += 0.3
    assert round(limiter.take(), 6) == 0.1
    clock.now += 3600  # a long rest is worth one burst, not more
    assert [round(limiter.take(), 6) for _ in range(4)] == [0, 0, 0, 0.1]


def test_who_stops_waiting_gives_the_place_back() -> None:
    async def scenario() -> None:
        limiter = Limiter(0.001, 1)
        await limiter.wait(urgent=False)
        waiting = asyncio.create_task(limiter.wait(urgent=False))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert 999 < limiter.take() < 1001  # the first place, not the second

    asyncio.run(scenario())


def test_what_is_urgent_overtakes_all_that_wait() -> None:
    async def scenario() -> None:
        async with running() as (server, _):
            server.objects[PATH] = {"metadata": {}}
            server.objects["/version"] = {}
            api = Api(Credentials(server=server.url, token="t"), "east")
            api._limiter = Limiter(0.001, 10)  # whoever waits does so for longer than this test
            waiting = [asyncio.create_task(api.get(PATH)) for _ in range(13)]
            await until(lambda: sum(task.done() for task in waiting) == 10)
            await asyncio.gather(*(api.request("GET", "/version", urgent=True) for _ in range(5)))
            assert server.requests == [f"GET {PATH}"] * 10 + ["GET /version"] * 5
            assert sum(task.done() for task in waiting) == 10
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await api.close()

    asyncio.run(scenario())


def test_a_member_is_asked_as_its_spec_says() -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_second=10, burst=20)
        api = Api(Credentials(server="https://east", token="t"), "east", limits)
        assert api._limiter
        assert (api._limiter._rate, api._limiter._burst) == (10, 20)
        await api.close()

    asyncio.run(scenario())
