"""Rows to counts by feature and bin."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_server.drift.divergence import MISSING, Counts, Floats
from assay_server.drift.estimate import Indexes
from assay_server.reference import MAX_BINS, Categorical, Numeric, Scores, category_of

Rows = NDArray[Any]
Watched = Numeric | Categorical | Scores

MAX_FEATURES = 100
"""Features that are watched; each is up to 43 series."""
WINDOW_ROWS = 10_000
"""Rows that a full window has at least; it has at most a quarter more."""
OTHER = MISSING - 1
"""The bin of names that are not among the categories of the reference."""

_SLOTS = 10
# To count a name takes as long as to count so many numbers.
_NAME_COST = 10


class Binning:
    """Which features are counted, and how their values fall into bins.

    Parameters
    ----------
    features
        Those to count, in the order of the counts.
    scores
        Scores to count as one more feature, behind all others, and the column of the
        probabilities in which they are.
    """

    def __init__(
        self,
        features: Sequence[Numeric | Categorical],
        scores: tuple[Scores, int] | None = None,
    ) -> None:
        numeric = [(place, f) for place, f in enumerate(features) if isinstance(f, Numeric)]
        named = [(place, f) for place, f in enumerate(features) if isinstance(f, Categorical)]
        self.watched: list[Watched] = [*features]
        self.number_places = [place for place, _ in numeric]
        self.columns = [feature.column for _, feature in numeric]
        self.in_order = self.columns == list(range(len(self.columns)))
        edges = [feature.edges for _, feature in numeric]
        self.score_column = None
        if scores is not None:
            self.watched.append(scores[0])
            self.number_places.append(len(features))
            edges.append(scores[0].edges)
            self.score_column = scores[1]
        self.size = len(self.watched)
        # Values up to infinity are all that are not missing.
        self._edges = [np.array([*e, *[np.inf] * (MISSING - len(e))]) for e in edges]
        self._name_places = [place for place, _ in named]
        self._bins = [
            (feature.column, {text: bin_ for bin_, text in enumerate(feature.categories)})
            for _, feature in named
        ]
        self.has_names = bool(named)
        self.cost = max(1, len(edges) + _NAME_COST * len(named))

    def codes(self, rows: Rows) -> list[list[int]]:
        """Return the bins of the names in rows (n, d), shape (n, named features)."""
        return [
            [
                bins.get(value, OTHER)
                if type(value := row[column]) is str
                else _bin_of(value, bins)
                for column, bins in self._bins
            ]
            for row in rows.tolist()
        ]

    def count(self, batch: "Batch") -> Counts:
        """Return the rows of a batch by bin, shape (size, MAX_BINS)."""
        counts = np.zeros((self.size, MAX_BINS), dtype=np.int64)
        if self._edges:
            # To sort all and search for the few edges takes a quarter of the time of the reverse.
            values = np.sort(batch.values(), axis=1)
            cumulative = np.array(
                [
                    line.searchsorted(edges, "right")
                    for line, edges in zip(values, self._edges, strict=True)
                ]
            )
            missing = batch.rows - cumulative[:, -1:]
            counts[self.number_places] = np.hstack([np.diff(cumulative, prepend=0), missing])
        if self._bins:
            codes = np.array(batch.codes, dtype=np.intp)
            for place, column in zip(self._name_places, codes.T, strict=True):
                counts[place] = np.bincount(column, minlength=MAX_BINS)
        return counts


class Batch:
    """Rows that wait to be counted, as far as they are watched. Nothing of a request is held.

    `classes` are the model's, of whose probabilities quality is estimated; 0: of none.
    """

    def __init__(self, binning: Binning, capacity: int, classes: int = 0) -> None:
        self._binning = binning
        self._columns = np.array(binning.columns, dtype=np.intp)
        self._score_column = binning.score_column
        self._numbers = np.empty((capacity, len(binning.columns)))
        self._scores = np.empty(capacity if binning.score_column is not None else 0)
        self._classes = classes
        self._probabilities = np.empty((capacity if classes else 0, classes))
        self._predicted = np.empty(capacity if classes else 0, dtype=np.intp)
        self.codes: list[list[int]] = []
        self.rows = 0

    def add(
        self, rows: Rows, probabilities: Floats | None, predicted: Indexes | None = None
    ) -> None:
        """Take in rows (n, d) and what the model said of them; there must be room for them."""
        start, end = self.rows, self.rows + len(rows)
        # Most models have nothing but numbers, and all of them are watched.
        same = rows.shape[1] == len(self._columns) and self._binning.in_order
        self._numbers[start:end] = rows if same else rows.take(self._columns, axis=1)
        if self._score_column is not None:
            self._scores[start:end] = (
                np.nan if probabilities is None else probabilities[:, self._score_column]
            )
        if self._classes:
            if probabilities is None or predicted is None:
                raise ValueError("quality cannot be estimated without probabilities")
            self._probabilities[start:end] = probabilities
            self._predicted[start:end] = predicted
        if self._binning.has_names:
            self.codes += self._binning.codes(rows)
        self.rows = end

    def values(self) -> Floats:
        """Return the numbers, and the scores behind them, one line per feature."""
        numbers = self._numbers[: self.rows].T
        if self._score_column is None:
            return np.ascontiguousarray(numbers)
        return np.vstack([numbers, self._scores[: self.rows]])

    def answers(self) -> tuple[Floats, Indexes]:
        """Return probabilities, shape (n, classes), and predictions, (n,)."""
        return self._probabilities[: self.rows], self._predicted[: self.rows]

    def clear(self) -> None:
        """Forget the rows."""
        self.rows = 0
        self.codes.clear()


class Window:
    """Sums of the last counts, all of one shape, over at least `WINDOW_ROWS` rows if there were so many."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._slots: deque[tuple[int, Counts]] = deque()
        self._closed_rows = 0
        self._open, self._open_rows = self._empty(), 0

    @property
    def rows(self) -> int:
        """Rows in the window."""
        return self._closed_rows + self._open_rows

    def add(self, counts: Counts, rows: int) -> None:
        """Take in the counts of some rows."""
        self._open += counts
        self._open_rows += rows
        if self._open_rows < WINDOW_ROWS // _SLOTS:
            return
        self._slots.append((self._open_rows, self._open))
        self._closed_rows += self._open_rows
        self._open, self._open_rows = self._empty(), 0
        while self._closed_rows - self._slots[0][0] >= WINDOW_ROWS:
            self._closed_rows -= self._slots.popleft()[0]

    def counts(self) -> Counts:
        """Return the sums."""
        total = self._open.copy()
        for _, counts in self._slots:
            total += counts
        return total

    def _empty(self) -> Counts:
        return np.zeros(self._shape, dtype=np.int64)


def trained(watched: Sequence[Watched]) -> Counts:
    """Return the rows of the reference by bin, shape (size, MAX_BINS)."""
    counts = np.zeros((len(watched), MAX_BINS), dtype=np.int64)
    for place, entry in enumerate(watched):
        counts[place, : len(entry.counts)] = entry.counts
        if isinstance(entry, Categorical):
            counts[place, OTHER] = entry.other
        counts[place, MISSING] = entry.missing
    return counts


def _bin_of(value: object, bins: Mapping[str, int]) -> int:
    text = category_of(value)
    return MISSING if text is None else bins.get(text, OTHER)
