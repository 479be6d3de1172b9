"""A plan on its way to the member: what is applied, what status says, what others find taken."""

import asyncio
from typing import Any

import pytest

from assay.placement import Candidate

from ..members.test_member import SPEC  # noqa: TID252
from .test_reconcile import KEY, PATH, World, a_world

OTHER = ("ml", "churn")


def asks_for(world: World, replicas: int, **placement: Any) -> None:
    document = world.hub.objects[PATH]
    spec = {**document["spec"], "serving": {"replicas": replicas}, "placement": placement}
    world.hub.put(PATH, {**document, "spec": spec})


def east_is(world: World, **spec: Any) -> None:
    document = {**SPEC.model_dump(by_alias=True, exclude_none=True), **spec}
    world.hands.members.update(Candidate("east", {}, type(SPEC).model_validate(document)))


def pods_asked_for(world: World) -> list[int]:
    return [
        document["spec"]["replicas"]
        for path, document in world.east.objects.items()
        if "/deployments/" in path
    ]


def placed(world: World) -> tuple[str, str]:
    [found] = [item for item in world.status["conditions"] if item["type"] == "Placed"]
    return found["status"], found["reason"]


def test_the_share_is_applied_written_and_held(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            asks_for(world, 3)
            await world.look()
            assert pods_asked_for(world) == [3]
            assert [item["replicas"] for item in world.status["clusters"]] == [3]
            assert placed(world) == ("True", "ReplicasPlaced")
            assert world.hands.reservations.of_others(OTHER) == {"east": 3}

    asyncio.run(scenario())


def test_what_others_hold_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            asks_for(world, 3)
            east_is(world, capacity={"replicas": 10})
            world.hands.reservations.hold(OTHER, {"east": 4})
            await world.look()
            assert pods_asked_for(world) == [1]
            assert placed(world) == ("False", "CapacityExceeded")

            world.hands.reservations.release(OTHER)
            await world.look()
            assert pods_asked_for(world) == [3]
            assert placed(world) == ("True", "ReplicasPlaced")

    asyncio.run(scenario())


def test_outside_of_the_residency_nothing_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            asks_for(world, 3, residency={"regions": ["eu"]})
            east_is(world, region="us")
            for _ in range(3):
                await world.look()
            assert not [path for path in world.east.objects if "/ml/" in path]
            assert placed(world) == ("False", "OutsideResidency")
            assert world.hands.reservations.of_others(OTHER) == {}

    asyncio.run(scenario())


def test_what_is_gone_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            del world.hub.objects[PATH]
            assert (await world.look()).gone
            assert not any(world.hands.reservations.of_others(OTHER).values())
            assert KEY not in world.hands.reservations._held

    asyncio.run(scenario())
