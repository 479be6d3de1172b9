"""Decides whether the version that serves is worth less than its reference says. May be asked always.

Theory of operation
-------------------
Null hypothesis: at no time is F1 below that of the reference minus the margin. It is tested by the
e-process of the judge's rollback test (`assay.judge.eprocess.ROLLBACK`), on the outcomes since a
fixed moment, with the variance of F1 by the delta method.

One start is not enough: a model that was good for a year and is bad since yesterday has a year of
good rows. So the test starts anew with each period (a day), and those of the last `STARTS` are looked
at together: their e-values are added up. The sum less the number of starts so far is a
supermartingale under the null, so by Ville's inequality it reaches c within n days with a
probability of at most n / c, however often it is looked at and whichever starts are left out
(Shin, Ramdas, Rinaldo, E-detectors, 2022: the Shiryaev-Roberts form).

There are two sources, each with a test of its own: live labels, which are the truth, and what scores
say of rows without labels (`assay_server.drift.estimate`). Of the latter a row counts as its expected
outcomes. Their variance is at most that of the outcomes themselves (it is that of a conditional
expectation), so the same formula errs towards silence. Where labels of the same days are clearly
good the estimate is not believed.

Assumed: rows are independent, labels do not depend on predictions, and no hour of the day is worse
than the margin admits. The F1 of the reference is taken as it is said, not as uncertain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from assay.drift.window import DAY_SECONDS
from assay.judge.eprocess import ROLLBACK

STARTS = 7
"""How many periods are looked at: what is older than a week is no news."""

PERIODS = 30
FALSE_ALARM = 0.05
"""Chance of a false alarm by either source in `PERIODS`, at most."""

LIMIT = math.log(2.0 * PERIODS / FALSE_ALARM)
"""Logarithm of what the sum of e-values must reach, of either source."""

LEAST_ERRORS = 10.0
"""With fewer false positives and negatives F1 is not yet as good as normal."""

CLEAR = 2.0
"""Standard errors by which labels must be better than the null to overrule an estimate."""

QUALITY_KEPT = "QualityKept"
TOO_FEW_ROWS = "TooFewRows"
HISTORY_TOO_SHORT = "HistoryTooShort"
LABELLED_QUALITY_FELL = "LabelledQualityFell"
ESTIMATED_QUALITY_FELL = "EstimatedQualityFell"


class Rows(NamedTuple):
    """Rows of one class against the rest, counted or expected."""

    true_positive: float
    false_positive: float
    false_negative: float


@dataclass(frozen=True)
class Outcomes:
    """What came of the rows since the beginning of a period.

    Attributes
    ----------
    classes
        Every class that the reference's F1 is the mean of: the positive one, or all.
    rows
        How many rows there were.
    seconds
        How long ago the period began.
    """

    classes: Mapping[str, Rows]
    rows: float
    seconds: int

    @property
    def errors(self) -> float:
        """False positives and negatives of all classes."""
        return sum(each.false_positive + each.false_negative for each in self.classes.values())

    def f1(self) -> tuple[float, float] | None:
        """Return F1 and its variance; None without a row of any class.

        The mean over classes of which there are rows. Its standard error is at most the mean of
        theirs, whatever their correlation; of one class it is exact.
        """
        values, errors = [], []
        for each in self.classes.values():
            right, wrong = each.true_positive, each.false_positive + each.false_negative
            if right + each.false_negative <= 0.0:
                continue
            values.append(2.0 * right / (2.0 * right + wrong))
            a, b = right + 1.0, wrong + 1.0
            errors.append(math.sqrt(4.0 * a * b * (a + b)) / (2.0 * a + b) ** 2)
        if not values:
            return None
        return sum(values) / len(values), (sum(errors) / len(errors)) ** 2


@dataclass(frozen=True)
class Evidence:
    """What one source says.

    Attributes
    ----------
    log_e
        Logarithm of the sum of the e-values of all starts.
    value, error
        F1 and its standard error in the window that speaks loudest.
    rows, seconds
        That window.
    starts
        How many starts there are.
    """

    log_e: float
    value: float
    error: float
    rows: float
    seconds: int
    starts: int


@dataclass(frozen=True)
class Decision:
    """What is to be said. `detected` is None if nothing could be compared."""

    detected: bool | None
    reason: str
    message: str
    labels: Evidence | None = None
    estimate: Evidence | None = None


def evidence(starts: Sequence[Outcomes], least: float, margin: float) -> Evidence | None:
    """Return what the outcomes since each start say against F1 being `least` or more."""
    logs: list[float] = []
    found: list[tuple[float, float, Outcomes]] = []
    for outcomes in starts:
        if (known := outcomes.f1()) is None:
            continue
        value, variance = known
        log_e = 0.0
        if outcomes.errors >= LEAST_ERRORS:
            log_e = float(
                ROLLBACK.log_e(np.array(least - value), np.array(max(variance, 1e-12)), margin)
            )
        logs.append(log_e)
        found.append((value, math.sqrt(variance), outcomes))
    if not logs:
        return None
    loudest = max(range(len(logs)), key=lambda place: (logs[place], found[place][2].seconds))
    value, error, outcomes = found[loudest]
    total = float(np.logaddexp.reduce(logs))
    return Evidence(total, value, error, outcomes.rows, outcomes.seconds, len(logs))


def decide(
    reference: float,
    margin: float,
    labels: Sequence[Outcomes],
    estimates: Sequence[Outcomes],
    *,
    before: str = "",
    period: int = DAY_SECONDS,
) -> Decision:
    """Decide from the outcomes since each of the last `STARTS` periods began.

    Parameters
    ----------
    reference
        F1 of the labelled rows of the reference.
    margin
        By how much F1 may be lower; above 0.
    labels, estimates
        Counted by labels, and expected by scores. One entry per start, in any order; a start that
        was not watched is left out.
    before
        The reason that was given at the last look: what was found lasts until less speaks for it than
        for its contrary.
    period
        Seconds between two starts.
    """
    least = max(reference - margin, 0.0)
    by_labels = evidence(labels, least, margin)
    by_scores = evidence(estimates, least, margin)
    told = f"the reference says {reference:.3f}, spec.drift.margin is {margin:g}"
    if by_labels is not None and _fell(by_labels, before == LABELLED_QUALITY_FELL):
        message = f"{_words('live labels', by_labels, 'labels', period)}; {told}"
        return Decision(True, LABELLED_QUALITY_FELL, message, by_labels, by_scores)
    overruled = by_labels is not None and by_labels.value - CLEAR * by_labels.error > least
    if by_scores is not None and _fell(by_scores, before == ESTIMATED_QUALITY_FELL):
        words = _words("scores, without labels,", by_scores, "rows", period)
        if not overruled:
            message = f"{words}; {told}"
            return Decision(True, ESTIMATED_QUALITY_FELL, message, by_labels, by_scores)
    if by_labels is None and by_scores is None:
        message = (
            "nothing is tested before a period has begun, and brought rows, since pods that still"
            " serve were started"
        )
        return Decision(None, HISTORY_TOO_SHORT, message)
    known = [
        _words(name, found, what, period)
        for name, found, what in (
            ("live labels", by_labels, "labels"),
            ("scores, without labels,", by_scores, "rows"),
        )
        if found is not None
    ]
    if overruled:
        known.append("labels count for more than scores")
    return Decision(False, QUALITY_KEPT, "; ".join([*known, told]), by_labels, by_scores)


def _fell(found: Evidence, before: bool) -> bool:  # noqa: FBT001
    """Return whether evidence is enough; what was found lasts while it is more than none."""
    return found.log_e >= (math.log(found.starts) if before else LIMIT)


def _words(source: str, found: Evidence, what: str, period: int) -> str:
    span = f"{found.seconds / period:.1f} days" if period == DAY_SECONDS else f"{found.seconds} s"
    return (
        f"F1 by {source} is {found.value:.3f} (standard error {found.error:.3f}, {found.rows:.0f}"
        f" {what} in {span}), evidence {found.log_e:.1f} of {LIMIT:.1f}"
    )
