"""The tables of the ledger's store, and how those of an older version become them.

`totals` are the counters. `labels` only tell which receipts were counted, until these expire: in
the order of time, so that the oldest fill whole pages, which are free again when they go.
"""

import secrets
import sqlite3

VERSION = "2"
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
CREATE TABLE IF NOT EXISTS totals (
  cell INTEGER NOT NULL, bin INTEGER NOT NULL, total INTEGER NOT NULL, served_at INTEGER NOT NULL,
  PRIMARY KEY (cell, bin)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
  served_at INTEGER NOT NULL, receipt BLOB NOT NULL, cell INTEGER NOT NULL,
  PRIMARY KEY (served_at, receipt)
) WITHOUT ROWID;
"""

# Version 1 had no totals, and its labels were in the order of their receipts.
_FROM_1 = """
INSERT INTO labels SELECT served_at, receipt, cell FROM labels_1;
INSERT INTO totals SELECT cell, ifnull(bin, -1), 1, served_at FROM labels_1 WHERE true
  ON CONFLICT (cell, bin) DO UPDATE
  SET total = total + 1, served_at = max(served_at, excluded.served_at);
DROP TABLE labels_1;
UPDATE meta SET value = '2' WHERE name = 'schema';
"""


class SchemaError(Exception):
    """The store was made by another version, and this one cannot read it."""


def prepare(database: sqlite3.Connection) -> dict[str, str]:
    """Make or upgrade the tables within the transaction that has begun; return what `meta` says.

    Raises SchemaError. Writes nothing if there is nothing to change: the disk may be full.
    """
    known = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    found = _meta(database)["schema"] if known else VERSION
    if found not in {"1", VERSION}:
        raise SchemaError(f"the store has schema {found}, not {VERSION}")
    statements = _TABLES
    if found == "1":
        database.execute("ALTER TABLE labels RENAME TO labels_1")
        statements += _FROM_1
    for statement in statements.split(";"):
        database.execute(statement)
    database.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (VERSION,))
    database.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(8),))
    return _meta(database)


def _meta(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT name, value FROM meta"))
