"""The model server: Open Inference Protocol v2 over HTTP, health, metrics, draining."""

import asyncio
import gc
import json
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from assay_server import __version__, exposition
from assay_server.artifacts import fetch, load, local_path
from assay_server.inference import Inferred, Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.logs import event
from assay_server.protocol import ProtocolError
from assay_server.receipts import MAX_CLASS_BYTES, Issuer, Stratum, stratum_of
from assay_server.scoring import ModelFailedError, Scorer, configure_sklearn, single_threaded
from assay_server.transport import (
    LARGE_BODY,
    Handler,
    HTTPError,
    Request,
    Response,
    Room,
    Server,
    Service,
    listen,
)

BODY_LIMIT = 8 * 1024 * 1024
LARGE_BODIES = 4
# Strata that are counted at once. Whoever reaches the Service past the gateway can make up stratum
# headers: that must neither grow our memory nor take the place of the strata in use.
MAX_STRATA = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """Who serves: the names that go into receipts, metrics and answers."""

    model: str
    version: str
    namespace: str
    deployment: str
    member: str
    revision: str

    def ledger_address(self) -> str:
        """Return the URL in this member's cluster to which labels belong."""
        host = f"{self.deployment}-ledger.{self.namespace}.svc"
        return f"http://{host}/v2/models/{self.model}/feedback"


@dataclass(slots=True)
class _Served:
    """What was answered under one stratum since it was last new here."""

    boot: str
    requests: int = 0
    rows: Counter[str] = field(default_factory=Counter)


class ServingMetrics:
    """What a serving process has done since its start; `boot` tells its counters apart.

    Of more than `MAX_STRATA` strata those that served last are kept. The operator adds up the
    largest values of all boots: a stratum that comes back starts at 0 under a boot of its own, so
    that nothing that was scraped is lost or shrinks.
    """

    def __init__(self, identity: Identity) -> None:
        self._labels = {"deployment": identity.deployment, "revision": identity.revision}
        self._boot = secrets.token_hex(4)
        self._evicted = 0
        # Least recently used first.
        self._served: dict[Stratum, _Served] = {}
        self._errors: Counter[int] = Counter()
        self.latency = exposition.Histogram(
            "assay_request_duration_seconds",
            "Time from an infer request's first byte in the server to its answer.",
            self._labels,
        )

    def served(self, stratum: Stratum, inferred: Inferred) -> None:
        """Count an answered request and its rows."""
        served = self._served.pop(stratum, None)
        if served is None:
            if len(self._served) >= MAX_STRATA:
                del self._served[next(iter(self._served))]
                self._evicted += 1
            boot = f"{self._boot}-{self._evicted}" if self._evicted else self._boot
            served = _Served(boot)
        self._served[stratum] = served
        served.requests += 1
        served.rows.update(inferred.predicted)

    def failed(self, status: int) -> None:
        """Count an answer of 400 and more."""
        self._errors[status] += 1

    def text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        rows: dict[str, int] = {}
        requests: dict[str, int] = {}
        for stratum, served in self._served.items():
            labels: dict[str, str | int] = {
                **self._labels,
                "rollout": stratum.rollout,
                "step": stratum.step,
                "boot": served.boot,
            }
            requests[exposition.series("assay_requests_total", labels)] = served.requests
            for predicted, count in served.rows.items():
                text = exposition.series("assay_served_total", {**labels, "predicted": predicted})
                rows[text] = count
        name = "assay_request_errors_total"
        errors = {
            exposition.series(name, {**self._labels, "code": code}): count
            for code, count in self._errors.items()
        }
        return (
            exposition.counters("assay_served_total", "Rows predicted by this process.", rows)
            + exposition.counters(
                "assay_requests_total", "Infer requests answered by this process.", requests
            )
            + self.latency.text()
            + exposition.counters(name, "Answers other than success, by status code.", errors)
        )


class ModelServer:
    """The HTTP face of one loaded model."""

    def __init__(self, predictor: Predictor, identity: Identity) -> None:
        self._predictor = predictor
        self._identity = identity
        self._metrics = ServingMetrics(identity)
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)
        # One: a body of 8 MiB becomes some 200 MB of Python objects while it is worked on.
        self._worker = ThreadPoolExecutor(1, "large-bodies", initializer=configure_sklearn)
        self.service = Service(self._routes(), self._metrics.failed)

    def _routes(self) -> dict[tuple[str, str], Handler]:
        model = f"/v2/models/{self._identity.model}"
        routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v2"): self._server_metadata,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
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

    async def _infer(self, request: Request) -> Response:
        start = time.perf_counter()
        stratum = stratum_of(request.header(b"assay-stratum"))
        with Room(self._large_bodies) as room:
            body = await request.body(BODY_LIMIT, room)
            try:
                if len(body) > LARGE_BODY:
                    inferred = await asyncio.get_running_loop().run_in_executor(
                        self._worker, self._predictor.infer, body, stratum, time.time()
                    )
                else:
                    inferred = self._predictor.infer(body, stratum, time.time())
            except ProtocolError as error:
                if error.status >= 500:
                    event("model_failed", level=40, cause=_root_cause(error))
                raise HTTPError(error.status, error.message) from None
        self._metrics.served(stratum, inferred)
        self._metrics.latency.observe(time.perf_counter() - start)
        if len(inferred.receipts) > 1:
            return Response(inferred.body)
        receipt = (b"assay-receipt", inferred.receipts[0].encode())
        return Response(inferred.body, headers=(receipt,))

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
        body = {"name": "assay", "version": __version__, "extensions": ["receipt"]}
        return Response(json.dumps(body).encode())

    async def _model_metadata(self, _request: Request) -> Response:
        return Response(json.dumps(self._predictor.metadata()).encode())

    async def _exposition(self, _request: Request) -> Response:
        return Response(self._metrics.text().encode(), content_type=exposition.CONTENT_TYPE)


def _root_cause(error: BaseException) -> str:
    """Return the type of the exception that started it; its message may quote features."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def load_predictor(
    uri: str,
    digest: str,
    identity: Identity,
    keys: KeyRing,
    *,
    threshold: float | None,
    positive_label: str | None,
    trusted: Sequence[str],
) -> Predictor:
    """Fetch (when the URI is not local), check and load the model, ready to answer.

    Raises ArtifactError or UnsupportedModelError.
    """
    configure_sklearn()
    path = local_path(uri)
    if path is not None:
        model = load(path, digest, trusted)
    else:
        with tempfile.TemporaryDirectory() as folder:
            fetched = Path(folder) / "model"
            fetch(uri, digest, fetched)
            model = load(fetched, digest, trusted)
    single_threaded(model)
    scorer = Scorer(model, threshold, positive_label)
    classes = receipt_classes(scorer)
    if len("".join(classes).encode()) + len(classes) > MAX_CLASS_BYTES:
        event("classes_left_out", level=30, advice="set ASSAY_CLASSES on the ledger")
    issuer = Issuer(
        keys,
        namespace=identity.namespace,
        deployment=identity.deployment,
        member=identity.member,
        revision=identity.revision,
        classes=classes,
    )
    predictor = Predictor(scorer, issuer, identity.model, identity.version)
    _settle(scorer)
    return predictor


def _settle(scorer: Scorer) -> None:
    """Pay once, before the first client does, for what libraries set up on their first call."""
    # A model may find fault with a row of zeros; then its first client warms it up.
    with suppress(ModelFailedError):
        scorer.score(np.zeros((1, scorer.features or 1)))
    gc.collect()
    gc.freeze()


def run(
    predictor: Predictor, identity: Identity, host: str, port: int, drain_seconds: float
) -> None:
    """Serve until SIGTERM, then drain. Raises OSError if the port cannot be had."""
    listener = listen(host, port)

    async def main() -> None:
        await Server(ModelServer(predictor, identity).service, drain_seconds).answer(listener)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
