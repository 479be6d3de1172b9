"""Writes a store with the code of an older version and prints it as SQL.

    git archive 96e374e model-server | tar x -C old      # schema 1; 3d60135: 2, 0d017c5: 3
    PYTHONPATH=old/model-server .venv/bin/python write_old_store.py > schema-1.sql

Labels 1 to 8: two classes, several base bins (in versions 1 and 2) or fine bins (version 3), one
without a score, one of three classes, one of another step.
"""

import inspect
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path

from assay_server.ledger.counts import Cell
from assay_server.ledger.feedback import Entry, Status
from assay_server.ledger.store import Store

SERVED_AT = 1_800_000_000
CELLS = [
    Cell("r1", "x", 0, "1", "1", "1", 5),
    Cell("r1", "x", 0, "1", "1", "1", 5),
    Cell("r1", "x", 0, "1", "1", "1", None),
    Cell("r1", "x", 0, "0", "1", "1", 0),
    Cell("r1", "x", 0, "1", "0", "1", 512),
    Cell("r1", "x", 0, "1", "1", "1", 1023),
    Cell("r1", "x", 0, "bee", "cat", None, None),
    Cell("r2", "x", 3, "1", "1", "1", 700),
]


def main() -> None:
    path = Path(tempfile.mkdtemp()) / "l.db"
    ready = threading.Event()
    window = {"window": 10**10} if "window" in inspect.signature(Store).parameters else {}
    store = Store(
        path,
        on_rebuilt=lambda _: ready.set(),
        on_committed=lambda _: None,
        on_failed=sys.exit,
        **window,
    )
    store.start()
    ready.wait()
    entries = [
        Entry(number.to_bytes(16, "big"), cell, SERVED_AT + number)
        for number, cell in enumerate(CELLS, 1)
    ]
    store.submit([*entries, entries[0]], {Status.FORGED: 3}).result()
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 'abc' WHERE name = 'store'")
        for line in database.iterdump():
            print(line)


if __name__ == "__main__":
    main()
