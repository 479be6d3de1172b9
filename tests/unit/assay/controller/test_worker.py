"""When a ModelDeployment is looked at."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from assay.controller import worker
from assay.controller.hub import Key
from assay.controller.memory import Memory
from assay.controller.reconcile import Next
from assay.controller.worker import Worker, Workers
from assay.members.errors import ApiError

from ..members.apiserver import until  # noqa: TID252
from .test_memory import a_rollout, an_item

Look = Callable[[Key, Memory], Awaitable[Next]]


def test_a_wake_is_seen_at_once() -> None:
    async def scenario() -> None:
        looks: list[Key] = []

        async def look(key: Key, _: Memory) -> Next:
            looks.append(key)
            return Next()

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        await until(lambda: len(looks) == 1)
        workers.wake("ml", "fraud")
        await until(lambda: len(looks) == 2)
        workers.wake("ml", "other")
        await workers.close()
        assert looks == [("ml", "fraud")] * 2

    asyncio.run(scenario())


def test_what_members_say_after_a_look_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GATHER_SECONDS", 0.3)

    async def scenario() -> None:
        looks: list[float] = []

        async def look(_: Key, memory: Memory) -> Next:
            looks.append(time.monotonic())
            memory.version = "7"
            return Next()

        workers = Workers(look)
        workers.see("ml", "fraud", "6")
        await until(lambda: len(looks) == 1)
        for _ in range(5):
            workers.wake("ml", "fraud")
            await asyncio.sleep(0.02)
        assert len(looks) == 1
        await until(lambda: len(looks) == 2)
        assert looks[1] - looks[0] >= 0.3
        workers.wake("ml", "fraud")
        await asyncio.sleep(0.02)
        workers.see("ml", "fraud", "8")  # the hub's news do not wait
        await until(lambda: len(looks) == 3)
        assert looks[2] - looks[1] < 0.3
        await asyncio.sleep(0.35)
        workers.wake("ml", "fraud")  # nothing to gather
        await asyncio.sleep(0.02)
        assert len(looks) == 4
        await workers.close()

    asyncio.run(scenario())


def test_our_own_write_is_no_news() -> None:
    async def scenario() -> None:
        looks = 0

        async def look(_: Key, memory: Memory) -> Next:
            nonlocal looks
            looks += 1
            memory.version = "7"
            return Next()

        workers = Workers(look)
        workers.see("ml", "fraud", "6")
        await until(lambda: looks == 1)
        workers.see("ml", "fraud", "7")
        await asyncio.sleep(0.05)
        assert looks == 1
        workers.see("ml", "fraud", "8")
        await until(lambda: looks == 2)
        await workers.close()

    asyncio.run(scenario())


def test_what_is_known_is_read_again_after_news_an_error_or_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        known: list[bool] = []

        async def look(_: Key, memory: Memory) -> Next:
            known.append(memory.unchanged)
            memory.version = "7"
            if len(known) == 4:
                raise ApiError(409, "Conflict", "the object has been modified")
            return Next()

        async def looked(times: int) -> bool:
            await until(lambda: len(known) == times)
            return known[-1]

        workers = Workers(look)
        workers.see("ml", "fraud", "6")
        assert not await looked(1)
        workers.wake("ml", "fraud")  # a member changed
        assert await looked(2)
        workers.see("ml", "fraud", "8")
        assert not await looked(3)
        workers.wake("ml", "fraud")
        assert await looked(4)
        assert not await looked(5)  # the conflict
        workers.wake("ml", "fraud")
        assert await looked(6)
        monkeypatch.setattr(worker, "KNOWN_SECONDS", 0.0)
        workers.wake("ml", "fraud")
        assert not await looked(7)
        await workers.close()

    asyncio.run(scenario())


def test_ticks_keep_their_pace_whatever_the_work_takes() -> None:
    async def scenario() -> None:
        times: list[float] = []

        async def look(_: Key, __: Memory) -> Next:
            times.append(time.monotonic())
            await asyncio.sleep(0.06)
            return Next(0.1)

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        await until(lambda: len(times) == 11)
        await workers.close()
        assert times[-1] - times[0] < 10 * 0.15  # 1.6 s if the work were added

    asyncio.run(scenario())


def test_errors_are_tried_again_and_stop_nobody() -> None:
    async def scenario() -> None:
        looks: list[Key] = []

        async def look(key: Key, _: Memory) -> Next:
            looks.append(key)
            if key[1] == "broken" and looks.count(key) == 1:
                raise RuntimeError("a bug")
            if key[1] == "refused" and looks.count(key) == 1:
                raise ApiError(500, "InternalError", "etcd")
            return Next()

        workers = Workers(look)
        for name in ("broken", "refused", "fine"):
            workers.see("ml", name, "1")
        await until(lambda: len(looks) == 5)
        await workers.close()

    asyncio.run(scenario())


def test_a_worker_ends_with_its_object_and_may_begin_again() -> None:
    async def scenario() -> None:
        looks = 0

        async def look(_: Key, __: Memory) -> Next:
            nonlocal looks
            looks += 1
            return Next(gone=True)

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        await until(lambda: not workers._workers)
        workers.see("ml", "fraud", "2")
        await until(lambda: looks == 2)
        await workers.close()

    asyncio.run(scenario())


def test_an_object_that_is_made_again_while_it_is_missed_is_looked_at() -> None:
    async def scenario() -> None:
        looks = 0

        async def look(_: Key, __: Memory) -> Next:
            nonlocal looks
            looks += 1
            if looks == 1:
                workers.see("ml", "fraud", "2")  # ADDED comes while the read finds nothing
            return Next(gone=looks == 1)

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        await until(lambda: looks == 2)
        await workers.close()

    asyncio.run(scenario())


def test_an_object_that_is_made_again_as_its_worker_ends_is_looked_at() -> None:
    async def scenario() -> None:
        looks = 0

        async def look(_: Key, __: Memory) -> Next:
            nonlocal looks
            looks += 1
            return Next(gone=True)

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        task = workers._tasks["ml", "fraud"]
        while not task.done():  # noqa: ASYNC110  (before its callbacks)
            await asyncio.sleep(0)
        workers.see("ml", "fraud", "2")
        await until(lambda: looks == 2)
        await workers.close()

    asyncio.run(scenario())


def test_a_trial_keeps_its_interval_whatever_fails() -> None:
    trial = {**a_rollout("Trial"), "settings": {"analysis": {"intervalSeconds": 1}}}
    memory = Memory(last=an_item(rollout=trial), attempts=10)

    async def look(_: Key, __: Memory) -> Next:
        raise ApiError(500, "InternalError", "etcd")

    async def delay(worker: Worker) -> float:
        return (await worker._one()).seconds or 0.0

    worker = Worker(("ml", "fraud"), look)
    worker.memory = memory
    assert asyncio.run(delay(worker)) == 1.0
    worker.memory = Memory(last=an_item(), attempts=10)
    assert asyncio.run(delay(worker)) > 10.0
