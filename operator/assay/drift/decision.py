"""Decides whether inputs have drifted, so that it is rarely said without reason.

Theory of operation
-------------------
Two questions are asked of every feature at every look, because each alone lies.

*Do inputs differ from training?* Asked of a whole day: hours differ from each other, days far less,
so what the time of day does to a feature cancels. It finds what is there from the start, and what
comes slowly; it takes a day.

*Do inputs differ from the same hours of earlier days?* Asked of the shortest span that holds enough
rows. It finds a sudden change soon, whatever the time of day, and for a day: then the change itself
is an earlier day. The present must differ from each of the days that are known, so that one odd day
makes no alarm on the day after, and a Monday is compared with a Monday.

A difference counts if it is too large for chance, and large enough to matter beside that: what is
more than `FLOOR` plus all that chance might make, in however many looks at however many features
(`ALPHA` is of one). One that was found lasts until what is left of it, less what chance makes, is
below half of the floor.

Members differ from each other, so traffic that moves between them is no drift: the earlier days are
weighted by the rows that each member has now.

Assumed: rows come one by one, not as thousands of copies of one; and days are alike, or a week old.
"""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from assay.drift.distance import Distance, Values, distance, shares
from assay.drift.window import DAY_SECONDS, EARLIER_DAYS, Layout, Sight, Window

FLOOR = 0.1
"""Difference that matters, as PSI; .25 is a shift by half a standard deviation."""

ALPHA = 1e-9
"""Probability that chance alone exceeds its share of the limit, of one feature in one look."""

LEAST_ROWS = 1_000
"""Fewer rows, on either side, are not compared."""

LEAST_MEMBER_ROWS = 100
"""A member with fewer rows in the earlier days is left out of what is compared with them."""

NO_DRIFT = "NoDrift"
HISTORY_TOO_SHORT = "HistoryTooShort"
TOO_FEW_ROWS = "TooFewRows"

_TOLD = 3


class Against(enum.StrEnum):
    """What inputs differ from: the reason of the condition."""

    TRAINING = "DiffersFromTraining"
    EARLIER_DAYS = "DiffersFromEarlierDays"


@dataclass(frozen=True)
class Finding:
    """A feature that has drifted.

    Attributes
    ----------
    value, limit
        Its PSI, and what it is measured by.
    rows, seconds
        The window that was looked at.
    """

    feature: str
    against: Against
    value: float
    limit: float
    rows: float
    seconds: int


@dataclass(frozen=True)
class Decision:
    """What is to be said.

    Attributes
    ----------
    detected
        None if nothing could be compared.
    findings
        The furthest beyond their limit first.
    """

    detected: bool | None
    reason: str
    message: str
    findings: tuple[Finding, ...] = ()

    @property
    def features(self) -> frozenset[str]:
        """Names of the features that have drifted."""
        return frozenset(finding.feature for finding in self.findings)


@dataclass(frozen=True)
class _Compared:
    distance: Distance
    rows: float


def decide(
    reference: Window,
    sights: Mapping[str, Sight],
    seconds: int,
    *,
    before: Collection[str] = (),
    period: int = DAY_SECONDS,
) -> Decision:
    """Decide from what each member's servers counted of one revision.

    Parameters
    ----------
    reference
        The training rows.
    sights
        By member.
    seconds
        Length of the present that was looked at, one of `spans(period)`.
    before
        Features that had drifted at the last look.
    period
        What a day is in all of this: the seconds after which traffic repeats itself.
    """
    layout = Layout(reference)
    if not layout.features:
        return Decision(None, TOO_FEW_ROWS, "the reference watches no feature")
    from_training = _from_training(layout, reference, sights)
    present = {
        name: layout.counts(sight.present) for name, sight in sights.items() if sight.present
    }
    days = [
        found
        for place in range(len(EARLIER_DAYS))
        if (found := _from_earlier(layout, sights, present, place)) is not None
    ]
    findings = [
        *_findings(layout, Against.TRAINING, from_training, period, before),
        *_findings(layout, Against.EARLIER_DAYS, days, seconds, before),
    ]
    if findings:
        findings.sort(key=lambda finding: finding.limit / finding.value)
        return Decision(True, findings[0].against.value, _told(findings, period), tuple(findings))
    if not from_training and not days:
        return _nothing_compared(reference, sights, period)
    compared = [
        what
        for what, done in (
            (f"training in the last {_whole(period)}", from_training),
            (f"the same hours of {_earlier(len(days), period)} in the last {_span(seconds)}", days),
        )
        if done
    ]
    message = f"{len(layout.features)} features are as in {' and as in '.join(compared)}"
    return Decision(False, NO_DRIFT, message)


def _from_training(
    layout: Layout, reference: Window, sights: Mapping[str, Sight]
) -> list[_Compared]:
    days = [sight.day for sight in sights.values() if sight.day is not None]
    counts = [layout.counts(day) for day in days]
    rows = _worth(_parts(counts), [day.rows for day in days])
    if min(rows, reference.rows) < LEAST_ROWS:
        return []
    served, trained = np.sum(counts, axis=0), layout.counts(reference)
    used = ((served > 0) | (trained > 0)).sum(axis=1).astype(np.float64)
    both = (rows, reference.rows)
    return [_Compared(distance(shares(served), shares(trained), both, used, ALPHA), rows)]


def _from_earlier(
    layout: Layout, sights: Mapping[str, Sight], present: Mapping[str, Values], place: int
) -> _Compared | None:
    """Compare the present with one of the earlier days, by members that were there in both."""
    pairs = [
        (present[name], sight.present.rows, earlier)
        for name, sight in sights.items()
        if sight.present is not None
        and (earlier := sight.earlier[place]) is not None
        and earlier.rows >= LEAST_MEMBER_ROWS
    ]
    now = [counts for counts, _, _ in pairs]
    parts = _parts(now)
    rows = _worth(parts, [rows for _, rows, _ in pairs])
    worth = _worth(parts, [earlier.rows for _, _, earlier in pairs])
    if min(rows, worth) < LEAST_ROWS:
        return None
    expected = np.zeros(layout.shape)
    seen = np.zeros(layout.shape, dtype=np.bool_)
    for part, (counts, _, earlier) in zip(parts, pairs, strict=True):
        then = layout.counts(earlier)
        expected += part * shares(then)
        seen |= (counts > 0) | (then > 0)
    used = seen.sum(axis=1).astype(np.float64)
    served = shares(np.sum(now, axis=0))
    return _Compared(distance(served, expected, (rows, worth), used, ALPHA), rows)


def _parts(counts: list[Values]) -> list[float]:
    """Return the part of all rows that each member counted; every feature counts every row."""
    rows = [float(each.sum(axis=1).max()) for each in counts]
    total = sum(rows)
    return [each / total if total else 0.0 for each in rows]


def _worth(parts: list[float], rows: list[float]) -> float:
    """Return how many rows know as much as the sum of shares that are of so many rows each.

    Its variance is the sum of those of its parts; a member that samples counts more rows than it
    looked at.
    """
    variances = [part**2 / own for part, own in zip(parts, rows, strict=True) if part and own]
    return 1.0 / sum(variances) if variances else 0.0


def _findings(
    layout: Layout,
    against: Against,
    compared: list[_Compared],
    seconds: int,
    before: Collection[str],
) -> list[Finding]:
    """Return the features that differ from everything that they were compared with."""
    if not compared:
        return []
    known = np.array([feature in before for feature in layout.features])
    limits = np.array(
        [
            np.where(
                known,
                FLOOR / 2.0 + each.distance.by_chance,
                FLOOR + each.distance.unlikely,
            )
            for each in compared
        ]
    )
    values = np.array([each.distance.psi for each in compared])
    nearest = (values / limits).argmin(axis=0)
    features = np.arange(len(layout.features))
    value, limit = values[nearest, features], limits[nearest, features]
    return [
        Finding(
            layout.features[place],
            against,
            float(value[place]),
            float(limit[place]),
            compared[nearest[place]].rows,
            seconds,
        )
        for place in np.nonzero(value > limit)[0]
    ]


def _nothing_compared(reference: Window, sights: Mapping[str, Sight], period: int) -> Decision:
    if all(sight.day is None and not any(sight.earlier) for sight in sights.values()):
        whole = _whole(period) if period != DAY_SECONDS else "a day"
        message = (
            "nothing is compared before pods that still serve have counted a revision's inputs for"
            f" {whole}"
        )
        return Decision(None, HISTORY_TOO_SHORT, message)
    rows = sum(sight.day.rows for sight in sights.values() if sight.day is not None)
    message = (
        f"{rows:.0f} rows in the last {_whole(period)}, {reference.rows:.0f} training rows in the reference;"
        f" {LEAST_ROWS} are needed of each"
    )
    return Decision(None, TOO_FEW_ROWS, message)


def _told(findings: list[Finding], period: int) -> str:
    words = [
        f"feature {finding.feature}: PSI {finding.value:.2f} (limit {finding.limit:.2f}) of"
        f" {finding.rows:.0f} rows in the last {_span(finding.seconds)} against {_named(finding, period)}"
        for finding in findings[:_TOLD]
    ]
    more = len(findings) - len(words)
    return "; ".join([*words, *([f"{more} more"] if more else [])])


def _named(finding: Finding, period: int) -> str:
    if finding.against is Against.TRAINING:
        return "training"
    return f"the same hours of {_earlier(None, period)}"


def _whole(period: int) -> str:
    return "day" if period == DAY_SECONDS else _span(period)


def _earlier(count: int | None, period: int) -> str:
    """Name the days before, or what a day is otherwise."""
    many = "" if count is None else f"{count} "
    days = "days" if period == DAY_SECONDS else f"periods of {_span(period)}"
    return f"{many}earlier {days}"


def _span(seconds: int) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
