"""What the writer remembers between transactions: marks, cells and their numbers."""

from assay_server.ledger.entries import Rules
from assay_server.ledger.predictions import NO_KEY, Cell, Key, cell_of
from assay_server.ledger.totals import Places
from assay_server.receipts import Receipt


class Book:
    """Made anew from the store after a failure, so that nothing of a lost transaction stays.

    Attributes
    ----------
    final_until
        Rows served up to then may have been deleted.
    released_until
        Rows up to this key are released.
    release_clock
        Predictions served up to then are released as well, also those that have no row.
    pending
        Rows after `released_until`.
    cells
        All cells by number.
    fresh
        Those that are not in the store yet.
    users
        Pairs of cell and user tag of which the store need not be asked again.
    """

    def __init__(self, rules: Rules, cells: dict[int, Cell]) -> None:
        self.rules = rules
        self.final_until = -1
        self.released_until = NO_KEY
        self.release_clock = -1
        self.pending = 0
        self.cells = cells
        self.fresh: dict[int, Cell] = {}
        self.users: set[tuple[int, bytes]] = set()
        self._numbers = {cell: number for number, cell in cells.items()}
        self._last = max(cells, default=0)
        # A cell is some names; to hash these for every label would take most of the time.
        self._plain: dict[tuple[object, ...], int] = {}
        self._labelled: dict[tuple[int, str], int] = {}
        self._strata: dict[int, int] = {}
        self._lags: dict[int, int] = {}
        self._places: dict[int, Places] = {}

    def released(self, key: Key) -> bool:
        """Whether the evidence of a prediction is final."""
        return key[0] <= self.release_clock or key <= self.released_until

    def plain(self, receipt: Receipt) -> int:
        """Return the number of the cell of a prediction without a label."""
        key = (receipt.revision, receipt.stratum, receipt.predicted, receipt.classes)
        number = self._plain.get(key)
        if number is None:
            number = self._plain[key] = self._number(cell_of(receipt))
        return number

    def labelled(self, number: int, label: str) -> int:
        """Return the number of the same cell with another label."""
        key = (number, label)
        found = self._labelled.get(key)
        if found is None:
            found = self._number(self.cells[number]._replace(label=label))
            self._labelled[key] = found
        return found

    def stratum(self, number: int) -> int:
        """Return the number of the cell of the whole stratum of a cell."""
        found = self._strata.get(number)
        if found is None:
            cell = self.cells[number]
            found = self._number(Cell(cell.revision, cell.rollout, cell.step))
            self._strata[number] = found
        return found

    def lag(self, number: int) -> int:
        """Return the number of the cell in which lags of the revision of a cell count."""
        found = self._lags.get(number)
        if found is None:
            found = self._lags[number] = self._number(Cell(self.cells[number].revision, "", 0))
        return found

    def places(self, number: int) -> Places:
        """Return where the labelled predictions of a cell count."""
        found = self._places.get(number)
        if found is None:
            cell = self.cells[number]
            scores = self._number(cell._replace(predicted=None))
            found = self._places[number] = Places(cell, number, scores)
        return found

    def take_fresh(self) -> dict[int, Cell]:
        """Return the cells that are new; they are in the store after the next commit."""
        fresh, self.fresh = self.fresh, {}
        return fresh

    def _number(self, cell: Cell) -> int:
        number = self._numbers.get(cell)
        if number is None:
            number = self._last = self._last + 1
            self._numbers[cell] = number
            self.cells[number] = self.fresh[number] = cell
        return number
