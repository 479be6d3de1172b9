"""Columns of features and where they come from: taken from the rows, looked up, or multiplied."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from assay_server.models.compiled.lookups import Lookup
from assay_server.models.compiled.steps import CannotCompileError, Fill, Step
from assay_server.models.scores import Floats, Indexes, Rows


class Source(Protocol):
    """Makes a table of numbers from rows."""

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def origins(self) -> Sequence[int]:
        """The column of the rows that each is made of. Raises CannotCompileError if of several."""
        ...

    def matrix(self, rows: Rows) -> Floats:
        """Return shape (n, width), which the caller may overwrite."""
        ...


@dataclass(frozen=True, slots=True)
class Fills:
    """What an imputer puts in the place of a missing value, by column; numbers or text."""

    missing: object
    values: tuple[object, ...]

    def take(self, columns: Sequence[int]) -> "Fills":
        """Return those of some of the columns."""
        return Fills(self.missing, tuple(self.values[column] for column in columns))


class Plain:
    """Columns of the rows as they are.

    `fills` are kept apart until it is known whether the columns are numbers or categories.
    """

    def __init__(self, columns: Sequence[int], of: int, fills: Fills | None = None) -> None:
        self.columns = tuple(columns)
        self.of = of
        self.fills = fills
        self.all = self.columns == tuple(range(of))
        self.width = len(self.columns)
        self.origins = self.columns
        self._places = np.array(self.columns, dtype=np.intp)

    def values(self, rows: Rows) -> Rows:
        """Return the columns, perhaps the rows themselves."""
        return rows if self.all else rows[:, self._places]

    def matrix(self, rows: Rows) -> Floats:
        """Return the columns as numbers. Raises ValueError for text that is none."""
        return np.array(self.values(rows), dtype=np.float64, order="C")


class Mapped:
    """One number per category."""

    def __init__(self, plain: Plain, lookups: Sequence[Lookup]) -> None:
        self._plain = plain
        self._lookups = lookups
        self.width = plain.width
        self.origins = plain.columns

    def matrix(self, rows: Rows) -> Floats:
        """Return the numbers. Raises UnknownCategoryError."""
        table = np.empty((len(rows), self.width))
        columns = self._plain.values(rows).T.tolist()
        for place, (lookup, values) in enumerate(zip(self._lookups, columns, strict=True)):
            table[:, place] = lookup.entries(values)
        return table


class OneHot:
    """A column for each category, of which at most one per input column is 1."""

    def __init__(self, plain: Plain, lookups: Sequence[Lookup], widths: Sequence[int]) -> None:
        self._plain = plain
        self._lookups = lookups
        self.width = sum(widths)
        self.origins = tuple(np.repeat(plain.columns, widths).tolist())

    def places(self, rows: Rows) -> Indexes:
        """Return which columns are 1, shape (n, input columns); `width` stands for none.

        Raises UnknownCategoryError.
        """
        columns = self._plain.values(rows).T.tolist()
        found = [
            lookup.entries(values) for lookup, values in zip(self._lookups, columns, strict=True)
        ]
        return np.array(found, dtype=np.intp).T

    def matrix(self, rows: Rows) -> Floats:
        """Return the columns. Raises UnknownCategoryError."""
        table = np.zeros((len(rows), self.width + 1))
        np.put_along_axis(table, self.places(rows), 1.0, axis=1)
        return table[:, :-1].copy()


class Products:
    """Products of features: polynomials. Each row of `factors` says which features to multiply.

    The place after the last feature stands for 1.
    """

    def __init__(self, features: "Features", factors: Indexes) -> None:
        self._features = features
        self._factors = factors
        self.width = len(factors)

    @property
    def origins(self) -> Sequence[int]:
        """Raise CannotCompileError: products are of several columns."""
        raise CannotCompileError("products of columns have no column of their own")

    def matrix(self, rows: Rows) -> Floats:
        """Return the products. Raises what the features raise."""
        table = self._features.matrix(rows)
        table = np.concatenate([table, np.ones((len(table), 1))], axis=1)
        result: Floats = table[:, self._factors[:, 0]]
        for factor in self._factors.T[1:]:
            result = result * table[:, factor]
        return result


@dataclass(frozen=True)
class Block:
    """A source and the steps that follow, column by column."""

    source: Source
    steps: tuple[Step, ...] = ()

    @property
    def width(self) -> int:
        """How many columns it has."""
        return self.source.width

    def matrix(self, rows: Rows) -> Floats:
        """Return the columns, shape (n, width). Raises what the source raises."""
        table = self.source.matrix(rows)
        for step in self.steps:
            table = step(table)
        return table

    def then(self, step: Step) -> "Block":
        """Return the block with one more step."""
        return Block(self.source, (*self.steps, step))


@dataclass(frozen=True)
class Features:
    """Blocks side by side: what a pipeline has made of its input at some point."""

    blocks: tuple[Block, ...]

    @classmethod
    def of_rows(cls, width: int) -> "Features":
        """Return the input itself."""
        return cls((Block(Plain(range(width), width)),))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(block.width for block in self.blocks)

    def matrix(self, rows: Rows) -> Floats:
        """Return all columns, shape (n, width). Raises what the sources raise."""
        tables = [block.matrix(rows) for block in self.blocks]
        return tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1)

    def slices(self) -> list[slice]:
        """Return which columns each block is."""
        ends = np.cumsum([0, *(block.width for block in self.blocks)]).tolist()
        return [slice(start, stop) for start, stop in itertools.pairwise(ends)]

    def then(self, step: Step) -> "Features":
        """Return the features with one more step, which has one number for each column."""
        return Features(
            tuple(
                block.then(step.take(columns))
                for block, columns in zip(self.blocks, self.slices(), strict=True)
            )
        )

    def numbers(self) -> "Features":
        """Return the features with fills of plain columns as a step: they are used as numbers.

        Raises ValueError if one of the fills is text.
        """
        return Features(tuple(_as_numbers(block) for block in self.blocks))

    def origins(self) -> list[int]:
        """Return the column of the input that each is made of.

        Raises CannotCompileError if one is made of several.
        """
        return [origin for block in self.blocks for origin in block.source.origins]

    def untouched(self) -> Plain | None:
        """Return the input columns that these features are, if nothing was computed yet."""
        if len(self.blocks) != 1 or self.blocks[0].steps:
            return None
        source = self.blocks[0].source
        return source if isinstance(source, Plain) else None


def _as_numbers(block: Block) -> Block:
    source = block.source
    if not isinstance(source, Plain) or source.fills is None:
        return block
    fills = source.fills
    values = np.array([float(value) for value in fills.values])  # type: ignore[arg-type]
    step = Fill(values, float(fills.missing))  # type: ignore[arg-type]
    return Block(Plain(source.columns, source.of), (step, *block.steps))
