"""Arithmetic on columns of numbers, each by itself: what scalers and imputers come down to."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from assay_server.models.scores import Floats, Indexes


class CannotCompileError(Exception):
    """A model, or a part of one, is not among what is compiled; the message says what."""


class Affine(NamedTuple):
    """x becomes `(x - centre) * factor + offset`, column by column.

    The centre is kept apart: folded into the offset it would cost digits where a column lies far
    from 0 (years, timestamps), because there both cancel.
    """

    centre: Floats
    factor: Floats
    offset: Floats

    @classmethod
    def identity(cls, width: int) -> "Affine":
        """Return what changes nothing."""
        return cls(np.zeros(width), np.ones(width), np.zeros(width))


class Step(Protocol):
    """Changes each column of a table of shape (n, d) by itself."""

    def __call__(self, table: Floats) -> Floats:
        """Return the changed table; the one given may be overwritten."""
        ...

    def take(self, columns: Indexes | slice) -> "Step":
        """Return the step for some of the columns."""
        ...

    def onto(self, before: Affine) -> Affine | None:
        """Return `before` and then this step as one affine step; None if it is not affine."""
        ...


class Arithmetic:
    """One of add, subtract, multiply, divide, with a number of its own for each column."""

    def __init__(self, operation: np.ufunc, vector: Floats) -> None:
        self._operation = operation
        self._vector = np.asarray(vector, dtype=np.float64)

    def __call__(self, table: Floats) -> Floats:
        """Compute in place, with scikit-learn's operation to the last bit."""
        result: Floats = self._operation(table, self._vector, out=table)
        return result

    def take(self, columns: Indexes | slice) -> "Arithmetic":
        """Return the step for some of the columns."""
        return Arithmetic(self._operation, self._vector[columns])

    def onto(self, before: Affine) -> Affine:
        """Return `before` and then this step as one affine step."""
        centre, factor, offset = before
        if self._operation in {np.multiply, np.divide}:
            return Affine(
                centre,
                self._operation(factor, self._vector),
                self._operation(offset, self._vector),
            )
        if self._operation is np.subtract and np.all(factor == 1.0) and not offset.any():
            return Affine(centre + self._vector, factor, offset)
        return Affine(centre, factor, self._operation(offset, self._vector))


class Clip:
    """Not below `low`, not above `high`."""

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high

    def __call__(self, table: Floats) -> Floats:
        """Clip in place."""
        return np.clip(table, self._low, self._high, out=table)

    def take(self, columns: Indexes | slice) -> "Clip":  # noqa: ARG002 - alike for all
        """Return the step for some of the columns."""
        return self

    def onto(self, before: Affine) -> None:  # noqa: ARG002
        """Say that it is not affine."""
        return


class Fill:
    """What is missing becomes the column's own value."""

    def __init__(self, vector: Floats, missing: float) -> None:
        self._vector = np.asarray(vector, dtype=np.float64)
        self._missing = missing

    def __call__(self, table: Floats) -> Floats:
        """Fill in place."""
        np.copyto(table, self._vector, where=is_missing(table, self._missing))
        return table

    def take(self, columns: Indexes | slice) -> "Fill":
        """Return the step for some of the columns."""
        return Fill(self._vector[columns], self._missing)

    def onto(self, before: Affine) -> None:  # noqa: ARG002
        """Say that it is not affine."""
        return


class Indicate:
    """1 where a value is missing, else 0."""

    def __init__(self, missing: float) -> None:
        self._missing = missing

    def __call__(self, table: Floats) -> Floats:
        """Return a table of zeros and ones."""
        return is_missing(table, self._missing).astype(np.float64)

    def take(self, columns: Indexes | slice) -> "Indicate":  # noqa: ARG002 - alike for all
        """Return the step for some of the columns."""
        return self

    def onto(self, before: Affine) -> None:  # noqa: ARG002
        """Say that it is not affine."""
        return


def is_missing(table: Floats, missing: float) -> NDArray[np.bool_]:
    """Return where a table holds the value that stands for missing ones."""
    found: NDArray[np.bool_] = np.isnan(table) if np.isnan(missing) else table == missing
    return found
