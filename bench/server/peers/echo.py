"""What a request costs before anything is done with it: decode the body, answer a fixed one.

    python echo.py PORT FILE

It goes through the transport of the model server, and its JSON library. FILE holds the answer.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop

from assay_server.transport import Request, Response, Server, Service, listen

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


async def service(port: int, answer: bytes) -> None:
    def infer(request: Request) -> Response:
        decode(request.small_body(LIMIT) or b"")
        return Response(answer)

    routes = {("POST", "/v2/models/bench/infer"): infer}
    await Server(Service(routes), 0.0).answer(listen("127.0.0.1", port))


if __name__ == "__main__":
    port, file = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service(int(port), Path(file).read_bytes()))
