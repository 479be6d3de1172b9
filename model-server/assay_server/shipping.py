"""Shipping: a server tells the ledger what it has served.

So clients can label by their own id, a label that never comes means something, and distinct users
are known. What is told is the receipts, each with the client's id of its request and the row in it. They are
written to a spool before the client has its answer and sent in batches afterwards, again and again
until the ledger has them on its disk. The ledger counts each once, so sending twice is harmless.
"""

import http.client
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from assay_server import exposition
from assay_server.ledger.entries import stored_id
from assay_server.logs import event
from assay_server.receipts import NO_TRIAL, Stratum
from assay_server.spool import Batch, Spool

# Some 2 000 rows; the ledger takes up to 1 MiB and 10 000 rows.
BATCH_BYTES = 256 * 1024
# Rows that come together are sent together; a label by id that is faster is told to come again.
LINGER_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_TIMEOUT_SECONDS = 30.0
_CHECK_SECONDS = 1.0
# Users of whom the ledger was told; one that is pushed out is told again, which is harmless.
KNOWN_USERS = 65_536
_TROUBLES = (OSError, http.client.HTTPException)

_encoder = msgspec.json.Encoder()


class Ship(StrEnum):
    """What a server tells of."""

    NONE = "None"
    ALL = "All"
    USERS = "Users"


class _Feedback(msgspec.Struct):
    ship: Ship = Ship.NONE


_feedback = msgspec.json.Decoder(_Feedback)


class ShipFile:
    """What to ship, as a file says: `{"ship": "None" | "All" | "Users"}`.

    It is read again when it changes, so that no server need restart. Without a file, or with one
    that cannot be read from the start, nothing is shipped; one that turns bad changes nothing.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._next_check = 0.0
        self._content: bytes | None = None
        self._ship = Ship.NONE

    def __call__(self) -> Ship:
        """Return what to ship now."""
        if self._clock() >= self._next_check:
            self._next_check = self._clock() + _CHECK_SECONDS
            self._read()
        return self._ship

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        if content == self._content:
            return
        self._content = content
        try:
            self._ship = _feedback.decode(content).ship
        except msgspec.DecodeError:
            event("ship_refused", level=40, path=str(self._path), kept=self._ship)
        else:
            event("ship_read", ship=self._ship)


class ShippingError(Exception):
    """The ledger's URL or the spool cannot be used."""


class Shipper:
    """Spools receipts and sends them to the ledger in a thread of its own.

    Parameters
    ----------
    address
        URL to which batches are sent: `http://.../v2/models/<deployment>/served`.
    spool
        Where they wait.
    ship
        Returns what to tell of.
    labels
        Labels of the metrics.
    """

    def __init__(
        self, address: str, spool: Spool, ship: Callable[[], Ship], labels: dict[str, str]
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ShippingError(
                f"the ledger's URL must look like http://host:port, not {address!r}"
            )
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path
        self._spool = spool
        self._ship = ship
        self._labels = labels
        self._users: dict[int, None] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._sent = 0
        self._refused = 0
        self._unwritten = 0
        self._down = False
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        """Start to send, also what an earlier process left."""
        if self._spool.waiting:
            event("spool_found", rows=self._spool.waiting)
            self._wake.set()
        self._thread.start()

    @property
    def is_silent(self) -> bool:
        """Whether nothing is to be told now."""
        return self._ship() is Ship.NONE

    def note(
        self,
        request: str | None,
        stratum: Stratum,
        user: str | None,
        receipts: Sequence[str],
        *,
        is_unit: bool = False,
    ) -> None:
        """Write down what was served, before it is answered. Never raises; any thread may call.

        `request` is the client's id of the request, `user` the key of its user. Where users are
        split (`is_unit`) the ledger is told of them even if it is to be told nothing else.
        """
        ship = self._ship()
        if is_unit and ship is Ship.NONE:
            ship = Ship.USERS
        if ship is Ship.NONE or (ship is Ship.USERS and not self._is_new(stratum, user)):
            return
        if ship is Ship.USERS:
            request, receipts = None, receipts[:1]
        name = stored_id(request) if request is not None else None
        rows = [(name, row, receipt) for row, receipt in enumerate(receipts)]
        try:
            self._spool.append(_encoder.encode_lines(rows), len(rows))
        except OSError as error:
            if self._unwritten == 0:
                event("spool_failed", level=40, cause=error.strerror or str(error))
            self._unwritten += len(rows)
        else:
            if not self._wake.is_set():
                self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most; the rest stays in the spool."""
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)
        left = self._spool.waiting
        if left:
            event("spool_left", level=30, rows=left)
        if not self._thread.is_alive():
            self._spool.close()

    def text(self) -> str:
        """Return the metrics in the Prometheus text format."""
        dropped = {
            exposition.series(
                "assay_spool_dropped_total", {**self._labels, "reason": reason}
            ): count
            for reason, count in (
                ("full", self._spool.dropped),
                ("refused", self._refused),
                ("unwritten", self._unwritten),
            )
        }
        sent = exposition.series("assay_spool_sent_total", self._labels)
        waiting = exposition.series("assay_spool_waiting", self._labels)
        return (
            exposition.counters(
                "assay_spool_sent_total", "Rows that the ledger was told of.", {sent: self._sent}
            )
            + exposition.family(
                "assay_spool_waiting",
                "gauge",
                "Rows that the ledger has not been told of yet.",
                [f"{waiting}{self._spool.waiting}"],
            )
            + exposition.counters(
                "assay_spool_dropped_total",
                "Rows that the ledger will never be told of, by reason.",
                dropped,
            )
        )

    def _is_new(self, stratum: Stratum, user: str | None) -> bool:
        """Whether this is the first row of a user under a stratum, as far as is remembered."""
        if user is None or stratum.rollout in NO_TRIAL:
            return False
        # Python keys the hash of text anew in each process; what is kept names nobody.
        key = hash((stratum, user))
        with self._lock:
            known = key in self._users
            if known:
                del self._users[key]
            self._users[key] = None  # the last one is the one seen last
            if len(self._users) > KNOWN_USERS:
                del self._users[next(iter(self._users))]
        return not known

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            batch = self._spool.read(BATCH_BYTES)
            if batch is None:
                if self._closing.is_set():
                    return
                self._wake.wait()
                self._closing.wait(LINGER_SECONDS)
                self._wake.clear()
            elif self._send(batch):
                pause = _FIRST_PAUSE_SECONDS
            elif self._closing.wait(pause):
                return
            else:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _send(self, batch: Batch) -> bool:
        """Send a batch; return whether the ledger has it."""
        body = b'{"served":[' + b",".join(batch.lines) + b"]}"
        try:
            status, answer = self._post(body)
        except _TROUBLES as error:
            self._disconnect()
            self._failed(type(error).__name__)
            return False
        if status != 200:
            self._failed(f"status {status}")
            return False
        refused = len(msgspec.json.decode(answer).get("refused", ()))
        if refused and not self._refused:
            event("shipment_refused", level=30, rows=refused)
        self._refused += refused
        self._sent += len(batch.lines) - refused
        self._spool.acknowledge(batch)
        self._down = False
        return True

    def _failed(self, cause: str) -> None:
        if not self._down:
            event("shipping_failed", level=30, cause=cause, rows=self._spool.waiting)
        self._down = True

    def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._path, body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def shipper_of(
    address: str,
    folder: Path | None,
    limit: int,
    ship: Ship | Path,
    *,
    deployment: str,
    namespace: str,
    revision: str,
) -> Shipper | None:
    """Return the shipper of a server; None if it will never tell anything.

    Parameters
    ----------
    folder
        Where the spool of this ModelDeployment has its folder; None for a temporary one.
    limit
        Bytes that may wait.
    ship
        What to ship, or the file that says it.

    Raises
    ------
    ShippingError
        The URL or the folder cannot be used.
    """
    if ship is Ship.NONE:
        return None
    own = (folder or Path(tempfile.gettempdir()) / "assay-spool") / f"{namespace}.{deployment}"
    try:
        spool = Spool(own, limit)
    except OSError as error:
        raise ShippingError(f"the spool {own} cannot be read: {error.strerror}") from None
    labels = {"deployment": deployment, "revision": revision}
    told = (lambda: ship) if isinstance(ship, Ship) else ShipFile(ship)
    return Shipper(address, spool, told, labels)
