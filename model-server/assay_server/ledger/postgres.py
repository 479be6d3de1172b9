"""The store in PostgreSQL: a schema of its own per ledger, one session that owns it.

Two locks keep a second ledger out. An advisory lock, held as long as the session lives, lets it
wait. And each transaction first locks the mark `owner` and finds its own name there, so that even
where the first lock does not hold (a connection pooler that lends one session to several clients)
whoever lost the tables writes nothing more.

Rows go to the server as one JSON text per statement: pg8000 is Python, and sends that much faster
than arrays or single rows.
"""

# ruff: noqa: S608 - the names in statements are our own

import hashlib
import re
import secrets
import ssl
import struct
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from pg8000 import native
from typing_extensions import override

from assay_server.ledger.database import (
    SCHEMA,
    Changes,
    Contents,
    Database,
    DatabaseError,
    Source,
    StoreError,
    UnavailableError,
)
from assay_server.ledger.entries import Name
from assay_server.ledger.postgres_schema import statements, tables
from assay_server.ledger.predictions import Cell, Key, Row, classes_of, joined
from assay_server.ledger.totals import Sum, TotalKey

# A server that says nothing for so long is taken for lost.
_TIMEOUT_SECONDS = 60.0
_OPTIONS = {"sslmode", "sslrootcert", "schema", "host"}
_MODES = ("verify-full", "require", "disable")
# SQLSTATE: the disk is full; starting, stopping, too many clients; and the class of lost connections.
_FULL = "53100"
_UNAVAILABLE = {"57P03", "57P01", "53300"}
_TROUBLES = (native.Error, OSError, struct.error)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class PostgresSource(Source):
    """A schema in a database.

    Parameters
    ----------
    url
        `postgresql://user:password@host:port/database?sslmode=verify-full`; the modes are those of
        libpq that do not depend on luck: verify-full (default), require, disable. Further options:
        `sslrootcert` (a file), `schema`, `host` (a directory with a Unix socket).
    owner
        Names the ledger in its database: another one has other tables.

    Raises
    ------
    StoreError
        The URL is not of that form. The message does not show it: it may hold a password.
    """

    def __init__(self, url: str, owner: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
            given = parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise StoreError(f"the URL of the store cannot be read: {error}") from None
        options = {name: values[-1] for name, values in given.items()}
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise StoreError(
                f"the URL of the store has an unknown option {unknown[0]!r}; known are"
                f" {', '.join(sorted(_OPTIONS))}"
            )
        database = unquote(parts.path.removeprefix("/"))
        host = parts.hostname
        socket = options.get("host")
        if not database or not parts.username or not (host or socket):
            raise StoreError(
                "the URL of the store must look like"
                " postgresql://user:password@host:5432/database?sslmode=verify-full"
            )
        self._schema = options.get("schema") or schema_name(owner)
        self._name = f"postgresql://{socket or host}:{port}/{database} schema {self._schema}"
        self._arguments: dict[str, Any] = {
            "user": unquote(parts.username),
            "password": unquote(parts.password) if parts.password is not None else None,
            "database": database,
            "timeout": _TIMEOUT_SECONDS,
            "application_name": "assay-ledger",
        }
        if socket is not None:
            self._arguments["unix_sock"] = f"{socket}/.s.PGSQL.{port}"
        else:
            self._arguments |= {"host": host, "port": port, "ssl_context": _security(options)}

    @override
    def connect(self) -> "PostgresDatabase":
        """Open a session and take the schema."""
        try:
            connection = native.Connection(**self._arguments)
        except native.DatabaseError as error:
            code, message = _code(error)
            if code in _UNAVAILABLE:
                raise UnavailableError("store_unreachable", message) from None
            raise StoreError(message) from None
        except _TROUBLES as error:
            raise UnavailableError("store_unreachable", _cause(error)) from None
        try:
            return PostgresDatabase(connection, self._schema)
        except _TROUBLES as error:
            _close(connection)
            raise _failure(error) from error
        except (UnavailableError, StoreError):
            _close(connection)
            raise

    @override
    def __str__(self) -> str:
        """Return host, database and schema."""
        return self._name


def schema_name(owner: str) -> str:
    """Return the schema of a ledger: readable, and unique by its end."""
    readable = re.sub(r"[^a-z0-9]+", "_", owner.lower())[:40].strip("_")
    return f"assay_{readable}_{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def _security(options: dict[str, str]) -> ssl.SSLContext | None:
    mode = options.get("sslmode", _MODES[0])
    if mode not in _MODES:
        raise StoreError(f"sslmode is {mode!r}; it must be one of {', '.join(_MODES)}")
    if mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("sslrootcert"))
    except OSError as error:
        raise StoreError(f"sslrootcert cannot be read: {error.strerror or error}") from None
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reporting(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Turn the driver's errors into those of the interface."""

    @wraps(method)
    def reporting(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return method(*args, **kwargs)
        except _TROUBLES as error:
            raise _failure(error) from error

    return reporting


class PostgresDatabase(Database):
    """A session that owns a schema (see `Database` for the methods)."""

    def __init__(self, connection: native.Connection, schema: str) -> None:
        self._connection = connection
        self._name = native.identifier(schema)
        self._owner = secrets.token_hex(8)
        lock = int.from_bytes(hashlib.sha256(schema.encode()).digest()[:8], "big", signed=True)
        ((locked,),) = connection.run("SELECT pg_try_advisory_lock(:lock)", lock=lock)
        if not locked:
            raise UnavailableError("store_locked", "another ledger has it")
        self._prepare()
        ((durable,),) = connection.run("SHOW synchronous_commit")
        # Whoever switched it off for the whole server cannot have meant what is acknowledged here.
        local = "SET LOCAL synchronous_commit = on; " if durable == "off" else ""
        self._begin = (
            f"BEGIN; {local}SELECT value FROM {self._name}.meta WHERE name = 'owner' FOR UPDATE"
        )
        self._statements = {
            name: connection.prepare(text) for name, text in statements(self._name).items()
        }

    def _prepare(self) -> None:
        """Make the tables, check their version, and take them over from whoever had them."""
        run = self._connection.run
        run("BEGIN")
        for statement in tables(self._name):
            run(statement)
        mark = f"INSERT INTO {self._name}.meta VALUES (:name, :value) ON CONFLICT (name) DO "
        run(mark + "NOTHING", name="schema", value=SCHEMA)
        run(mark + "NOTHING", name="store", value=secrets.token_hex(8))
        run(mark + "UPDATE SET value = excluded.value", name="owner", value=self._owner)
        ((found,),) = run(f"SELECT value FROM {self._name}.meta WHERE name = 'schema'")
        if found != SCHEMA:
            run("ROLLBACK")
            raise StoreError(f"the store has schema {found}, not {SCHEMA}")
        run("COMMIT")

    @override
    @_reporting
    def load(self) -> Contents:
        run, name = self._connection.run, self._name
        meta = dict(run(f"SELECT name, value FROM {name}.meta"))
        cells = {
            number: Cell._make([*start, classes_of(classes), positive])
            for number, *start, classes, positive in run(f"SELECT * FROM {name}.cells")
        }
        newest = dict(run(f"SELECT cell, max(served_at) FROM {name}.totals GROUP BY cell"))
        results = dict(run(f"SELECT name, total FROM {name}.results"))
        return Contents(meta, cells, newest, results)

    @override
    @_reporting
    def totals(self, cells: Collection[int]) -> list[tuple[TotalKey, Sum]]:
        return [
            ((number, kind, place), Sum(total, weighted, int(weights), int(squares), served_at))
            for number, kind, place, total, weighted, weights, squares, served_at in (
                self._statements["totals"].run(cells=_text(list(cells)))
            )
        ]

    @override
    @_reporting
    def begin(self) -> None:
        rows = self._connection.run(self._begin)
        if rows != [[self._owner]]:
            raise DatabaseError("another ledger has taken the store over")

    @override
    @_reporting
    def commit(self) -> None:
        self._connection.run("COMMIT")

    @override
    def find(self, keys: Collection[Key]) -> dict[Key, Row]:
        rows = self._rows("find", keys=_text([[key[0], key[1].hex()] for key in keys]))
        return {row.key: row for row in rows}

    @override
    @_reporting
    def newest(self, names: Collection[Name]) -> dict[Name, Key]:
        found = self._statements["newest"].run(names=_text(list(names)))
        return {
            (request, number): (served_at, receipt) for request, number, served_at, receipt in found
        }

    @override
    def of_request(self, request: str) -> list[Row]:
        return self._rows("of_request", request=request)

    @override
    def between(self, after: Key, until: int, limit: int) -> list[Row]:
        return self._rows("between", served_at=after[0], receipt=after[1], until=until, count=limit)

    @override
    @_reporting
    def count_after(self, key: Key) -> int:
        ((count,),) = self._statements["count_after"].run(served_at=key[0], receipt=key[1])
        return int(count)

    @override
    @_reporting
    def oldest(self, before: int, limit: int) -> Key | None:
        found = self._statements["oldest"].run(before=before, count=limit)
        return (found[0][0], found[0][1]) if found else None

    @override
    @_reporting
    def delete(self, until: Key) -> None:
        self._statements["delete"].run(served_at=until[0], receipt=until[1])

    @override
    @_reporting
    def add_users(self, users: Collection[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        found = self._statements["add_users"].run(
            users=_text([[cell, tag.hex()] for cell, tag in users])
        )
        return [(cell, tag) for cell, tag in found]

    @override
    @_reporting
    def forget_users(self, cells: Iterable[int]) -> None:
        self._statements["forget_users"].run(cells=_text(list(cells)))

    @override
    @_reporting
    def save(self, changes: Changes) -> None:
        run = self._statements
        if changes.cells:
            cells = [
                [number, *cell[:5], joined(cell.classes), cell.positive]
                for number, cell in changes.cells.items()
            ]
            run["add_cells"].run(cells=_text(cells))
        if changes.rows:
            run["save_rows"].run(rows=_text([_hex_row(row) for row in changes.rows]))
        if changes.totals:
            totals = [
                [*key, one.total, one.weighted, str(one.sum), str(one.squares), one.served_at]
                for key, one in changes.totals.items()
            ]
            run["add_totals"].run(totals=_text(totals))
        if changes.results:
            run["add_results"].run(results=_text(list(changes.results.items())))
        if changes.marks:
            run["set_marks"].run(marks=_text(list(changes.marks.items())))

    @override
    def check_space(self) -> None:
        """Space is the server's business: it says when its disk is full."""

    @override
    def close(self) -> None:
        _close(self._connection)

    @_reporting
    def _rows(self, statement: str, **values: object) -> list[Row]:
        return [Row._make(found) for found in self._statements[statement].run(**values)]


def _hex_row(row: Row) -> list[object]:
    return [value.hex() if isinstance(value, bytes) else value for value in row]


def _text(values: object) -> str:
    return msgspec.json.encode(values).decode()


def _code(error: native.DatabaseError) -> tuple[str, str]:
    """Return SQLSTATE and message of what the server said."""
    said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return said.get("C", ""), said.get("M", "the server refused")


def _cause(error: BaseException) -> str:
    if isinstance(error, native.DatabaseError):
        return _code(error)[1]
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or type(cause).__name__


def _failure(error: BaseException) -> DatabaseError:
    if not isinstance(error, native.DatabaseError):
        return DatabaseError(_cause(error), lost=True)
    code, message = _code(error)
    return DatabaseError(message, full=code == _FULL, lost=code in _UNAVAILABLE)


def _close(connection: native.Connection) -> None:
    with suppress(*_TROUBLES):
        connection.close()
