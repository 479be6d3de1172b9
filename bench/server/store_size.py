"""Bytes on the disk per label that is kept, with the label window rolling several times over.

    .venv/bin/python bench/server/store_size.py [folder [labels in a window]]

Time is simulated: a window is 1000 s, labels come back 0 to 500 s after their prediction. Labels per
second and the time to start are those of this disk.
"""

import random
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from assay_server.ledger import store as store_module
from assay_server.ledger.counts import Cell
from assay_server.ledger.feedback import Entry
from assay_server.ledger.store import Store

WINDOW = 1000
LATEST = 500
WINDOWS = 4
PER_COMMIT = 500

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
per_window = int(sys.argv[2]) if len(sys.argv) > 2 else 500_000
clock = SimpleNamespace(now=0.0)
store_module.time = SimpleNamespace(time=lambda: clock.now, monotonic=time.monotonic)
store_module.DELETE_SECONDS = 0.0  # simulated seconds pass faster
dice = random.Random(1)


def opened(path: Path) -> tuple[Store, float]:
    """Return a store that is ready, and the seconds that took."""
    ready = threading.Event()
    begin = time.perf_counter()
    store = Store(
        path,
        window=WINDOW,
        on_rebuilt=lambda _snapshot: ready.set(),
        on_committed=lambda _committed: None,
        on_failed=print,
    )
    store.start()
    ready.wait()
    return store, time.perf_counter() - begin


def label(now: float) -> Entry:
    predicted, truth = dice.choice("01"), dice.choice("01")
    cell = Cell("0123456789", "abcdefabcd", dice.randrange(5), predicted, truth, "1", None)
    served_at = int(now - dice.random() * LATEST)
    return Entry(dice.randbytes(16), cell._replace(score_bin=dice.randrange(1024)), served_at)


def main() -> None:
    path = folder / "ledger.db"
    sent = 0
    for window in range(1, WINDOWS + 1):
        store, opening = opened(path)
        begin = time.perf_counter()
        while sent < per_window * window:
            clock.now = 1e9 + WINDOW * sent / per_window
            store.submit([label(clock.now) for _ in range(PER_COMMIT)], {}).result()
            sent += PER_COMMIT
        seconds = time.perf_counter() - begin
        store.close()
        size = path.stat().st_size
        with sqlite3.connect(path) as database:
            (rows,) = database.execute("SELECT count(*) FROM labels").fetchone()
        database.close()
        print(
            f"window {window}: {sent} labels sent, {rows} kept, {size / 1e6:.1f} MB,"
            f" {size / rows:.1f} bytes per label kept, {per_window / seconds:.0f} labels/s,"
            f" ready after {opening:.3f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
