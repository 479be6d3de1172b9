"""The store in a SQLite file: WAL with synchronous FULL, locked for one process."""

# ruff: noqa: S608 - the names in statements are our own

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from assay_server.ledger.database import (
    Changes,
    Contents,
    Database,
    DatabaseError,
    Source,
    StoreError,
    UnavailableError,
)
from assay_server.ledger.entries import Name
from assay_server.ledger.predictions import Cell, Key, Row, classes_of, joined
from assay_server.ledger.schema import prepare
from assay_server.ledger.totals import Sum, TotalKey

# Kept free for the WAL: without it a full store could not even delete.
RESERVE_BYTES = 64 * 1024 * 1024
_KEPT_WAL_BYTES = 16 * 1024 * 1024
# Request ids come in no order, so that each may touch a page of its own.
_CACHE_KIB = 32 * 1024
_COLUMNS = ", ".join(Row._fields)

# Rows are looked for by so many keys in one statement: most of the time of a statement for one is
# spent around it.
_KEYS_PER_QUERY = (64, 8, 1)

_ADD_TOTAL = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cell, kind, place) DO UPDATE SET
  total = total + excluded.total, weighted = weighted + excluded.weighted,
  weights = CASE excluded.weights WHEN 0 THEN weights ELSE added(weights, excluded.weights) END,
  squares = CASE excluded.squares WHEN 0 THEN squares ELSE added(squares, excluded.squares) END,
  served_at = max(served_at, excluded.served_at)
"""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _reporting(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Turn the driver's errors into those of the interface."""

    @wraps(method)
    def reporting(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            raise _failure(error) from error

    return reporting


class SQLiteSource(Source):
    """A database file; made if missing.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def connect(self) -> "SQLiteDatabase":
        """Open the file."""
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _failure(error) from error
        try:
            # Exclusive: two ledgers on one volume would each miss the other's labels.
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # What is erased on request must not stay readable in the pages that held it.
            connection.execute("PRAGMA secure_delete = ON")
            connection.create_function("added", 2, _added, deterministic=True)
            connection.execute("BEGIN IMMEDIATE")
            prepare(connection)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise UnavailableError("store_locked", "another ledger has it") from None
            raise _failure(error) from error
        except sqlite3.Error as error:
            connection.close()
            raise _failure(error) from error
        except StoreError:
            connection.close()
            raise
        return SQLiteDatabase(connection, self._path)

    @override
    def __str__(self) -> str:
        """Return the path."""
        return str(self._path)


class SQLiteDatabase(Database):
    """An open database file (see `Database` for the methods)."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @override
    @_reporting
    def load(self) -> Contents:
        run = self._connection.execute
        meta = dict(run("SELECT name, value FROM meta"))
        cells = {
            number: Cell._make([*start, classes_of(classes), positive])
            for number, *start, classes, positive in run(
                "SELECT id, revision, rollout, step, predicted, label, classes, positive FROM cells"
            )
        }
        newest = dict(run("SELECT cell, max(served_at) FROM totals GROUP BY cell"))
        results = dict(run("SELECT name, total FROM results"))
        return Contents(meta, cells, newest, results)

    @override
    @_reporting
    def totals(self, cells: Collection[int]) -> list[tuple[TotalKey, Sum]]:
        run = self._connection.execute
        return [
            ((number, kind, place), Sum(total, weighted, int(weights), int(squares), served_at))
            for number in cells
            for _, kind, place, total, weighted, weights, squares, served_at in run(
                "SELECT * FROM totals WHERE cell = ?", (number,)
            )
        ]

    @override
    @_reporting
    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    @override
    @_reporting
    def commit(self) -> None:
        self._connection.execute("COMMIT")

    @override
    @_reporting
    def find(self, keys: Collection[Key]) -> dict[Key, Row]:
        values = [value for served_at, receipt in keys for value in (served_at, bytearray(receipt))]
        found = {}
        begin = 0
        for count in _KEYS_PER_QUERY:
            statement = _find(count)
            while begin + 2 * count <= len(values):
                end = begin + 2 * count
                for row in map(Row._make, self._connection.execute(statement, values[begin:end])):
                    found[row.key] = row
                begin = end
        return found

    @override
    @_reporting
    def newest(self, names: Collection[Name]) -> dict[Name, Key]:
        run = self._connection.execute
        found = {}
        for name in names:
            key = run(
                "SELECT served_at, receipt FROM predictions WHERE request = ? AND request_row = ?"
                " ORDER BY served_at DESC, receipt DESC LIMIT 1",
                name,
            ).fetchone()
            if key is not None:
                found[name] = key
        return found

    @override
    @_reporting
    def of_request(self, request: str) -> list[Row]:
        statement = f"SELECT {_COLUMNS} FROM predictions WHERE request = ?"
        return [Row._make(values) for values in self._connection.execute(statement, (request,))]

    @override
    @_reporting
    def between(self, after: Key, until: int, limit: int) -> list[Row]:
        statement = (
            f"SELECT {_COLUMNS} FROM predictions"
            " WHERE (served_at, receipt) > (?, ?) AND served_at <= ?"
            " ORDER BY served_at, receipt LIMIT ?"
        )
        values = (*after, until, limit)
        return [Row._make(found) for found in self._connection.execute(statement, values)]

    @override
    @_reporting
    def count_after(self, key: Key) -> int:
        statement = "SELECT count(*) FROM predictions WHERE (served_at, receipt) > (?, ?)"
        count: int = self._connection.execute(statement, key).fetchone()[0]
        return count

    @override
    @_reporting
    def oldest(self, before: int, limit: int) -> Key | None:
        batch = self._connection.execute(
            "SELECT served_at, receipt FROM predictions WHERE served_at < ?"
            " ORDER BY served_at, receipt LIMIT ?",
            (before, limit),
        ).fetchall()
        return batch[-1] if batch else None

    @override
    @_reporting
    def delete(self, until: Key) -> None:
        self._connection.execute(
            "DELETE FROM predictions WHERE (served_at, receipt) <= (?, ?)", until
        )

    @override
    @_reporting
    def add_users(self, users: Collection[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        run = self._connection.execute
        return [
            user
            for user in users
            if run("INSERT OR IGNORE INTO users VALUES (?, ?)", _bound(user)).rowcount
        ]

    @override
    @_reporting
    def forget_users(self, cells: Iterable[int]) -> None:
        self._connection.executemany(
            "DELETE FROM users WHERE cell = ?", [(number,) for number in cells]
        )

    @override
    @_reporting
    def save(self, changes: Changes) -> None:
        run = self._connection.executemany
        run(
            "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(number, *_cell_values(cell)) for number, cell in changes.cells.items()],
        )
        for statement, values in _alike(changes.rows).items():
            run(statement, values)
        run(
            _ADD_TOTAL,
            [
                (
                    *key,
                    added.total,
                    added.weighted,
                    _text(added.sum),
                    _text(added.squares),
                    added.served_at,
                )
                for key, added in changes.totals.items()
            ],
        )
        run(
            "INSERT INTO results VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET total = total + excluded.total",
            list(changes.results.items()),
        )
        run("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(changes.marks.items()))

    @override
    @_reporting
    def check_space(self) -> None:
        """Let the file grow only so far that the reserve stays free on its disk."""
        usage = shutil.disk_usage(self._path.parent)
        reserve = min(RESERVE_BYTES, usage.total // 4)
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
        room = max(0, usage.free - reserve) // page_bytes
        self._connection.execute(f"PRAGMA max_page_count = {pages + room}")

    @override
    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


@cache
def _find(count: int) -> str:
    """Return the statement that finds the rows of so many keys."""
    keys = ", ".join(["(?, ?)"] * count)
    # CROSS JOIN keeps this order: one search of the primary key for each of the keys.
    return (
        f"WITH wanted (at, identity) AS (VALUES {keys}) SELECT {_COLUMNS} FROM wanted"
        " CROSS JOIN predictions ON served_at = at AND receipt = identity"
    )


def _alike(rows: Iterable[Row]) -> dict[str, list[list[Any]]]:
    """Return the statements that save these rows, each with what is to be bound to it."""
    found: defaultdict[tuple[bool, ...], list[list[Any]]] = defaultdict(list)
    for row in rows:
        found[tuple([value is None for value in row])].append(_bound(row))
    return {_save(empty): values for empty, values in found.items()}


@cache
def _save(empty: tuple[bool, ...]) -> str:
    """Return the statement that saves rows in which these columns are NULL."""
    return f"""
    INSERT INTO predictions ({_COLUMNS})
      VALUES ({", ".join("NULL" if one else "?" for one in empty)})
      ON CONFLICT (served_at, receipt) DO UPDATE SET
      {", ".join(f"{name} = excluded.{name}" for name in Row._fields[2:])}
    """


def _bound(values: Iterable[Any]) -> list[Any]:
    """Return what is to be bound, without what is NULL.

    For None and bytes the driver first looks for an adapter, half a microsecond each; a bytearray
    is stored as the same BLOB.
    """
    return [
        bytearray(value) if type(value) is bytes else value for value in values if value is not None
    ]


def _failure(error: sqlite3.Error) -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", None)
    full = code is not None and code & 0xFF == sqlite3.SQLITE_FULL
    return DatabaseError(str(error), full=full)


def _cell_values(cell: Cell) -> tuple[Any, ...]:
    *start, classes, positive = cell
    return (*start, joined(classes), positive)


def _text(number: int) -> int | str:
    return str(number) if number else 0


def _added(first: int | str, second: int | str) -> str:
    return str(int(first) + int(second))
