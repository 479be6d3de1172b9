"""What is written to a member, in which order, and what is not written again."""

import asyncio
import dataclasses
from typing import Any

import pytest

from assay.members.apply import Writer
from assay.members.cache import Cache
from assay.members.errors import ApiError
from assay.render.member import MemberPlan
from assay.render.serving import RevisionObjects

from .apiserver import ApiServer, running

ORIGIN = "origin-1"
R7, R8 = "7" * 10, "8" * 10


def an_object(kind: str, name: str, revision: str = "", **content: Any) -> dict[str, Any]:
    labels = {
        "assay.dev/deployment": "fraud",
        "assay.dev/origin": ORIGIN,
        "assay.dev/revision": revision,
    }
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "ml", "labels": labels},
        **content,
    }


def a_revision(revision: str, template: str = "one") -> RevisionObjects:
    name = f"fraud-{revision}"
    anchor = an_object("ControllerRevision", name, revision, data={"template": template})
    anchor["apiVersion"] = "apps/v1"
    return RevisionObjects(
        revision,
        anchor,
        an_object("Deployment", name, revision, spec={"replicas": 1}),
        an_object("Service", name, revision),
    )


def a_plan(weight: int = 50, *revisions: RevisionObjects) -> MemberPlan:
    names = frozenset(item.revision for item in revisions)
    return MemberPlan(
        record=an_object("ConfigMap", "fraud-rollout", data={"record.json": str(weight)}),
        ledger=(an_object("Secret", "fraud-receipts"),),
        revisions=revisions,
        route=an_object("HTTPRoute", "fraud", spec={"weight": weight}),
        keep_revisions=names,
        run_revisions=names,
    )


def kinds(server: ApiServer) -> list[str]:
    """The kinds that were written, in order."""
    return [item.split("/")[-2] for item in server.writes() if item.startswith("PATCH")]


def a_writer(api: Any) -> tuple[Writer, Cache]:
    cache = Cache(lambda *_: None)
    return Writer(api, cache, ORIGIN), cache


def test_forward_writes_the_route_last() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            written = kinds(server)
            assert written[0] == "configmaps"
            assert written[-1] == "httproutes"
            assert written.index("controllerrevisions") < written.index("deployments")
            owner = server.objects[f"/apis/apps/v1/namespaces/ml/controllerrevisions/fraud-{R7}"]
            owned = server.objects[f"/apis/apps/v1/namespaces/ml/deployments/fraud-{R7}"]
            [reference] = owned["metadata"]["ownerReferences"]
            assert reference["uid"] == owner["metadata"]["uid"]

    asyncio.run(scenario())


def test_back_writes_the_route_first() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.back(a_plan(50, a_revision(R7)))
            assert kinds(server)[:2] == ["httproutes", "configmaps"]

    asyncio.run(scenario())


def test_back_leaves_the_record_although_the_route_is_refused() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            route = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/fraud"
            server.refuse[f"PATCH {route}"] = (500, "etcd is away")
            writer, _ = a_writer(api)
            with pytest.raises(ApiError, match="etcd is away"):
                await writer.back(a_plan(50, a_revision(R7)))
            assert "/api/v1/namespaces/ml/configmaps/fraud-rollout" in server.objects

    asyncio.run(scenario())


def test_what_is_so_already_is_not_written_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            assert server.requests == []
            await writer.forward(a_plan(20, a_revision(R7)))
            assert kinds(server) == ["configmaps", "httproutes"]

    asyncio.run(scenario())


def test_what_somebody_changed_is_written_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            path = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/fraud"
            cache.put(server.put(path, {**server.objects[path], "spec": {"weight": 1}}))
            cache.remove(("Deployment", "ml", f"fraud-{R7}"))
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            assert kinds(server) == ["deployments", "httproutes"]

    asyncio.run(scenario())


def test_a_revision_that_nobody_needs_is_removed() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7), a_revision(R8)))
            await writer.forward(a_plan(50, a_revision(R7)))
            left = {path.split("/")[-1] for path in server.objects}
            assert f"fraud-{R8}" not in left
            assert f"fraud-{R7}" in left

    asyncio.run(scenario())


def test_a_template_that_changes_before_it_ever_served_takes_the_other_ones_place() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7, "one")))
            await writer.forward(a_plan(50, a_revision(R7, "two")))
            path = f"/apis/apps/v1/namespaces/ml/controllerrevisions/fraud-{R7}"
            assert server.objects[path]["data"] == {"template": "two"}
            orphaned = [query for query in server.queries if "propagationPolicy" in query]
            assert orphaned == [{"propagationPolicy": "Orphan"}]

    asyncio.run(scenario())


def test_removal_takes_the_traffic_first() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            server.requests.clear()
            server.queries.clear()
            await writer.remove("ml", "fraud")
            assert server.objects == {}
            assert server.requests[0].endswith("/httproutes")
            assert server.requests[-1].endswith("/controllerrevisions")
            selectors = {query["labelSelector"] for query in server.queries}
            assert selectors == {f"assay.dev/deployment=fraud,assay.dev/origin={ORIGIN}"}

    asyncio.run(scenario())


POLICY = "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/ml/backendtrafficpolicies/fraud"


def a_sticky_plan(*, sticky: bool) -> MemberPlan:
    policy = an_object("BackendTrafficPolicy", "fraud", spec={"loadBalancer": {}})
    return dataclasses.replace(a_plan(50, a_revision(R7)), sticky=policy if sticky else None)


def test_the_preview_comes_after_the_live_route_and_goes_before_the_pods_behind_it() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            preview = an_object("HTTPRoute", "fraud.preview", R8)
            plan = a_plan(50, a_revision(R7), a_revision(R8))
            await writer.forward(dataclasses.replace(plan, preview=preview))
            written = [item for item in server.writes() if "httproutes" in item]
            assert [item.rsplit("/", 1)[-1].split("?")[0] for item in written] == [
                "fraud",
                "fraud.preview",
            ]
            [path] = [item for item in server.objects if item.endswith("fraud.preview")]
            cache.put(server.objects[path])
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            deleted = [item for item in server.writes() if item.startswith("DELETE")]
            assert "fraud.preview" in deleted[0]
            assert any(R8 in item for item in deleted[1:])

    asyncio.run(scenario())


def test_the_policy_that_keeps_users_comes_after_the_route_and_goes_when_nobody_wants_it() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(a_sticky_plan(sticky=True))
            assert kinds(server)[-2:] == ["httproutes", "backendtrafficpolicies"]
            cache.put(server.objects[POLICY])
            await writer.forward(a_sticky_plan(sticky=False))
            assert POLICY not in server.objects
            cache.remove(("BackendTrafficPolicy", "ml", "fraud"))
            server.requests.clear()
            await writer.forward(a_sticky_plan(sticky=False))
            assert server.requests == []

    asyncio.run(scenario())


def test_what_a_member_has_no_place_for_is_neither_written_nor_removed() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            cache.lacks("BackendTrafficPolicy", "no BackendTrafficPolicy in member east")
            await writer.forward(a_sticky_plan(sticky=True))
            await writer.remove("ml", "fraud")
            assert not any("backendtrafficpolicies" in item for item in server.requests)
            cache.lacks("BackendTrafficPolicy", None)
            await writer.forward(a_sticky_plan(sticky=True))
            assert POLICY in server.objects

    asyncio.run(scenario())
