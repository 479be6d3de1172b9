"""Looks at one ModelDeployment, with a hub and a member that are HTTP servers in this process."""

import asyncio
import contextlib
import copy
import dataclasses
import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from assay.api.model_deployment import ModelDeploymentSpec
from assay.controller import hub
from assay.controller import reconcile as module
from assay.controller.act import Hands
from assay.controller.hub import Hub
from assay.controller.memory import Memory
from assay.controller.observe import observe
from assay.controller.reconcile import Next, reconcile
from assay.controller.tombstones import Tombstones
from assay.judge import Judgement
from assay.judge import Verdict as JudgeVerdict
from assay.members import kubeconfig, member
from assay.members.errors import ApiError
from assay.members.registry import Registry
from assay.placement import Candidate
from assay.render.revision import revision_hash
from assay.rollout import Observation

from ..members.apiserver import ApiServer, running, until  # noqa: TID252
from ..members.test_member import SPEC  # noqa: TID252
from .test_memory import a_document, a_rollout

KEY = ("ml", "fraud")
PATH = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments/fraud"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/fraud"
RECORD = "/api/v1/namespaces/ml/configmaps/fraud-rollout"
KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: c}}]
clusters: [{name: c, cluster: {server: "https://unused"}}]
users: [{name: c, user: {token: t}}]
"""


@dataclass
class World:
    """A hub, a member, and the hands between them."""

    hub: ApiServer
    east: ApiServer
    hands: Hands
    memory: Memory

    async def look(self) -> Next:
        """Look once because something changed; what was written as status is there afterwards."""
        self.memory.rest = None  # as the worker does
        return await self.tick()

    async def tick(self) -> Next:
        """Look once because it is time."""
        try:
            return await reconcile(self.hands, KEY, self.memory)
        finally:
            if written := self.hub.objects.pop(f"{PATH}/status", None):
                document = {**self.hub.objects[PATH], "status": written["status"]}
                self.hub.objects[PATH] = document

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.hub.objects[PATH].get("status", {})
        return found


@contextlib.asynccontextmanager
async def a_world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running() as (hub, api), running() as (east, _):
        east.objects["/version"] = {"gitVersion": "v1.35.4"}
        hub.put(PATH, a_document())

        async def secret(_: str) -> dict[str, bytes]:
            return {"kubeconfig": KUBECONFIG.encode()}

        real = kubeconfig.parse
        monkeypatch.setattr(
            kubeconfig,
            "parse",
            lambda text: dataclasses.replace(real(text), server=east.url),
        )
        members = Registry("origin-1", secret, lambda *_: None, lambda _: None)
        members.update(Candidate("east", {}, SPEC))
        member = members.get("east")
        assert member is not None
        await until(lambda: member.state.reachable)
        the_hub = Hub(api, "pod")
        stones = Tombstones(the_hub, members, "assay-system")
        hands = Hands(the_hub, members, "origin-1", "server:1", lambda *_: None, stones)
        try:
            yield World(hub, east, hands, Memory())
        finally:
            await members.close()


STABLE = {"revision": "8" * 10, "version": "8", "digest": "sha256:" + "8" * 64}


def a_trial() -> dict[str, Any]:
    """A ModelDeployment whose canary gets a fifth of the traffic."""
    spec = a_document()["spec"]
    revised = ModelDeploymentSpec.model_validate(spec)
    canary = {**STABLE, "version": "7", "revision": revision_hash(revised)}
    rollout = {
        **a_rollout("Trial"),
        "startedAt": datetime.datetime.now(datetime.UTC).isoformat(),
        "settings": revised.rollout.to_dict(),
        "steps": [{"weight": 20, "startedAt": "2026-11-23T12:00:00Z"}],
    }
    east = {
        "name": "east",
        "reachable": True,
        "revision": STABLE["revision"],
        "weight": 20,
        "wave": 0,
    }
    return a_document(
        observedGeneration=3,
        stable=STABLE,
        canary=canary,
        rollout=rollout,
        clusters=[east],
    )


async def observes_a_bad_canary(*args: Any) -> Observation:
    """Observe as ever, but the judge has seen enough."""
    worse = Judgement(JudgeVerdict.ROLLBACK, "Worse", "F1 is worse", ())
    return dataclasses.replace(await observe(*args), judgement=worse)


def test_a_first_start_is_recorded_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            assert world.status["rollout"]["stage"] == "Starting"
            kinds = {path.split("/")[-2] for path in world.east.objects if "/ml/" in path}
            assert {"configmaps", "deployments", "services", "statefulsets", "secrets"} <= kinds
            assert ROUTE not in world.east.objects  # nothing is ready yet
            await world.look()  # sees the pods that are asked for
            again = len(world.hub.writes()), len(world.east.writes())
            await world.look()
            assert (len(world.hub.writes()), len(world.east.writes())) == again

    asyncio.run(scenario())


def test_what_the_hub_holds_is_not_read_while_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            first = world.memory.last
            assert first is not None
            assert first.status.rollout is not None  # with what was written since it was read
            assert first.finalizers
            await world.look()
            world.memory.unchanged = True
            before = len(world.hub.requests)
            await world.look()
            assert world.hub.requests[before:] == []
            world.hub.put(PATH, {**a_document(), "spec": {"model": None}})
            await world.look()
            assert world.hub.requests[before:] == []
            world.memory.unchanged = False
            await world.look()
            assert f"GET {PATH}" in world.hub.requests[before:]
            assert world.memory.last is not None
            assert world.memory.last.spec is None

    asyncio.run(scenario())


def test_a_member_that_was_too_busy_for_a_look_is_asked_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            monkeypatch.setattr(member, "VIEW_SECONDS", 0.05)
            world.east.delay[f"GET {RECORD.rpartition('/')[0]}"] = 0.5
            found = await world.look()
            assert not world.status["clusters"][0]["reachable"]
            assert found.seconds == module.RETRY_SECONDS
            monkeypatch.setattr(member, "VIEW_SECONDS", 5.0)
            await world.look()
            assert world.status["clusters"][0]["reachable"]

    asyncio.run(scenario())


def test_nothing_is_made_while_the_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.refuse[f"PATCH {PATH}/status"] = (409, "the object has been modified")
            with pytest.raises(ApiError) as caught:
                await world.look()
            assert caught.value.conflict
            assert RECORD not in world.east.objects

    asyncio.run(scenario())


def test_another_number_of_replicas_is_made_before_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            for _ in range(3):
                await world.look()
            document = world.hub.objects[PATH]
            spec = {**document["spec"], "serving": {"replicas": 3}}
            metadata = {**document["metadata"], "generation": 4}
            world.hub.put(PATH, {**document, "spec": spec, "metadata": metadata})
            world.hub.refuse[f"PATCH {PATH}/status"] = (409, "the object has been modified")
            with pytest.raises(ApiError, match="modified"):
                await world.look()
            [deployment] = [
                item for item in world.east.objects.values() if item.get("kind") == "Deployment"
            ]
            assert deployment["spec"]["replicas"] == 3
            del world.hub.refuse[f"PATCH {PATH}/status"]

            async def fails(*_: object, **__: object) -> bool:
                raise ApiError(500, "InternalError", "etcd")

            monkeypatch.setattr(module, "act", fails)
            with pytest.raises(ApiError, match="etcd"):
                await world.look()
            assert world.status["observedGeneration"] == 4, "what cannot be made is told"

    asyncio.run(scenario())


def test_a_rollback_does_not_wait_for_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            world.hub.refuse[f"PATCH {PATH}/status"] = (500, "etcd is read-only")
            with pytest.raises(ApiError):
                await world.look()
            assert "Rollback" in world.east.objects[RECORD]["data"]["record.json"]
            # The hub forgets nothing that it never knew: the next look still rolls back.
            monkeypatch.setattr(module, "observe", observe)
            del world.hub.refuse[f"PATCH {PATH}/status"]
            await world.look()
            assert world.status["rollout"]["decision"]["verdict"] == "Rollback"

    asyncio.run(scenario())


def test_a_restarted_operator_finds_the_rollback_in_a_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            world.hub.refuse[f"PATCH {PATH}/status"] = (500, "etcd is read-only")
            with pytest.raises(ApiError):
                await world.look()
            assert world.status["rollout"].get("decision") is None
            del world.hub.refuse[f"PATCH {PATH}/status"]
            monkeypatch.setattr(module, "observe", observe)
            world.memory = Memory()
            await world.look()
            assert world.status["rollout"]["decision"]["verdict"] == "Rollback"

    asyncio.run(scenario())


def test_a_hub_without_etcd_stops_no_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(code: int) -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            await world.look()
            world.hub.refuse[f"GET {PATH}"] = (code, "etcdserver: request timed out")
            world.hub.refuse[f"PATCH {PATH}/status"] = (code, "etcdserver: request timed out")
            with monkeypatch.context() as patch:
                patch.setattr(module, "observe", observes_a_bad_canary)
                with pytest.raises(ApiError):
                    await world.look()
            assert "Rollback" in world.east.objects[RECORD]["data"]["record.json"]

    for code in (429, 500, 504):
        asyncio.run(scenario(code))


def test_a_hub_that_hangs_is_not_waited_for_during_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            await world.look()
            monkeypatch.setattr(hub, "TRIAL_SECONDS", 0.05)
            world.hub.delay[f"GET {PATH}"] = 3600
            await world.look()

    asyncio.run(scenario())


def test_a_refused_read_is_an_error_while_the_hub_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            await world.look()
            world.hub.refuse[f"GET {PATH}"] = (403, "forbidden")
            with pytest.raises(ApiError):
                await world.look()

    asyncio.run(scenario())


def events(world: World) -> list[str]:
    found = (item for path, item in world.hub.objects.items() if "/events/" in path)
    return [f"{item['reason']}: {item['note']}" for item in found]


def test_an_event_is_posted_once_however_often_its_record_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.refuse[f"PATCH {PATH}/status"] = (500, "etcd is read-only")
            for _ in range(3):
                with pytest.raises(ApiError):
                    await world.look()
            world.hub.refuse.clear()
            await world.look()
            assert len(events(world)) == len(set(events(world))) > 0

    asyncio.run(scenario())


def test_a_rollback_is_said_once_although_the_hub_learns_it_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            world.hub.refuse[f"PATCH {PATH}/status"] = (500, "etcd is read-only")
            with monkeypatch.context() as patch:
                patch.setattr(module, "observe", observes_a_bad_canary)
                for _ in range(3):
                    with pytest.raises(ApiError):
                        await world.look()
            world.hub.refuse.clear()
            await world.look()
            assert len(events(world)) == len(set(events(world)))
            assert any(item.startswith("RolledBack") for item in events(world))

    asyncio.run(scenario())


def test_an_invalid_spec_stalls_and_names_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.objects[PATH]["spec"]["model"]["digest"] = "md5:x"
            await world.look()
            conditions = {item["type"]: item for item in world.status["conditions"]}
            assert conditions["Stalled"]["status"] == "True"
            assert conditions["Ready"]["reason"] == "InvalidSpec"
            assert conditions["Ready"]["message"].startswith("model.digest: ")
            assert RECORD not in world.east.objects

    asyncio.run(scenario())


def test_a_status_that_cannot_be_read_is_not_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.objects[PATH]["status"] = {"stable": {"revision": "from the future"}}
            await world.look()
            assert world.status == {"stable": {"revision": "from the future"}}

    asyncio.run(scenario())


def test_deletion_cleans_the_member_and_then_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            metadata = world.hub.objects[PATH]["metadata"]
            metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
            await world.look()
            assert not [path for path in world.east.objects if "/ml/" in path]
            assert world.hub.sent[-1] == {
                "metadata": {"finalizers": [], "resourceVersion": metadata["resourceVersion"]}
            }

    asyncio.run(scenario())


def test_deletion_waits_for_a_member_that_is_gone_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            metadata = world.hub.objects[PATH]["metadata"]
            metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
            world.hands.members.remove("east")
            await world.look()
            ready = next(item for item in world.status["conditions"] if item["type"] == "Ready")
            assert ready["reason"] == "Deleting"
            assert "east: there is no such ModelCluster" in ready["message"]
            metadata["annotations"] = {"assay.dev/abandon": "east"}
            await world.look()
            assert world.hub.sent[-1]["metadata"]["finalizers"] == []

    asyncio.run(scenario())


async def let_go(world: World) -> None:
    """The ModelDeployment is deleted while east is away, and east is let go of."""
    await world.look()
    metadata = world.hub.objects[PATH]["metadata"]
    metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    metadata["annotations"] = {"assay.dev/abandon": "east"}
    world.hands.members.remove("east")
    world.hub.requests.clear()
    await world.look()
    stone, released = [path for path in world.hub.requests if path.startswith("PATCH")]
    assert "/namespaces/assay-system/configmaps/assay-tombstone-" in stone
    assert released == f"PATCH {PATH}", "recorded before the object may go"
    del world.hub.objects[PATH]


async def comes_back(world: World) -> None:
    world.hands.members.update(Candidate("east", {}, SPEC))
    member = world.hands.members.get("east")
    assert member is not None
    await until(lambda: member.state.reachable)


def tombstones(world: World) -> list[str]:
    return [path for path in world.hub.objects if "assay-tombstone" in path]


def test_a_member_that_was_let_go_is_cleaned_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await let_go(world)
            assert await world.hands.tombstones.look()
            assert len(tombstones(world)) == 1, "east is away"
            await comes_back(world)
            world.east.queries.clear()
            assert await world.hands.tombstones.look()
            assert not [path for path in world.east.objects if "/ml/" in path]
            selectors = {item.get("labelSelector") for item in world.east.queries} - {None}
            selectors -= {"app.kubernetes.io/managed-by=assay"}  # of the watches
            assert selectors == {"assay.dev/deployment=fraud,assay.dev/origin=origin-1"}
            assert tombstones(world) == []
            world.east.requests.clear()
            assert await world.hands.tombstones.look()
            assert not [item for item in world.east.requests if item.startswith("DELETE")]

    asyncio.run(scenario())


def test_a_member_that_cannot_be_cleaned_yet_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await let_go(world)
            await comes_back(world)
            what = "DELETE /apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes"
            world.east.refuse[what] = (500, "etcd is away")
            assert not await world.hands.tombstones.look()
            assert len(tombstones(world)) == 1
            del world.east.refuse[what]
            assert await world.hands.tombstones.look()
            assert tombstones(world) == []

    asyncio.run(scenario())


def test_a_modeldeployment_that_was_made_again_is_not_touched_by_the_deletion_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await let_go(world)
            world.hub.put(PATH, a_document())
            await comes_back(world)
            before = dict(world.east.objects)
            assert await world.hands.tombstones.look()
            assert [path for path in before if "/ml/" in path]
            assert world.east.objects.keys() == before.keys()
            assert tombstones(world) == [], "what is there now has a reconcile of its own"

    asyncio.run(scenario())


def test_a_member_that_was_not_cleaned_stays_in_status_without_its_modelcluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            world.hands.members.remove("east")
            await world.look()
            await world.look()
            [east] = world.status["clusters"]
            assert (east["name"], east["reachable"]) == ("east", False)
            assert "its ModelCluster is gone" in east["message"]
            assert sum(item.startswith("MembersUnreachable: east:") for item in events(world)) == 1
            metadata = world.hub.objects[PATH]["metadata"]
            metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
            await world.look()
            assert metadata["finalizers"]
            ready = next(item for item in world.status["conditions"] if item["type"] == "Ready")
            assert "east: there is no such ModelCluster" in ready["message"]

    asyncio.run(scenario())


def test_a_member_that_is_let_go_leaves_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            await world.look()
            world.hands.members.remove("east")
            world.hub.objects[PATH]["metadata"]["annotations"] = {"assay.dev/abandon": "east"}
            await world.look()
            assert not world.status.get("clusters")

    asyncio.run(scenario())


def test_a_member_that_is_chosen_is_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.objects[PATH]["metadata"]["annotations"] = {"assay.dev/abandon": "east"}
            await world.look()
            assert [item["name"] for item in world.status["clusters"]] == ["east"]

    asyncio.run(scenario())


def test_a_hub_without_status_takes_up_what_a_member_remembers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, a_trial())
            await world.look()
            before = world.status
            canary = before["canary"]["revision"]
            path = "/apis/apps/v1/namespaces/ml/controllerrevisions/fraud"
            # The pods run what an operator of another version made of the revision.
            template = copy.deepcopy(world.east.objects[f"{path}-{canary}"])
            template["data"]["template"]["spec"]["terminationGracePeriodSeconds"] = 77
            world.east.objects[f"{path}-{canary}"] = template
            world.hub.objects.clear()
            world.hub.put(PATH, a_document())
            world.memory.__dict__.update(Memory().__dict__)

            found = await world.look()

            assert found.seconds == 0.0
            decided = ("stable", "canary", "rollout")
            assert [world.status[name] for name in decided] == [before[name] for name in decided]
            assert [item.split(":")[0] for item in events(world)] == ["Adopted"]
            assert world.hub.objects[f"{path}-history-{canary}"]["data"] == template["data"]
            await world.look()
            assert world.status["rollout"]["id"] == before["rollout"]["id"]
            assert world.east.objects[f"{path}-{canary}"]["data"] == template["data"]

    asyncio.run(scenario())


def asked(document: dict[str, Any], verb: str) -> dict[str, Any]:
    """The ModelDeployment with a request of the annotation."""
    request = {"id": "r-1", "verb": verb, "rolloutId": "0" * 10, "by": "alice"}
    document["metadata"]["annotations"] = {"assay.dev/request": json.dumps(request)}
    return document


def test_with_all_paused_verdicts_are_shown_and_no_member_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            document = a_trial()
            document["spec"]["paused"] = "All"
            world.hub.put(PATH, asked(document, "abort"))
            monkeypatch.setattr(module, "observe", observes_a_bad_canary)
            before = len(world.east.writes())
            await world.look()
            assert world.status["rollout"]["stage"] == "Trial"
            assert world.status["lastRequest"]["result"] == "Refused"
            assert len(world.east.writes()) == before

    asyncio.run(scenario())


def test_an_abort_that_the_hub_did_not_record_is_done_once_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with a_world(monkeypatch) as world:
            world.hub.put(PATH, asked(a_trial(), "abort"))
            world.hub.refuse[f"PATCH {PATH}/status"] = (500, "etcd is read-only")
            with pytest.raises(ApiError):
                await world.look()
            assert "AbortedByHand" in world.east.objects[RECORD]["data"]["record.json"]
            assert "lastRequest" not in world.status
            del world.hub.refuse[f"PATCH {PATH}/status"]
            world.memory = Memory()
            await world.look()
            await world.look()
            assert world.status["lastRequest"]["result"] == "Done"
            assert world.status["rollout"]["decision"]["by"] == "alice"
            [rejected] = world.status["rejectedRevisions"]
            assert rejected["reason"] == "AbortedByHand"

    asyncio.run(scenario())
