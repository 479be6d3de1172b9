"""The ledger's HTTP face: labels and shipments in, health, and the counts for Prometheus."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

import msgspec
import uvloop

from assay_server import __version__, exposition, process
from assay_server.ledger.counts import Counts
from assay_server.ledger.database import Source, StoreError
from assay_server.ledger.entries import Arrival, Entry, Result, Status, result_name
from assay_server.ledger.feedback import (
    MESSAGES,
    Clerk,
    FeedbackError,
    Refusal,
    parse,
    parse_erasure,
    parse_served,
    result,
)
from assay_server.ledger.jobs import BusyError
from assay_server.ledger.log import PAGE_ROWS, csv_of
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import key_of, mark_of
from assay_server.ledger.store import Store
from assay_server.ledger.writer import Committed, Rebuilt
from assay_server.logs import event, loop_failed
from assay_server.transport import (
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

BODY_LIMIT = 1024 * 1024
LARGE_BODIES = 16
_RETRY_LATER = (("retry-after", "1"),)
_BUSY = "more labels arrive than can be stored; send these again"
# Seconds a commit takes: the flush of a disk, or of a slow one.
_COMMIT_METRIC = "assay_ledger_commit_duration_seconds"

Finding = Entry | Refusal
# Raises HTTPError when a request may not be answered.
Guard = Callable[[Request], None]


def nobody(_request: Request) -> None:
    """Refuse: the guard of what needs a token when none is configured."""
    raise HTTPError(403, "this ledger was given no token for this; set --export-token-file")


def anybody(_request: Request) -> None:
    """Let everybody pass."""


class Ledger:
    """Counts labels in memory exactly as the store holds them, and answers after the commit.

    Parameters
    ----------
    may_label, may_export
        Who may send labels; who may read and erase single predictions.
    """

    def __init__(
        self,
        clerk: Clerk,
        source: Source,
        deployment: str,
        *,
        may_label: Guard = anybody,
        may_export: Guard = nobody,
    ) -> None:
        self._clerk = clerk
        self._deployment = deployment
        self._may_label = may_label
        self._may_export = may_export
        self._loop = asyncio.get_running_loop()
        self._counts: Counts | None = None
        self._exposition = Exposition(deployment)
        self._commits = exposition.Histogram(
            _COMMIT_METRIC,
            "Time to write and flush one transaction.",
            {"deployment": deployment},
        )
        self._store_id = ""
        self._pending = 0
        self._results: Counter[str] = Counter()
        # Refusals wait for the next transaction: a forged label must not cost a disk flush.
        self._unwritten: Counter[Result] = Counter()
        self.store = Store(
            source,
            clerk.rules,
            on_rebuilt=self._rebuilt,
            on_committed=self._committed,
            on_failed=self._failed,
        )
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)
        self.failure: str | None = None
        self.service = Service(self._routes())
        self.server: Server | None = None

    def start(self) -> None:
        """Open the store; the ledger is ready once its rows are counted."""
        self.store.start()

    async def close(self) -> None:
        """Commit what is queued, and the refusals that were not written yet."""
        if self._unwritten and self.failure is None:
            self.store.submit([], self._take_unwritten())
        await asyncio.to_thread(self.store.close)

    def _routes(self) -> dict[tuple[str, str], Handler]:
        model = f"/v2/models/{self._deployment}"
        return {
            ("GET", "/v2"): self._metadata,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/metrics"): self._metrics,
            ("POST", f"{model}/feedback"): self._feedback,
            ("POST", f"{model}/served"): self._served,
            ("POST", f"{model}/erase"): self._erase,
            ("GET", f"{model}/labels"): self._log,
        }

    async def _feedback(self, request: Request) -> Response:
        self._may_label(request)
        items, findings, statuses = await self._take(request, parse, self._clerk.examine)
        return _answer(items, findings, statuses)

    async def _served(self, request: Request) -> Response:
        _, findings, statuses = await self._take(request, parse_served, self._clerk.admit)
        refused = [
            [place, status]
            for place, status in enumerate(statuses)
            if status not in {Arrival.TAKEN, Arrival.KNOWN}
        ]
        body = {"taken": len(findings) - len(refused), "refused": refused}
        return Response(msgspec.json.encode(body))

    async def _erase(self, request: Request) -> Response:
        self._may_export(request)
        self._check_counted()
        with Room(self._large_bodies) as room:
            body = await request.body(BODY_LIMIT, room)
        try:
            names = parse_erasure(body)
        except FeedbackError as error:
            raise HTTPError(error.status, error.message) from None
        try:
            erased = await asyncio.wrap_future(self.store.erase(names))
        except StoreError:
            message = "nothing could be erased; send the same again"
            raise HTTPError(503, message, headers=_RETRY_LATER) from None
        event("erased", ids=len(names), predictions=erased)
        return Response(msgspec.json.encode({"erased": erased}))

    async def _log(self, request: Request) -> Response:
        """Answer with a page of the log; a link in the head leads to the next one."""
        self._may_export(request)
        self._check_counted()
        if request.query("format") not in {None, "csv"}:
            raise HTTPError(400, "format: the log is written as csv only")
        try:
            after = key_of(request.query("after"))
        except ValueError:
            raise HTTPError(400, "after: this is not from the link of a page before") from None
        try:
            found = await asyncio.wrap_future(self.store.page(after, PAGE_ROWS))
        except StoreError as error:
            raise HTTPError(503, str(error), headers=_RETRY_LATER) from None
        body = await asyncio.to_thread(csv_of, found)
        headers: tuple[Header, ...] = ()
        if found:
            link = f'<{request.path}?format=csv&after={mark_of(found[-1][0].key)}>; rel="next"'
            headers = (("link", link),)
        return Response(body, content_type="text/csv; charset=utf-8", headers=headers)

    async def _take(
        self,
        request: Request,
        read: Callable[[bytes], list[Any]],
        judge: Callable[[object, float], Finding],
    ) -> tuple[list[Any], list[Finding], list[Result]]:
        """Write down what a request brings; return its items, findings and what became of each."""
        self._check_counted()
        with Room(self._large_bodies) as room:
            body = await request.body(BODY_LIMIT, room)
            try:
                items = read(body)
            except FeedbackError as error:
                raise HTTPError(error.status, error.message) from None
            now = time()

            def examine() -> list[Finding]:
                return [judge(item, now) for item in items]

            large = len(body) > LARGE_BODY
            findings = await asyncio.to_thread(examine) if large else examine()
            written = iter(await self._write(findings))
            statuses = [
                finding.status if isinstance(finding, Refusal) else next(written)
                for finding in findings
            ]
            return items, findings, statuses

    async def _write(self, findings: Sequence[Finding]) -> list[Result]:
        """Store the entries among the findings and return what became of each, in order."""
        self._unwritten.update(item.status for item in findings if isinstance(item, Refusal))
        entries = [item for item in findings if not isinstance(item, Refusal)]
        if not entries:
            return []
        refused = self._take_unwritten()
        try:
            return await asyncio.wrap_future(self.store.submit(entries, refused))
        except BusyError:
            message = _BUSY
        except StoreError as error:
            message = str(error)
        self._unwritten.update(refused)
        raise HTTPError(503, message, headers=_RETRY_LATER)

    def _take_unwritten(self) -> Mapping[Result, int]:
        taken, self._unwritten = self._unwritten, Counter()
        return taken

    def _check_counted(self) -> None:
        if self._counts is None:
            # Counts that are not complete yet would look like evidence that went away.
            raise HTTPError(503, "the ledger is counting its store", headers=_RETRY_LATER)

    async def _live(self, _request: Request) -> Response:
        return Response(b'{"live":true}')

    async def _ready(self, _request: Request) -> Response:
        if self._counts is None or self.service.draining:
            return Response(b'{"ready":false}', 503)
        return Response(b'{"ready":true}')

    async def _metadata(self, _request: Request) -> Response:
        extensions = ["feedback", "served"]
        body = {"name": "assay-ledger", "version": __version__, "extensions": extensions}
        return Response(msgspec.json.encode(body))

    async def _metrics(self, request: Request) -> Response:
        self._check_counted()
        assert self._counts is not None
        results = self._results + Counter(
            {result_name(status): count for status, count in self._unwritten.items()}
        )
        gauges = {"pending": self._pending, "waiting": self.store.waiting}
        text = self._exposition.text(self._counts, self._store_id, results, gauges)
        text += self._commits.text() + process.text()
        body, content_type = exposition.negotiated(text, request.header("accept"))
        return Response(body, content_type=content_type)

    # Called by the store in the writer's thread. The event loop runs these in order, and before
    # it wakes the requests of the same commit: who has its answer finds it in the counts.

    def _rebuilt(self, rebuilt: Rebuilt) -> None:
        counts = Counts(rebuilt.left_out)
        counts.learn(rebuilt.cells)
        counts.add(rebuilt.totals)
        writes = Exposition(self._deployment)
        # Makes the text of all series here, not in the first scrape.
        writes.text(counts, "", {}, {"pending": 0, "waiting": 0})
        self._loop.call_soon_threadsafe(self._replace, counts, writes, rebuilt)

    def _replace(self, counts: Counts, writes: Exposition, rebuilt: Rebuilt) -> None:
        self._counts = counts
        self._exposition = writes
        self._store_id = rebuilt.store
        self._results = Counter(rebuilt.results)
        self._pending = rebuilt.pending
        event("counted", store=self._store_id, labels=counts.labelled.total())

    def _committed(self, committed: Committed) -> None:
        self._loop.call_soon_threadsafe(self._count, committed)

    def _count(self, committed: Committed) -> None:
        assert self._counts is not None
        self._counts.learn(committed.cells)
        was_stale = self._counts.is_stale
        self._counts.add(committed.totals)
        if self._counts.is_stale and not was_stale:
            self.store.reload()
        self._results.update(committed.results)
        self._pending = committed.pending
        self._commits.observe(committed.seconds)

    def _failed(self, message: str) -> None:
        self._loop.call_soon_threadsafe(self._give_up, message)

    def _give_up(self, message: str) -> None:
        self.failure = message
        self._counts = None
        if self.server is not None:
            self.server.leave()


def _answer(
    items: Sequence[object], findings: Sequence[Finding], statuses: Sequence[Result]
) -> Response:
    results = []
    for item, finding, status in zip(items, findings, statuses, strict=True):
        if isinstance(finding, Refusal):
            results.append(result(item, status, finding.message, finding.address))
        else:
            results.append(result(item, status, _message(status), None))
    counted = statuses.count(Status.COUNTED) + statuses.count(Status.REPLACED)
    elsewhere = [
        finding
        for finding in findings
        if isinstance(finding, Refusal) and finding.status is Status.WRONG_MEMBER
    ]
    if elsewhere and len(elsewhere) == len(findings):
        addresses = {finding.address for finding in elsewhere}
        address = addresses.pop() if len(addresses) == 1 else None
        more: dict[str, object] = {"results": results, "counted": 0}
        if address is not None:
            more["address"] = address
        message = "these predictions were served by another member; no label was counted"
        raise HTTPError(421, message, more=more)
    return Response(msgspec.json.encode({"results": results, "counted": counted}))


def _message(status: Result) -> str | None:
    return MESSAGES.get(status) if isinstance(status, Status) else None


def run(
    clerk: Clerk,
    source: Source,
    deployment: str,
    host: str,
    port: int,
    tls: TLS | None = None,
    *,
    may_label: Guard = anybody,
    may_export: Guard = nobody,
) -> str | None:
    """Keep the ledger until SIGTERM; return None, or the line that says why it gave up.

    Raises OSError if the port cannot be had.
    """
    listener = listen(host, port)
    # Labels are many small objects, for which the collector would look through everything that was
    # imported again and again: a fifth of the processor time of a label.
    gc.collect()
    gc.freeze()

    async def main() -> str | None:
        asyncio.get_running_loop().set_exception_handler(loop_failed)
        ledger = Ledger(clerk, source, deployment, may_label=may_label, may_export=may_export)
        ledger.server = Server(ledger.service, 0.0, tls)
        ledger.start()
        await ledger.server.answer(listener)
        await ledger.close()
        return ledger.failure

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
