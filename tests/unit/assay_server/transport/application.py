"""A service for the tests of the transport, run as a process of its own.

Usage: application.py '{"drain_seconds": 0, "connections": 4, "descriptors": 200, "tls": [cert, key],
"set": {"messages.BODY_SECONDS": 0.2}}', all optional; `set` changes constants of modules.
"""

import asyncio
import importlib
import json
import resource
import sys
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import uvloop

from assay_server.logs import configure
from assay_server.transport import TLS, HTTPError, Request, Response, Room, Server, Service, listen

LIMIT = 1024 * 1024
OCTETS = "application/octet-stream"


class Application:
    """Handlers for what the tests look at."""

    def __init__(self) -> None:
        self.errors = Counter()
        self.held = asyncio.Event()
        self.semaphore = asyncio.Semaphore(2)
        self.service = Service(
            {
                ("POST", "/echo"): self.echo,
                ("PUT", "/echo"): self.echo_at_once,
                ("GET", "/ready"): self.ready,
                ("GET", "/places"): self.places,
                ("GET", "/errors"): self.count,
                ("GET", "/large"): self.large,
                ("GET", "/hold"): self.hold,
                ("GET", "/release"): self.release,
                ("GET", "/fail"): self.fail,
                ("GET", "/fail-later"): self.fail_later,
                ("POST", "/refuse"): self.refuse,
                ("POST", "/refuse-later"): self.refuse_later,
                ("GET", "/query"): self.query,
                ("GET", "/header"): self.header,
            },
            lambda status: self.errors.update([str(status)]),
        )

    async def echo(self, request: Request) -> Response:
        with Room(self.semaphore) as room:
            return Response(await request.body(LIMIT, room), content_type=OCTETS)

    def echo_at_once(self, request: Request) -> Awaitable[Response] | Response:
        body = request.small_body(LIMIT)
        return self.echo(request) if body is None else Response(body, content_type=OCTETS)

    def ready(self, _request: Request) -> Response:
        return Response(b"{}", 503 if self.service.draining else 200)

    def places(self, _request: Request) -> Response:
        """Say how many places for large bodies are free."""
        return Response(str(self.semaphore._value).encode())

    async def count(self, _request: Request) -> Response:
        return Response(json.dumps(self.errors).encode())

    def large(self, request: Request) -> Response:
        size = int(request.query("size") or 0)
        return Response(b"x" * size, content_type="text/plain", headers=(("x-more", "1"),))

    async def hold(self, _request: Request) -> Response:
        await self.held.wait()
        return Response(b'"held"')

    async def release(self, _request: Request) -> Response:
        self.held.set()
        return Response()

    def fail(self, _request: Request) -> Response:
        raise RuntimeError("the secret of life")

    async def fail_later(self, _request: Request) -> Response:
        await asyncio.sleep(0)
        raise RuntimeError("the secret of life")

    def refuse(self, _request: Request) -> Response:
        raise HTTPError(421, "not here", more={"address": "there"})

    async def refuse_later(self, request: Request) -> Response:
        return self.refuse(request)

    async def query(self, request: Request) -> Response:
        return Response(json.dumps([request.query("a"), request.query("b")]).encode())

    async def header(self, request: Request) -> Response:
        return Response(json.dumps(request.header("x-name")).encode())


async def main(settings: dict) -> None:
    application = Application()
    if "connection_seconds" in settings:
        application.service.connection_seconds = lambda: settings["connection_seconds"]
    tls = TLS(*map(Path, settings["tls"])) if "tls" in settings else None
    more = {"connections": settings["connections"]} if "connections" in settings else {}
    server = Server(application.service, settings.get("drain_seconds", 0.0), tls, **more)
    await server.answer(listen("127.0.0.1", 0))


if __name__ == "__main__":
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    for name, value in settings.get("set", {}).items():
        module, constant = name.split(".")
        setattr(importlib.import_module(f"assay_server.transport.{module}"), constant, value)
    if "descriptors" in settings:
        resource.setrlimit(resource.RLIMIT_NOFILE, (settings["descriptors"],) * 2)
    configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(settings))
