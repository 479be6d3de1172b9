"""The application: exact routes, errors as JSON, gzip for large answers."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import perf_counter

from assay_server.access import HEADER, AccessLog, clean_id, new_id
from assay_server.logs import failure
from assay_server.transport.bodies import LARGE_BODY
from assay_server.transport.encoding import deflate, takes_gzip
from assay_server.transport.errors import CLOSE, ClientGoneError, Header, HTTPError
from assay_server.transport.messages import Request, Response

# What answers without waiting for anything is no coroutine: that saves a task.
Handler = Callable[[Request], Awaitable[Response] | Response | None]

# Smaller answers fit into few packets; to compress them costs more than it saves.
_COMPRESS_BYTES = 8 * 1024
_ENDING = Response(b'{"error":"the server ends"}', 503, headers=(CLOSE,))
_INTERNAL_ERROR = Response(b'{"error":"internal error"}', 500)


class Service:
    """An application of exact routes that can be told to drain.

    Parameters
    ----------
    routes
        Handlers by (method, path). One that returns None has `complete` called later.
    on_error
        Called with the status of every request that failed.
    missing
        Called with method and path where no route is; what it returns is answered, None leaves it
        at 404 or 405.
    access
        Writes the log; None logs failures only.

    Attributes
    ----------
    connection_seconds
        Asked every second for how long a connection may be kept; an older one ends with its next answer.
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], Handler],
        on_error: Callable[[int], None] | None = None,
        missing: Callable[[str, str], HTTPError | None] | None = None,
        access: AccessLog | None = None,
    ) -> None:
        self._routes = dict(routes)
        self._on_error = on_error
        self._missing = missing
        self._access = access or AccessLog()
        self._paths = frozenset(path for _, path in routes)
        self.draining = False
        self.connection_seconds: Callable[[], float] = lambda: math.inf

    def begin(self, request: Request) -> Coroutine[None, None, None] | None:
        """Answer a request if its handler can at once; else return what is left to be awaited.

        Neither this nor what it returns raises anything but asyncio.CancelledError.
        """
        try:
            handler = self._routes.get((request.method, request.path))
            if handler is None:
                return self.refuse(request, self._no_route(request.method, request.path))
            response = handler(request)
            if response is None:
                return None  # `complete` will be called
            if not isinstance(response, Response):
                return self._finish(request, response)
            if len(response.body) >= _COMPRESS_BYTES:
                return self._finish(request, _given(response))
            self._succeed(request, response)
        except HTTPError as error:
            return self.refuse(request, error)
        except Exception as error:  # noqa: BLE001 - no request may end the process or show a stack trace
            self._fail(request, _INTERNAL_ERROR, failure(error))
        return None

    def complete(self, request: Request, outcome: Response | BaseException) -> None:
        """Answer a request whose handler returned None. Raises nothing."""
        if isinstance(outcome, Response):
            if len(outcome.body) < _COMPRESS_BYTES:
                try:
                    self._succeed(request, outcome)
                except Exception as error:  # noqa: BLE001 - as above
                    self._fail(request, _INTERNAL_ERROR, failure(error))
                return
        elif not isinstance(outcome, HTTPError):
            self._fail(request, _INTERNAL_ERROR, failure(outcome))
            return
        asyncio.get_running_loop().create_task(self._finish(request, _given(outcome)))

    def refuse(self, request: Request, error: HTTPError) -> Coroutine[None, None, None]:
        """Return what answers with an error."""
        return self._finish(request, _given(error))

    def refused(self, status: int) -> Header:
        """Count and log what is no request; return a header for the answer."""
        if self._on_error is not None:
            self._on_error(status)
        request_id = new_id()
        self._access.write("other", "unknown", status, 0.0, request_id, failed=True)
        return HEADER, request_id

    async def _finish(self, request: Request, coming: Awaitable[Response]) -> None:
        try:
            try:
                response = await coming
            except HTTPError as error:
                headers = error.headers
                # Bytes that nobody reads would turn into a reset connection, and the answer would
                # be lost. What closes the connection does not wait for them: it lingers.
                if CLOSE not in headers and not await request.discard():
                    headers += (CLOSE,)
                self._fail(request, Response(error.body, error.status, headers=headers))
                return
            if len(response.body) >= _COMPRESS_BYTES:
                response = await _compressed(request, response)
            self._succeed(request, response)
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            request.answer(_ENDING, _ENDING.headers)
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(request, _INTERNAL_ERROR, failure(error))

    def _succeed(self, request: Request, response: Response) -> None:
        request_id = clean_id(request.header(HEADER))
        if self._access.logs_all:
            known_as = request_id or clean_id(request.id_in_body)
            self._log(request, response, known_as, failed=False)
        self._send(request, response, request_id)

    def _fail(
        self, request: Request, response: Response, cause: Mapping[str, str] | None = None
    ) -> None:
        """Answer a request that failed. Whoever asks about it has an id for it."""
        if self._on_error is not None:
            self._on_error(response.status)
        request_id = clean_id(request.header(HEADER) or request.id_in_body) or new_id()
        self._log(request, response, request_id, failed=True, cause=cause)
        self._send(request, response, request_id)

    def _log(
        self,
        request: Request,
        response: Response,
        request_id: str | None,
        *,
        failed: bool,
        cause: Mapping[str, str] | None = None,
    ) -> None:
        path = request.path if request.path in self._paths else "unknown"
        seconds = perf_counter() - request.start
        self._access.write(
            request.method, path, response.status, seconds, request_id, failed=failed, cause=cause
        )

    def _send(self, request: Request, response: Response, request_id: str | None) -> None:
        headers = response.headers
        if request_id is not None:
            headers += ((HEADER, request_id),)
        if self.draining and CLOSE not in headers:
            # Ask clients and gateways to let go of their pooled connections while we still answer.
            headers += (CLOSE,)
        request.answer(response, headers)

    def _no_route(self, method: str, path: str) -> HTTPError:
        if self._missing is not None and (error := self._missing(method, path)) is not None:
            return error
        methods = sorted(method for method, known in self._routes if known == path)
        if not methods:
            return HTTPError(404, "there is nothing at this path")
        allowed = ", ".join(methods)
        allow = ("allow", allowed)
        return HTTPError(405, f"this path takes {allowed} only", headers=(allow,))


async def _given(outcome: Response | HTTPError) -> Response:
    """Return or raise what is known already."""
    if isinstance(outcome, HTTPError):
        raise outcome
    return outcome


async def _compressed(request: Request, response: Response) -> Response:
    """Return a large answer as gzip if the client takes that."""
    headers = (*response.headers, ("vary", "accept-encoding"))
    body = response.body
    if takes_gzip(request.header("accept-encoding") or ""):
        headers += (("content-encoding", "gzip"),)
        body = await asyncio.to_thread(deflate, body) if len(body) > LARGE_BODY else deflate(body)
    return Response(body, response.status, response.content_type, headers)
