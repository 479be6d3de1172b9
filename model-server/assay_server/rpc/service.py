"""GRPCInferenceService: the calls, what they may cost, and what errors become."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from assay_server.access import HEADER, AccessLog, clean_id, new_id
from assay_server.inference import Prediction
from assay_server.logs import failure
from assay_server.protocol import Formatter, ProtocolError, Query, Signature
from assay_server.protocol.answers import Scored
from assay_server.protocol.metadata import fixed_model
from assay_server.rpc import open_inference_pb2 as pb
from assay_server.rpc.messages import (
    InferCodec,
    check_model,
    index_message,
    model_metadata_message,
    server_metadata_message,
)

NAME = "inference.GRPCInferenceService"
# What HTTP says by status. Everything else is the server's own fault.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}
# After how long clients that retry by themselves come back; HTTP says the same in Retry-After.
_RETRY = ("grpc-retry-pushback-ms", "1000")
_MESSAGE_SECONDS = 30.0
_LARGE_MESSAGE = 64 * 1024

Headers = Callable[[str], str | None]


class Context(Protocol):
    """What is used of grpc.aio.ServicerContext, which ships no types."""

    async def read(self) -> Any: ...  # noqa: D102
    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn: ...  # noqa: D102
    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str]]) -> None: ...  # noqa: D102
    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...  # noqa: D102


class Core(Protocol):
    """What is behind every transport: one model, its worker and its counters."""

    @property
    def signature(self) -> Signature: ...  # noqa: D102
    @property
    def formatter(self) -> Formatter: ...  # noqa: D102
    @property
    def serving(self) -> bool:
        """False once the server drains."""
        ...

    @property
    def access(self) -> AccessLog:
        """What writes lines about calls."""
        ...

    async def predict(self, query: Query, header: Headers) -> Prediction:
        """Score, sign and count one query. Raises ProtocolError."""
        ...

    def scores_of(self, query: Query, prediction: Prediction) -> Scored:
        """Return the scores of a query, with contributions if it wants them."""
        ...

    async def run(self, function: Callable[..., Any], *arguments: Any, large: bool) -> Any:
        """Call a function, if it is large work where it holds nobody up."""
        ...

    def answered(self, seconds: float) -> None:
        """Count an answered infer request by the time it took."""
        ...

    def failed(self, status: int) -> None:
        """Count an answer other than success, by its HTTP status."""
        ...


@dataclass(slots=True)
class _Ongoing:
    """A call that is being answered."""

    name: str
    context: Context
    id_in_message: str | None = None
    start: float = field(default_factory=time.perf_counter)

    def header(self, name: str) -> str | None:
        """Return a header as it came with the call; None if it is missing or binary."""
        for found, value in self.context.invocation_metadata() or ():
            if found == name:
                return value if isinstance(value, str) else None
        return None


class Service:
    """The calls of `GRPCInferenceService`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._codec = InferCodec(core.signature, core.formatter)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a server is to be told."""
        calls: dict[str, tuple[Callable[[Any], Awaitable[Message]], type[Message]]] = {
            "ServerLive": (self._server_live, pb.ServerLiveRequest),
            "ServerReady": (self._server_ready, pb.ServerReadyRequest),
            "ModelReady": (self._model_ready, pb.ModelReadyRequest),
            "ServerMetadata": (self._server_metadata, pb.ServerMetadataRequest),
            "ModelMetadata": (self._model_metadata, pb.ModelMetadataRequest),
            "RepositoryIndex": (self._index, pb.RepositoryIndexRequest),
        }
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(self._call(name, answer, message))
            for name, (answer, message) in calls.items()
        }
        handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._model_infer)
        for verb in ("load", "unload"):
            name = f"RepositoryModel{verb.capitalize()}"
            handlers[name] = grpc.stream_unary_rpc_method_handler(self._refusal(name, verb))
        return grpc.method_handlers_generic_handler(NAME, handlers)

    def _call(
        self, name: str, answer: Callable[[Any], Awaitable[Message]], message: type[Message]
    ) -> Callable[[Any, Context], Awaitable[bytes]]:
        async def call(_requests: Any, context: Context) -> bytes:
            async def answered() -> bytes:
                request = _parsed(message, await _received(context))
                return bytes((await answer(request)).SerializeToString())

            return await self._guarded(_Ongoing(name, context), answered)

        return call

    def _refusal(self, name: str, verb: str) -> Callable[[Any, Context], Awaitable[bytes]]:
        async def refuse(_requests: Any, context: Context) -> bytes:
            async def answered() -> bytes:
                raise fixed_model(self._core.signature, verb)

            return await self._guarded(_Ongoing(name, context), answered)

        return refuse

    async def _model_infer(self, _requests: Any, context: Context) -> bytes:
        call = _Ongoing("ModelInfer", context)

        async def answered() -> bytes:
            content = await _received(context)
            start = time.perf_counter()
            large = len(content) > _LARGE_MESSAGE
            query = await self._core.run(self._query, content, large=large)
            call.id_in_message = query.id
            prediction = await self._core.predict(query, call.header)
            answer: bytes = await self._core.run(self._answer, query, prediction, large=large)
            self._core.answered(time.perf_counter() - start)
            return answer

        return await self._guarded(call, answered)

    def _query(self, content: bytes) -> Query:
        return self._codec.query(_parsed(pb.ModelInferRequest, content))

    def _answer(self, query: Query, prediction: Prediction) -> bytes:
        response = self._codec.response(
            query, self._core.scores_of(query, prediction), prediction.receipts
        )
        return bytes(response.SerializeToString())

    async def _guarded(self, call: _Ongoing, answered: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the answer, or end the call with a status that tells no more than it should."""
        cause = None
        try:
            answer = await answered()
        except ProtocolError as error:
            status, message = error.status, error.message
        except Exception as error:  # noqa: BLE001 - grpc would send the exception's text to the client
            cause = failure(error)
            status, message = 500, "internal error"
        else:
            if self._core.access.logs_all:
                request_id = clean_id(call.header(HEADER) or call.id_in_message)
                self._log(call, grpc.StatusCode.OK, request_id, failed=False)
            return answer
        self._core.failed(status)
        request_id = clean_id(call.header(HEADER) or call.id_in_message) or new_id()
        code = _CODES.get(status, grpc.StatusCode.INTERNAL)
        self._log(call, code, request_id, failed=True, cause=cause)
        trailing = [(HEADER, request_id)]
        if code is grpc.StatusCode.UNAVAILABLE:
            trailing.append(_RETRY)
        call.context.set_trailing_metadata(trailing)
        return await call.context.abort(code, message)

    def _log(
        self,
        call: _Ongoing,
        code: grpc.StatusCode,
        request_id: str | None,
        *,
        failed: bool,
        cause: dict[str, str] | None = None,
    ) -> None:
        seconds = time.perf_counter() - call.start
        self._core.access.write(
            "POST",
            f"/{NAME}/{call.name}",
            code.name,
            seconds,
            request_id,
            failed=failed,
            cause=cause,
        )

    async def _server_live(self, _request: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _request: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._core.serving)

    async def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        check_model(self._core.signature, request.name, request.version)
        return pb.ModelReadyResponse(ready=self._core.serving)

    async def _server_metadata(
        self, _request: pb.ServerMetadataRequest
    ) -> pb.ServerMetadataResponse:
        return server_metadata_message()

    async def _model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        check_model(self._core.signature, request.name, request.version)
        return model_metadata_message(self._core.signature)

    async def _index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        return index_message(self._core.signature, request, serving=self._core.serving)


async def _received(context: Context) -> bytes:
    """Return a call's one message as it came.

    Calls are declared as streams, which is the same on the wire: that way a message is taken from
    the connection by our hand, and one that does not come ends its call.
    """
    try:
        async with asyncio.timeout(_MESSAGE_SECONDS):
            content = await context.read()
    except TimeoutError:
        message = f"the message did not arrive within {_MESSAGE_SECONDS:.0f} s"
        raise ProtocolError(message, 408) from None
    if content is grpc.aio.EOF:
        raise ProtocolError("a call takes one message, got none")
    return bytes(content)


def _parsed(message: type[Any], content: bytes) -> Any:
    try:
        return message.FromString(content)
    except DecodeError:
        name = message.DESCRIPTOR.full_name
        raise ProtocolError(f"the message is not an {name}") from None
