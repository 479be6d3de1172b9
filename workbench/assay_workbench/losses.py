"""Losses of probabilities, row by row: log loss and Brier score, as scikit-learn's."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]

LOSSES = ("LogLoss", "Brier")

_LEAST = float(np.finfo(np.float64).eps)
"""A probability below counts as this: log loss is at most 36.04 a row."""


def of_rows(labels: Indexes, probabilities: Floats) -> Floats:
    """Return log loss and Brier score of each row, (n, 2).

    Brier is the squared error of the positive class where there are two, and the sum over the
    classes where there are more (0 to 2), as scikit-learn has it.
    """
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), labels]
    log_loss = -np.log(np.clip(own, _LEAST, 1.0 - _LEAST))
    squares = (probabilities**2).sum(axis=1) - own**2 + (1.0 - own) ** 2
    return np.column_stack([log_loss, squares if classes > 2 else 0.5 * squares])


def impossible(labels: Indexes, probabilities: Floats) -> int:
    """Return how many rows have a true class that was given no probability at all."""
    own = probabilities[np.arange(labels.size), labels]
    return int((own < _LEAST).sum())
