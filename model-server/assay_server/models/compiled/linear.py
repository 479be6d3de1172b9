"""Weighted sums of features, with as much as possible folded into the weights beforehand."""

from typing import Protocol

import numpy as np

from assay_server.models.compiled.blocks import Block, Features, OneHot, Plain, Source
from assay_server.models.compiled.steps import Affine, Step
from assay_server.models.scores import Floats, Rows


class Sum(Protocol):
    """A weighted sum of features: rows to decisions, shape (n, K), or (n,) for one."""

    def __call__(self, rows: Rows) -> Floats:
        """Return the sums. Raises ValueError for values that the model refuses."""
        ...


class Stepwise:
    """Every step as scikit-learn does it, then the weights."""

    def __init__(self, features: Features, weights: Floats, bias: Floats) -> None:
        self._features = features
        self._weights = np.ascontiguousarray(weights)
        self._bias = bias

    def __call__(self, rows: Rows) -> Floats:
        """Return the sums."""
        return _product(self._features.matrix(rows), self._weights) + self._bias


class Folded:
    """Scales folded into the weights, centres kept apart, one-hot columns looked up."""

    def __init__(self, features: Features, weights: Floats, bias: Floats) -> None:
        self._terms: list[Sum] = []
        bias = np.array(bias, dtype=np.float64)
        for block, columns in zip(features.blocks, features.slices(), strict=True):
            kept, affine = _split(block)
            part = weights[..., columns]
            scaled = part * affine.factor
            bias = bias + _product(affine.offset, part)
            if isinstance(block.source, OneHot) and not kept:
                bias = bias - _product(affine.centre, scaled)
                self._terms.append(_Looked(block.source, scaled))
            else:
                self._terms.append(_Weighted(block.source, kept, affine.centre, scaled))
        self._bias = bias

    def __call__(self, rows: Rows) -> Floats:
        """Return the sums."""
        first, *others = self._terms
        total = first(rows)
        for term in others:
            total = total + term(rows)
        result: Floats = total + self._bias
        return result


class _Weighted:
    """A block's part of the sum."""

    def __init__(
        self, source: Source, steps: tuple[Step, ...], centre: Floats, weights: Floats
    ) -> None:
        self._block = Block(source, steps)
        self._centre = centre if centre.any() else None
        self._weights = np.ascontiguousarray(weights)
        # Rows of numbers are not copied before their first step, which must not overwrite them.
        self._rows = isinstance(source, Plain) and source.all and not steps

    def __call__(self, rows: Rows) -> Floats:
        as_they_are = self._rows and rows.dtype == np.float64
        table = rows if as_they_are else self._block.matrix(rows)
        if self._centre is not None:
            table = table - self._centre
        return _product(table, self._weights)


class _Looked:
    """A one-hot encoder's part of the sum: the weights of the categories, added up."""

    def __init__(self, source: OneHot, weights: Floats) -> None:
        self._source = source
        # One more row, for no category.
        self._weights = np.zeros((source.width + 1, *weights.shape[:-1]))
        self._weights[:-1] = weights.T

    def __call__(self, rows: Rows) -> Floats:
        total: Floats = self._weights[self._source.places(rows)].sum(axis=1)
        return total


def _split(block: Block) -> tuple[tuple[Step, ...], Affine]:
    """Return the steps that must be kept, and all those after them as one affine step."""
    kept = len(block.steps)
    affine = Affine.identity(block.width)
    for place in reversed(range(len(block.steps))):
        folded = _affine(block.steps[place:], block.width)
        if folded is None:
            break
        kept, affine = place, folded
    return block.steps[:kept], affine


def _affine(steps: tuple[Step, ...], width: int) -> Affine | None:
    affine: Affine | None = Affine.identity(width)
    for step in steps:
        if affine is None:
            return None
        affine = step.onto(affine)
    return affine


def _product(table: Floats, weights: Floats) -> Floats:
    """Return `table @ weights.T`, each row by itself.

    A matrix product sums in another order for other numbers of rows. Then an answer would depend
    in its last digit on what arrived at the same time.
    """
    if weights.ndim == 1:
        result: Floats = np.vecdot(table, weights)
    else:
        result = np.vecdot(table[..., np.newaxis, :], weights)
    return result
