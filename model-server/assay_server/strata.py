"""Under which stratum requests are counted where no gateway says it with each: by a schedule.

`strata.json` is `[{"stratum": "<rollout>/<step>", "from": <Unix seconds>}]`. The newest entry whose
time has come is in force. Entries are written ahead of their time, so every pod knows them by then.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from assay_server.logs import event
from assay_server.receipts import NO_STRATUM, NO_TRIAL, Stratum, stratum_of

CONNECTION_SECONDS = 5.0
"""So long a connection is kept in a trial: a Service divides connections, and one that is kept for
hours would keep its client with one version."""

_CHECK_SECONDS = 1.0


class _Entry(msgspec.Struct, frozen=True):
    stratum: str
    since: float = msgspec.field(name="from")


_entries = msgspec.json.Decoder(list[_Entry])


class Schedule:
    """The strata of a file that is read again when it changes, so that no server need restart.

    Without a file there is no stratum. One that turns bad changes nothing.

    Parameters
    ----------
    clock
        Says when to look at the file again.
    now
        Unix seconds.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._now = now
        self._next_check = -math.inf
        self._content: bytes | None = None
        # The newest first. The same objects every time: whoever counts compares identities.
        self._strata: tuple[tuple[float, Stratum], ...] = ()

    def present(self) -> Stratum:
        """Return the stratum that is in force."""
        if self._clock() >= self._next_check:
            self._next_check = self._clock() + _CHECK_SECONDS
            self._read()
        if self._strata:
            now = self._now()
            for since, stratum in self._strata:
                if since <= now:
                    return stratum
        return NO_STRATUM

    def connection_seconds(self) -> float:
        """Return for how long a connection may be kept now."""
        return math.inf if self.present().rollout in NO_TRIAL else CONNECTION_SECONDS

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b"[]"
        except OSError:
            return
        if content == self._content:
            return
        self._content = content
        try:
            entries = _entries.decode(content)
        except msgspec.DecodeError:
            event("strata_refused", level=40, path=str(self._path))
            return
        entries.sort(key=lambda entry: entry.since, reverse=True)
        self._strata = tuple((entry.since, stratum_of(entry.stratum)) for entry in entries)
        if entries:
            event("strata_read", newest=entries[0].stratum, at=entries[0].since)
