"""The models whose trials are simulated: binormal scores, and the cells that their rows fall into.

Scores of positive rows are N(separation, 1), of negative ones N(0, 1); a row is predicted positive
from the threshold on. A canary is better or worse through its separation; threshold and score bins
are stable's, as those of a real trial are settled when it begins. So is what a score means as a
probability: stable is calibrated, and a worse canary is surer than it may be.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import logit, ndtr

from assay.judge.metrics.losses import GRID_LIMIT

Floats = npt.NDArray[np.float64]

BINS = 64
"""Score bins. Quantiles waste none: what they hide is a thirtieth of the standard error."""

PROBABILITY_BINS = 256
"""Score bins where probabilities count: uniform in log-odds, as the judge's losses read them."""

COARSENING = 2
"""Bins that are merged in what is remembered of earlier moments, as in a real trial."""

TAIL = 7.0
"""Standard deviations beyond which there are no scores."""

_FLAT = 1e-6
"""Separation below which scores say nothing."""


@dataclass(frozen=True)
class ScoreModel:
    """How a model's scores are distributed.

    Attributes
    ----------
    separation
        Distance of the classes' mean scores, in standard deviations of either.
    threshold
        From this score on a row is predicted positive.
    prevalence
        Share of the rows that are positive, in (0, 1).
    """

    separation: float
    threshold: float
    prevalence: float

    def separated_by(self, separation: float) -> "ScoreModel":
        """Return the model with another separation."""
        return replace(self, separation=separation)


@dataclass(frozen=True, eq=False)
class Grid:
    """Score bins.

    Attributes
    ----------
    edges
        Ascending, with infinite ends, (B + 1,). One of them is the threshold.
    first
        Index of the first bin that is predicted positive.
    """

    edges: Floats
    first: int

    @property
    def bins(self) -> int:
        """Number of bins B."""
        return len(self.edges) - 1


def grid_of(model: ScoreModel, bins: int = BINS) -> Grid:
    """Return the quantiles of the even mixture of both classes' scores; one gives way to the threshold.

    Two bins are split by the threshold alone: all that the confusion matrix asks for.
    """
    if bins == 2:
        return Grid(np.array([-np.inf, model.threshold, np.inf]), 1)
    scores = np.linspace(min(0.0, model.separation) - TAIL, max(0.0, model.separation) + TAIL, 8001)
    mixture = 0.5 * (ndtr(scores) + ndtr(scores - model.separation))
    return _around_threshold(np.interp(np.arange(1, bins) / bins, mixture, scores), model)


def probability_grid_of(model: ScoreModel, bins: int = PROBABILITY_BINS) -> Grid:
    """Return bins uniform in the log-odds of being positive; one edge gives way to the threshold.

    Of a row with score x they are ``separation * x - separation^2 / 2 + logit(prevalence)``.
    """
    odds = np.linspace(-GRID_LIMIT, GRID_LIMIT, bins + 1)[1:-1]
    slope = max(model.separation, _FLAT)
    inner = (odds - float(logit(model.prevalence)) + slope * slope / 2.0) / slope
    return _around_threshold(inner, model)


def _around_threshold(inner: Floats, model: ScoreModel) -> Grid:
    nearest = int(np.argmin(np.abs(inner - model.threshold)))
    inner[nearest] = model.threshold
    return Grid(np.concatenate([[-np.inf], inner, [np.inf]]), nearest + 1)


def score_cells(model: ScoreModel, grid: Grid) -> Floats:
    """Return the chance of each cell, (2 B,): positive rows per bin, then negative rows per bin."""
    return np.concatenate(
        [
            model.prevalence * np.diff(ndtr(grid.edges - model.separation)),
            (1.0 - model.prevalence) * np.diff(ndtr(grid.edges)),
        ]
    )


def confusion_cells(
    separation: float | Floats, threshold: float | Floats, prevalence: float
) -> Floats:
    """Return the chances of (tn, fp, fn, tp), (..., 4)."""
    hit, alarm = ndtr(np.subtract(separation, threshold)), ndtr(np.negative(threshold))
    hit, alarm = np.broadcast_arrays(hit, alarm)
    return np.stack(
        [
            (1.0 - prevalence) * (1.0 - alarm),
            (1.0 - prevalence) * alarm,
            prevalence * (1.0 - hit),
            prevalence * hit,
        ],
        axis=-1,
    )


def confusion_of(scores: Floats, first: int) -> Floats:
    """Sum score cells (..., 2 B) to (tn, fp, fn, tp), (..., 4)."""
    middle = scores.shape[-1] // 2
    positive, negative = scores[..., :middle], scores[..., middle:]
    return np.stack(
        [
            negative[..., :first].sum(axis=-1),
            negative[..., first:].sum(axis=-1),
            positive[..., :first].sum(axis=-1),
            positive[..., first:].sum(axis=-1),
        ],
        axis=-1,
    )


def coarser(scores: Floats) -> Floats:
    """Merge neighbouring bins of score cells (..., 2 B)."""
    merged: Floats = scores.reshape(*scores.shape[:-1], -1, COARSENING).sum(axis=-1)
    return merged
