"""A Prometheus vector, row by row, becomes `MemberEvidence`. Pure: no network, no clock."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.evidence import errors
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.grid import Cell, newest, parse_cell
from assay.evidence.member import GRID_BINS, MemberEvidence, RevisionCounts

PART = "part"
"""Label by which the query marks what a row is; the values are the keys of `_PARTS`."""


@dataclass
class _Gathered:
    """What the rows read so far say; turned into frozen counts at the end."""

    bins: int
    outcomes: dict[tuple[str, int], dict[tuple[str, str], int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    scores: dict[tuple[str, int], dict[tuple[str, str], dict[Cell, int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    )
    served: dict[tuple[str, int], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    labelled: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    requests: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    stores: dict[tuple[str, str], float] = field(default_factory=dict)

    def outcome(self, labels: Mapping[str, str], value: float) -> None:
        self.outcomes[_arm(labels)][_text(labels, "label"), _text(labels, "predicted")] += _rows(
            labels, value
        )

    def score(self, labels: Mapping[str, str], value: float) -> None:
        """Count rows of one bin ``b``, or of sub-bin ``k`` of one that holds much, ``b.k``."""
        try:
            cell = parse_cell(_text(labels, "bin"))
        except ValueError as error:
            raise _malformed(labels, f"label bin: {error}") from None
        if cell.base >= self.bins:
            raise _malformed(labels, f"bin {cell.base} is not on the grid of {self.bins} bins")
        key = (_text(labels, "class"), _text(labels, "label"))
        self.scores[_arm(labels)][key][cell] += _rows(labels, value)

    def labels_counted(self, labels: Mapping[str, str], value: float) -> None:
        self.labelled[_arm(labels)] += _rows(labels, value)

    def rows_served(self, labels: Mapping[str, str], value: float) -> None:
        self.served[_arm(labels)][_text(labels, "predicted")] += _rows(labels, value)

    def requests_answered(self, labels: Mapping[str, str], value: float) -> None:
        self.requests[_arm(labels)] += _rows(labels, value)

    def age(self, labels: Mapping[str, str], value: float) -> None:
        if not math.isfinite(value):
            raise _malformed(labels, f"age {value} is not a time")
        self.stores[_text(labels, "store"), labels.get("positive", "")] = value

    def score_counts(
        self, arm: tuple[str, int]
    ) -> tuple[dict[tuple[str, str, int], int], dict[tuple[str, str, Cell], int]]:
        """Return the scores of an arm by base bin, and by sub-bin where these are known."""
        whole: dict[tuple[str, str, int], int] = defaultdict(int)
        parts: dict[tuple[str, str, Cell], int] = {}
        for (name, label), rows in self.scores.get(arm, {}).items():
            for cell, count in newest(rows).items():
                whole[name, label, cell.base] += count
                if cell.sub is not None:
                    parts[name, label, cell] = count
        return dict(whole), parts

    def series(self, labels: Mapping[str, str], value: float) -> None:
        """Pass over the number of series: it was read before the rows (`series_counted`)."""


_PARTS: dict[str, Callable[[_Gathered, Mapping[str, str], float], None]] = {
    "assay_outcomes_total": _Gathered.outcome,
    "assay_scores_total": _Gathered.score,
    "assay_labelled_total": _Gathered.labels_counted,
    "assay_served_total": _Gathered.rows_served,
    "assay_requests_total": _Gathered.requests_answered,
    "age": _Gathered.age,
    "series": _Gathered.series,
}


def series_counted(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """How many ledger series Prometheus says match, or `None` if it does not say."""
    for row in rows:
        labels, value = _row(row)
        if labels.get(PART) == "series":
            return int(value)
    return None


def member_evidence(
    rows: Sequence[Mapping[str, Any]], deployment: str, bins: int = GRID_BINS
) -> MemberEvidence:
    """Read the rows of one reply.

    Parameters
    ----------
    rows
        ``data.result`` of an instant query: ``{"metric": {label: value}, "value": [time, text]}``,
        each marked with the label `PART`.
    deployment
        For messages.
    bins
        Size of the score grid.

    Raises
    ------
    EvidenceUnavailable
        ``MalformedReply``, ``DataStale`` (no ledger at all) or ``LedgerAmbiguous``.
    """
    gathered = _Gathered(bins)
    for row in rows:
        labels, value = _row(row)
        part = _PARTS.get(labels.get(PART, ""))
        if part is None:
            raise _malformed(labels, f"nobody asked for a series {labels.get(PART)!r}")
        part(gathered, labels, value)
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
    arms = (
        gathered.outcomes.keys()
        | gathered.scores.keys()
        | gathered.served.keys()
        | gathered.labelled.keys()
        | gathered.requests.keys()
    )
    counts = {}
    for arm in sorted(arms):
        scores, parts = gathered.score_counts(arm)
        counts[arm] = RevisionCounts(
            outcomes=dict(gathered.outcomes.get(arm, {})),
            scores=scores,
            parts=parts,
            served=sum(gathered.served.get(arm, {}).values()),
            labelled=gathered.labelled.get(arm, 0),
            requests=gathered.requests.get(arm, 0),
            served_as=dict(gathered.served.get(arm, {})),
        )
    return MemberEvidence(
        counts=counts,
        store=store,
        age_seconds=age,
        positive=positive or None,
    )


def _row(row: Mapping[str, Any]) -> tuple[Mapping[str, str], float]:
    try:
        labels = row["metric"]
        _, text = row["value"]
        return labels, float(text)
    except (KeyError, TypeError, ValueError):
        raise EvidenceUnavailable(
            errors.MALFORMED_REPLY, f"row {str(row)[:200]} is not a sample of a vector"
        ) from None


def _arm(labels: Mapping[str, str]) -> tuple[str, int]:
    return _text(labels, "revision"), _integer(labels, "step")


def _text(labels: Mapping[str, str], name: str) -> str:
    value = labels.get(name, "")
    if not value:
        raise _malformed(labels, f"label {name} is missing")
    return value


def _integer(labels: Mapping[str, str], name: str) -> int:
    text = _text(labels, name)
    if not (text.isascii() and text.isdigit()):
        raise _malformed(labels, f"label {name} is {text!r}, not a whole number")
    return int(text)


def _rows(labels: Mapping[str, str], value: float) -> int:
    if not math.isfinite(value) or value < 0 or value != math.floor(value):
        raise _malformed(labels, f"{value} is not a number of rows")
    return int(value)


def _malformed(labels: Mapping[str, str], problem: str) -> EvidenceUnavailable:
    named = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return EvidenceUnavailable(errors.MALFORMED_REPLY, f"{problem} in {{{named}}}")
