"""Looks that find nothing changed do nothing, and miss nothing."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from assay.api.model_deployment import ModelDeploymentSpec
from assay.controller import reconcile
from assay.controller.hub import Key, deployment
from assay.controller.memory import Memory
from assay.controller.reconcile import Next
from assay.controller.rest import REST_SECONDS, Rest
from assay.controller.worker import Workers
from assay.evidence import EvidenceUnavailable, MemberEvidence, RevisionCounts
from assay.judge import Judgement, Verdict
from assay.members import apply
from assay.members.errors import ApiError
from assay.members.member import Member
from assay.members.session import Session
from assay.render.revision import STRICT, pod_template
from assay.rollout import judging

from ..members.apiserver import ApiServer, until  # noqa: TID252
from .test_memory import a_document, an_item
from .test_reconcile import PATH, ROUTE, STABLE, World, a_trial, a_world

SERVED = {"value": 100}
"""Rows that the canary has served, as Prometheus says."""


async def _evidence(_: Member, __: object, ___: float, at: float | None = None) -> MemberEvidence:
    if at is not None:
        raise EvidenceUnavailable("DataStale", "no ledger then")
    arm = RevisionCounts(served=SERVED["value"])
    return MemberEvidence({(STABLE["revision"], 0): arm}, "store-1", time.monotonic())


@contextlib.asynccontextmanager
async def a_trial_at_rest(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A canary with its share of the traffic, looked at until looks change nothing."""
    monkeypatch.setattr(Member, "evidence", _evidence)
    SERVED.update(value=100)
    undecided = Judgement(Verdict.HOLD, "TooFewLabels", "too few", ())
    monkeypatch.setattr(judging, "judge", lambda *_: undecided)
    async with a_world(monkeypatch) as world:
        document = a_trial()
        world.hub.put(PATH, document)
        spec = ModelDeploymentSpec.model_validate(document["spec"])
        template = pod_template("fraud", "ml", spec, STABLE["revision"], "server:1", STRICT)
        world.memory.last = deployment(world.hub.objects[PATH])
        world.memory.templates = {STABLE["revision"]: template}
        for _ in range(2):
            await world.look()
            serve(world)
        monkeypatch.setattr(reconcile, "_hurries", lambda *_: False)
        world.memory.unchanged = True
        for _ in range(6):
            await world.tick()
            if world.memory.rest is not None:
                break
        yield world


def serve(world: World, *others: ApiServer) -> None:
    """Let every pod that is asked for be ready, as the members' watches would tell."""
    members = sorted(world.hands.members.all(), key=lambda member: member.name)
    for member, server in zip(members, (world.east, *others), strict=True):
        assert member.session is not None
        _serve(server, member.session)


def _serve(server: ApiServer, session: Session) -> None:
    for document in list(server.objects.values()):
        if document.get("kind") in {"Deployment", "StatefulSet"}:
            wanted = document["spec"]["replicas"]
            status = {"observedGeneration": 99, "readyReplicas": wanted, "updatedReplicas": wanted}
            version = str(int(document["metadata"]["resourceVersion"]) + 1000)
            metadata = {**document["metadata"], "resourceVersion": version}
            session.cache.put({**document, "metadata": metadata, "status": status})


def asked(world: World) -> int:
    """Return how many requests hub and member got, Leases and versions apart."""
    return sum(
        "leases" not in item and "version" not in item
        for item in (*world.hub.requests, *world.east.requests)
    )


def test_a_tick_that_finds_nothing_new_asks_prometheus_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            assert world.memory.rest is not None
            before = asked(world)
            monkeypatch.setattr(reconcile, "decide", None)
            for _ in range(3):
                assert (await world.tick()).seconds == pytest.approx(10, abs=1)
            assert asked(world) == before

    asyncio.run(scenario())


def test_new_evidence_is_judged_at_the_tick_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            worse = Judgement(Verdict.ROLLBACK, "Worse", "F1 is worse", ())
            monkeypatch.setattr(judging, "judge", lambda *_: worse)
            await world.tick()  # the same counts
            assert world.status["rollout"]["stage"] == "Trial"
            SERVED.update(value=101)
            await world.tick()
            assert world.status["rollout"]["stage"] == "RollingBack"

    asyncio.run(scenario())


def test_a_deadline_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            rest = world.memory.rest
            assert rest is not None
            found = await world.tick()
            assert found.seconds is not None
            looks: list[object] = []
            real = reconcile.decide

            def decide(*args: Any) -> Any:
                looks.append(args[4])
                return real(*args)

            monkeypatch.setattr(reconcile, "decide", decide)
            world.memory.rest = dataclasses.replace(rest, due=time.monotonic() + 0.05)
            assert ((await world.tick()).seconds or 9) <= 0.05
            assert not looks
            await asyncio.sleep(0.06)
            await world.tick()
            assert len(looks) == 1

    asyncio.run(scenario())


def test_what_is_not_watched_is_looked_at_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            rest = world.memory.rest
            assert rest is not None
            assert rest.due - time.monotonic() <= apply.CHECK_SECONDS
            for name in ("CHECK_SECONDS", "CHECK_SHARE"):
                monkeypatch.setattr(apply, name, 0.0)
            world.memory.rest = dataclasses.replace(rest, due=time.monotonic())
            before = len(world.east.requests)
            await world.tick()
            assert any("configmaps" in item for item in world.east.requests[before:])

    asyncio.run(scenario())


def test_the_hub_is_read_now_and_then_and_what_it_holds_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            rest, last = world.memory.rest, world.memory.last
            assert last is not None
            world.hub.objects[PATH]["metadata"]["resourceVersion"] = last.version
            world.memory.unchanged = False  # as long ago as the worker allows
            await world.tick()
            assert world.memory.rest is rest
            assert world.memory.last is last  # the same version is not read again into a new one
            world.hub.put(PATH, {**world.hub.objects[PATH], "spec": {"model": None}})
            await world.tick()
            assert world.memory.rest is None
            assert "Stalled" in str(world.status["conditions"])

    asyncio.run(scenario())


def test_what_the_watch_has_shown_is_not_read_again_unless_it_is_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_trial_at_rest(monkeypatch) as world:
            reads = f"GET {PATH}"
            last = world.memory.last
            assert last is not None
            world.memory.unchanged, world.memory.rest = False, None
            shown = {**world.hub.objects[PATH], "spec": {"model": None}}
            shown["metadata"] = {**shown["metadata"], "resourceVersion": last.version}
            world.memory.news = shown  # what we know already, or know better
            before = world.hub.requests.count(reads)
            await world.look()
            assert world.hub.requests.count(reads) == before + 1
            assert "Stalled" not in str(world.memory.last)
            world.hub.put(PATH, {**world.hub.objects[PATH], "spec": {"model": None}})
            world.memory.news = world.hub.objects[PATH]
            before = world.hub.requests.count(reads)
            await world.look()
            assert world.hub.requests.count(reads) == before
            assert "Stalled" in str(world.status["conditions"])

    asyncio.run(scenario())


def test_a_look_that_wrote_or_failed_leaves_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_document())
            await world.look()
            assert world.memory.rest is None
        async with a_trial_at_rest(monkeypatch) as world:
            member = world.hands.members.get("east")
            assert member is not None
            assert member.session is not None
            world.east.refuse[f"PATCH {ROUTE}"] = (500, "etcd")
            member.session.cache.remove(("HTTPRoute", "ml", "fraud"))
            await world.look()
            assert world.memory.rest is None

    asyncio.run(scenario())


Look = Callable[[Key, Memory], Awaitable[Next]]


def test_a_wake_and_an_error_end_the_rest() -> None:
    async def scenario() -> None:
        rests: list[bool] = []

        async def look(_: Key, memory: Memory) -> Next:
            rests.append(memory.rest is not None)
            memory.rest = Rest.from_now(an_item(), Any, None, None, ())  # type: ignore[arg-type]
            if len(rests) == 3:
                raise ApiError(500, "InternalError", "etcd")
            return Next(0.02 if len(rests) < 2 else None)

        workers = Workers(look)
        workers.see("ml", "fraud", "1")
        await until(lambda: len(rests) == 2)  # the second because it was time
        workers.wake("ml", "fraud")
        await until(lambda: len(rests) == 4)
        await workers.close()
        assert rests == [False, True, False, False]

    asyncio.run(scenario())


def test_a_rest_does_not_last_for_ever() -> None:
    rest = Rest.from_now(an_item(), Any, None, None, ())  # type: ignore[arg-type]
    assert rest.seconds == pytest.approx(REST_SECONDS, abs=1)
    assert not rest.over
    assert rest.due - time.monotonic() == pytest.approx(REST_SECONDS, abs=1)
    assert dataclasses.replace(rest, due=time.monotonic()).over
