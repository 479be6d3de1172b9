"""What a request costs before anything is done with it: decode the body, answer a fixed one.

    python echo.py bare|service PORT FILE

`bare` is the HTTP server alone (granian's RSGI, embedded in uvloop), `service` goes through the
`Service` of the model server. FILE holds the answer; the JSON library is the model server's.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop
from granian.server.embed import Server as Granian

from assay_server.transport import Request, Response, Room, Server, Service, listen

LIMIT = 1 << 20


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Wanted(msgspec.Struct):
    name: str


class Query(msgspec.Struct):
    inputs: list[Tensor]
    outputs: list[Wanted] = []


decode = msgspec.json.Decoder(Query).decode


async def bare(port: int, answer: bytes) -> None:
    async def application(_scope, protocol) -> None:
        decode(await protocol())
        protocol.response_bytes(200, [("content-type", "application/json")], answer)

    await Granian(application, port=port, backlog=2048, websockets=False).serve()


async def service(port: int, answer: bytes) -> None:
    room = asyncio.Semaphore(1)

    async def infer(request: Request) -> Response:
        with Room(room) as share:
            decode(await request.body(LIMIT, share))
        return Response(answer)

    routes = {("POST", "/v2/models/bench/infer"): infer}
    await Server(Service(routes), 0.0).answer(listen("127.0.0.1", port))


if __name__ == "__main__":
    kind, port, file = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"bare": bare, "service": service}[kind](int(port), Path(file).read_bytes()))
