"""What is written to members and in which order, with a hub and a member that are HTTP servers."""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.controller import act
from assay.controller import reconcile as module
from assay.controller.memory import NUMBERS_SECONDS, Memory
from assay.controller.observe import observe
from assay.members import kubeconfig
from assay.placement import Candidate, Plan
from assay.render.naming import Identity
from assay.render.revision import Policy
from assay.render.route import http_route, read_route
from assay.rollout import MemberView, Observation, PodsView, RouteView

from ..members.apiserver import ApiServer, running, until  # noqa: TID252
from ..members.test_member import SPEC  # noqa: TID252
from .test_memory import a_document
from .test_reconcile import KEY, PATH, ROUTE, STABLE, World, a_trial, a_world, observes_a_bad_canary
from .test_rest import serve

KEYS = "GET /api/v1/namespaces/ml/secrets/fraud-receipts"
BACK = RouteView(STABLE["revision"], STABLE["revision"], 1, "idle/0")


async def shows_the_canary(world: World) -> dict[str, Any]:
    """Put a trial on the hub and its route into the member; return the trial."""
    trial = a_trial()
    status = trial["status"]
    view = RouteView(STABLE["revision"], status["canary"]["revision"], 20, f"{'0' * 10}/0")
    traffic = ModelDeploymentSpec.model_validate(trial["spec"]).traffic
    world.hub.put(PATH, trial)
    route = http_route(Identity("fraud", "ml", "origin-1"), traffic, view, None)
    member = world.hands.members.get("east")
    assert member is not None
    assert member.session is not None
    member.session.cache.put(world.east.put(ROUTE, route))  # as its watch would
    return trial


def test_a_rollback_moves_traffic_before_the_keys_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await shows_the_canary(world)
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            world.east.delay[KEYS] = 3600
            look = asyncio.create_task(world.look())
            await until(lambda: read_route(world.east.objects[ROUTE]) == BACK)
            assert not look.done()
            look.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await look

    asyncio.run(scenario())


def test_a_rollback_is_made_and_recorded_although_the_keys_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await shows_the_canary(world)
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            world.east.refuse[KEYS] = (500, "etcd is away")
            await world.look()
            assert read_route(world.east.objects[ROUTE]) == BACK
            assert world.status["rollout"]["decision"]["verdict"] == "Rollback"
            assert world.memory.failures  # so that it is tried again soon

    asyncio.run(scenario())


def test_a_member_that_no_selector_matches_any_more_follows_the_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            trial = await shows_the_canary(world)
            trial["spec"]["placement"] = {"clusterSelector": {"matchLabels": {"tier": "typo"}}}
            world.hub.put(PATH, trial)
            await world.look()
            assert read_route(world.east.objects[ROUTE]) == BACK
            assert world.status["rollout"]["stage"] == "Trial"
            assert [item["name"] for item in world.status["clusters"]] == ["east"]
            kinds = {path.split("/")[-2] for path in world.east.objects if "/ml/" in path}
            assert kinds == {"httproutes", "configmaps"}  # nothing is started there

    asyncio.run(scenario())


def test_a_rollback_waits_for_the_route_of_a_member_that_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            trial = await shows_the_canary(world)
            trial["spec"]["placement"] = {"clusterSelector": {"matchLabels": {"tier": "typo"}}}
            world.hub.put(PATH, trial)
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            world.east.refuse[f"PATCH {ROUTE}"] = (500, "etcd is away")
            await world.look()
            monkeypatch.setattr(module, "observe", observe)
            await world.look()
            assert world.status["rollout"]["stage"] == "RollingBack"
            del world.east.refuse[f"PATCH {ROUTE}"]
            await world.look()
            assert read_route(world.east.objects[ROUTE]) == BACK
            await world.look()
            assert world.status["rollout"]["stage"] == "Done"

    asyncio.run(scenario())


def test_a_member_that_was_cleaned_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            trial = await shows_the_canary(world)
            trial["spec"]["placement"] = {"clusterSelector": {"matchLabels": {"tier": "typo"}}}
            world.hub.put(PATH, trial)
            await world.look()
            member = world.hands.members.get("east")
            assert member is not None
            await member.remove(*KEY)  # its watch does not tell of it yet
            before = len(world.east.writes())
            await world.look()
            assert len(world.east.writes()) == before

    asyncio.run(scenario())


class SlowToDelete(dict[str, float]):
    """Delays of a member that answers no deletion for an hour."""

    def get(self, what: str, default: float = 0.0) -> float:  # type: ignore[override]
        return 3600.0 if what.startswith("DELETE") else default


def test_a_member_that_is_slow_to_clean_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await shows_the_canary(world)
            monkeypatch.setattr(act, "ACT_SECONDS", 0.05)
            world.east.delay = SlowToDelete()
            item = await world.hands.hub.read(KEY)
            assert item is not None
            pods = {STABLE["revision"]: PodsView(1, 1)}
            west = MemberView("west", reachable=True, revisions=pods, route=BACK)

            await act.leave(world.hands, item, Observation("0" * 10, (west,)), item.status)

            east = world.hands.members.get("east")
            assert east is not None
            assert east.holds(*KEY)

    asyncio.run(scenario())


def test_another_policy_changes_no_revision_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types that are trusted from now on restart no pod; they count for what starts from now on."""

    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()  # the first revision starts
            stored = await templates(world)
            trusting = dataclasses.replace(world.hands, policy=Policy(("a.B",)))
            starting = await templates(world, trusting)
            assert stored.keys() == starting.keys()
            assert stored != starting  # it was never ready, so it follows the spec and the policy
            [revision] = stored
            world.memory.templates = dict(stored)
            ready = world.hub.objects[PATH]
            ready["status"] = {"stable": {**STABLE, "revision": revision}}
            world.hub.put(PATH, ready)
            assert await templates(world, trusting) == stored

    async def templates(world: World, hands: act.Hands | None = None) -> dict[str, Any]:
        item = await world.hands.hub.read(KEY)
        assert item is not None
        assert item.spec is not None
        return await act._templates(
            hands or world.hands, item, item.spec, world.memory, item.status, []
        )

    asyncio.run(scenario())


NOBODY, EAST = frozenset[str](), frozenset({"east"})


def a_member(name: str, ready: int, desired: int, replicas: int) -> MemberView:
    pods = {STABLE["revision"]: PodsView(desired, ready)}
    return MemberView(name, reachable=True, revisions=pods, route=BACK, replicas=replicas)


def a_status() -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate({"stable": STABLE})


@pytest.mark.parametrize(
    ("east", "west", "replicas"),
    [
        pytest.param((4, 4, 1), (0, 0, 3), {"east": 4, "west": 3}, id="moving: the new ones first"),
        pytest.param((4, 4, 1), (2, 3, 3), {"east": 4, "west": 3}, id="not all of them yet"),
        pytest.param((4, 4, 1), (3, 3, 3), {"east": 1, "west": 3}, id="moved: the old ones go"),
        pytest.param((4, 4, 2), (4, 4, 2), {"east": 2, "west": 2}, id="fewer are asked for"),
        pytest.param((3, 4, 2), (4, 4, 2), {"east": 2, "west": 2}, id="enough of them are ready"),
    ],
)
def test_no_member_shrinks_while_another_one_grows(
    east: tuple[int, int, int], west: tuple[int, int, int], replicas: dict[str, int]
) -> None:
    seen = Observation("0" * 10, (a_member("east", *east), a_member("west", *west)))

    assert act._replicas(seen, a_status()) == replicas


def test_what_a_few_pods_of_a_winner_take_over_shrinks_in_no_member() -> None:
    """The old version serves in a member until the new one is whole there, with all pods it had."""
    old, new = "7" * 10, STABLE["revision"]
    pods = {old: PodsView(4, 4), new: PodsView(1, 1)}
    east = MemberView("east", reachable=True, revisions=pods, route=BACK, replicas=2)
    west = dataclasses.replace(east, name="west", replicas=6)
    serving = [{"name": name, "reachable": True, "revision": old} for name in ("east", "west")]
    status = ModelDeploymentStatus.model_validate({"stable": STABLE, "clusters": serving})

    seen = Observation(new, (east, west))
    assert act._replicas(seen, status) == {"east": 4, "west": 6}


def a_scaled_member(
    name: str, desired: int, most: int, *, floor: int | None = 1, least: int | None = 1
) -> MemberView:
    """A member whose autoscaler keeps `least` (None: there is none), all of its pods ready."""
    pods = {STABLE["revision"]: PodsView(desired, desired, least=least)}
    return MemberView(name, reachable=True, revisions=pods, route=BACK, replicas=most, floor=floor)


@pytest.mark.parametrize(
    ("east", "west", "replicas"),
    [
        pytest.param(
            a_scaled_member("east", 4, 5),
            a_scaled_member("west", 1, 5),
            {"east": 5, "west": 5},
            id="what the load asks for is nobody's lack",
        ),
        pytest.param(
            a_scaled_member("east", 4, 2),
            a_scaled_member("west", 1, 2, floor=2),
            {"east": 4, "west": 2},
            id="nobody shrinks before the others have their floor",
        ),
        pytest.param(
            a_scaled_member("east", 4, 3, floor=None),
            a_scaled_member("west", 2, 3, floor=None),
            {"east": 4, "west": 3},
            id="switched off: fixed where it is",
        ),
        pytest.param(
            a_scaled_member("east", 4, 3, floor=None, least=None),
            a_scaled_member("west", 3, 3, floor=None, least=None),
            {"east": 3, "west": 3},
            id="and changed by the next look",
        ),
    ],
)
def test_the_number_of_pods_of_members_that_follow_the_load(
    east: MemberView, west: MemberView, replicas: dict[str, int]
) -> None:
    assert act._replicas(Observation("0" * 10, (east, west)), a_status()) == replicas


def test_what_is_held_for_a_rollback_is_not_given_up_with_the_autoscaler() -> None:
    cluster = {"name": "east", "reachable": True, "heldReplicas": 4}
    status = ModelDeploymentStatus.model_validate({"stable": STABLE, "clusters": [cluster]})
    east = a_scaled_member("east", 4, 2, floor=None, least=None)
    assert act._replicas(Observation("0" * 10, (east,)), status) == {"east": 4}


@pytest.mark.parametrize(
    ("west", "forbidden", "lost", "leaves"),
    [
        pytest.param((2, 2, 2), NOBODY, NOBODY, True, id="all of the others serve"),
        pytest.param((1, 2, 2), NOBODY, NOBODY, False, id="one pod is not enough"),
        pytest.param((2, 2, 4), NOBODY, NOBODY, False, id="not before the move is over"),
        pytest.param((1, 2, 4), EAST, NOBODY, True, id="unless it must not be there"),
        pytest.param((0, 2, 2), EAST, NOBODY, False, id="but service does not end"),
        pytest.param((1, 2, 2), NOBODY, NOBODY, False, id="another one must not"),
        pytest.param((2, 2, 2), NOBODY, EAST, False, id="it was away and is just back"),
    ],
)
def test_when_a_member_is_left(
    monkeypatch: pytest.MonkeyPatch,
    west: tuple[int, int, int],
    forbidden: frozenset[str],
    lost: frozenset[str],
    leaves: bool,  # noqa: FBT001
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await shows_the_canary(world)
            item = await world.hands.hub.read(KEY)
            assert item is not None
            seen = Observation(
                "0" * 10,
                (a_member("west", *west),),
                plan=Plan({"west": 2}, forbidden=forbidden, lost=lost),
            )
            await act.leave(world.hands, item, seen, item.status)
            assert (ROUTE not in world.east.objects) is leaves

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def two_members(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, ApiServer]]:
    """A world with another member, and its server."""
    async with a_world(monkeypatch) as world, running() as (west, _):
        west.objects["/version"] = {"gitVersion": "v1.35.4"}
        parse = kubeconfig.parse
        there = functools.partial(dataclasses.replace, server=west.url)
        monkeypatch.setattr(kubeconfig, "parse", lambda text: there(parse(text)))
        world.hands.members.update(Candidate("west", {}, SPEC))
        member = world.hands.members.get("west")
        assert member is not None
        await until(lambda: member.state.reachable)
        yield world, west


def test_after_a_start_keys_are_read_from_one_member_where_all_is_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with two_members(monkeypatch) as (world, west):
            world.hub.put(PATH, a_document())
            for _ in range(6):
                world.memory.numbers_at = -NUMBERS_SECONDS  # with them it writes what is applied
                await world.look()
                serve(world, west)
            assert all("applied" in item for item in world.status["clusters"])
            servers = (world.east, west)
            before = [server.writes() for server in servers]

            world.memory = Memory()
            asked = sum(server.requests.count(KEYS) for server in servers)
            await world.look()

            assert sum(server.requests.count(KEYS) for server in servers) == asked + 1
            assert world.memory.asked == {"east", "west"}
            assert world.memory.keys
            assert [server.writes() for server in servers] == before

    asyncio.run(scenario())


def test_keys_of_all_members_are_read_before_one_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with two_members(monkeypatch) as (world, west):
            world.hub.put(PATH, a_document())
            await world.look()
            assert world.east.requests.count(KEYS) == west.requests.count(KEYS) == 1
            assert world.memory.asked == {"east", "west"}

    asyncio.run(scenario())
