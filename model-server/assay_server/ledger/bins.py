"""The grid of score bins: the only place that knows it on the server's side.

Base bins are uniform in log-odds on [-12, 12], the same for every revision, so that histograms of
two versions compare and sums over members merge. Scores of rare classes crowd near 0, where a grid
uniform in probability would put them all into one bin.

Models whose scores crowd within a few base bins, or beyond all of them, need more. Each base bin
therefore has sub-bins, and receipts and store count by these: *fine bins*, numbered in the order of
scores. Which base bins are exposed by their sub-bins, the counts decide
(`assay_server.ledger.counts`).

Histograms of multiclass models have no sub-bins, and neighbouring base bins are one where classes
are many (`grouped_base`): there are as many histograms as classes squared.

* An inner base bin has 16, equal parts in log-odds.
* Those at the two ends hold all beyond +-11.98 and have 1024 each. They grow by the same factor,
  1.004, from there to +-708.4, the log-odds of the smallest normal double: a model that is too sure
  of itself by whatever factor keeps its relative resolution. 16 of them would hide .07 of the
  difference of two AUCs when log-odds are three times too large and positives rare, 1024 hide .0001
  (`bench/judge/bins.py`).
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

BINS = 1024
SUB_BINS = 16
END_SUB_BINS = 1024
RANGE = 12.0
FARTHEST = 708.4
# Bins that all histograms of one revision and step of a multiclass model have together.
GROUPED_BINS = 16 * BINS

_TOP = BINS - 1
# The first fine bin of base bin 1 and that of the last base bin.
_INNER_START = END_SUB_BINS
_TOP_START = _INNER_START + (BINS - 2) * SUB_BINS
FINE_BINS = _TOP_START + END_SUB_BINS

_END = RANGE - 2.0 * RANGE / BINS
_GROWTH = math.log(FARTHEST / _END) / END_SUB_BINS
_TINY = float(np.finfo(np.float64).tiny)
# No edge is further than so many doubles from where rounded arithmetic puts it.
_NEAR = 4096


def bin_of(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the base bin 0..1023 of each probability: `floor((ln(p/(1-p)) + 12) / 24 * 1024)`.

    Probabilities must be numbers, not NaN.
    """
    place = (_log_odds(probabilities) + RANGE) / (2.0 * RANGE) * BINS
    return np.clip(place, 0, _TOP).astype(np.intp)


def fine_bin_of(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the fine bin 0..18399 of each probability; equal scores share one, order is kept.

    What counts is the probability that the client sees: all that are exactly 1 are ties.
    Probabilities must be numbers, not NaN.
    """
    _, edges = _edges()
    return edges.searchsorted(probabilities, "right")


def fine_bin_of_decision(decisions: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the fine bin of each decision score, which takes the place of log-odds.

    AUC is the same under every increasing map of scores. Decisions must be numbers, not NaN.
    """
    edges, _ = _edges()
    return edges.searchsorted(decisions, "right")


def fine_from_base(base: int) -> int:
    """Return the middle fine bin of a base bin: where a row counts of which no more is known."""
    if base == 0:
        return END_SUB_BINS // 2
    if base == _TOP:
        return _TOP_START + END_SUB_BINS // 2
    return _INNER_START + (base - 1) * SUB_BINS + SUB_BINS // 2


def score_of(fine: int) -> float:
    """Return the middle of a fine bin as a probability."""
    return float(_middles()[fine])


def base_and_sub(fine: int) -> tuple[int, int]:
    """Return the base bin of a fine bin, and which of its sub-bins that is, in order of scores."""
    if fine < _INNER_START:
        return 0, fine
    if fine >= _TOP_START:
        return _TOP, fine - _TOP_START
    base, sub = divmod(fine - _INNER_START, SUB_BINS)
    return base + 1, sub


@cache
def bins_per_group(classes: int) -> int:
    """Return how many neighbouring base bins count as one for a model of so many classes.

    The smallest power of two with which histograms by class and label, `classes`**2 of them, have
    at most `GROUPED_BINS` bins together: 1 up to 4 classes, 8 for 10, 16 for 16.
    """
    group = 1
    while classes * classes * BINS > group * GROUPED_BINS:
        group *= 2
    return group


def grouped_base(fine: int, classes: int) -> int:
    """Return the first base bin of the group to which a fine bin belongs.

    Rows of a group count in its first base bin: to whoever reads the histogram they are ties.
    """
    base, _ = base_and_sub(fine)
    return base - base % bins_per_group(classes)


@cache
def sub_bin_name(base: int, sub: int) -> str:
    """Return the value of the label `bin` for one sub-bin."""
    return f"{base}.{sub}"


@cache
def _edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least log-odds, and the least probabilities, of the fine bins 1, 2, ...

    A search among these is one step where the formula takes fifteen, each longer than a search for
    the few scores of a request. The edges are where the formula steps up, found by bisection among
    neighbouring doubles; so they are exact.
    """
    inner = np.arange((BINS - 2) * SUB_BINS + 1) / SUB_BINS + 1.0
    outer = _END * np.exp(_GROWTH * np.arange(1, END_SUB_BINS))
    log_odds = np.concatenate([-outer[::-1], inner / BINS * (2.0 * RANGE) - RANGE, outer])
    bins = np.arange(1, FINE_BINS)
    near = np.exp(np.minimum(log_odds, 0.0)) / (1.0 + np.exp(-np.abs(log_odds)))
    # Doubles between 0 and 1 are ordered like the integers that their bits spell.
    low = np.maximum(near.view(np.int64) - _NEAR, 0)
    high = np.minimum(near.view(np.int64) + _NEAR, np.float64(1.0).view(np.int64))
    while (high - low > 1).any():
        middle = (low + high) // 2
        above = _fine_by_formula(middle.view(np.float64)) >= bins
        high = np.where(above, middle, high)
        low = np.where(above, low, middle)
    return log_odds, high.view(np.float64)


@cache
def _middles() -> NDArray[np.float64]:
    _, edges = _edges()
    ends: NDArray[np.float64] = np.concatenate([[0.0], edges, [1.0]])
    middles: NDArray[np.float64] = (ends[:-1] + ends[1:]) / 2.0
    return middles


def _fine_by_formula(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    log_odds = _log_odds(probabilities)
    place = (log_odds + RANGE) / (2.0 * RANGE) * BINS
    base = np.clip(place, 0, _TOP).astype(np.intp)
    # A factor of two is exact: the sub-bins of a base bin add up to it to the last digit.
    fine = _INNER_START + np.floor((place - 1.0) * SUB_BINS).astype(np.intp)
    ends = (base == 0) | (base == _TOP)
    out = np.log(np.maximum(np.abs(log_odds[ends]), _END) / _END) / _GROWTH
    steps = np.minimum(out.astype(np.intp), END_SUB_BINS - 1)
    fine[ends] = np.where(base[ends] == 0, _INNER_START - 1 - steps, _TOP_START + steps)
    return fine


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.asarray(probabilities, dtype=np.float64)
    odds: NDArray[np.float64] = np.maximum(p, _TINY) / np.maximum(1.0 - p, _TINY)
    return np.log(odds)
