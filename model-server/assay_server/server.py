"""The model server: Open Inference Protocol v2 over HTTP, health, metrics, draining."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import uvloop

from assay_server import exposition, process
from assay_server.access import AccessLog
from assay_server.core import Core, is_large
from assay_server.inference import Prediction, Predictor
from assay_server.loading import Identity
from assay_server.logs import loop_failed
from assay_server.metrics import Scrapes, build_info, model_info
from assay_server.models.batcher import Batching
from assay_server.models.scores import Scores
from assay_server.protocol import Answer, Formatter, ProtocolError, Query, Signature
from assay_server.protocol.metadata import (
    encoded,
    index_wants_ready,
    model_list,
    model_metadata,
    not_served,
    repository_index,
    server_metadata,
)
from assay_server.protocol.requests import JSON_LENGTH_HEADER, json_length_of
from assay_server.shipping import Shipper
from assay_server.strata import Schedule
from assay_server.transport import (
    JSON,
    LARGE_BODY,
    TLS,
    Handler,
    Header,
    HTTPError,
    Request,
    Response,
    Room,
    Server,
    Service,
    listen,
)
from assay_server.users import Headers, UserKey

BODY_LIMIT = 8 * 1024 * 1024
# Of requests that ask about the server, not about rows.
SMALL_BODY_LIMIT = 64 * 1024
LARGE_BODIES = 4
# A full queue of a model that keeps up is worked off in that time.
RETRY = (("retry-after", "1"),)
# After the last answer, for what the ledger has not been told of yet.
SHIP_SECONDS = 5.0

_Result = TypeVar("_Result")


class ModelServer:
    """The HTTP face of one loaded model."""

    def __init__(
        self,
        predictor: Predictor,
        identity: Identity,
        shipper: Shipper | None = None,
        user: UserKey | None = None,
        access: AccessLog | None = None,
        batching: Batching | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._predictor = predictor
        self._identity = identity
        labels = {"deployment": identity.deployment, "revision": identity.revision}
        self._core = Core(
            predictor, labels, shipper=shipper, user=user, batching=batching, schedule=schedule
        )
        self._observe = self._core.requests.latency.observe
        self._scrapes = Scrapes()
        self._infos = _infos(predictor.signature, identity, labels)
        self.access = access or AccessLog()
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)
        self.service = Service(self._routes(), self.failed, self._missing, self.access)
        if schedule is not None:
            self.service.connection_seconds = schedule.connection_seconds

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self._predictor.signature

    @property
    def formatter(self) -> Formatter:
        """What writes the model's answers."""
        return self._predictor.formatter

    @property
    def serving(self) -> bool:
        """Whether it is ready; false from SIGTERM on."""
        return not self.service.draining

    def answered(self, seconds: float) -> None:
        """Count an answered infer request by the time it took."""
        self._observe(seconds)

    def failed(self, status: int) -> None:
        """Count an answer of 400 and more."""
        self._core.requests.failed(status)

    async def predict(self, query: Query, header: Headers) -> Prediction:
        """Score, sign and count one query that came with these headers, over whichever transport.

        Raises ProtocolError.
        """
        return await self._core.predict(query, header)

    def scores_of(self, query: Query, prediction: Prediction) -> Scores:
        """Return the scores of a query, with contributions if it wants them."""
        return self._predictor.scores_of(query, prediction)

    async def run(self, function: Callable[..., _Result], *arguments: Any, large: bool) -> _Result:
        """Call a function here, or in the worker if that would hold up small requests."""
        return await self._core.run(function, *arguments, large=large)

    def metrics(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return self._core.text() + self._infos + process.text()

    async def last_scrape(self) -> None:
        """Wait until Prometheus knows all that was served, if it is about to ask."""
        await self._scrapes.last(lambda: self._core.served.requests)

    def _routes(self) -> dict[tuple[str, str], Handler]:
        model = f"/v2/models/{self._identity.model}"
        routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v2"): self._server_metadata,
            ("GET", "/v2/"): self._server_metadata,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/v2/models"): self._model_list,
            ("POST", "/v2/repository/index"): self._index,
            ("GET", "/metrics"): self._exposition,
        }
        for path in (model, f"{model}/versions/{self._identity.version}"):
            routes |= {
                ("GET", path): self._model_metadata,
                ("GET", f"{path}/ready"): self._model_ready,
                ("POST", f"{path}/infer"): self._infer,
                ("POST", f"{path}/feedback"): self._feedback,
            }
        return routes

    def _infer(self, request: Request) -> Awaitable[Response] | None:
        """Answer what nearly all requests are without a task: small, plain JSON, few rows."""
        body = request.small_body(BODY_LIMIT)
        if body is None or len(body) > LARGE_BODY:
            return self._infer_any(request)
        try:
            query = self._predictor.parser.parse_plain(body)
            if query is None or query.count() > self._core.max_rows:
                return self._infer_any(request)
            request.id_in_body = query.id
            reply = _Reply(self, request, query)
            self._core.submit(query, request.header, request.start, reply)
        except ProtocolError as error:
            raise _refused(error) from None
        return None

    def reply(self, request: Request, query: Query, prediction: Prediction) -> None:
        """Answer a request that `_infer` left to the batch. Raises nothing."""
        outcome: Response | Exception
        try:
            answer = self._predictor.format(query, prediction)
            outcome = _response(answer, prediction.receipts)
            self._observe(time.perf_counter() - request.start)
        except Exception as error:  # noqa: BLE001 - no request may harm those of the same batch
            outcome = error
        self.service.complete(request, outcome)

    async def _infer_any(self, request: Request) -> Response:
        with Room(self._large_bodies) as room:
            body = await request.body(BODY_LIMIT, room)
            try:
                json_length = json_length_of(request.header(JSON_LENGTH_HEADER))
                large = len(body) > LARGE_BODY
                query = await self.run(self._predictor.parser.parse, body, json_length, large=large)
                request.id_in_body = query.id
                prediction = await self.predict(query, request.header)
            except ProtocolError as error:
                raise _refused(error) from None
            answer = await self.run(
                self._predictor.format, query, prediction, large=is_large(query)
            )
        self.answered(time.perf_counter() - request.start)
        return _response(answer, prediction.receipts)

    async def _feedback(self, _request: Request) -> Response:
        address = self._identity.ledger_address()
        message = f"labels belong to the ledger at {address}"
        raise HTTPError(421, message, more={"address": address})

    async def _live(self, _request: Request) -> Response:
        return Response(b'{"live":true}')

    async def _ready(self, _request: Request) -> Response:
        if self.service.draining:
            return Response(b'{"ready":false}', 503)
        return Response(b'{"ready":true}')

    async def _model_ready(self, _request: Request) -> Response:
        ready = not self.service.draining
        body = json.dumps({"name": self._identity.model, "ready": ready}).encode()
        return Response(body, 200 if ready else 503)

    async def _server_metadata(self, _request: Request) -> Response:
        return Response(encoded(server_metadata()))

    async def _model_metadata(self, _request: Request) -> Response:
        return Response(encoded(model_metadata(self.signature)))

    async def _model_list(self, _request: Request) -> Response:
        return Response(encoded(model_list(self.signature)))

    async def _index(self, request: Request) -> Response:
        with Room(self._large_bodies) as room:
            body = await request.body(SMALL_BODY_LIMIT, room)
        try:
            only_ready = index_wants_ready(body)
        except ProtocolError as error:
            raise HTTPError(error.status, error.message) from None
        index = repository_index(self.signature, serving=self.serving, only_ready=only_ready)
        return Response(encoded(index))

    def _missing(self, method: str, path: str) -> HTTPError | None:
        error = not_served(self.signature, method, path)
        return None if error is None else HTTPError(error.status, error.message)

    async def _exposition(self, request: Request) -> Response:
        self._scrapes.add(self._core.served.requests)
        body, content_type = exposition.negotiated(self.metrics(), request.header("accept"))
        return Response(body, content_type=content_type)


class _Reply(msgspec.Struct):
    """Where the prediction of a request goes."""

    server: ModelServer
    request: Request
    query: Query

    def done(self) -> bool:
        """Tell that the answer is wanted; the transport does not say when it no longer is."""
        return False

    def set_result(self, prediction: Prediction) -> None:
        """Answer."""
        self.server.reply(self.request, self.query, prediction)

    def set_exception(self, error: BaseException) -> None:
        """Answer with an error."""
        refused = _refused(error) if isinstance(error, ProtocolError) else error
        self.server.service.complete(self.request, refused)


def _refused(error: ProtocolError) -> HTTPError:
    headers = RETRY if error.status == 503 else ()
    return HTTPError(error.status, error.message, headers=headers)


def _response(answer: Answer, receipts: Sequence[str]) -> Response:
    headers: tuple[Header, ...] = ()
    if len(receipts) == 1:
        headers = (("assay-receipt", receipts[0]),)
    if answer.json_length is None:
        return Response(answer.body, 200, JSON, headers)
    headers += ((JSON_LENGTH_HEADER, str(answer.json_length)),)
    return Response(answer.body, 200, "application/octet-stream", headers)


def _infos(signature: Signature, identity: Identity, labels: Mapping[str, str]) -> str:
    engine = dict(signature.properties).get("engine", signature.platform)
    model = {
        **labels,
        "namespace": identity.namespace,
        "member": identity.member,
        "model": identity.model,
        "version": identity.version,
    }
    return build_info(engine) + model_info(model)


def run(
    predictor: Predictor,
    identity: Identity,
    host: str,
    port: int,
    drain_seconds: float,
    grpc_port: int = 0,
    shipper: Shipper | None = None,
    user: UserKey | None = None,
    tls: TLS | None = None,
    access: AccessLog | None = None,
    batching: Batching | None = None,
    schedule: Schedule | None = None,
) -> None:
    """Serve until SIGTERM, then drain.

    `port` 0 takes a free one, `grpc_port` 0 is no gRPC. Raises OSError if a port cannot be had.
    """
    listener = listen(host, port)
    if shipper is not None:
        shipper.start()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(loop_failed)
        server = ModelServer(predictor, identity, shipper, user, access, batching, schedule)
        rpc = None
        if grpc_port:
            # It costs memory, and most servers go without.
            from assay_server.rpc.listener import Listener  # noqa: PLC0415

            rpc = await Listener.start(server, host, grpc_port, tls)
        front = Server(server.service, drain_seconds, tls, before_leaving=server.last_scrape)
        await front.answer(listener)
        if rpc is not None:
            await rpc.stop()
        if shipper is not None:
            await asyncio.to_thread(shipper.close, SHIP_SECONDS)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
