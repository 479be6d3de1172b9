"""ClusterProfiles as the operator minds them: what connects a member anew, and what is only shown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.api.conditions import Reason
from assay.api.model_cluster import ClusterProfileRef
from assay.controller.clusters import Clusters
from assay.controller.hub import Hub
from assay.controller.profiles import Profiles
from assay.members.errors import MemberError
from assay.members.registry import Registry

from ..members.apiserver import ApiServer, running, until  # noqa: TID252
from ..members.test_profile import a_profile, at  # noqa: TID252

GROUP = "/apis/multicluster.x-k8s.io/v1alpha1"
PATH = f"{GROUP}/namespaces/fleet/clusterprofiles/east"
REF = ClusterProfileRef(namespace="fleet", name="east")


@dataclass
class World:
    hub: ApiServer
    profiles: Profiles
    moved: list[tuple[str, str]] = field(default_factory=list)
    shown: int = 0


@contextlib.asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with running() as (hub, api):

        def moved(*key: str) -> None:
            world.moved.append((key[0], key[1]))

        def shown() -> None:
            world.shown += 1

        world = World(hub, Profiles(api, moved, shown))
        yield world


def healthy(document: dict[str, Any], status: str) -> dict[str, Any]:
    conditions = [{"type": "ControlPlaneHealthy", "status": status, "reason": "Probed"}]
    return {**document, "status": {**document["status"], "conditions": conditions}}


def test_only_another_way_in_connects_anew() -> None:
    async def scenario() -> None:
        async with a_world() as world:
            document = a_profile(("a", at("a")))
            world.hub.objects[PATH] = document
            await world.profiles.read("fleet", "east")
            store = world.profiles.store("fleet")
            store.replace([document])
            store.put({**document, "spec": {"displayName": "East"}})
            touched = {**document["status"], "properties": [{"name": "x", "value": "1"}]}
            store.put({**document, "status": touched})
            assert world.moved == []
            store.put(a_profile(("a", at("b"))))
            store.put(a_profile(("a", at("b"))))
            assert world.moved == [("fleet", "east")]
            store.remove(document)
            store.replace([])
            assert world.moved == [("fleet", "east")] * 2
            store.put(document)
            assert len(world.moved) == 3

    asyncio.run(scenario())


def test_a_profile_that_no_member_names_moves_nothing() -> None:
    async def scenario() -> None:
        async with a_world() as world:
            store = world.profiles.store("fleet")
            store.replace([a_profile(("a", at("a")))])
            store.put(a_profile(("a", at("b"))))
            store.replace([])
            assert world.moved == []

    asyncio.run(scenario())


def test_health_is_shown_when_it_changes_and_goes_with_the_profile() -> None:
    async def scenario() -> None:
        async with a_world() as world:
            assert world.profiles.health(REF) == ()
            store = world.profiles.store("fleet")
            for status in ("True", "True", "False", "False"):
                store.put(healthy(a_profile(("a", at("a"))), status))
            assert world.shown == 2
            [condition] = world.profiles.health(REF)
            assert (condition.type, condition.status) == ("ControlPlaneHealthy", "False")
            assert condition.reason == "Probed"
            store.replace([])
            assert world.shown == 3
            assert world.profiles.health(REF) == ()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind_is_known", "refused", "message"),
    [
        (False, None, "the hub does not know ClusterProfiles"),
        (True, None, "there is no ClusterProfile fleet/east"),
        (True, (403, "forbidden"), "may not be read: name its namespace in the chart value"),
    ],
)
def test_what_is_missing_is_said(
    kind_is_known: bool,  # noqa: FBT001
    refused: tuple[int, str] | None,
    message: str,
) -> None:
    async def scenario() -> None:
        async with a_world() as world:
            missing = (404, "the server could not find the requested resource")
            if not kind_is_known:
                world.hub.refuse[f"GET {GROUP}"] = missing
            world.hub.refuse[f"GET {PATH}"] = refused or missing
            await world.profiles.read("fleet", "east")

    with pytest.raises(MemberError, match=message) as caught:
        asyncio.run(scenario())
    assert caught.value.reason is Reason.CLUSTER_PROFILE_MISSING


def test_status_says_how_old_a_member_is_and_what_its_profile_says() -> None:
    """Both beside `Reachable`, which neither changes."""

    async def scenario() -> None:
        async with running() as (server, api):

            async def secret(_: str) -> None:
                return None

            members = Registry("origin-1", secret, lambda *_: None, lambda _: None)
            profiles = Profiles(api, lambda *_: None, lambda: clusters.changed())  # noqa: PLW0108
            clusters = Clusters(Hub(api, "pod"), members, profiles)
            profiles.store("fleet").put(healthy(a_profile(), "False"))
            document = {
                "metadata": {"name": "east", "generation": 3},
                "spec": {
                    "clusterSource": {"clusterProfileRef": REF.to_dict()},
                    "prometheus": {"service": "monitoring/prometheus:9090"},
                },
                "status": {"version": "v1.24.1"},
            }
            clusters.put(document)
            writing = asyncio.create_task(clusters.run())
            path = "/apis/assay.dev/v1alpha1/modelclusters/east/status"

            def written() -> dict[str, dict[str, Any]]:
                status = server.objects.get(path, {}).get("status", {})
                return {item["type"]: item for item in status.get("conditions", ())}

            await until(lambda: "Reachable" in written())
            await until(lambda: written()["Reachable"]["status"] == "False")
            found = written()
            assert set(found) == {
                "Ready",
                "Reachable",
                "UnsupportedVersion",
                "ControlPlaneHealthy",
            }
            assert found["Ready"] == {**found["Reachable"], "type": "Ready"}
            assert found["UnsupportedVersion"]["reason"] == "KubernetesTooOld"
            assert "v1.24.1 is older than 1.30" in found["UnsupportedVersion"]["message"]
            writing.cancel()
            await members.close()

    asyncio.run(scenario())
