"""A small API server in this process: real HTTP, objects in a dictionary, a scriptable watch."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from assay.members.api import Api
from assay.members.kubeconfig import Credentials

Document = dict[str, Any]
Script = Callable[[web.StreamResponse], Awaitable[None]]


class ApiServer:
    """Objects by path, and every request that came.

    Attributes
    ----------
    requests, sent
        "METHOD path" of each, in order, and the bodies of the patches.
    watches
        What each watch in turn does; when there is none left a watch stays silent.
    accepted
        What the answers to reads may hold.
    refuse
        Status and message by "METHOD path".
    tokens
        The bearer tokens that are known; None: all.
    silent
        Whether it takes requests and answers none.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.requests: list[str] = []
        self.sent: list[Document] = []
        self.queries: list[dict[str, str]] = []
        self.accepted: set[str] = set()
        self.watches: list[Script] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.delay: dict[str, float] = {}
        self.tokens: set[str] | None = None
        self.silent = False
        self.version = 100
        self.url = ""

    def put(self, path: str, document: Document) -> Document:
        self.version += 1
        before = self.objects.get(path, {"metadata": {}})
        metadata = {
            **document["metadata"],
            "resourceVersion": str(self.version),
            "uid": before["metadata"].get("uid", f"uid-{self.version}"),
        }
        self.objects[path] = {**document, "metadata": metadata}
        return self.objects[path]

    def writes(self) -> list[str]:
        return [item for item in self.requests if not item.startswith("GET")]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        self.requests.append(what)
        self.queries.append(dict(request.query))
        if request.method == "GET":
            self.accepted.add(request.headers["Accept"])
        await asyncio.sleep(3600 if self.silent else self.delay.get(what, 0))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens is not None and token not in self.tokens:
            message = {"code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
            return self.answer(message, 401)
        if what in self.refuse:
            code, message = self.refuse[what]
            return self.answer({"code": code, "reason": "Refused", "message": message}, code)
        if request.query.get("watch"):
            return await self.watch(request)
        return await getattr(self, f"_{request.method.lower()}")(request)

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if self.watches:
            await self.watches.pop(0)(response)
        else:
            await asyncio.sleep(3600)
        return response

    @staticmethod
    def answer(document: Document, status: int = 200) -> web.Response:
        return web.json_response(document, status=status)

    async def _get(self, request: web.Request) -> web.Response:
        if request.path in self.objects:
            return self.answer(self.objects[request.path])
        _, _, within = request.path.partition("/namespaces/")
        if within.count("/") == 2:  # namespace, kind and name: one object
            return self.answer({"code": 404, "reason": "NotFound", "message": request.path}, 404)
        group, _, kind = request.path.rpartition("/")
        items = [
            item
            for path, item in self.objects.items()
            if path.startswith(f"{request.path}/")
            or (path.startswith(f"{group}/namespaces/") and path.split("/")[-2] == kind)
        ]
        return self.answer({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _patch(self, request: web.Request) -> web.Response:
        document = json.loads(await request.text())
        self.sent.append(document)
        if request.content_type == "application/merge-patch+json":
            before = self.objects.get(request.path, {"metadata": {}})
            metadata = {**before["metadata"], **document["metadata"]}
            return self.answer(self.put(request.path, {**before, "metadata": metadata}))
        before = self.objects.get(request.path)
        if (
            before
            and document["kind"] == "ControllerRevision"
            and before["data"] != document["data"]
        ):
            message = "data: field is immutable"
            return self.answer({"code": 422, "reason": "Invalid", "message": message}, 422)
        # Who owns which field, as a real one keeps it: whoever puts an object otherwise takes all.
        manager = request.query["fieldManager"]
        entry = {"manager": manager, "operation": "Apply", "fieldsV1": _fields(document)}
        if manager != "assay" and before:  # owns beside us what it sends, and changes it
            document = {**before, "spec": {**before["spec"], **document["spec"]}}
            others = before["metadata"].get("managedFields", [])
            document["metadata"] = {**before["metadata"], "managedFields": [*others, entry]}
            return self.answer(self.put(request.path, document))
        document["metadata"]["managedFields"] = [entry]
        return self.answer(self.put(request.path, document))

    async def _post(self, request: web.Request) -> web.Response:
        document = json.loads(await request.text())
        path = f"{request.path}/{document['metadata']['name']}"
        if path in self.objects:
            return self.answer({"code": 409, "reason": "AlreadyExists", "message": path}, 409)
        return self.answer(self.put(path, document))

    async def _put(self, request: web.Request) -> web.Response:
        document = json.loads(await request.text())
        before = self.objects[request.path]["metadata"]["resourceVersion"]
        if document["metadata"].get("resourceVersion") != before:
            return self.answer({"code": 409, "reason": "Conflict", "message": "changed"}, 409)
        return self.answer(self.put(request.path, document))

    async def _delete(self, request: web.Request) -> web.Response:
        found = [
            path
            for path in self.objects
            if path == request.path or path.startswith(f"{request.path}/")
        ]
        for path in found:
            del self.objects[path]
        return self.answer({"kind": "Status"}, 200 if found else 404)


def _fields(document: Document) -> Document:
    """What is in an object, written as the owner of it is: ``f:`` before each name."""
    return {
        f"f:{key}": _fields(value) if isinstance(value, dict) else {}
        for key, value in document.items()
        if key != "metadata"
    }


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[ApiServer, Api]]:
    """The server, and a connection to it."""
    server = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    api = Api(Credentials(server=server.url, token="secret-token"), "test")
    try:
        yield server, api
    finally:
        await api.close()
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    while not condition():  # noqa: ASYNC110  (no event tells)
        await asyncio.sleep(0.005)


async def send(response: web.StreamResponse, type_: str, document: Document) -> None:
    """Send one watch event."""
    line = json.dumps({"type": type_, "object": document})
    await response.write(line.encode() + b"\n")
