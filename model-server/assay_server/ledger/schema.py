"""The tables of the ledger's store, and how those of an older version become them.

`totals` are the counters. `labels` only tell which receipts were counted, until these expire: in
the order of time, so that the oldest fill whole pages, which are free again when they go.
"""

import secrets
import sqlite3

from assay_server.ledger.bins import fine_from_base

VERSION = "3"
# The bin of a label without a score; part of a primary key, where NULL would never be equal.
NO_BIN = -1

ADD_TO_TOTALS = """
INSERT INTO totals VALUES (?, ?, 1, ?) ON CONFLICT (cell, bin) DO UPDATE
  SET total = total + 1, served_at = max(served_at, excluded.served_at)
"""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cells (
  id INTEGER PRIMARY KEY, revision TEXT NOT NULL, rollout TEXT NOT NULL, step INTEGER NOT NULL,
  predicted TEXT NOT NULL, label TEXT NOT NULL, positive TEXT
);
-- bin: the fine bin of the score.
CREATE TABLE IF NOT EXISTS totals (
  cell INTEGER NOT NULL, bin INTEGER NOT NULL, total INTEGER NOT NULL, served_at INTEGER NOT NULL,
  PRIMARY KEY (cell, bin)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
  served_at INTEGER NOT NULL, receipt BLOB NOT NULL, cell INTEGER NOT NULL,
  PRIMARY KEY (served_at, receipt)
) WITHOUT ROWID;
"""

# What runs before and after the tables of today are made; `fine_bin` is the function of that name.
_UPGRADES = {
    # Version 1 had no totals, and its labels were in the order of their receipts.
    "1": (
        ["ALTER TABLE labels RENAME TO labels_1"],
        [
            "INSERT INTO labels SELECT served_at, receipt, cell FROM labels_1",
            """
            INSERT INTO totals SELECT cell, fine_bin(bin), 1, served_at FROM labels_1 WHERE true
              ON CONFLICT (cell, bin) DO UPDATE
              SET total = total + 1, served_at = max(served_at, excluded.served_at)
            """,
            "DROP TABLE labels_1",
        ],
    ),
    "2": (
        ["ALTER TABLE totals RENAME TO totals_2"],
        [
            "INSERT INTO totals SELECT cell, fine_bin(bin), total, served_at FROM totals_2",
            "DROP TABLE totals_2",
        ],
    ),
}


class SchemaError(Exception):
    """The store was made by another version, and this one cannot read it."""


def prepare(database: sqlite3.Connection) -> dict[str, str]:
    """Make or upgrade the tables within the transaction that has begun; return what `meta` says.

    Raises SchemaError. Writes nothing if there is nothing to change: the disk may be full.
    """
    known = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    found = _meta(database)["schema"] if known else VERSION
    if found != VERSION and found not in _UPGRADES:
        raise SchemaError(f"the store has schema {found}, not {VERSION}")
    database.create_function("fine_bin", 1, _fine_bin, deterministic=True)
    before, after = _UPGRADES.get(found, ([], []))
    for statement in (*before, *_TABLES.split(";"), *after):
        database.execute(statement)
    if found != VERSION:
        database.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (VERSION,))
    database.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (VERSION,))
    database.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(8),))
    return _meta(database)


def _fine_bin(base: int | None) -> int:
    """Return where a row of versions 1 and 2 counts, which knew base bins only."""
    return NO_BIN if base is None or base == NO_BIN else fine_from_base(base)


def _meta(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT name, value FROM meta"))
