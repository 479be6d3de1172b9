"""Confidence intervals of one fixed sample: which kind for which figure, and where it comes from.

These are the intervals of a file that is looked at once. The bands of a live trial are wider,
because a trial is looked at all the time (docs/statistics.md).
"""

import enum
import math
from dataclasses import dataclass

from scipy.special import expit, logit, ndtri


class Kind(enum.StrEnum):
    """How an interval was made."""

    WILSON = "Wilson"
    """Of a share of rows: accuracy, precision, recall."""
    WILSON_F1 = "WilsonF1"
    """F1 = 2J / (1 + J) of the share J = TP / (TP + FP + FN), so J's Wilson interval carried over."""
    LOGIT = "Logit"
    """Delta method (DeLong for ROC AUC) on the log-odds of the figure, which stays within 0 and 1."""
    NORMAL = "Normal"
    """Mean -/+ quantile x standard error, of losses, costs and paired differences."""


SOURCES = {
    Kind.WILSON: "Wilson (1927); Brown, Cai, DasGupta, Interval estimation for a binomial proportion (2001)",
    Kind.WILSON_F1: "Wilson (1927) for TP/(TP+FP+FN), of which F1 is a function; docs/statistics.md",
    Kind.LOGIT: "DeLong et al. (1988) for ROC AUC, delta method for the others; logit: Pepe, The statistical evaluation of medical tests (2003); Boyd, Eng, Page (2013) for average precision",
    Kind.NORMAL: "central limit theorem; of paired differences: variance of the differences of each row's influence, as the judge's judge_pairs (docs/statistics.md)",
}
"""Where each kind comes from."""


@dataclass(frozen=True)
class Interval:
    """From `lower` to `upper`."""

    lower: float
    upper: float
    kind: Kind


def quantile(confidence: float) -> float:
    """Two-sided quantile of the standard normal: 1.96 for .95."""
    return float(ndtri(0.5 + 0.5 * confidence))


def wilson(successes: float, trials: float, confidence: float) -> Interval:
    """Wilson's score interval of a share; `trials` > 0."""
    z = quantile(confidence)
    share = successes / trials
    centre = share + z * z / (2.0 * trials)
    half = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    scale = 1.0 + z * z / trials
    # At the ends the share itself is the limit, which rounding would miss.
    lower = 0.0 if successes <= 0.0 else (centre - half) / scale
    upper = 1.0 if successes >= trials else (centre + half) / scale
    return Interval(lower, upper, Kind.WILSON)


def wilson_f1(hits: float, errors: float, confidence: float) -> Interval:
    """Wilson's interval of J = TP / (TP + FP + FN), carried over to F1."""
    share = wilson(hits, hits + errors, confidence)
    lower, upper = (2.0 * each / (1.0 + each) for each in (share.lower, share.upper))
    return Interval(lower, upper, Kind.WILSON_F1)


def logit_interval(value: float, variance: float, rows: float, confidence: float) -> Interval:
    """Interval of a figure within 0 and 1 on the scale of its log-odds.

    Parameters
    ----------
    variance
        Of the figure.
    rows
        Of the rarest class that it needs. A figure of just 0 or 1 has no variance of its own; then
        it is taken for a share of so many rows.
    """
    if not 0.0 < value < 1.0 or variance <= 0.0:
        found = wilson(value * rows, rows, confidence)
        return Interval(found.lower, found.upper, Kind.WILSON)
    half = quantile(confidence) * math.sqrt(variance) / (value * (1.0 - value))
    odds = float(logit(value))
    return Interval(float(expit(odds - half)), float(expit(odds + half)), Kind.LOGIT)


def normal(value: float, variance: float, confidence: float, least: float = -math.inf) -> Interval:
    """Interval of a mean or a difference; never below `least`."""
    half = quantile(confidence) * math.sqrt(max(0.0, variance))
    return Interval(max(least, value - half), value + half, Kind.NORMAL)
