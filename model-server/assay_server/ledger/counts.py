"""The counts that a ledger exposes: cumulative, a pure function of the totals in the store.

Scores of binary models are counted by fine bin. Exposing all of these would be some ten thousand
series for each stratum and label, most of them worth nothing: a base bin with few rows hides little
of AUC. So a base bin is exposed as a whole unless it is *hot*, that is, holds more than 1 % of its
rollout's scores and more than 32; then it is exposed by its sub-bins. Hot is decided over both
revisions and all strata of a rollout together, so that they share one grid. A bin may become hot or
cease to be as labels come in. Either way nothing is lost: the sub-bins add up to their base bin.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay_server.ledger.bins import base_and_sub, sub_bin_name
from assay_server.ledger.predictions import Cell, StratumKey
from assay_server.ledger.totals import (
    LAG_EDGES,
    NO_BUCKET,
    Kind,
    Sum,
    TotalKey,
    Totals,
    bucket_and_bin,
    class_and_bin,
    exposed_squares,
    exposed_weight,
)

# Strata that are exposed: the ones that served last. A rollout has at most some thirty; a label
# for an older one is still counted, it only is not scraped any more.
EXPOSED_STRATA = 64
# Strata that are kept in memory; the store has all.
KEPT_STRATA = 2 * EXPOSED_STRATA
# A base bin with more rows than both is hot. Less than 100 bins of a rollout can be.
HOT_ROWS = 32
HOT_PART = 100


class ScoreKey(NamedTuple):
    """Scores of one class, of the rows of one true label, in one base bin."""

    stratum: StratumKey
    scored: str
    label: str
    base: int


@dataclass(slots=True)
class Bin:
    """Rows in a base bin, and by sub-bin where the model is binary."""

    rows: int = 0
    parts: dict[int, int] = field(default_factory=dict)


Outcome = tuple[StratumKey, str, str]
# Plain numbers for what is done for each label.
_LAG, _OUTCOME, _SCORE = int(Kind.LAG), int(Kind.OUTCOME), int(Kind.SCORE)


class Weights:
    """Sums of weights by key, beside the counts of the same rows."""

    def __init__(self) -> None:
        self._weighted: Counter[tuple[Any, ...]] = Counter()
        self._weights: Counter[tuple[Any, ...]] = Counter()
        self._squares: Counter[tuple[Any, ...]] = Counter()

    def add(self, key: tuple[Any, ...], added: Sum) -> None:
        """Add what came with a probability."""
        self._weighted[key] += added.weighted
        self._weights[key] += added.sum
        self._squares[key] += added.squares

    def keep(self, strata: set[StratumKey]) -> None:
        """Forget all but these strata."""
        for table in (self._weighted, self._weights, self._squares):
            _keep(table, strata)

    def of(self, key: tuple[Any, ...], rows: int) -> tuple[float, float]:
        """Return the sums of weights and of squares; rows without a probability weigh one."""
        plain = rows - self._weighted[key]
        return (
            exposed_weight(plain, self._weights[key]),
            exposed_squares(plain, self._squares[key]),
        )


class Counts:
    """Confusion matrices, score histograms and totals per revision, rollout and step.

    Attributes
    ----------
    outcomes, scores
        Labelled predictions by label and predicted class, and by class, label and base bin.
    buckets, bucket_scores
        Labelled predictions of users by bucket; empty where requests name no users.
    strata
        What concerns strata as a whole, by kind: `Kind.LATE` to `Kind.UNSHIPPED`.
    lags
        Per revision: labels by bucket of lag, and the sum of the lags in seconds.
    weighted
        Rollouts in which a label came with a probability.
    newest
        When the newest prediction of a stratum was served.
    left_out
        The same of strata whose counts are not here.
    is_stale
        Whether one of these has served again and must be read from the store.
    positive
        The positive class of the newest binary prediction, and when that was.
    """

    def __init__(self, left_out: Mapping[StratumKey, int] | None = None) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.scores: defaultdict[ScoreKey, Bin] = defaultdict(Bin)
        self.outcome_weights = Weights()
        self.score_weights = Weights()
        self.buckets: Counter[tuple[StratumKey, int, str, str]] = Counter()
        self.bucket_scores: Counter[tuple[StratumKey, int, str, str, int]] = Counter()
        self.labelled: Counter[StratumKey] = Counter()
        self.strata: defaultdict[Kind, Counter[StratumKey]] = defaultdict(Counter)
        self.lags: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(LAG_EDGES) + 1))
        self.lag_seconds: Counter[str] = Counter()
        self.weighted: set[str] = set()
        self.newest: dict[StratumKey, int] = {}
        self.left_out: dict[StratumKey, int] = dict(left_out or {})
        self.is_stale = False
        self.positive = (0, "")
        self._cells: dict[int, tuple[Cell, StratumKey]] = {}

    def learn(self, cells: Mapping[int, Cell]) -> None:
        """Take over cells by which totals will come."""
        self._cells.update((number, (cell, cell.stratum)) for number, cell in cells.items())

    def add(self, totals: Totals | Iterable[tuple[TotalKey, Sum]]) -> None:
        """Add totals; their cells must be known."""
        items = totals.items() if isinstance(totals, Mapping) else totals
        for (number, kind, place), added in items:
            cell, stratum = self._cells[number]
            if kind == _LAG:
                self.lags[cell.revision][place] += added.total
                self.lag_seconds[cell.revision] += added.sum
                continue
            if stratum in self.left_out:
                self._notice(stratum, added.served_at)
                continue
            if added.served_at > self.newest.get(stratum, -1):
                self.newest[stratum] = added.served_at
            if kind == _OUTCOME:
                self._outcome(stratum, cell, place, added)
            elif kind == _SCORE:
                self._score(stratum, cell, place, added)
            elif kind == Kind.BUCKET_SCORE:
                bucket, score_bin = bucket_and_bin(place)
                assert cell.positive is not None
                assert cell.label is not None
                scored = (stratum, bucket, cell.positive, cell.label, score_bin)
                self.bucket_scores[scored] += added.total
            else:
                self.strata[Kind(kind)][stratum] += added.total

    def exposed(self) -> set[StratumKey]:
        """Return the strata that served last."""
        return newest_strata(self.newest, EXPOSED_STRATA)

    def forget(self) -> None:
        """Leave out what nobody sees, if there is too much of it."""
        if len(self.newest) <= KEPT_STRATA:
            return
        kept = self.exposed()
        for stratum in self.newest.keys() - kept:
            self.left_out[stratum] = self.newest.pop(stratum)
        for table in (self.outcomes, self.scores, self.buckets, self.bucket_scores):
            _keep(table, kept)
        self.outcome_weights.keep(kept)
        self.score_weights.keep(kept)
        for counter in (self.labelled, *self.strata.values()):
            for stratum in counter.keys() - kept:
                del counter[stratum]

    def exposed_scores(
        self, exposed: set[StratumKey]
    ) -> Iterator[tuple[tuple[StratumKey, str, str, int | str], int]]:
        """Yield the scores of these strata by class, label and the finest bin that is exposed."""
        bins = [(key, found) for key, found in self.scores.items() if key.stratum in exposed]
        hot = hot_bins((key, found.rows) for key, found in bins if found.parts)
        for key, found in bins:
            if found.parts and (key.stratum.rollout, key.base) in hot:
                for sub, rows in found.parts.items():
                    yield (*key[:3], sub_bin_name(key.base, sub)), rows
            else:
                yield key, found.rows

    def _notice(self, stratum: StratumKey, served_at: int) -> None:
        """Note what was added to a stratum that was left out."""
        self.left_out[stratum] = max(served_at, self.left_out[stratum])
        together = {**self.newest, stratum: self.left_out[stratum]}
        self.is_stale = self.is_stale or stratum in newest_strata(together, EXPOSED_STRATA)

    def _outcome(self, stratum: StratumKey, cell: Cell, bucket: int, added: Sum) -> None:
        assert cell.label is not None
        assert cell.predicted is not None
        key = (stratum, cell.label, cell.predicted)
        self.outcomes[key] += added.total
        self.labelled[stratum] += added.total
        if bucket != NO_BUCKET:
            self.buckets[stratum, bucket, cell.label, cell.predicted] += added.total
        if added.weighted:
            self.weighted.add(stratum.rollout)
            self.outcome_weights.add(key, added)
        if cell.positive is not None:
            self.positive = max(self.positive, (added.served_at, cell.positive))

    def _score(self, stratum: StratumKey, cell: Cell, place: int, added: Sum) -> None:
        index, score_bin = class_and_bin(place)
        assert cell.label is not None
        if cell.positive is not None:
            base, sub = base_and_sub(score_bin)
            key = ScoreKey(stratum, cell.positive, cell.label, base)
            found = self.scores[key]
            found.parts[sub] = found.parts.get(sub, 0) + added.total
        else:
            assert cell.classes is not None
            key = ScoreKey(stratum, cell.classes[index], cell.label, score_bin)
            found = self.scores[key]
        found.rows += added.total
        if added.weighted:
            self.score_weights.add(key, added)


def _keep(table: MutableMapping[Any, Any], strata: set[StratumKey]) -> None:
    for key in [key for key in table if key[0] not in strata]:
        del table[key]


def newest_strata(served_at: Mapping[StratumKey, int], count: int) -> set[StratumKey]:
    """Return so many of the strata: those that served last."""
    newest = sorted(served_at, key=lambda key: (served_at[key], key), reverse=True)
    return set(newest[:count])


def hot_bins(cells: Iterable[tuple[ScoreKey, int]]) -> set[tuple[str, int]]:
    """Return rollout and number of the base bins that are exposed by their sub-bins."""
    rows: Counter[tuple[str, int]] = Counter()
    totals: Counter[str] = Counter()
    for key, count in cells:
        rollout = key.stratum.rollout
        rows[rollout, key.base] += count
        totals[rollout] += count
    return {
        place
        for place, count in rows.items()
        if count > HOT_ROWS and count * HOT_PART > totals[place[0]]
    }
