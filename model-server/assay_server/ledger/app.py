"""The ledger's HTTP face: labels in, health, and the counts for Prometheus."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

import msgspec
import uvloop

from assay_server import __version__, exposition
from assay_server.ledger.counts import Counts
from assay_server.ledger.feedback import (
    MESSAGES,
    Clerk,
    Entry,
    FeedbackError,
    Refusal,
    Status,
    parse,
    result,
)
from assay_server.ledger.store import BusyError, Committed, Snapshot, Store, StoreError
from assay_server.logs import event
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

BODY_LIMIT = 1024 * 1024
LARGE_BODIES = 16
_RETRY_LATER = ((b"retry-after", b"1"),)


class Ledger:
    """Counts labels in memory exactly as the store holds them, and answers after the commit."""

    def __init__(self, clerk: Clerk, path: Path, deployment: str) -> None:
        self._clerk = clerk
        self._deployment = deployment
        self._loop = asyncio.get_running_loop()
        self._counts: Counts | None = None
        self._store_id = ""
        self._results: Counter[str] = Counter()
        # Refusals wait for the next transaction: a forged label must not cost a disk flush.
        self._unwritten: Counter[Status] = Counter()
        self._store = Store(
            path,
            window=clerk.window,
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
        self._store.start()

    async def close(self) -> None:
        """Commit what is queued, and the refusals that were not written yet."""
        if self._unwritten and self.failure is None:
            self._store.submit([], self._take_unwritten())
        await asyncio.to_thread(self._store.close)

    def _routes(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/v2"): self._metadata,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/metrics"): self._exposition,
            ("POST", f"/v2/models/{self._deployment}/feedback"): self._feedback,
        }

    async def _feedback(self, request: Request) -> Response:
        if self._counts is None:
            raise HTTPError(503, "the ledger is counting its store", headers=_RETRY_LATER)
        with Room(self._large_bodies) as room:
            return await self._count_labels(await request.body(BODY_LIMIT, room))

    async def _count_labels(self, body: bytes) -> Response:
        try:
            items = parse(body)
        except FeedbackError as error:
            raise HTTPError(error.status, error.message) from None
        if len(body) > LARGE_BODY:
            findings = await asyncio.to_thread(self._examine, items)
        else:
            findings = self._examine(items)
        statuses = iter(await self._write(findings))
        results = []
        for item, finding in zip(items, findings, strict=True):
            if isinstance(finding, Refusal):
                results.append(result(item, finding.status, finding.message, finding.address))
            else:
                status = next(statuses)
                results.append(result(item, status, MESSAGES.get(status), None))
        return _answer(results, findings)

    def _examine(self, items: list[Any]) -> list[Entry | Refusal]:
        now = time()
        return [self._clerk.examine(item, now) for item in items]

    async def _write(self, findings: list[Entry | Refusal]) -> list[Status]:
        """Store the entries among the findings and return the status of each, in order."""
        self._unwritten.update(item.status for item in findings if isinstance(item, Refusal))
        entries = [item for item in findings if isinstance(item, Entry)]
        if not entries:
            return []
        refused = self._take_unwritten()
        try:
            return await asyncio.wrap_future(self._store.submit(entries, refused))
        except BusyError:
            message = "more labels arrive than can be stored; send these again"
        except StoreError as error:
            message = str(error)
        self._unwritten.update(refused)
        raise HTTPError(503, message, headers=_RETRY_LATER)

    def _take_unwritten(self) -> Mapping[Status, int]:
        taken, self._unwritten = self._unwritten, Counter()
        return taken

    async def _live(self, _request: Request) -> Response:
        return Response(b'{"live":true}')

    async def _ready(self, _request: Request) -> Response:
        if self._counts is None or self.service.draining:
            return Response(b'{"ready":false}', 503)
        return Response(b'{"ready":true}')

    async def _metadata(self, _request: Request) -> Response:
        body = {"name": "assay-ledger", "version": __version__, "extensions": ["feedback"]}
        return Response(msgspec.json.encode(body))

    async def _exposition(self, _request: Request) -> Response:
        if self._counts is None:
            # Counts that are not complete yet would look like evidence that went away.
            raise HTTPError(503, "the ledger is counting its store", headers=_RETRY_LATER)
        results = dict.fromkeys(Status, 0) | self._results | self._unwritten
        for status in self._unwritten:
            results[status] += self._results[status]
        text = self._counts.text(self._store_id, results)
        return Response(text.encode(), content_type=exposition.CONTENT_TYPE)

    # Called by the store in the writer's thread. The event loop runs these in order, and before
    # it wakes the requests of the same commit: who has its answer finds it in the counts.

    def _rebuilt(self, snapshot: Snapshot) -> None:
        counts = Counts(self._deployment)
        for total in snapshot.totals:
            counts.add(total.cell, total.count, total.served_at)
        counts.text("", {})  # makes the text of all series here, not in the first scrape
        self._loop.call_soon_threadsafe(self._replace, counts, snapshot)

    def _replace(self, counts: Counts, snapshot: Snapshot) -> None:
        self._counts = counts
        self._store_id = snapshot.store
        self._results = Counter(snapshot.results)
        event("counted", store=snapshot.store, labels=counts.labelled.total())

    def _committed(self, committed: Committed) -> None:
        self._loop.call_soon_threadsafe(self._count, committed)

    def _count(self, committed: Committed) -> None:
        assert self._counts is not None
        for entry in committed.entries:
            self._counts.add(entry.cell, 1, entry.served_at)
        self._results.update(committed.results)

    def _failed(self, message: str) -> None:
        self._loop.call_soon_threadsafe(self._give_up, message)

    def _give_up(self, message: str) -> None:
        self.failure = message
        self._counts = None
        if self.server is not None:
            self.server.leave()


def _answer(results: list[dict[str, Any]], findings: list[Entry | Refusal]) -> Response:
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
    counted = sum(answer["status"] is Status.COUNTED for answer in results)
    return Response(msgspec.json.encode({"results": results, "counted": counted}))


def run(clerk: Clerk, path: Path, deployment: str, host: str, port: int) -> str | None:
    """Keep the ledger until SIGTERM; return None, or the line that says why it gave up.

    Raises OSError if the port cannot be had.
    """
    listener = listen(host, port)

    async def main() -> str | None:
        ledger = Ledger(clerk, path, deployment)
        ledger.server = Server(ledger.service, drain_seconds=0.0)
        ledger.start()
        await ledger.server.answer(listener)
        await ledger.close()
        return ledger.failure

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
