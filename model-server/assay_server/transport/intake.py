"""How requests come from granian's threads into the event loop.

By itself granian starts a task for each request, and a task that asks for the body sleeps until
granian's threads have brought it: the loop is woken twice. `Intake` stands in the place of
granian's scheduler and asks for small bodies first, so that the loop is woken once, with the body.
"""

import asyncio
from contextvars import copy_context
from functools import partial
from typing import Any

from granian._granian import RSGIProtocolClosed

from assay_server.logs import log
from assay_server.transport import messages
from assay_server.transport.messages import LARGE_BODY, Request, stalled
from assay_server.transport.pace import Pace
from assay_server.transport.service import SERVER, Service

_LONGEST = len(str(LARGE_BODY))
# Bodies that stall are looked for, and requests are counted, this often.
_SWEEP_SECONDS = 1.0


class Intake:
    """Has the service answer each request, in a task of its own if it has to wait."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        # Bodies on their way, with the time at which they were asked for.
        self._coming: dict[Any, float] = {}
        self._now = self._loop.time()
        self._begun = 0
        self._others = 0
        self._pace = Pace()
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def close(self) -> None:
        """Look after bodies no longer."""
        self._timer.cancel()

    def take(self, watcher: Any) -> None:
        """Take in a request: called by granian, in the one thread it has for that."""
        try:
            scope, exchange = watcher.scope, watcher.proto
            headers = scope.headers
            length = headers.get("content-length")
            if (
                length == "0"
                or length is None
                or len(length) > _LONGEST
                or int(length) > LARGE_BODY
            ):
                request = Request(scope, exchange, headers, b"" if length == "0" else None)
                self._loop.call_soon_threadsafe(self._begin, request, context=self._context)
                return
            # What nearly all requests are: small, and never longer than they say. The body cannot
            # be there before its callback is, because this very thread would bring it.
            body = exchange()
            self._coming[body] = self._now
            arrived = partial(self._arrived, scope, exchange, headers)
            body.add_done_callback(arrived, context=self._context)
        except Exception:  # noqa: BLE001 - granian looks at no exception, and answers 500
            if not self._loop.is_closed():
                log.error("intake_failed", exc_info=True)

    def _arrived(self, scope: Any, exchange: Any, headers: Any, body: Any) -> None:
        del self._coming[body]
        if body.cancelled():
            request = Request(scope, exchange, headers, b"")
            self._loop.create_task(self._service.refuse(request, stalled()))
            return
        try:
            request = Request(scope, exchange, headers, body.result())
        except RSGIProtocolClosed as closed:
            # `body` keeps the exception, and through its traceback would be kept by it for ever.
            closed.__traceback__ = None
            exchange.response_empty(400, [SERVER])  # the client is gone
            return
        self._begin(request)

    def _begin(self, request: Request) -> None:
        self._begun += 1
        self._others += len(self._coming)
        rest = self._service.begin(request)
        if rest is not None:
            self._loop.create_task(rest)

    def _sweep(self) -> None:
        before, self._now = self._now, self._loop.time()
        self._pace.note(self._begun, self._others, self._now - before)
        self._begun = self._others = 0
        for body, since in list(self._coming.items()):
            if self._now - since < messages.BODY_SECONDS:
                break  # the others came later
            body.cancel()
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
