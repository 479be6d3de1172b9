"""Bytes on the disk per row that is kept, with the label window rolling several times over.

    .venv/bin/python bench/server/store_size.py [labels|negative [folder [rows in a window]]]

`labels`: labels by receipt, counted at once. `negative`: every prediction is shipped with a request
id and a user, one in thirty gets a label, all are released at 100 s. Time is simulated: a window is
1000 s, labels come back 0 to 500 s after their prediction. Rows per second and the time to start are
those of this disk.
"""

import random
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from assay_server.ledger import writer
from assay_server.ledger.entries import Entry, Label, Rules, Shipment
from assay_server.ledger.store import Store, source_of
from assay_server.receipts import Receipt, Stratum

WINDOW = 1000
LATEST = 500
WINDOWS = 4
PER_COMMIT = 500

negative = len(sys.argv) > 1 and sys.argv[1] == "negative"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
per_window = int(sys.argv[3]) if len(sys.argv) > 3 else 500_000
rules = Rules(window=WINDOW, age=100 if negative else 0, negative=negative)
clock = SimpleNamespace(now=1e9)
# Simulated seconds pass faster.
writer.TICK_SECONDS = 0.0
writer.GRACE_SECONDS = 0
dice = random.Random(1)


def opened(path: Path) -> tuple[Store, float]:
    """Return a store that is ready, and the seconds that took."""
    ready = threading.Event()
    begin = time.perf_counter()
    store = Store(
        source_of(f"sqlite:///{path}", "bench"),
        rules,
        on_rebuilt=lambda _: ready.set(),
        on_committed=lambda _: None,
        on_failed=print,
        clock=lambda: clock.now,
    )
    store.start()
    ready.wait()
    return store, time.perf_counter() - begin


def receipt(age: float) -> Receipt:
    served_at = int(clock.now - age)
    stratum = Stratum("abcdefabcd", dice.randrange(5))
    bins = (max(0, min(18_399, int(dice.gauss(9_200, 1_500)))),)
    user = dice.randbytes(6) if negative else None
    return Receipt(
        dice.randbytes(16),
        b"east",
        "0123456789",
        stratum,
        served_at,
        dice.choice("01"),
        ("0", "1"),
        bins,
        user,
    )


def entries() -> list[Entry]:
    now = int(clock.now)
    if not negative:
        labelled = (receipt(dice.random() * LATEST) for _ in range(PER_COMMIT))
        return [Label(one, dice.choice("01"), now) for one in labelled]
    served = [Shipment(receipt(0), (f"{dice.getrandbits(128):032x}", 0)) for _ in range(PER_COMMIT)]
    return [*served, *(Label(one.receipt, "1", now) for one in served[::30])]


def main() -> None:
    path = folder / "ledger.db"
    sent = 0
    for window in range(1, WINDOWS + 1):
        store, opening = opened(path)
        begin = time.perf_counter()
        while sent < per_window * window:
            clock.now = 1e9 + WINDOW * sent / per_window
            store.submit(entries(), {}).result()
            sent += PER_COMMIT
        seconds = time.perf_counter() - begin
        store.close()
        size = path.stat().st_size
        with sqlite3.connect(path) as database:
            (rows,) = database.execute("SELECT count(*) FROM predictions").fetchone()
            tables = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        database.close()
        own = tables["predictions"] + tables["requests"] + tables["users"]
        print(
            f"window {window}: {sent} rows sent, {rows} kept, {size / 1e6:.1f} MB,"
            f" of it totals {tables['totals'] / 1e6:.1f} MB, {own / rows:.1f} bytes per row kept,"
            f" {per_window / seconds:.0f} rows/s, ready after {opening:.3f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
