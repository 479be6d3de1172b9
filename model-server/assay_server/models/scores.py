"""What a model says about rows, and what its scores mean."""

import enum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""Shape (n, d): float64, or objects when some columns hold text; what is missing is NaN."""

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]


class ScoreKind(enum.StrEnum):
    """What a score of a class is. Scores of different kinds do not compare."""

    PROBABILITY = "Probability"
    DECISION = "Decision"
    """Any number that grows with the class's chances: a distance, a sum of votes."""


class EngineName(enum.StrEnum):
    """What computes the scores."""

    COMPILED = "compiled"
    SCIKIT_LEARN = "scikit-learn"
    ONNX = "onnx"


class Scores(NamedTuple):
    """Answers for n rows.

    Attributes
    ----------
    predicted
        Index into `Scorer.classes` of each row's prediction, shape (n,).
    probabilities
        Probability of each class, shape (n, K); None if the model has none.
    decisions
        What `decision_function` gives, shape (n,) or (n, width); None if it is not served.
    contributions
        What each column adds to the scores, if somebody asked: see `Scorer.contributions`.
    """

    predicted: Indexes
    probabilities: Floats | None
    decisions: Floats | None = None
    contributions: Floats | None = None

    def part(self, start: int, stop: int) -> "Scores":
        """Return the scores of the rows from `start` up to `stop`."""
        probabilities, decisions = self.probabilities, self.decisions
        return Scores(
            self.predicted[start:stop],
            None if probabilities is None else probabilities[start:stop],
            None if decisions is None else decisions[start:stop],
        )


class Engine(Protocol):
    """What computes scores: compiled arithmetic, scikit-learn or onnxruntime.

    Attributes
    ----------
    decision_width
        Columns of `Scores.decisions`: 1 for shape (n,), 0 if there are none.
    """

    @property
    def name(self) -> EngineName: ...  # noqa: D102
    @property
    def has_probabilities(self) -> bool: ...  # noqa: D102
    @property
    def decision_width(self) -> int: ...  # noqa: D102

    def score(self, rows: Rows, *, rule: bool = True) -> Scores:
        """Score rows, n >= 1. Raises whatever the model raises.

        `rule` False: `predicted` is not looked at, because a threshold decides.
        """
        ...
