"""The interface of the stores, and how one is found by its URL.

A store is one connection that owns its tables alone: no other ledger can write, so what has been
read stays true until it is written by the same connection. Both stores give the same guarantees:

* what `commit` returned from is on the disk and survives the end of every process;
* what was not committed leaves nothing behind;
* a second ledger does not get the tables before the first one's connection has ended.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from assay_server.ledger.entries import Name
from assay_server.ledger.predictions import Cell, Key, Row
from assay_server.ledger.totals import Sum, TotalKey, Totals

SCHEMA = "4"


class StoreError(Exception):
    """The store cannot be used, or a label could not be written; the message is for clients."""


class DatabaseError(Exception):
    """A statement failed; nobody knows whether a commit that failed has happened.

    `cause` names the trouble for the log; `full` says that there is no space left, `lost` that the
    connection is.
    """

    def __init__(self, cause: str, *, full: bool = False, lost: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.full = full
        self.lost = lost


class UnavailableError(Exception):
    """The store cannot be had now: another ledger has it, or it cannot be reached.

    `event` is the name under which that is logged.
    """

    def __init__(self, event: str, cause: str) -> None:
        super().__init__(cause)
        self.event = event
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store says when it is opened, but rows and totals.

    Attributes
    ----------
    meta
        Schema, the store's own random id, and the marks that `save` wrote.
    newest
        By number of a cell: when the newest prediction that counts there was served.
    """

    meta: Mapping[str, str]
    cells: Mapping[int, Cell]
    newest: Mapping[int, int]
    results: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction writes, in this order."""

    cells: Mapping[int, Cell]
    rows: Collection[Row]
    totals: Totals
    results: Mapping[str, int]
    marks: Mapping[str, str]


class Database(Protocol):
    """A store that is open. Every method may raise DatabaseError."""

    def load(self) -> Contents:
        """Return what the store says."""

    def totals(self, cells: Collection[int]) -> list[tuple[TotalKey, Sum]]:
        """Return the totals of these cells."""

    def begin(self) -> None:
        """Begin a transaction."""

    def commit(self) -> None:
        """End it; returns when it is on the disk."""

    def find(self, keys: Collection[Key]) -> dict[Key, Row]:
        """Return the rows of these keys that there are."""

    def newest(self, names: Collection[Name]) -> dict[Name, Key]:
        """Return the key of the prediction that was served last under each of these names."""

    def of_request(self, request: str) -> list[Row]:
        """Return all rows of one request id."""

    def between(self, after: Key, until: int, limit: int) -> list[Row]:
        """Return rows after a key and not served after `until`, in the order of keys."""

    def count_after(self, key: Key) -> int:
        """Return how many rows come after a key."""

    def oldest(self, before: int, limit: int) -> Key | None:
        """Return the last key of the first `limit` rows served before then; None without any."""

    def delete(self, until: Key) -> None:
        """Delete the rows up to a key, this included."""

    def add_users(self, users: Collection[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Add pairs of cell and user tag; return those that were not known."""

    def forget_users(self, cells: Iterable[int]) -> None:
        """Delete the users of these cells."""

    def save(self, changes: Changes) -> None:
        """Add the cells, add or replace the rows, add to totals and results, set the marks."""

    def check_space(self) -> None:
        """Prepare for the disk to run full; called once after opening."""

    def close(self) -> None:
        """Give the tables back. Never raises."""


class Source(Protocol):
    """Where a store is."""

    def connect(self) -> Database:
        """Open the store for this process alone and bring its tables to `SCHEMA`.

        Raises UnavailableError when it cannot be had now, DatabaseError or StoreError otherwise.
        """

    @override
    def __str__(self) -> str:
        """Return its name for messages, without any password."""
