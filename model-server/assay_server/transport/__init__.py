"""HTTP/1.1 for the model server and the ledger: exact routes, bounded bodies, JSON errors, draining.

A service gives it exact routes and handlers; a handler gets a `Request` and returns a `Response` or
raises `HTTPError`.
"""

from assay_server.transport.bodies import LARGE_BODY, Room
from assay_server.transport.errors import CLOSE, ClientGoneError, Header, HTTPError
from assay_server.transport.listener import listen
from assay_server.transport.messages import JSON, Request, Response
from assay_server.transport.server import Server
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
