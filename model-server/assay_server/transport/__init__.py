"""HTTP for the model server and the ledger: exact routes, bounded bodies, JSON errors, draining.

The only package that knows the HTTP server (granian, that is hyper). A service gives it exact
routes and handlers; a handler gets a `Request` and returns a `Response` or raises `HTTPError`.
"""

from assay_server.transport.messages import (
    CLOSE,
    JSON,
    LARGE_BODY,
    ClientGoneError,
    Header,
    HTTPError,
    Request,
    Response,
    Room,
)
from assay_server.transport.server import Server, listen
from assay_server.transport.service import Handler, Service
from assay_server.transport.tls import TLS, TLSError

__all__ = [
    "CLOSE",
    "JSON",
    "LARGE_BODY",
    "TLS",
    "ClientGoneError",
    "HTTPError",
    "Handler",
    "Header",
    "Request",
    "Response",
    "Room",
    "Server",
    "Service",
    "TLSError",
    "listen",
]
