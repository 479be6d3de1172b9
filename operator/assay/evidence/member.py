"""What one member cluster reported, and how several members become strata. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from assay.evidence.arrays import Counts
from assay.evidence.cells import ScoreCells, columns
from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.grid import Cell, Grid, common
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts

_Key = TypeVar("_Key")

GRID_BINS = 1024
"""Bins of the log-odds grid on which ledgers count scores."""

BUCKETS = 128
"""Buckets of users, by which rows of one user are counted together."""

BUCKET_BINS = 32
"""Bins of the coarser grid on which ledgers count scores by bucket."""


class Weight(NamedTuple):
    """Sums of inverse-probability weights and of their squares."""

    total: float
    squares: float

    @override
    def __add__(self, other: object) -> "Weight":
        """Merge: both are sums."""
        assert isinstance(other, Weight)
        return Weight(self.total + other.total, self.squares + other.squares)


NO_WEIGHT = Weight(0.0, 0.0)


@dataclass(frozen=True)
class RevisionCounts:
    """Counts of one revision at one rollout step in one member, as read: only what is not zero.

    Attributes
    ----------
    outcomes
        Labelled rows by (true label, predicted label).
    scores
        Labelled rows by (class, true label, base bin).
    parts
        The same by (class, true label, sub-bin), for base bins whose sub-bins are known.
    served, labelled, requests
        Rows served, rows with a label, requests that brought the rows.
    served_as
        Rows served by predicted class.
    users
        Distinct users served, where users are split.
    weights, score_weights
        Sums of inverse-probability weights and of their squares, by the keys of `outcomes` and
        `scores`; empty where no label came with a probability.
    buckets, bucket_scores
        Labelled rows by (bucket of users, true label, predicted label) and by (bucket, class, true
        label, coarse bin); empty where users are not split.
    """

    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    scores: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    parts: Mapping[tuple[str, str, Cell], int] = field(default_factory=dict)
    served: int = 0
    labelled: int = 0
    requests: int = 0
    served_as: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    weights: Mapping[tuple[str, str], Weight] = field(default_factory=dict)
    score_weights: Mapping[tuple[str, str, int], Weight] = field(default_factory=dict)
    buckets: Mapping[tuple[int, str, str], int] = field(default_factory=dict)
    bucket_scores: Mapping[tuple[int, str, str, int], int] = field(default_factory=dict)

    def coarser(self, factor: int) -> "RevisionCounts":
        """Return the counts with every `factor` neighbouring base bins merged.

        Without sub-bins and buckets: those say how rows of the present depend on each other.
        """
        scores = ScoreCells.merged(self.scores, factor)
        weights: dict[tuple[str, str, int], Weight] = {}
        for (name, label, place), weight in self.score_weights.items():
            key = (name, label, place // factor)
            weights[key] = weights.get(key, NO_WEIGHT) + weight
        return replace(
            self, scores=scores, parts={}, score_weights=weights, buckets={}, bucket_scores={}
        )

    def cells(self) -> Iterator[tuple[str, str, Cell, int]]:
        """Yield class, true label, finest known cell and rows."""
        known = {(name, label, cell.base) for name, label, cell in self.parts}
        for (name, label, cell), rows in self.parts.items():
            yield name, label, cell, rows
        for (name, label, base), rows in self.scores.items():
            if (name, label, base) not in known:
                yield name, label, Cell(base), rows

    def includes(self, earlier: "RevisionCounts") -> bool:
        """Return whether no count is smaller than in `earlier`, on the same grid of scores."""
        totals = (
            (earlier.served, self.served),
            (earlier.labelled, self.labelled),
            (earlier.requests, self.requests),
            (earlier.users, self.users),
        )
        return (
            all(before <= after for before, after in totals)
            and _grown(earlier.outcomes, self.outcomes)
            and _scores_grown(earlier.scores, self.scores)
            and _grown(earlier.served_as, self.served_as)
        )


@dataclass(frozen=True)
class MemberEvidence:
    """One look at one member.

    Attributes
    ----------
    counts
        By (revision, step); a pair without any series is absent.
    store
        Identity of the ledger's store. When it changes, earlier counts are gone: whoever
        remembers the old one decides what that means.
    age_seconds
        Age of the newest ledger sample when Prometheus answered, by Prometheus's own clock. Counts that
        are the same are equal at any age.
    positive
        The positive class by which the ledger counts scores; `None` if it does not say.
    """

    counts: Mapping[tuple[str, int], RevisionCounts]
    store: str
    age_seconds: float = field(compare=False)
    positive: str | None = None

    def coarser(self, factor: int) -> "MemberEvidence":
        """Return the evidence with every `factor` neighbouring score bins merged."""
        counts = {arm: each.coarser(factor) for arm, each in self.counts.items()}
        return replace(self, counts=counts)


@dataclass(frozen=True)
class Table:
    """What the rows, columns and score grids of all strata are.

    Attributes
    ----------
    labels
        The classes, sorted.
    scored
        The classes whose scores are counted, sorted.
    bins
        Size of the score grid.
    refined
        By class of `scored`, the finest grid on which all rows can be counted.
    weighted
        Whether labels came with probabilities: then every row counts by its weight, which is one
        where nobody gave another.
    bucketed
        Whether rows are counted by bucket of users.
    """

    labels: tuple[str, ...]
    scored: tuple[str, ...]
    bins: int = GRID_BINS
    refined: Mapping[str, Grid] = field(default_factory=dict)
    weighted: bool = False
    bucketed: bool = False


def combine(
    members: Mapping[str, MemberEvidence],
    stable: str,
    canary: str,
    *,
    weights: Mapping[int, float] | None = None,
    bins: int = GRID_BINS,
) -> Evidence:
    """Strata ``<member>/<step>`` of two revisions.

    Parameters
    ----------
    members
        By name.
    stable, canary
        Revisions. Counts of other revisions are left out.
    weights
        The canary's asked share (0..1) by step, for the sample-ratio test. A step that asks for
        all or nothing has no ratio to test.
    bins
        Size of the score grid.

    The classes are all that appear anywhere (and each member's positive class), sorted, so that
    both arms of every stratum have the same rows and columns from the first label on. The scores
    of the positive class are there from the start too: they tell the judge which one it is.
    """
    return Evidence(
        strata(members, stable, canary, table(members, (stable, canary), bins), weights=weights)
    )


def table(
    members: Mapping[str, MemberEvidence], revisions: tuple[str, str], bins: int = GRID_BINS
) -> Table:
    """Return the classes that `members` name in the counts of `revisions`."""
    positives = {member.positive for member in members.values() if member.positive is not None}
    counted = [
        counts
        for member in members.values()
        for (revision, _), counts in member.counts.items()
        if revision in revisions
    ]
    scored = positives.union(key[0] for counts in counted for key in counts.scores)
    cells: dict[str, list[Cell]] = {name: [] for name in scored}
    if any(counts.parts for counts in counted):
        for counts in counted:
            for name, _, cell, _ in counts.cells():
                cells[name].append(cell)
    refined = {name: common([found]) for name, found in cells.items()}
    return Table(
        tuple(sorted(_classes(counted, positives))),
        tuple(sorted(scored)),
        bins,
        refined,
        weighted=any(counts.weights for counts in counted),
        bucketed=any(counts.buckets for counts in counted),
    )


def strata(
    members: Mapping[str, MemberEvidence],
    stable: str,
    canary: str,
    like: Table,
    *,
    weights: Mapping[int, float] | None = None,
) -> tuple[Stratum, ...]:
    """Return the strata of two revisions, sorted by name, with the classes and grids of `like`."""
    rows = [
        (f"{name}/{step}", step, revision, counts)
        for name, member in members.items()
        for (revision, step), counts in member.counts.items()
        if revision in (stable, canary)
    ]
    arms = {(name, revision): counts for name, _, revision, counts in rows}
    steps = {name: step for name, step, *_ in rows}
    empty = RevisionCounts()
    return tuple(
        Stratum(
            name=name,
            stable=_arm(arms.get((name, stable), empty), like),
            canary=_arm(arms.get((name, canary), empty), like),
            weight=_share((weights or {}).get(step)),
        )
        for name, step in sorted(steps.items())
    )


def _share(weight: float | None) -> float | None:
    return weight if weight is not None and 0.0 < weight < 1.0 else None


def _classes(counted: Iterable[RevisionCounts], positives: set[str]) -> set[str]:
    seen = set(positives)
    for counts in counted:
        pairs = {*counts.outcomes, *((name, label) for name, label, _ in counts.scores)}
        seen.update(*pairs)
    return seen


def _arm(counts: RevisionCounts, like: Table) -> ArmCounts:
    labels = like.labels
    index = {label: position for position, label in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (label, predicted), rows in counts.outcomes.items():
        confusion[index[label], index[predicted]] += rows
    return ArmCounts(
        labels=labels,
        confusion=confusion,
        scores=dict(_histograms(counts, like)),
        served=counts.served,
        labelled=counts.labelled,
        requests=counts.requests,
        served_as=counts.served_as,
        users=counts.users,
        weighted=_weighted(counts, like) if like.weighted else None,
        buckets=_buckets(counts, like) if like.bucketed else None,
    )


def _weighted(counts: RevisionCounts, like: Table) -> WeightedCounts:
    """Return the sums of weights; rows of a ledger that was given no probability weigh one."""
    index = {label: position for position, label in enumerate(like.labels)}
    confusion = np.zeros((2, len(index), len(index)))
    for (label, predicted), weight in _weights(counts.weights, counts.outcomes).items():
        confusion[:, index[label], index[predicted]] += weight
    scores = {name: np.zeros((2, 2, like.bins)) for name in like.scored}
    for (name, label, place), weight in _weights(counts.score_weights, counts.scores).items():
        scores[name][:, int(label != name), place] += weight
    return WeightedCounts(
        confusion[0],
        confusion[1],
        {name: sums[0] for name, sums in scores.items()},
        {name: sums[1] for name, sums in scores.items()},
    )


def _weights(known: Mapping[_Key, Weight], rows: Mapping[_Key, int]) -> Mapping[_Key, Weight]:
    return known or {key: Weight(float(count), float(count)) for key, count in rows.items()}


def _buckets(counts: RevisionCounts, like: Table) -> GroupCounts | None:
    """Return the rows by bucket; `None` where labels were counted without one."""
    if counts.labelled and not counts.buckets:
        return None
    index = {label: position for position, label in enumerate(like.labels)}
    confusion = np.zeros((BUCKETS, len(index), len(index)), dtype=np.int64)
    for (bucket, label, predicted), rows in counts.buckets.items():
        confusion[bucket, index[label], index[predicted]] += rows
    scores = {name: np.zeros((BUCKETS, 2, BUCKET_BINS), dtype=np.int64) for name in like.scored}
    for (bucket, name, label, place), rows in counts.bucket_scores.items():
        scores[name][bucket, int(label != name), place] += rows
    return GroupCounts(confusion, scores)


def _histograms(counts: RevisionCounts, like: Table) -> Iterator[tuple[str, ScoreHistogram]]:
    """Yield the scores by class. Of two classes the other one is all that is negative."""
    whole = _by_label(columns(counts.scores), dict.fromkeys(like.scored, like.bins), like)
    grids = {name: grid for name, grid in like.refined.items() if grid.split}
    placed: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for name, label, cell, rows in counts.cells() if grids else ():
        if name in grids:
            places, found = placed.setdefault((name, label), ([], []))
            places.append(grids[name].index(cell))
            found.append(rows)
    refined = _by_label(placed, {name: grid.size for name, grid in grids.items()}, like)
    for name, histogram in whole.items():
        if name in grids:
            split = grids[name].split
            ends = (0 not in split, GRID_BINS - 1 not in split)
            yield name, replace(histogram, refined=refined[name], whole_ends=ends)
        else:
            yield name, histogram


def _by_label(
    rows: Mapping[tuple[str, str], tuple[npt.ArrayLike, npt.ArrayLike]],
    sizes: Mapping[str, int],
    like: Table,
) -> dict[str, ScoreHistogram]:
    """Return the histogram of each class from places and rows by (class, true label)."""
    found: dict[str, dict[str, tuple[npt.ArrayLike, npt.ArrayLike]]] = {
        name: {name: ([], [])} for name in sizes
    }
    for (name, label), column in rows.items():
        found[name][label] = column
    histograms = {
        name: ScoreHistogram.by_label(
            name, {label: _placed(sizes[name], *each) for label, each in by_label.items()}
        )
        for name, by_label in found.items()
    }
    if len(like.labels) > 2:
        return histograms
    return {name: ScoreHistogram(each.positive, each.negative) for name, each in histograms.items()}


def _placed(size: int, places: npt.ArrayLike, rows: npt.ArrayLike) -> Counts:
    """Return the rows by place, (size,); several of one place add up."""
    counts = np.zeros(size, dtype=np.int64)
    np.add.at(counts, np.asarray(places, dtype=np.intp), np.asarray(rows, dtype=np.int64))
    return counts


def _scores_grown(
    earlier: Mapping[tuple[str, str, int], int], later: Mapping[tuple[str, str, int], int]
) -> bool:
    if isinstance(earlier, ScoreCells) and isinstance(later, ScoreCells):
        return later.grown_from(earlier)
    return _grown(earlier, later)


def _grown(earlier: Mapping[_Key, int], later: Mapping[_Key, int]) -> bool:
    return all(rows <= later.get(key, 0) for key, rows in earlier.items())
