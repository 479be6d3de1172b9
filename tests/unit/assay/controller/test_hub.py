"""ModelDeployments as they are read and written."""

import asyncio
from typing import Any

import pytest

from assay.api.request import Unreadable
from assay.controller.hub import Hub, deployment
from assay.members.api import Api
from assay.rollout import Event

from ..members.apiserver import running  # noqa: TID252
from .test_memory import a_document

PATH = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments/fraud"


def with_(path: str, value: Any) -> dict[str, Any]:
    document = a_document()
    *parents, last = path.split(".")
    node = document
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("spec.model.digest", "sha256:x", "model.digest: "),
        ("spec.traffic", {}, "traffic: Value error, traffic.parentRefs must name a Gateway"),
        (
            "spec.rollout",
            {"analysis": {"intervalSeconds": 0}},
            "rollout.analysis.intervalSeconds: ",
        ),
        ("status", {"stable": {"revision": "no"}}, "status.stable."),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, field: str) -> None:
    item = deployment(with_(path, value))
    assert item.spec is None
    assert item.invalid.startswith(field)


def test_abandoned_members_are_listed() -> None:
    item = deployment(with_("metadata.annotations", {"assay.dev/abandon": "west, north,"}))
    assert item.abandoned == {"west", "north"}


def test_status_is_written_with_the_version_that_was_read() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            item = deployment(a_document())
            await Hub(api, "pod").write_status(item, item.status)
            written = server.objects[f"{PATH}/status"]
            assert server.sent[0]["metadata"]["resourceVersion"] == "42"
            assert "spec" not in written

    asyncio.run(scenario())


def test_the_finalizer_is_set_once_and_taken_off_alone() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            hub = Hub(api, "pod")
            held = deployment(a_document())
            assert await hub.hold(held) is held
            assert server.requests == []
            free = deployment(with_("metadata.finalizers", ["other/one"]))
            held = await hub.hold(free)
            assert held.finalizers == ("other/one", "assay.dev/cleanup")
            assert held.version != free.version
            await hub.release(held)
            assert server.sent[-1]["metadata"]["finalizers"] == ["other/one"]

    asyncio.run(scenario())


def test_a_lost_event_is_no_error() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.refuse["POST /apis/events.k8s.io/v1/namespaces/ml/events"] = (403, "forbidden")
            await Hub(api, "pod").emit(deployment(a_document()), Event("Normal", "Promoted", "x"))

    asyncio.run(scenario())


def test_templates_of_another_object_of_the_same_name_are_not_ours() -> None:
    async def scenario() -> None:
        async with running() as (_, api):
            hub = Hub(api, "pod")
            item = deployment(a_document())
            other = deployment(with_("metadata.uid", "uid-2"))
            await hub.store_template(item, "7" * 10, a_template())
            assert await hub.templates(item) == {"7" * 10: a_template()}
            assert await hub.templates(other) == {}
            await hub.drop_template(item, "7" * 10)
            assert await hub.templates(item) == {}

    asyncio.run(scenario())


def test_templates_of_all_are_listed_at_once_and_what_is_none_is_passed_over() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            hub = Hub(api, "pod")
            item = deployment(a_document())
            await hub.store_template(item, "7" * 10, a_template())
            await hub.store_template(item, "8" * 10, a_template())
            path = f"/apis/apps/v1/namespaces/ml/controllerrevisions/fraud-history-{'8' * 10}"
            del server.objects[path]["data"]
            await hub.list_templates()
            before = len(server.requests)
            assert await hub.templates(item) == {"7" * 10: a_template()}
            assert len(server.requests) == before
            await hub.drop_template(item, "7" * 10)
            assert await hub.templates(item) == {}, "what was listed is known once only"

    asyncio.run(scenario())


def a_template() -> dict[str, Any]:
    return {"metadata": {"labels": {"app.kubernetes.io/version": "7"}}, "spec": {}}


def test_a_request_is_read_from_its_annotation() -> None:
    document = a_document()
    assert deployment(document).request is None
    document["metadata"]["annotations"] = {"assay.dev/request": "abort!"}
    assert isinstance(deployment(document).request, Unreadable)


def test_every_modeldeployment_is_read_page_by_page() -> None:
    class Pages(Api):
        """An API server with one ModelDeployment a page."""

        def __init__(self) -> None:
            pass

        async def get(self, path: str, *, accept: str = "", **query: str) -> dict[str, Any]:
            assert path == "/apis/assay.dev/v1alpha1/modeldeployments"
            page = int(query.get("continue", "0"))
            item = a_document()
            item["metadata"]["name"] = f"model-{page}"
            return {"items": [item], "metadata": {"continue": str(page + 1)} if page < 2 else {}}

    found = asyncio.run(Hub(Pages(), "pod").read_all())

    assert [item.name for item in found] == ["model-0", "model-1", "model-2"]


def test_an_operator_of_some_namespaces_asks_for_no_others() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            for namespace in ("ml", "fraud", "other"):
                document = with_("metadata.namespace", namespace)
                server.put(PATH.replace("/ml/", f"/{namespace}/"), document)
            hub = Hub(api, "pod", ("ml", "fraud"))
            assert [item.namespace for item in await hub.read_all()] == ["ml", "fraud"]
            await hub.list_templates()
            assert all("/namespaces/" in request for request in server.requests)
            assert (hub.looks_at("ml"), hub.looks_at("other")) == (True, False)

    asyncio.run(scenario())
