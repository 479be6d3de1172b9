"""What is written to a member, in which order, and what is not written again."""

import asyncio
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import pytest

from assay.members import apply
from assay.members.api import METADATA, METADATA_LIST
from assay.members.apply import CHECK_SECONDS, RESYNC_SECONDS, Writer
from assay.members.cache import Cache
from assay.members.errors import ApiError
from assay.render.entry import entry_service
from assay.render.member import MemberPlan
from assay.render.naming import Identity
from assay.render.serving import RevisionObjects
from assay.rollout import RouteView
from assay.rollout.traffic import IDLE_STRATUM

from .apiserver import ApiServer, running

ORIGIN = "origin-1"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/fraud"
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
            server.refuse[f"PATCH {ROUTE}"] = (500, "etcd is away")
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


def test_a_plan_that_was_applied_is_known_by_its_mark_until_something_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            policy = an_object("BackendTrafficPolicy", "fraud")
            policy["metadata"]["resourceVersion"] = "900"
            plan = a_plan(50, a_revision(R7))

            def known(mark: str = "one") -> bool:
                return writer.has_applied("ml", "fraud", mark)

            assert not known()
            server.refuse[f"PATCH {ROUTE}"] = (500, "etcd is away")
            with pytest.raises(ApiError):
                await writer.forward(plan, "one")
            assert not known()
            server.refuse.clear()
            await writer.forward(plan, "one")
            assert known()
            assert not known("other")
            cache.put(policy)  # nobody wants it
            assert not known()
            cache.remove(("BackendTrafficPolicy", "ml", "fraud"))
            assert known()
            cache.put(server.put(ROUTE, {**server.objects[ROUTE], "spec": {"weight": 0}}))
            assert not known()
            await writer.forward(plan, "one")
            assert known()
            cache.remove(("Deployment", "ml", f"fraud-{R7}"))
            assert not known()
            await writer.forward(plan, "one")
            assert known()
            later(monkeypatch, CHECK_SECONDS)
            assert not known()
            await writer.forward(plan, "one")
            assert known()
            await writer.remove("ml", "fraud")
            assert not known()

    asyncio.run(scenario())


def test_what_somebody_changed_is_written_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            path = ROUTE
            cache.put(server.put(path, {**server.objects[path], "spec": {"weight": 1}}))
            cache.remove(("Deployment", "ml", f"fraud-{R7}"))
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            assert kinds(server) == ["deployments", "httproutes"], "the anchor is there and is left"

    asyncio.run(scenario())


SECRET = "/api/v1/namespaces/ml/secrets/fraud-receipts"
RECORD = "/api/v1/namespaces/ml/configmaps/fraud-rollout"
SERVICE = f"/api/v1/namespaces/ml/services/fraud-{R7}"
ANCHOR = f"/apis/apps/v1/namespaces/ml/controllerrevisions/fraud-{R7}"


def remove(server: ApiServer, path: str) -> None:
    del server.objects[path]


def edit(server: ApiServer, path: str) -> None:
    """Somebody else takes a field over."""
    found = server.objects[path]
    entry = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {}}}
    server.put(path, {**found, "metadata": {**found["metadata"], "managedFields": [entry]}})


@pytest.mark.parametrize("path", [SECRET, RECORD, ANCHOR])
@pytest.mark.parametrize("does", [remove, edit])
def test_what_is_not_watched_is_looked_at_and_put_back(
    path: str, does: Callable[[ApiServer, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            plan = a_plan(50, a_revision(R7))
            await writer.forward(plan)
            does(server, path)
            server.requests.clear()
            server.accepted.clear()
            await writer.forward(plan)
            assert server.requests == [], "looked at a moment ago"
            later(monkeypatch, CHECK_SECONDS)
            await writer.forward(plan)
            # A new owner has another uid, so what it owns is written, too.
            owned = 2 if path == ANCHOR and does is remove else 0
            assert server.writes()[0] == f"PATCH {path}"
            assert len(server.writes()) == 1 + owned
            assert server.accepted == {METADATA, METADATA_LIST}, "no content of a Secret is read"
            assert server.objects[path]["metadata"]["managedFields"][0]["manager"] == "assay"
            server.requests.clear()
            later(monkeypatch, CHECK_SECONDS)
            await writer.forward(plan)
            assert server.writes() == []

    asyncio.run(scenario())


def test_a_change_does_not_wait_for_a_look_at_what_is_not_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)), "one")
            remove(server, SECRET)
            later(monkeypatch, CHECK_SECONDS)
            server.requests.clear()
            await writer.forward(a_plan(20, a_revision(R7)), "two")
            assert kinds(server) == ["configmaps", "httproutes"]
            assert not [each for each in server.requests if each.startswith("GET")]
            assert not writer.has_applied("ml", "fraud", "two"), "the look is still due"
            await writer.forward(a_plan(20, a_revision(R7)), "two")
            assert SECRET in server.objects

    asyncio.run(scenario())


def test_with_many_deployments_those_whose_pods_are_missing_are_looked_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            monkeypatch.setattr(apply, "CHECK_SHARE", 10 * CHECK_SECONDS)
            await writer.forward(a_plan(50, a_revision(R7)), "one")
            assert writer.checks_in("ml", "fraud") <= CHECK_SECONDS
            path = f"/apis/apps/v1/namespaces/ml/deployments/fraud-{R7}"
            status = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}
            cache.put(server.put(path, {**server.objects[path], "status": status}))
            assert CHECK_SECONDS < writer.checks_in("ml", "fraud") <= 10 * CHECK_SECONDS

    asyncio.run(scenario())


def test_an_owner_that_is_gone_comes_back_before_what_it_owns() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            # Somebody removes the anchor, and the garbage collector what it owned.
            remove(server, ANCHOR)
            for kind in ("Deployment", "Service"):
                cache.remove((kind, "ml", f"fraud-{R7}"))
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            first, *owned = kinds(server)
            assert first == "controllerrevisions"
            assert sorted(owned) == ["deployments", "services"]
            uid = server.objects[ANCHOR]["metadata"]["uid"]
            for kind in ("apps/v1/namespaces/ml/deployments", "v1/namespaces/ml/services"):
                [path] = [each for each in server.objects if kind in each]
                [owner] = server.objects[path]["metadata"]["ownerReferences"]
                assert owner["uid"] == uid

    asyncio.run(scenario())


def test_services_that_may_not_be_watched_are_written_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            cache.lacks("Service", "services is forbidden")
            await writer.forward(a_plan(50, a_revision(R7)))
            cache.remove(("Service", "ml", f"fraud-{R7}"))
            server.requests.clear()
            await writer.forward(a_plan(50, a_revision(R7)))
            assert server.writes() == []
            later(monkeypatch, RESYNC_SECONDS)
            await writer.forward(a_plan(50, a_revision(R7)))
            assert kinds(server) == ["services"]
            await writer.remove("ml", "fraud")
            assert server.objects == {}

    asyncio.run(scenario())


def test_a_member_that_may_have_no_budgets_has_everything_else_until_it_may() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            budget = an_object("PodDisruptionBudget", f"fraud-{R7}", R7, spec={})
            plan = a_plan(50, dataclasses.replace(a_revision(R7), budget=budget))
            cache.lacks("PodDisruptionBudget", "poddisruptionbudgets is forbidden")
            await writer.forward(plan, "mark")
            assert "poddisruptionbudgets" not in kinds(server)
            assert "httproutes" in kinds(server)
            cache.put(server.put(SERVICE, server.objects[SERVICE]))
            assert writer.has_applied("ml", "fraud", "mark")
            # Its chart was upgraded.
            cache.lacks("PodDisruptionBudget", None)
            assert not writer.has_applied("ml", "fraud", "mark")
            server.requests.clear()
            await writer.forward(plan, "mark")
            assert kinds(server) == ["poddisruptionbudgets"]
            await writer.forward(a_plan(50))
            assert not [path for path in server.objects if "poddisruptionbudgets" in path]

    asyncio.run(scenario())


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Time goes by for whoever asks the writer's clock."""
    now = apply.time.monotonic() + seconds
    monkeypatch.setattr(apply, "time", types.SimpleNamespace(monotonic=lambda: now))


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


DEPLOYMENT = f"/apis/apps/v1/namespaces/ml/deployments/fraud-{R7}"
SCALER = f"/apis/autoscaling/v2/namespaces/ml/horizontalpodautoscalers/fraud-{R7}"


def a_scaled_plan(least: int = 2) -> MemberPlan:
    name = f"fraud-{R7}"
    objects = dataclasses.replace(
        a_revision(R7),
        deployment=an_object("Deployment", name, R7, apiVersion="apps/v1", spec={"paused": False}),
        autoscaler=an_object("HorizontalPodAutoscaler", name, R7, spec={"minReplicas": least}),
    )
    return a_plan(50, objects)


def scaling_writes(server: ApiServer) -> list[tuple[str, str, Any]]:
    """Who wrote or deleted what of Deployment and autoscaler, and the number of pods in it."""
    sent = iter(server.sent)
    found = []
    for what, query in zip(server.requests, server.queries, strict=True):
        method, path = what.split(" ")
        document = next(sent) if method == "PATCH" else {}
        if method != "GET" and path in {DEPLOYMENT, SCALER}:
            replicas = document.get("spec", {}).get("replicas")
            found.append(
                (f"{method} {path.split('/')[-2]}", query.get("fieldManager", ""), replicas)
            )
    return found


def begin_again(server: ApiServer) -> None:
    for log in (server.requests, server.queries, server.sent):
        log.clear()


def test_the_number_of_pods_has_an_owner_before_we_let_go_of_it() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            begin_again(server)
            await writer.forward(a_scaled_plan())
            writes = scaling_writes(server)
            # What is there is one pod, and two is the least.
            assert writes[0] == ("PATCH deployments", "assay-scale", 2)
            assert sorted(writes[1:]) == [
                ("PATCH deployments", "assay", None),
                ("PATCH horizontalpodautoscalers", "assay", None),
            ]
            begin_again(server)
            await writer.forward(a_scaled_plan())
            await writer.forward(a_scaled_plan(4))
            assert scaling_writes(server) == [("PATCH horizontalpodautoscalers", "assay", None)]

    asyncio.run(scenario())


def test_a_new_deployment_begins_with_its_floor() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_scaled_plan(3))
            first, second, *rest = scaling_writes(server)
            assert first == ("PATCH deployments", "assay", 3)
            assert second == ("PATCH deployments", "assay-scale", 3)
            assert ("PATCH deployments", "assay", None) in rest

    asyncio.run(scenario())


def test_the_autoscaler_goes_before_the_number_of_pods_is_ours_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(a_scaled_plan())
            begin_again(server)
            await writer.forward(a_plan(50, a_revision(R7)))
            assert scaling_writes(server) == [
                ("DELETE horizontalpodautoscalers", "", None),
                ("PATCH deployments", "assay", 1),
            ]

    asyncio.run(scenario())


def test_a_member_that_may_have_no_autoscalers_keeps_the_number_that_it_has() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            cache.lacks("HorizontalPodAutoscaler", "horizontalpodautoscalers is forbidden")
            await writer.forward(a_scaled_plan(2))
            assert SCALER not in server.objects
            await writer.forward(a_plan(50, a_revision(R7)))
            assert not [each for each in server.requests if "horizontalpodautoscalers" in each]

    asyncio.run(scenario())


ENTRY = "/api/v1/namespaces/ml/services/fraud"


def an_entry_plan(*behind: str, running: tuple[str, ...] = (R7,)) -> MemberPlan:
    """A plan in which the entry Service has the pods of these revisions."""
    view = RouteView(behind[0], behind[-1], 20, IDLE_STRATUM)
    entry = entry_service(Identity("fraud", "ml", ORIGIN), view, None)
    plan = a_plan(50, *(a_revision(item) for item in running))
    return dataclasses.replace(plan, route=None, entry=entry)


def test_an_entry_is_narrowed_before_and_widened_after_pods_change() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, _ = a_writer(api)
            await writer.forward(an_entry_plan(R7))
            written = server.writes()
            assert written.index(f"PATCH {ENTRY}") < next(
                index for index, item in enumerate(written) if "deployments" in item
            )
            server.requests.clear()
            await writer.forward(an_entry_plan(R7, R8, running=(R7, R8)))
            assert server.writes()[-1] == f"PATCH {ENTRY}"
            assert server.writes().count(f"PATCH {ENTRY}") == 1
            server.requests.clear()
            await writer.back(an_entry_plan(R7, running=(R7, R8)))
            assert server.writes() == [f"PATCH {ENTRY}"]

    asyncio.run(scenario())


def test_what_runs_no_more_is_seen_until_its_pods_have_ended() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(an_entry_plan(R7, running=(R7, R8)))
            for document in list(server.objects.values()):
                if document["kind"] == "Deployment":
                    cache.put(document)
            server.requests.clear()
            server.queries.clear()
            await writer.forward(an_entry_plan(R7))
            how = {
                query.get("propagationPolicy")
                for item, query in zip(server.requests, server.queries, strict=True)
                if item.startswith("DELETE") and "/deployments/" in item
            }
            assert how == {"Foreground"}

    asyncio.run(scenario())


def test_a_service_of_that_name_that_is_somebody_elses_is_not_taken_over() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            server.refuse[f"PATCH {ENTRY}"] = (409, 'conflict with "helm": .spec.selector')
            with pytest.raises(ApiError, match="conflict with"):
                await writer.forward(an_entry_plan(R7))
            assert server.queries[-1]["force"] == "false"
            server.refuse.clear()
            await writer.forward(an_entry_plan(R7))
            cache.put(server.objects[ENTRY])
            await writer.forward(an_entry_plan(R8))
            sent = [
                query["force"]
                for item, query in zip(server.requests, server.queries, strict=True)
                if item == f"PATCH {ENTRY}"
            ]
            assert sent == ["false", "false", "true"]

    asyncio.run(scenario())


def test_another_mode_removes_what_divided_the_traffic_before() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            writer, cache = a_writer(api)
            await writer.forward(a_plan(50, a_revision(R7)))
            cache.put(server.objects[ROUTE])
            await writer.forward(an_entry_plan(R7))
            assert ROUTE not in server.objects
            cache.remove(("HTTPRoute", "ml", "fraud"))
            cache.put(server.objects[ENTRY])
            await writer.forward(a_plan(50, a_revision(R7)))
            assert ENTRY not in server.objects
            assert ROUTE in server.objects

    asyncio.run(scenario())
