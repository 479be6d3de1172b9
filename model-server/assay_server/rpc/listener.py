"""The gRPC server: where it listens, its limits, how it stops."""

import os
from typing import Self

# The library writes past the structured log otherwise. It reads this once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from assay_server.logs import event
from assay_server.rpc.service import Core, Service
from assay_server.transport import TLS

# Messages are held in memory whole, so that their size times their number is a limit.
MESSAGE_LIMIT = 8 * 1024 * 1024
MAX_CALLS = 128
_METADATA_LIMIT = 16 * 1024
_HANDSHAKE_MILLISECONDS = 10_000
_STOP_SECONDS = 10.0


class Listener:
    """A gRPC server that answers for a core."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    @classmethod
    async def start(cls, core: Core, host: str, port: int, tls: TLS | None = None) -> Self:
        """Listen and answer in the running event loop; port 0 takes a free one.

        `tls` must have been checked. Raises OSError.
        """
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", _METADATA_LIMIT),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
                # Two servers on one port would each get a part of the calls.
                ("grpc.so_reuseport", 0),
            ),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        server.add_generic_rpc_handlers((Service(core).handler(),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                found = server.add_insecure_port(address)
            else:
                pair = (tls.key.read_bytes(), tls.cert.read_bytes())
                credentials = grpc.ssl_server_credentials([pair])
                found = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(None, f"gRPC cannot listen on {address}") from error
        await server.start()
        event("listening_grpc", port_grpc=found)
        return cls(server, found)

    async def stop(self) -> None:
        """Take no more calls, and return when those that have started are answered."""
        await self._server.stop(_STOP_SECONDS)
