"""The tables of the ledger's SQLite store, and how those of an older version become them.

`totals` are the counters. `predictions` tell which receipts were counted, until these expire: in
the order of time, so that the oldest fill whole pages, which are free again when they go.
"""

# ruff: noqa: S608 - the names in statements are our own

import secrets
import sqlite3

from assay_server.ledger.bins import fine_from_base
from assay_server.ledger.database import SCHEMA, StoreError

# The bin of a label without a score, in stores of versions 2 and 3.
_NO_BIN = -1
# Columns of `predictions` that version 3 did not have. What it held was counted, with a label of
# which nobody knows when it came.
_ADDED_COLUMNS = (
    *("bins BLOB", "user BLOB", "request TEXT", "request_row INTEGER"),
    *("state INTEGER NOT NULL DEFAULT 4", "lag INTEGER DEFAULT -1", "probability REAL"),
    *("later INTEGER", "later_lag INTEGER"),
)

TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
-- classes: names joined by U+001F.
CREATE TABLE IF NOT EXISTS cells (
  id INTEGER PRIMARY KEY, revision TEXT NOT NULL, rollout TEXT NOT NULL, step INTEGER NOT NULL,
  predicted TEXT, label TEXT, classes TEXT, positive TEXT
);
-- weights and squares: whole numbers as text, because they may be larger than 64 bits.
CREATE TABLE IF NOT EXISTS totals (
  cell INTEGER NOT NULL, kind INTEGER NOT NULL, place INTEGER NOT NULL, total INTEGER NOT NULL,
  weighted INTEGER NOT NULL, weights, squares, served_at INTEGER NOT NULL,
  PRIMARY KEY (cell, kind, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS predictions (
  served_at INTEGER NOT NULL, receipt BLOB NOT NULL, cell INTEGER NOT NULL,
  {", ".join(_ADDED_COLUMNS)},
  PRIMARY KEY (served_at, receipt)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests ON predictions (request, request_row)
  WHERE request IS NOT NULL;
CREATE TABLE IF NOT EXISTS users (
  cell INTEGER NOT NULL, tag BLOB NOT NULL, PRIMARY KEY (cell, tag)
) WITHOUT ROWID;
"""

_TABLES_3 = """
CREATE TABLE totals (
  cell INTEGER NOT NULL, bin INTEGER NOT NULL, total INTEGER NOT NULL, served_at INTEGER NOT NULL,
  PRIMARY KEY (cell, bin)
) WITHOUT ROWID;
CREATE TABLE labels (
  served_at INTEGER NOT NULL, receipt BLOB NOT NULL, cell INTEGER NOT NULL,
  PRIMARY KEY (served_at, receipt)
) WITHOUT ROWID
"""

# What makes version 3 of an older one, and version 4 of that. `fine_bin` is the function below.
# Labels stay where they are: a volume need not hold them twice.
_UPGRADES = {
    # Version 1 had no totals, and its labels were in the order of their receipts.
    "1": [
        "ALTER TABLE labels RENAME TO labels_1",
        *_TABLES_3.split(";"),
        "INSERT INTO labels SELECT served_at, receipt, cell FROM labels_1",
        """
        INSERT INTO totals SELECT cell, fine_bin(bin), 1, served_at FROM labels_1 WHERE true
          ON CONFLICT (cell, bin) DO UPDATE
          SET total = total + 1, served_at = max(served_at, excluded.served_at)
        """,
        "DROP TABLE labels_1",
    ],
    # Version 2 had base bins.
    "2": [
        "ALTER TABLE totals RENAME TO totals_2",
        _TABLES_3.split(";", maxsplit=1)[0],
        "INSERT INTO totals SELECT cell, fine_bin(bin), total, served_at FROM totals_2",
        "DROP TABLE totals_2",
    ],
    "3": [
        "ALTER TABLE cells RENAME TO cells_3",
        "ALTER TABLE totals RENAME TO totals_3",
        "ALTER TABLE labels RENAME TO predictions",
        *(f"ALTER TABLE predictions ADD COLUMN {column}" for column in _ADDED_COLUMNS),
        *TABLES.split(";"),
        """
        INSERT INTO cells
          SELECT id, revision, rollout, step, predicted, label, NULL, positive FROM cells_3
        """,
        # Scores count by cells without the predicted class.
        """
        INSERT INTO cells (revision, rollout, step, label, positive)
          SELECT DISTINCT revision, rollout, step, label, positive FROM cells_3
          WHERE positive IS NOT NULL
        """,
        """
        INSERT INTO totals
          SELECT cell, 0, -1, sum(total), 0, 0, 0, max(served_at) FROM totals_3 GROUP BY cell
        """,
        f"""
        INSERT INTO totals
          SELECT scores.id, 1, {1 << 15} | bin, sum(total), 0, 0, 0, max(served_at)
          FROM totals_3 JOIN cells_3 AS old ON totals_3.cell = old.id JOIN cells AS scores
            ON scores.predicted IS NULL AND scores.revision = old.revision
            AND scores.rollout = old.rollout AND scores.step = old.step
            AND scores.label = old.label AND scores.positive = old.positive
          WHERE bin <> {_NO_BIN} GROUP BY scores.id, bin
        """,
        "DROP TABLE totals_3",
        "DROP TABLE cells_3",
    ],
}


def prepare(database: sqlite3.Connection) -> None:
    """Make or upgrade the tables within the transaction that has begun.

    Raises StoreError when another version made them. Writes nothing if there is nothing to change:
    the disk may be full.
    """
    database.create_function("fine_bin", 1, _fine_bin, deterministic=True)
    known = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    found = SCHEMA
    if known:
        (found,) = database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    if found in {"1", "2"}:
        _run(database, _UPGRADES[found])
    if found in _UPGRADES:
        _run(database, _UPGRADES["3"])
    elif found != SCHEMA:
        raise StoreError(f"the store has schema {found}, not {SCHEMA}")
    _run(database, TABLES.split(";"))
    if found != SCHEMA:
        database.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (SCHEMA,))
    database.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (SCHEMA,))
    database.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(8),))


def _run(database: sqlite3.Connection, statements: list[str]) -> None:
    for statement in statements:
        database.execute(statement)


def _fine_bin(base: int | None) -> int:
    """Return where a row of versions 1 and 2 counts, which knew base bins only."""
    return _NO_BIN if base is None or base == _NO_BIN else fine_from_base(base)
