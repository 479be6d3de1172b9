"""Calibration: rows with a probability of .7 should turn out positive in 70 % of the cases.

Bins are ten of equal width, as scikit-learn's ``calibration_curve``. The expected calibration error
(ECE) is the mean distance between probability and frequency, weighted by the rows of the bins
(Naeini, Cooper, Hauskrecht, 2015); of several classes that of the most likely class (Guo et al., On
calibration of modern neural networks, 2017).

An ECE has no honest interval: chance alone makes it positive, the more so the fewer rows there are.
Instead it comes with what a perfectly calibrated model of the same scores would show by chance
(consistency: Broecker, Smith, Increasing the reliability of reliability diagrams, 2007).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay_workbench import intervals
from assay_workbench.intervals import Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS = 10
_DRAWS = 20_000
_SEED = 20_070_101
"""Of the chance in `by_chance`, so that the same rows give the same report."""

_EDGES = np.linspace(0.0, 1.0, BINS + 1)


class Calibration:
    """Sums by bin of the probability of one event.

    Attributes
    ----------
    rows, scores, hits, variance
        By bin: rows, sum of the probabilities p, rows where the event happened, sum of p (1 - p).
    """

    def __init__(self) -> None:
        self.rows = np.zeros(BINS)
        self.scores = np.zeros(BINS)
        self.hits = np.zeros(BINS)
        self.variance = np.zeros(BINS)

    def add(self, probabilities: Floats, happened: Bools) -> None:
        """Count rows, (n,) each."""
        places = np.searchsorted(_EDGES[1:-1], probabilities)

        def summed(weights: Floats) -> Floats:
            return np.bincount(places, weights=weights, minlength=BINS).astype(np.float64)

        self.rows += np.bincount(places, minlength=BINS)
        self.scores += summed(probabilities)
        self.hits += summed(happened.astype(np.float64))
        self.variance += summed(probabilities * (1.0 - probabilities))

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float(np.abs(self.hits - self.scores).sum() / self.rows.sum())

    def by_chance(self, confidence: float) -> float:
        """Return the ECE that a calibrated model of these scores stays below with this chance."""
        noise = np.random.default_rng(_SEED).standard_normal((_DRAWS, BINS))
        errors = np.abs(noise * np.sqrt(self.variance)).sum(axis=1) / self.rows.sum()
        return float(np.quantile(errors, confidence))

    def points(self, confidence: float) -> tuple["Point", ...]:
        """Return the curve: the bins that have rows."""
        return tuple(
            Point(
                float(_EDGES[bin_]),
                float(_EDGES[bin_ + 1]),
                int(self.rows[bin_]),
                float(self.scores[bin_] / self.rows[bin_]),
                float(self.hits[bin_] / self.rows[bin_]),
                intervals.wilson(float(self.hits[bin_]), float(self.rows[bin_]), confidence),
            )
            for bin_ in np.nonzero(self.rows)[0]
        )


@dataclass(frozen=True)
class Point:
    """One bin of a calibration curve.

    Attributes
    ----------
    low, high
        The bin: probabilities above `low`, up to `high`.
    predicted, observed
        Mean probability, and share of the rows where the event happened.
    interval
        Of `observed`.
    """

    low: float
    high: float
    rows: int
    predicted: float
    observed: float
    interval: Interval
