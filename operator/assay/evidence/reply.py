"""A Prometheus vector, row by row, becomes `MemberEvidence`. Pure: no network, no clock."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from assay.evidence import errors
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.grid import Cell, newest, parse_cell
from assay.evidence.member import BUCKET_BINS, BUCKETS, MemberEvidence, RevisionCounts, Weight

PART = "part"
"""Label by which the query marks what a row is; the values are the keys of `_PARTS`."""

Labels = Mapping[str, str]
Arm = tuple[str, int]


def _outcome(labels: Labels) -> tuple[str, str]:
    return _text(labels, "label"), _text(labels, "predicted")


def _score(labels: Labels) -> tuple[str, str, Cell]:
    """Read a bin ``b``, or sub-bin ``k`` of one that holds much, ``b.k``."""
    try:
        return _text(labels, "class"), _text(labels, "label"), parse_cell(_text(labels, "bin"))
    except ValueError as error:
        raise _malformed(labels, f"label bin: {error}") from None


def _bucket_outcome(labels: Labels) -> tuple[int, str, str]:
    return _integer(labels, "bucket", BUCKETS), *_outcome(labels)


def _bucket_score(labels: Labels) -> tuple[int, str, str, int]:
    bucket, place = _integer(labels, "bucket", BUCKETS), _integer(labels, "bin", BUCKET_BINS)
    return bucket, _text(labels, "class"), _text(labels, "label"), place


def _predicted(labels: Labels) -> str:
    return _text(labels, "predicted")


def _all(_: Labels) -> None:
    return None


def _rows(labels: Labels, value: float) -> int:
    if 0.0 <= value < math.inf and value == (rows := int(value)):
        return rows
    raise _malformed(labels, f"{value} is not a number of rows")


def _sum(labels: Labels, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise _malformed(labels, f"{value} is not a sum of weights")
    return value


class _Counter(NamedTuple):
    """How the rows of one counter are read: what they are counted by, and what they may say."""

    key: Callable[[Labels], Any]
    value: Callable[[Labels, float], float]


_COUNTERS = {
    "assay_outcomes_total": _Counter(_outcome, _rows),
    "assay_outcome_weights_total": _Counter(_outcome, _sum),
    "assay_outcome_weight_squares_total": _Counter(_outcome, _sum),
    "assay_scores_total": _Counter(_score, _rows),
    "assay_score_weights_total": _Counter(_score, _sum),
    "assay_score_weight_squares_total": _Counter(_score, _sum),
    "assay_bucket_outcomes_total": _Counter(_bucket_outcome, _rows),
    "assay_bucket_scores_total": _Counter(_bucket_score, _rows),
    "assay_labelled_total": _Counter(_all, _rows),
    "assay_users_total": _Counter(_all, _rows),
    "assay_served_total": _Counter(_predicted, _rows),
    "assay_requests_total": _Counter(_all, _rows),
}

LEDGER_COUNTERS = tuple(
    name for name in _COUNTERS if name not in {"assay_served_total", "assay_requests_total"}
)
"""The counters that a ledger exposes."""

LEDGER_LABELS = ("revision", "step", "label", "predicted", "class", "bin", "bucket")
"""By which labels they are counted; all others say where they come from."""


class _Gathered:
    """What the rows read so far say, by counter, arm and key."""

    def __init__(self) -> None:
        self.stores: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, Arm], dict[Any, Any]] = defaultdict(lambda: defaultdict(int))
        # The same by the arm's labels as they came: thousands of rows have few.
        self._by_text: dict[tuple[str | None, ...], dict[Any, Any]] = {}

    def add(self, labels: Labels, value: float) -> None:
        part = labels.get(PART, "")
        if counter := _COUNTERS.get(part):
            text = part, labels.get("revision"), labels.get("step")
            counts = self._by_text.get(text)
            if counts is None:
                counts = self._by_text[text] = self._counts[part, _arm(labels)]
            counts[counter.key(labels)] += counter.value(labels, value)
        elif part == "age":
            if not math.isfinite(value):
                raise _malformed(labels, f"age {value} is not a time")
            self.stores[_text(labels, "store"), labels.get("positive", "")] = value
        elif part != "series":  # the number of series was read before the rows
            raise _malformed(labels, f"nobody asked for a series {part!r}")

    def arms(self) -> set[Arm]:
        """Return all arms of which anything is known."""
        return {arm for _, arm in self._counts}

    def counts(self, arm: Arm) -> RevisionCounts:
        """Return the counts of one arm."""
        by = {name: dict(self._counts.get((name, arm), {})) for name in _COUNTERS}
        scores, parts = _placed(by["assay_scores_total"])
        score_weights, _ = _placed(by["assay_score_weights_total"])
        score_squares, _ = _placed(by["assay_score_weight_squares_total"])
        served = by["assay_served_total"]
        return RevisionCounts(
            outcomes=by["assay_outcomes_total"],
            scores=scores,
            parts=parts,
            served=sum(served.values()),
            labelled=by["assay_labelled_total"].get(None, 0),
            requests=by["assay_requests_total"].get(None, 0),
            served_as=served,
            users=by["assay_users_total"].get(None, 0),
            weights=_weights(
                by["assay_outcome_weights_total"], by["assay_outcome_weight_squares_total"]
            ),
            score_weights=_weights(score_weights, score_squares),
            buckets=by["assay_bucket_outcomes_total"],
            bucket_scores=by["assay_bucket_scores_total"],
        )


def series_counted(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """How many ledger series Prometheus says match, or `None` if it does not say."""
    for row in rows:
        labels, value = _row(row)
        if labels.get(PART) == "series":
            return int(value)
    return None


def member_evidence(rows: Sequence[Mapping[str, Any]], deployment: str) -> MemberEvidence:
    """Read the rows of one reply.

    Parameters
    ----------
    rows
        ``data.result`` of an instant query: ``{"metric": {label: value}, "value": [time, text]}``,
        each marked with the label `PART`.
    deployment
        For messages.

    Raises
    ------
    EvidenceUnavailable
        ``MalformedReply``, ``DataStale`` (no ledger at all) or ``LedgerAmbiguous``.
    """
    gathered = _Gathered()
    for row in rows:
        gathered.add(*_row(row))
    if not gathered.stores:
        raise EvidenceUnavailable(
            errors.DATA_STALE,
            f"Prometheus has no current sample of the ledger of {deployment}: it is down, or not "
            "scraped",
        )
    if len({store for store, _ in gathered.stores}) > 1:
        names = ", ".join(sorted(store for store, _ in gathered.stores))
        raise EvidenceUnavailable(
            errors.LEDGER_AMBIGUOUS,
            f"the ledger of {deployment} reports {len(gathered.stores)} stores at once ({names}); "
            "it clears when the series of the old one end",
        )
    (store, positive), age = min(gathered.stores.items(), key=lambda item: item[1])
    return MemberEvidence(
        counts={arm: gathered.counts(arm) for arm in sorted(gathered.arms())},
        store=store,
        age_seconds=age,
        positive=positive or None,
    )


def _placed(
    scores: Mapping[tuple[str, str, Cell], Any],
) -> tuple[dict[tuple[str, str, int], Any], dict[tuple[str, str, Cell], Any]]:
    """Return scores by base bin, and by sub-bin where these are known."""
    if all(cell.sub is None for *_, cell in scores):
        return {(name, label, cell.base): rows for (name, label, cell), rows in scores.items()}, {}
    by_label: dict[tuple[str, str], dict[Cell, Any]] = defaultdict(dict)
    for (name, label, cell), rows in scores.items():
        by_label[name, label][cell] = rows
    whole: dict[tuple[str, str, int], Any] = defaultdict(int)
    parts: dict[tuple[str, str, Cell], Any] = {}
    for (name, label), cells in by_label.items():
        for cell, rows in newest(cells).items():
            whole[name, label, cell.base] += rows
            if cell.sub is not None:
                parts[name, label, cell] = rows
    return dict(whole), parts


def _weights(totals: Mapping[Any, float], squares: Mapping[Any, float]) -> dict[Any, Weight]:
    """Join the sums of weights with those of their squares; one scrape has both."""
    lacking = totals.keys() ^ squares.keys()
    if lacking:
        raise EvidenceUnavailable(
            errors.MALFORMED_REPLY,
            f"the weights of {min(map(str, lacking))} have a sum or a sum of squares only",
        )
    return {key: Weight(total, squares[key]) for key, total in totals.items()}


def _row(row: Mapping[str, Any]) -> tuple[Labels, float]:
    try:
        labels = row["metric"]
        _, text = row["value"]
        return labels, float(text)
    except (KeyError, TypeError, ValueError):
        raise EvidenceUnavailable(
            errors.MALFORMED_REPLY, f"row {str(row)[:200]} is not a sample of a vector"
        ) from None


def _arm(labels: Labels) -> Arm:
    return _text(labels, "revision"), _integer(labels, "step")


def _text(labels: Labels, name: str) -> str:
    if value := labels.get(name):
        return value
    raise _malformed(labels, f"label {name} is missing")


def _integer(labels: Labels, name: str, end: int | None = None) -> int:
    text = _text(labels, name)
    if not (text.isascii() and text.isdigit()):
        raise _malformed(labels, f"label {name} is {text!r}, not a whole number")
    if end is not None and int(text) >= end:
        raise _malformed(labels, f"label {name} is {text}, beyond {end - 1}")
    return int(text)


def _malformed(labels: Labels, problem: str) -> EvidenceUnavailable:
    named = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return EvidenceUnavailable(errors.MALFORMED_REPLY, f"{problem} in {{{named}}}")
