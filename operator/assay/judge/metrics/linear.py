"""Metrics that are a mean over rows: every cell has a loss, the same for all its rows."""

import abc

import numpy as np
from typing_extensions import override

from assay.judge.metrics.metric import Component, Floats

LEAST = 0.005
"""Part of a unit of loss below which a mean is not trusted to tell how rows vary.

As accuracy above .995: see `assay.judge.metrics.metric.SPREAD_RANGE`.
"""


class Linear(Component):
    """The mean loss of the rows; less is better."""

    name: str

    @abc.abstractmethod
    def losses(self, size: int) -> Floats:
        """Loss of a row of each of C cells."""

    @property
    def unit(self) -> float:
        """The smallest loss that matters."""
        return 1.0

    @override
    def value(self, cells: Floats) -> Floats:
        result: Floats = (cells @ self.losses(cells.shape[-1])) / cells.sum(axis=-1)
        return result

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        total = shares.sum(axis=-1, keepdims=True)
        excess = self.losses(shares.shape[-1]) - self.value(shares)[..., None]
        result: Floats = excess / total
        return result

    @override
    def spread(self, value: Floats) -> Floats:
        """Go with the loss itself: rare large losses make both the mean and the variance."""
        return np.maximum(value, LEAST * self.unit)
