"""One model behind every transport: queries go in batches, what is served is counted and told."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from assay_server.drift import Drift, Inputs
from assay_server.inference import Job, Prediction, Predictor
from assay_server.logs import event
from assay_server.metrics import Requests, Served
from assay_server.models import OverloadedError, configure_sklearn
from assay_server.models.batcher import Batcher, Batching, Reply
from assay_server.protocol import ProtocolError, Query, Signature
from assay_server.receipts import NO_STRATUM, Stratum, stratum_of
from assay_server.shipping import Shipper
from assay_server.strata import Schedule
from assay_server.users import USER_BY, Headers, UserKey, user_key

LARGE_BYTES = 64 * 1024
"""Queries with more than that, as numbers, are worked on in a thread."""
BATCH_ROWS = 256
"""Rows that go into one call of the model, at most."""

_Result = TypeVar("_Result")


class Core:
    """Answers queries. Belongs to one event loop.

    Parameters
    ----------
    labels
        Labels of all metrics.
    shipper
        Is told of what was served.
    user
        Where requests name their user, unless the gateway says it.
    schedule
        Says the stratum of requests of which no gateway does.
    """

    def __init__(
        self,
        predictor: Predictor,
        labels: Mapping[str, str],
        *,
        shipper: Shipper | None = None,
        user: UserKey | None = None,
        batching: Batching | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.predictor = predictor
        self.served = Served(labels)
        self.requests = Requests(labels)
        self.drift = Drift(predictor.reference, _inputs(predictor.signature), labels)
        self.max_rows = _batch_rows(predictor.signature)
        self._labels = labels
        self._shipper = shipper
        self._user = user
        self._schedule = schedule
        # One: a body of 8 MiB becomes some 200 MB of Python objects while it is worked on.
        self._large = ThreadPoolExecutor(1, "large-bodies", initializer=configure_sklearn)
        slow = ThreadPoolExecutor(1, "model", initializer=configure_sklearn)
        self._batcher: Batcher[Job, Prediction] = Batcher(
            lambda jobs: predictor.answer(jobs, time.time()),
            batching or Batching(),
            worker=slow if predictor.is_slow else None,
            large_worker=self._large,
            max_rows=self.max_rows,
            answered=self._answered,
        )

    def submit(self, query: Query, header: Headers, start: float, reply: Reply[Prediction]) -> None:
        """Have a query scored, signed and counted, over whichever transport it came.

        Parameters
        ----------
        header
            Returns a header of the request.
        start
            When the request came, by `time.perf_counter`.
        reply
            Takes the prediction, or a ProtocolError.

        Raises
        ------
        ProtocolError
            With status 503 when too much is waiting.
        """
        stamped = header("assay-stratum")
        if stamped is None and self._schedule is not None:
            stratum = self._schedule.present()
        else:
            stratum = stratum_of(stamped)
        told = header(USER_BY)
        if told is None:
            user = self._user.of(header) if self._user is not None else None
            job = Job(query, stratum, query.count(), user, start)
        else:
            job = _of_user(query, stratum, told, header, start)
        try:
            self._batcher.submit(job, reply)
        except OverloadedError as error:
            raise ProtocolError(str(error), 503) from error

    async def predict(self, query: Query, header: Headers) -> Prediction:
        """Score, sign and count one query. Raises ProtocolError."""
        future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self.submit(query, header, time.perf_counter(), future)
        return await future

    async def run(self, function: Callable[..., _Result], *arguments: Any, large: bool) -> _Result:
        """Call a function here, or in the worker if that would hold up small requests."""
        if not large:
            return function(*arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._large, function, *arguments)

    def text(self) -> str:
        """Return the metrics in the Prometheus text format."""
        self.requests.in_flight = self._batcher.metrics.jobs
        return (
            self.served.text()
            + self.requests.text()
            + self._batcher.metrics.text(self._labels)
            + self.drift.text()
            + (self._shipper.text() if self._shipper is not None else "")
        )

    def _answered(
        self, jobs: Sequence[Job], predictions: Sequence[Prediction | BaseException]
    ) -> None:
        """Count what was answered together, before it is sent."""
        now = time.perf_counter()
        first = predictions[0]
        if (
            (self._shipper is None or self._shipper.is_silent)
            and not isinstance(first, BaseException)
            and len(first.batch.receipts) == len(jobs)
            and first.batch.stratum is not None
            and not any([job.is_unit for job in jobs])  # noqa: C419 - a list is faster
        ):
            # What nearly all batches are: rows of one stratum, counted as one.
            batch = first.batch
            self.served.add(first.batch.stratum, batch.counts, len(jobs))
            self.drift.note(batch.rows, batch.scores.probabilities, batch.scores.predicted)
            self.requests.scoring_seconds += len(jobs) * now - sum([job.start for job in jobs])
            return
        for job, found in zip(jobs, predictions, strict=True):
            if isinstance(found, BaseException):
                self._failed(found)
            else:
                self._count(job, found, now)

    def _count(self, job: Job, prediction: Prediction, now: float) -> None:
        self.served.add(job.stratum, prediction.predicted)
        scores = prediction.scores
        self.drift.note(job.query.rows, scores.probabilities, scores.predicted)
        self.requests.scoring_seconds += now - job.start
        if self._shipper is not None:
            self._shipper.note(
                job.query.id, job.stratum, job.user, prediction.receipts, is_unit=job.is_unit
            )

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, ProtocolError) or error.status >= 500:
            event("model_failed", level=40, cause=_root_cause(error))


def _of_user(query: Query, stratum: Stratum, told: str, header: Headers, start: float) -> Job:
    """Return the job of a request in a trial of users.

    One that names no user is served, but no evidence: its lot was drawn for it alone, and whose it
    is, maybe somebody's with rows in both arms, nobody knows.
    """
    key = user_key(told)
    user = key.of(header) if key is not None else None
    if user is None:
        return Job(query, NO_STRATUM, query.count(), None, start)
    return Job(query, stratum, query.count(), user, start, is_unit=True)


def is_large(query: Query) -> bool:
    """Tell whether a query takes so long that small ones should not wait for it."""
    return query.rows.nbytes > LARGE_BYTES


def _batch_rows(signature: Signature) -> int:
    """Return how many rows the model is asked about at once: more would hold up small requests."""
    return max(1, min(BATCH_ROWS, LARGE_BYTES // (8 * (signature.features or 1))))


def _inputs(signature: Signature) -> Inputs:
    """Return what a drift reference must fit to."""
    label = dict(signature.properties).get("positive_label")
    scored = label is not None and signature.probabilities
    return Inputs(
        signature.features,
        signature.feature_names,
        signature.categorical,
        (signature.classes.index(label), label) if label is not None and scored else None,
        signature.classes if signature.probabilities else None,
    )


def _root_cause(error: BaseException) -> str:
    """Return the type of the exception that started it; its message may quote features."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__
