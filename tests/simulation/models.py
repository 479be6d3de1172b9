"""The models whose trials are simulated: binormal scores, and what cells they fill.

Positives score N(separation, 1), negatives N(0, 1). A canary is worse through its separation; the
threshold and the score bins are those of stable, frozen when the trial began.
"""

import functools
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import logit, ndtr
from scipy.stats import norm

from tests.simulation.values import Floats, Value, accuracy, f1

SEPARATION = float(np.sqrt(2.0) * norm.ppf(0.9))
"""Of stable: AUC .9."""

BINS = 256


def confusion(separation: float, prevalence: float, threshold: float | Floats) -> Floats:
    """Chances of (tn, fp, fn, tp), (..., 4)."""
    hit, alarm = ndtr(separation - threshold), ndtr(-np.asarray(threshold))
    return np.stack(
        [
            (1.0 - prevalence) * (1.0 - alarm),
            (1.0 - prevalence) * alarm,
            prevalence * (1.0 - hit),
            prevalence * hit,
        ],
        axis=-1,
    )


@functools.cache
def best_threshold(prevalence: float) -> float:
    """Where stable's F1 is largest."""
    grid = np.linspace(-1.0, 5.0, 6001)
    return float(grid[np.argmax(f1(confusion(SEPARATION, prevalence, grid)))])


@functools.cache
def edges(bins: int = BINS, separation: float = SEPARATION) -> Floats:
    """Quantiles of the even mixture of stable's positive and negative scores, with open ends."""
    grid = np.linspace(-7.0, separation + 7.0, 200_001)
    mixture = 0.5 * (norm.cdf(grid) + norm.cdf(grid - separation))
    inner = np.interp(np.arange(1, bins) / bins, mixture, grid)
    return np.concatenate([[-np.inf], inner, [np.inf]])


def histogram(separation: float, prevalence: float, grid: Floats) -> Floats:
    """Chances of positives per bin, then of negatives per bin."""
    return np.concatenate(
        [
            prevalence * np.diff(norm.cdf(grid - separation)),
            (1.0 - prevalence) * np.diff(norm.cdf(grid)),
        ]
    )


def calibrated(separation: float, prevalence: float, bins: int = BINS) -> Floats:
    """Score cells of a calibrated model, on the grid of the losses: uniform in log-odds."""
    grid = np.linspace(-12.0, 12.0, bins + 1)
    grid[0], grid[-1] = -np.inf, np.inf
    middle, half = float(logit(prevalence)), separation * separation / 2.0
    return np.concatenate(
        [
            prevalence * np.diff(ndtr((grid - middle - half) / separation)),
            (1.0 - prevalence) * np.diff(ndtr((grid - middle + half) / separation)),
        ]
    )


def to_confusion(histograms: Floats, first: int) -> Floats:
    """(tn, fp, fn, tp) of score cells (..., 2 B) when bins from `first` on are predicted positive."""
    middle = histograms.shape[-1] // 2
    positive, negative = histograms[..., :middle], histograms[..., middle:]
    return np.stack(
        [
            negative[..., :first].sum(axis=-1),
            negative[..., first:].sum(axis=-1),
            positive[..., :first].sum(axis=-1),
            positive[..., first:].sum(axis=-1),
        ],
        axis=-1,
    )


def degraded(
    cells: Callable[[float], Floats], value: Value, effect: float, lowest: float = -4.0
) -> Floats:
    """Cells of the model whose metric is `effect` below stable's; `cells` maps a separation."""
    aim = float(value(cells(SEPARATION))) - effect
    if effect == 0.0:
        return cells(SEPARATION)
    return cells(float(brentq(lambda s: float(value(cells(s))) - aim, lowest, SEPARATION + 4.0)))


def even(separation: float) -> Floats:
    """(tn, fp, fn, tp) of a model where half of the rows are positive."""
    return confusion(separation, 0.5, best_threshold(0.5))


def f1_arms(effect: float) -> tuple[Floats, Floats]:
    """Stable's cells where half of the rows are positive, and a canary's whose F1 is `effect` lower."""
    return even(SEPARATION), degraded(even, f1, effect)


def relevant_f1(value: float, relevant: float = 0.55, false_alarms: float = 0.5) -> Floats:
    """Cells of a given F1 when `relevant` rows are positive or predicted so.

    `false_alarms` is the part of the errors that are false positives.
    """
    hit = relevant * value / (2.0 - value)
    wrong = relevant - hit
    return np.array([1.0 - relevant, false_alarms * wrong, (1.0 - false_alarms) * wrong, hit])


def ranked(value: float, prevalence: float = 0.5, bins: int = BINS) -> Floats:
    """Score cells of a given AUC, on a fixed grid."""
    grid = np.concatenate([[-np.inf], np.linspace(-4.0, 8.0, bins - 1), [np.inf]])
    return histogram(float(np.sqrt(2.0) * norm.ppf(value)), prevalence, grid)


def correct(value: float) -> Floats:
    """(correct, wrong) of a given accuracy."""
    cells = np.array([value, 1.0 - value])
    assert abs(float(accuracy(cells)) - value) < 1e-12
    return cells


def classes(hit: float, prevalence: tuple[float, ...]) -> Floats:
    """K x K cells, flattened: a class is met with chance `hit`, errors fall by prevalence."""
    shares = np.array(prevalence)
    spread = np.tile(shares, (len(shares), 1))
    np.fill_diagonal(spread, 0.0)
    spread /= spread.sum(axis=1, keepdims=True)
    matrix = shares[:, None] * ((1.0 - hit) * spread + hit * np.eye(len(shares)))
    return matrix.ravel()


def classes_of(value: Value, aim: float, prevalence: tuple[float, ...]) -> Floats:
    """K x K cells for which `value` is `aim`."""
    hit = brentq(lambda h: float(value(classes(h, prevalence))) - aim, 0.05, 1.0)
    return classes(float(hit), prevalence)
