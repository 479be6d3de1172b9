"""What a member's Prometheus is asked about drift, and what its answers mean. Pure.

Every counter of a server carries `boot`, which no two processes share. So the difference of a counter
and itself some time ago, boot by boot, is that of processes that lived through all of that time:
no counter that began anew is in it, and no window of which a part was not watched. What pods that
came or went meanwhile have served is left out, which is chance, for the gateway deals rows out by
lot. Only sums over pods leave Prometheus.

Every operand of `or` carries the label `part`, because `or` compares label sets without the metric
name.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.drift.decay import Outcomes, Rows
from assay.drift.window import EARLIER_DAYS, Sight, Window
from assay.evidence.promql import quoted

MOST_SERIES = 50_000
"""Of one answer: 100 features of 21 bins in five windows are 10 500."""

Series = Mapping[str, Any]
"""One entry of a vector, as Prometheus gives it."""

IDLE = "idle"
"""The rollout that labels belong to outside of trials (decision 4)."""


class Revision(NamedTuple):
    """Whose counters are meant."""

    namespace: str
    deployment: str
    revision: str

    @property
    def selector(self) -> str:
        """Return the matchers, escaped."""
        return ",".join(f"{name}={quoted(value)}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class Reference:
    """What the artifact's reference says.

    Attributes
    ----------
    window
        The training rows.
    f1
        Of its labelled rows; None if it has none.
    macro
        Whether that is the mean over all classes; else it is of the positive one.
    classes
        Those of which outcomes are estimated.
    """

    window: Window
    f1: float | None = None
    macro: bool = False
    classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """What one member said.

    Attributes
    ----------
    labels
        Counts by (true label, prediction), as they are (0 s ago) and as they were: by seconds.
    estimates
        Expected rows by class and outcome, since so many seconds.
    weighted
        Whether labels came with the probability of being labelled: then plain counts mislead.
    """

    sight: Sight = field(default_factory=Sight)
    labels: Mapping[int, Mapping[tuple[str, str], float]] = field(default_factory=dict)
    estimates: Mapping[int, Mapping[tuple[str, str], float]] = field(default_factory=dict)
    weighted: bool = False


WATCHED = "sum by (namespace, deployment, revision) (assay_feature_rows_total)"
"""Rows looked at, of every revision whose servers watch their inputs; the others have no such series."""


def watched(rows: Iterable[Series]) -> dict[Revision, float]:
    """Return the answer to `WATCHED`."""
    found = {}
    for labels, value in map(_series, rows):
        if all(labels.get(name) for name in Revision._fields):
            found[Revision(*(labels[name] for name in Revision._fields))] = value
    return found


def reference_text(revision: Revision) -> str:
    """Return the PromQL for a reference; it never changes while the revision does not."""
    own = "{" + revision.selector + "}"
    return " or ".join(
        (
            _marked(f"max by (feature, bin) (assay_feature_reference_ratio{own})", "ratio"),
            _marked(f"max(assay_feature_reference_rows{own})", "rows"),
            _marked(f"max by (average) (assay_reference_f1{own})", "f1"),
            _marked(f"group by (class) (assay_estimated_outcomes_total{own})", "class"),
        )
    )


def reference(rows: Iterable[Series]) -> Reference | None:
    """Return what was answered to `reference_text`; None if that is not all of a reference."""
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    trained, f1, macro = 0.0, None, False
    classes = set()
    for labels, value in map(_series, rows):
        part = labels.get("part", "")
        if part == "ratio":
            shares[labels.get("feature", "")][labels.get("bin", "")] = value
        elif part == "rows":
            trained = value
        elif part == "f1":
            f1, macro = value, labels.get("average") == "Macro"
        elif part == "class":
            classes.add(labels.get("class", ""))
    if not shares or trained <= 0:
        return None
    counts = {
        feature: {name: share * trained for name, share in bins.items()}
        for feature, bins in shares.items()
    }
    return Reference(Window(counts, trained), f1, macro, frozenset(classes))


def text(revision: Revision, seconds: int, period: int, starts: Sequence[int]) -> str:
    """Return the PromQL for everything that is decided on, in one question.

    Parameters
    ----------
    seconds
        Length of the present.
    period
        Of the whole window, and between it and earlier ones.
    starts
        How many seconds ago the periods of the test of decay began; empty: it is not asked for.
    """
    own = "{" + revision.selector + "}"
    parts = []
    for name, length, ago in _windows(seconds, period):
        for counter, by, part in (
            ("assay_feature_total", ("feature", "bin"), name),
            ("assay_feature_rows_total", (), f"{name} rows"),
        ):
            parts.append(_marked(_since(counter + own, by, length, ago), part))
    if starts:
        idle = "{" + f'{revision.selector},rollout="{IDLE}"' + "}"
        weights = f"group(assay_outcome_weights_total{idle})"
        parts.append(_marked(weights, "weighted"))
        for start in starts:
            counter = f"assay_estimated_outcomes_total{own}"
            since = _since(counter, ("class", "outcome"), start, 0)
            parts.append(_marked(since, f"estimate {start}"))
        for start in (0, *starts):
            # Several pods of one ledger say the same: the largest is the newest.
            then = f"assay_outcomes_total{idle}{_offset(start)}"
            parts.append(_marked(f"max by (label, predicted) ({then})", f"labels {start}"))
    return " or ".join(parts)


def answer(rows: Iterable[Series], seconds: int, period: int) -> Answer:
    """Return what was answered to `text`. Raises ValueError if that cannot be read."""
    counts: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    looked_at: dict[str, float] = {}
    pairs: dict[str, dict[int, dict[tuple[str, str], float]]] = {
        "labels": defaultdict(dict),
        "estimate": defaultdict(dict),
    }
    weighted = False
    for labels, value in map(_series, rows):
        kind, _, rest = labels.get("part", "").partition(" ")
        if kind == "weighted":
            weighted = True
        elif kind == "labels":
            pairs[kind][int(rest)][labels.get("label", ""), labels.get("predicted", "")] = value
        elif kind == "estimate":
            pairs[kind][int(rest)][labels.get("class", ""), labels.get("outcome", "")] = value
        elif rest == "rows":
            looked_at[kind] = value
        else:
            counts[kind][labels.get("feature", "")][labels.get("bin", "")] = value
    known = {
        name: Window(counts[name], looked_at[name]) if name in looked_at else None
        for name, _, _ in _windows(seconds, period)
    }
    sight = Sight(
        known["day"], known["present"], tuple(known[f"earlier{days}"] for days in EARLIER_DAYS)
    )
    return Answer(sight, pairs["labels"], pairs["estimate"], weighted)


def labelled(answers: Sequence[Answer], known: Reference, starts: Sequence[int]) -> list[Outcomes]:
    """Return what labels say since each start, of all members that knew it then."""
    if any(each.weighted for each in answers):
        return []
    found = []
    for start in starts:
        total: dict[tuple[str, str], float] = defaultdict(float)
        for each in answers:
            if not (then := each.labels.get(start)):
                continue
            for pair, value in each.labels.get(0, {}).items():
                total[pair] += max(value - then.get(pair, 0.0), 0.0)
        if rows := sum(total.values()):
            names = known.classes if not known.macro else {name for pair in total for name in pair}
            classes = {name: _against_the_rest(total, name) for name in sorted(names)}
            found.append(Outcomes(classes, rows, start))
    return found


def estimated(answers: Sequence[Answer], starts: Sequence[int]) -> list[Outcomes]:
    """Return what scores say since each start, of all members that have rows since then."""
    found = []
    for start in starts:
        total: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for each in answers:
            for (name, outcome), value in each.estimates.get(start, {}).items():
                total[name][outcome] += value
        rows = max((sum(each.values()) for each in total.values()), default=0.0)
        if rows > 0:
            classes = {
                name: Rows(each["TruePositive"], each["FalsePositive"], each["FalseNegative"])
                for name, each in total.items()
            }
            found.append(Outcomes(classes, rows, start))
    return found


def _against_the_rest(total: Mapping[tuple[str, str], float], name: str) -> Rows:
    false_positive = sum(value for (true, said), value in total.items() if said == name != true)
    false_negative = sum(value for (true, said), value in total.items() if true == name != said)
    return Rows(total.get((name, name), 0.0), false_positive, false_negative)


def _windows(seconds: int, period: int) -> list[tuple[str, int, int]]:
    """Return name, length and end (seconds ago) of every window."""
    earlier = [(f"earlier{days}", seconds, days * period) for days in EARLIER_DAYS]
    return [("day", period, 0), ("present", seconds, 0), *earlier]


def _since(selector: str, by: Sequence[str], length: int, ago: int) -> str:
    """Sum over processes what each has counted in a window, once however often it is scraped."""
    each = f"max by ({', '.join(('boot', *by))})"
    now, then = (f"{each} ({selector}{_offset(seconds)})" for seconds in (ago, ago + length))
    return f"sum by ({', '.join(by)}) ({now} - {then})"


def _offset(seconds: int) -> str:
    return f" offset {seconds}s" if seconds else ""


def _marked(operand: str, part: str) -> str:
    return f'label_replace({operand}, "part", "{part}", "", "")'


def _series(row: Series) -> tuple[Mapping[str, str], float]:
    """Return labels and value. Raises ValueError if it has none."""
    try:
        return row["metric"], float(row["value"][1])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"an entry of the answer cannot be read: {error!r}") from None
