"""Whether a compiled model gives scikit-learn's answers: both are asked about many random rows.

Rows are drawn around the model's own scales: where its scalers have their centres, as far out as
they reach and much further, one column alone and all at once, with values missing, and with
categories that the model knows and that it does not.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from assay_server.models.columns import Columns
from assay_server.models.scores import Engine, Floats, Rows, Scores

TOLERANCE = 1e-9
"""The most by which a probability may differ; decisions beyond 1 relatively."""

_ROWS = 256
# By which multiples of a column's scale its values differ from its centre: the usual, the odd, and
# what saturates a model.
_SPREADS = (0.1, 1.0, 3.0, 30.0, 1e3)
_SPIKES = (1e3, 1e6)
_MISSING = 0.1
_UNKNOWN_TEXT = ("", "no category of yours", "0")
_UNKNOWN_NUMBERS = (0.5, -1.0, 1e6)
# Columns of which each kind of refusal is tried.
_REFUSALS = 8


class NotEqualError(Exception):
    """The compiled model differs from scikit-learn; the message says how, never for which row."""


def prove(
    compiled: Engine, original: Engine, columns: Columns, missing: frozenset[int] = frozenset()
) -> int:
    """Compare two engines; return on how many rows they agreed.

    `missing` are the columns that may be missing.

    Raises
    ------
    NotEqualError
        When a class, a probability or a decision differs by more than rounding can explain, or
        one of the two refuses what the other answers.
    """
    rows = _RandomRows(columns, missing)
    agreed = 0
    for batch in rows.usual():
        # Nothing that both refuse proves anything, so such rows are looked for one by one.
        if not _agree(compiled, original, batch):
            for place in range(len(batch)):
                agreed += _agree(compiled, original, batch[place : place + 1])
        else:
            agreed += len(batch)
    for row in rows.odd():
        agreed += _agree(compiled, original, row)
    if agreed < _ROWS:
        raise NotEqualError("scikit-learn refuses nearly all rows that were tried")
    return agreed


def _agree(compiled: Engine, original: Engine, rows: Rows) -> bool:
    """Return True if both answer alike, False if both refuse. Raises NotEqualError."""
    found, expected = _answer(compiled, rows), _answer(original, rows)
    if found is None or expected is None:
        if len(rows) == 1 and found is not expected:
            raise NotEqualError("one refuses a row that the other answers")
        return False
    _near(found.probabilities, expected.probabilities)
    _near(found.decisions, expected.decisions)
    differ = found.predicted != expected.predicted
    if (differ & ~_tied(expected)).any():
        raise NotEqualError("another class is predicted")
    return True


def _answer(engine: Engine, rows: Rows) -> Scores | None:
    """Return finite scores; None for a refusal, and nothing but numbers is ever served."""
    try:
        scores = engine.score(rows)
    except ValueError:
        return None
    given = (scores.probabilities, scores.decisions)
    finite = all(each is None or np.isfinite(each).all() for each in given)
    return scores if finite else None


def _near(found: Floats | None, expected: Floats | None) -> None:
    if found is None or expected is None or found.shape != expected.shape:
        if found is not expected:
            raise NotEqualError("scores of another shape")
        return
    distance = np.abs(found - expected)
    if (distance > TOLERANCE * np.maximum(1.0, np.abs(expected))).any():
        raise NotEqualError(f"scores differ by {distance.max():.1e}")


def _tied(scores: Scores) -> NDArray[np.bool_]:
    """Return where two classes are so close that rounding decides between them."""
    given = scores.decisions if scores.decisions is not None else scores.probabilities
    if given is None:
        return np.zeros(len(scores.predicted), dtype=np.bool_)
    tied: NDArray[np.bool_]
    if given.ndim == 1:
        tied = np.abs(given) <= TOLERANCE
    else:
        top = np.partition(given, -2, axis=1)[:, -2:]
        tied = top[:, 1] - top[:, 0] <= TOLERANCE * np.maximum(1.0, np.abs(top[:, 1]))
    return tied


class _RandomRows:
    """Rows for one model, the same at every start."""

    def __init__(self, columns: Columns, missing: frozenset[int]) -> None:
        self._random = np.random.default_rng(0)
        self._columns = columns
        self._width = columns.features or 1
        self._text = columns.text
        self._missing = sorted(missing)
        self._centres, self._scales = np.zeros(self._width), np.ones(self._width)
        for column, (centre, scale) in columns.scales.items():
            self._centres[column], self._scales[column] = centre, scale

    def usual(self) -> Iterator[Rows]:
        """Yield batches of rows that the model should take."""
        random, shape = self._random, (_ROWS, self._width)
        for spread in _SPREADS:
            yield self._rows(spread * random.standard_normal(shape))
        yield self._rows(np.round(random.standard_normal(shape)))
        for spike in _SPIKES:
            alone = np.zeros((min(self._width, _ROWS), self._width))
            chosen = random.permutation(self._width)[: len(alone)]
            alone[range(len(alone)), chosen] = spike * random.standard_normal(len(alone))
            yield self._rows(alone)
        yield self._rows(np.zeros((1, self._width)))

    def odd(self) -> Iterator[Rows]:
        """Yield single rows that the model may refuse."""
        categorical = list(self._columns.categories)
        for column in self._some(categorical):
            for value in _UNKNOWN_TEXT if column in self._text else _UNKNOWN_NUMBERS:
                yield self._one(column, value)
        for column in self._some([each for each in categorical if each in self._text]):
            yield self._one(column, 7.0)
        for column in self._some(list(range(self._width))):
            yield self._one(column, math.nan)

    def _one(self, column: int, value: object) -> Rows:
        row = self._rows(self._random.standard_normal((1, self._width)))
        row[0, column] = value
        return row

    def _some(self, columns: list[int]) -> list[int]:
        count = min(len(columns), _REFUSALS)
        return [int(each) for each in self._random.permutation(columns)[:count]]

    def _rows(self, normal: Floats) -> Rows:
        """Return rows of such numbers, with categories where columns hold them."""
        numbers = self._centres + self._scales * normal
        rows: Rows = numbers.astype(object) if self._text else numbers
        for column, values in self._columns.categories.items():
            known = np.empty(len(values), dtype=object)
            known[:] = values
            rows[:, column] = known[self._random.integers(len(known), size=len(rows))]
        if self._missing:
            holes = self._random.random((len(rows), len(self._missing))) < _MISSING
            for place, column in enumerate(self._missing):
                rows[holes[:, place], column] = math.nan
        return rows
