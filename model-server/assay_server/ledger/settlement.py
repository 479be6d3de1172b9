"""What labels and shipments do to rows and totals: one transaction's work, in memory.

The rules of the ledger are here, and nowhere else:

Rule 1. A prediction is counted once, with one label.
Rule 2. Without a label age it is counted when its first label comes; that one stays.
Rule 3. With a label age it is released at that age and not before. Until then a label corrects an
    earlier one. At release the last one is counted, and final.
Rule 4. Where a missing label means the negative class, a prediction counts if its server told of it
    before release, whether it has a label or not. A label alone is no reason to count one: those
    with labels would be counted, and those without left out.
Rule 5. What comes after release changes no evidence. It is counted on its own and kept for the log.
Rule 6. Of rows that are deleted nobody knows what was counted: no label for them counts again.
"""

from collections.abc import Collection, Iterable

from assay_server.ledger.book import Book
from assay_server.ledger.database import Changes, Database
from assay_server.ledger.entries import (
    Arrival,
    Entry,
    Label,
    Name,
    NamedLabel,
    Result,
    Shipment,
    Status,
)
from assay_server.ledger.predictions import NO_KEY, Key, Row, State, packed
from assay_server.ledger.totals import Additions, Kind, lag_place, weight_of
from assay_server.receipts import NO_TRIAL, Receipt

_SHIPPED = State.SHIPPED | State.SHIPPED_LATE
_LAG = int(Kind.LAG)
# Users of which the store need not be asked again; so many take some 30 MB.
_KNOWN_USERS = 200_000


class Settlement:
    """One transaction: reads what it needs, decides, and gives back what is to be written."""

    def __init__(self, book: Book, database: Database) -> None:
        self._book = book
        self._rules = book.rules
        self._at_once = book.rules.at_once
        self._database = database
        self._additions = Additions()
        self._rows: dict[Key, Row] = {}
        self._changed: dict[Key, Row] = {}
        self._names: dict[Name, Key] = {}
        self._users: dict[tuple[int, bytes], int] = {}

    def read(self, entries: Iterable[Entry]) -> None:
        """Read all rows that these entries concern."""
        keys: set[Key] = set()
        names: set[Name] = set()
        for entry in entries:
            if isinstance(entry, NamedLabel):
                names.add(entry.name)
            elif isinstance(entry, Label) or self._is_kept(entry):
                keys.add(entry.key)
        if names:
            self._names = self._database.newest(names)
            keys.update(self._names.values())
        if keys:
            self._rows = self._database.find(keys)

    def take(self, entry: Entry) -> Result:
        """Write down one entry and return what became of it. Call `read` first."""
        if isinstance(entry, Label):
            return self._label(entry)
        if isinstance(entry, NamedLabel):
            return self._named_label(entry)
        return self._shipment(entry)

    def release(self, rows: Collection[Row]) -> None:
        """Count what these rows, whose time has come, are evidence of."""
        for row in rows:
            self._rows[row.key] = row
            if not row.state & State.COUNTED:
                self._release(row)
        self._book.pending -= len(rows)

    def erase(self, request: str) -> int:
        """Delete what says whose request this was; return how many rows it had.

        A row stays, empty, for as long as its receipt could be used: else a label that is sent
        again would count again. Until release it stays evidence that has not been counted yet.
        """
        rows = self._database.of_request(request)
        for row in rows:
            self._rows[row.key] = row
            state = row.state | State.ERASED
            if state & State.COUNTED or self._at_once or self._book.released(row.key):
                self._put(self._emptied(row, state))
            else:
                self._put(row._replace(state=state, user=None, request=None, request_row=None))
        return len(rows)

    def changes(self, results: dict[str, int], marks: dict[str, str]) -> Changes:
        """Return what is to be written. Asks the store which users are new."""
        known = self._book.users
        fresh = self._users.keys() - known
        if fresh:
            if len(known) > _KNOWN_USERS:
                known.clear()
            for user in self._database.add_users(fresh):
                self._additions.one((user[0], int(Kind.USERS), 0), self._users[user])
            known |= fresh
        rows = self._changed.values()
        return Changes(self._book.take_fresh(), rows, self._additions, results, marks)

    def _is_kept(self, entry: Shipment) -> bool:
        """Whether a shipment needs a row; else all that it says is that a user was served."""
        return entry.name is not None or self._rules.negative

    def _label(self, entry: Label) -> Status:
        key = entry.key
        # It waited while its row, if there was one, was deleted.
        if key[0] <= self._book.final_until:
            return Status.EXPIRED
        row = self._rows.get(key) or self._new_row(entry.receipt)
        return self._labelled(row, entry.label, entry.probability, entry.at)

    def _named_label(self, entry: NamedLabel) -> Status:
        key = self._names.get(entry.name)
        if key is None:
            return Status.UNKNOWN_ID
        if key[0] <= self._book.final_until or key[0] + self._rules.window < entry.at:
            return Status.EXPIRED
        row = self._rows[key]
        classes = self._rules.classes or self._book.cells[row.cell].classes or ()
        label = next((name for name in entry.spellings if name in classes), None)
        if label is None:
            return Status.UNKNOWN_LABEL
        return self._labelled(row, label, entry.probability, entry.at)

    def _new_row(self, receipt: Receipt) -> Row:
        cell = self._book.plain(receipt)
        bins = packed(receipt.bins)
        return Row(receipt.served_at, receipt.identity, cell, bins, receipt.user)

    def _labelled(self, row: Row, label: str, probability: float | None, at: int) -> Status:
        state = row.state
        if state & State.ERASED:
            return Status.ERASED
        before = self._book.cells[row.cell].label
        if state & State.COUNTED and self._at_once:
            return Status.DUPLICATE if before == label else Status.CONFLICT
        lag = max(0, at - row.served_at)
        if state & State.COUNTED or self._book.released(row.key):
            return self._late(row, before, label, lag)
        if before == label:
            return Status.DUPLICATE
        if before is None:
            self._count_lag(row, lag)
        cell = self._book.labelled(row.cell, label)
        if self._at_once:
            self._count(row, cell, probability)
            state |= State.COUNTED
        self._put(row.labelled(cell, state, lag, probability))
        return Status.COUNTED if before is None else Status.REPLACED

    def _late(self, row: Row, before: str | None, label: str, lag: int) -> Status:
        """Keep a label that came after release."""
        given = row.lag is not None or row.later is not None
        known = before if row.later is None else self._book.cells[row.later].label
        if known == label and given:
            return Status.DUPLICATE
        status = Status.LATE if known in {None, label} else Status.CORRECTED
        self._in_stratum(Kind.LATE if status is Status.LATE else Kind.CORRECTED, row)
        if not given:
            self._count_lag(row, lag)
        later = self._book.labelled(row.cell, label)
        self._put(row._replace(later=later, later_lag=lag))
        return status

    def _shipment(self, entry: Shipment) -> Arrival:
        receipt = entry.receipt
        if receipt.served_at <= self._book.final_until:
            return Arrival.EXPIRED
        if receipt.user is not None and receipt.stratum.rollout not in NO_TRIAL:
            user = self._book.stratum(self._book.plain(receipt)), receipt.user
            self._users[user] = max(receipt.served_at, self._users.get(user, 0))
        if not self._is_kept(entry):
            return Arrival.TAKEN
        row = self._rows.get(entry.key) or self._new_row(receipt)
        if row.state & _SHIPPED:
            return Arrival.KNOWN
        late = self._book.released(row.key)
        self._in_stratum(Kind.SERVED_LATE if late else Kind.SERVED, row)
        request, number = entry.name or (None, None)
        state = row.state | (State.SHIPPED_LATE if late else State.SHIPPED)
        self._put(row._replace(state=state, request=request, request_row=number))
        if entry.name is not None:
            self._names[entry.name] = max(row.key, self._names.get(entry.name, NO_KEY))
        return Arrival.TAKEN

    def _release(self, row: Row) -> None:
        cell = self._book.cells[row.cell]
        shipped = not self._rules.negative or row.state & State.SHIPPED
        label = cell.label
        if label is None and self._rules.negative:
            label = cell.negative
        if label is not None and shipped:
            number = self._book.labelled(row.cell, label)
            self._count(row, number, row.probability)
            row = row._replace(cell=number, state=row.state | State.COUNTED)
            self._put(row)
        elif cell.label is not None:
            self._in_stratum(Kind.UNSHIPPED, row)
        if row.state & State.ERASED:
            self._put(self._emptied(row, row.state))

    def _count(self, row: Row, cell: int, probability: float | None) -> None:
        """Add a row to the totals, under the cell with its label."""
        weight = weight_of(probability)
        for key in self._book.places(cell).of(row.bins, row.user):
            self._additions.one(key, row.served_at, weight)

    def _emptied(self, row: Row, state: int) -> Row:
        return Row(row.served_at, row.receipt, self._book.stratum(row.cell), state=state)

    def _in_stratum(self, kind: Kind, row: Row) -> None:
        self._additions.one((self._book.stratum(row.cell), int(kind), 0), row.served_at)

    def _count_lag(self, row: Row, lag: int) -> None:
        key = (self._book.lag(row.cell), _LAG, lag_place(lag))
        self._additions.one(key, row.served_at, extra=lag)

    def _put(self, row: Row) -> None:
        key = row.key
        if key not in self._rows and key > self._book.released_until:
            self._book.pending += 1
        self._rows[key] = self._changed[key] = row
