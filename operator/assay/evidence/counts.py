"""Counts of labelled predictions and their algebra. Pure: no clock, no I/O.

Every quantity is a plain sum over pods, scrapes and clusters, so adding is merging, in any order
and without loss (int64). A stratum is one member cluster at one rollout step; raw counts of
different strata are never added to each other (Simpson's paradox), only those of the same name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from assay.evidence.arrays import Counts, Sums, as_count, as_counts
from assay.evidence.errors import EvidenceError
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts


@dataclass(frozen=True, eq=False)
class ArmCounts:
    """What is known of one revision in one stratum.

    Attributes
    ----------
    labels
        The classes, in the order of the rows and columns of `confusion`; the same for both arms.
    confusion
        Labelled rows, shape ``(K, K)``; rows are true classes, columns predicted ones, as in
        scikit-learn.
    scores
        Score histogram per class; every class on a grid of the same size in both arms.
    served
        Rows served. 0 means unknown.
    labelled
        Rows with a label.
    requests
        Requests that brought the rows; what the gateway splits. 0 means unknown.
    served_as
        Rows served by predicted class. Empty means unknown.
    users
        Distinct users that were served, where users and not requests are split. 0 means unknown.
    weighted
        Sums of inverse-probability weights, where labels were chosen by chance.
    buckets
        The labelled rows by bucket of users, where users and not requests are split.
    """

    labels: tuple[str, ...]
    confusion: Counts
    scores: Mapping[str, ScoreHistogram] = field(default_factory=dict)
    served: int = 0
    labelled: int = 0
    requests: int = 0
    served_as: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    weighted: WeightedCounts | None = None
    buckets: GroupCounts | None = None

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        labels = tuple(self.labels)
        size = len(labels)
        if len(set(labels)) != size:
            raise EvidenceError("labels", f"{list(labels)} names a class twice")
        matrix = as_counts(self.confusion, "confusion", 2)
        if matrix.shape != (size, size):
            rows, columns = matrix.shape
            raise EvidenceError("confusion", f"is {rows} x {columns} for {size} labels")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "confusion", matrix)
        object.__setattr__(self, "scores", dict(sorted(self.scores.items())))
        object.__setattr__(self, "served", as_count(self.served, "served"))
        object.__setattr__(self, "labelled", as_count(self.labelled, "labelled"))
        object.__setattr__(self, "requests", as_count(self.requests, "requests"))
        object.__setattr__(self, "users", as_count(self.users, "users"))
        served_as = {
            name: as_count(rows, f"served_as.{name}")
            for name, rows in sorted(self.served_as.items())
        }
        object.__setattr__(self, "served_as", served_as)
        square = (size, size)
        if self.weighted is not None and self.weighted.confusion.shape != square:
            raise EvidenceError("weighted.confusion", f"is not {size} x {size}")
        if self.buckets is not None and self.buckets.confusion.shape[1:] != square:
            raise EvidenceError("buckets.confusion", f"is not groups x {size} x {size}")

    @classmethod
    def counted(
        cls,
        labels: Sequence[str],
        confusion: npt.ArrayLike | None = None,
        scores: Mapping[str, ScoreHistogram] | None = None,
        served: int = 0,
        requests: int | None = None,
    ) -> "ArmCounts":
        """Make counts whose number of labelled rows follows from what was counted.

        Without a confusion matrix (scores only) it is all zeros. Without a number of requests
        every row came in one of its own.
        """
        size = len(labels)
        known = np.zeros((size, size), np.int64) if confusion is None else confusion
        matrix = as_counts(known, "confusion", 2)
        histograms = scores or {}
        totals = [int(matrix.sum()), *(each.total for each in histograms.values())]
        split = served if requests is None else requests
        return cls(tuple(labels), matrix, histograms, served, max(totals), split)

    def __add__(self, other: "ArmCounts") -> "ArmCounts":
        """Merge: every count is a sum."""
        check_comparable(self, other)
        classes = {*self.scores, *other.scores}
        return ArmCounts(
            labels=self.labels,
            confusion=self.confusion + other.confusion,
            scores={name: _sum_scores(name, self, other) for name in classes},
            served=self.served + other.served,
            labelled=self.labelled + other.labelled,
            requests=self.requests + other.requests,
            served_as={
                name: self.served_as.get(name, 0) + other.served_as.get(name, 0)
                for name in {*self.served_as, *other.served_as}
            },
            users=self.users + other.users,
            weighted=_sum_optional("weighted", self.weighted, other.weighted, self, other),
            buckets=_sum_optional("buckets", self.buckets, other.buckets, self, other),
        )

    @override
    def __eq__(self, other: object) -> bool:
        """Compare count by count."""
        if not isinstance(other, ArmCounts):
            return NotImplemented
        return (
            self.labels == other.labels
            and np.array_equal(self.confusion, other.confusion)
            and self.scores == other.scores
            and (self.served, self.labelled, self.requests, self.served_as, self.users)
            == (other.served, other.labelled, other.requests, other.served_as, other.users)
            and (self.weighted, self.buckets) == (other.weighted, other.buckets)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Stratum:
    """Both revisions under the same conditions: one member cluster at one rollout step.

    Attributes
    ----------
    name
        ``<member>/<step>``.
    stable, canary
        Their counts, with the same labels and score grids.
    weight
        The canary's share of requests that the route was asked for, 0..1; `None` if unknown, and
        then the sample ratio is not checked.
    """

    name: str
    stable: ArmCounts
    canary: ArmCounts
    weight: float | None = None

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        if self.weight is not None and not 0.0 < self.weight < 1.0:
            raise EvidenceError("weight", f"{self.weight} is not a share between 0 and 1")
        try:
            check_comparable(self.stable, self.canary)
        except EvidenceError as error:
            raise error.within("canary") from None

    def __add__(self, other: "Stratum") -> "Stratum":
        """Merge: every count is a sum."""
        if (self.name, self.weight) != (other.name, other.weight):
            raise EvidenceError(
                "name",
                f"{self.name!r} (weight {self.weight}) is another stratum than "
                f"{other.name!r} (weight {other.weight})",
            )
        return replace(self, stable=self.stable + other.stable, canary=self.canary + other.canary)


@dataclass(frozen=True)
class Moment:
    """What was known at an earlier moment of the same trial.

    Attributes
    ----------
    seconds
        Since the trial began.
    strata
        Cumulative counts then, as in `Evidence`; score grids may be coarser than today's by a whole
        factor, the same for all moments.
    """

    seconds: float
    strata: tuple[Stratum, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of one trial: strata of distinct names, sorted by name.

    Attributes
    ----------
    history
        Earlier moments, oldest first: what shows a canary that turned bad, and rows that come in
        dependent batches. May be empty.
    """

    strata: tuple[Stratum, ...]
    history: tuple[Moment, ...] = ()

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        history = tuple(sorted(self.history, key=lambda moment: moment.seconds))
        object.__setattr__(self, "history", history)
        strata = tuple(sorted(self.strata, key=lambda stratum: stratum.name))
        object.__setattr__(self, "strata", strata)
        for index, stratum in enumerate(strata):
            if index and stratum.name == strata[index - 1].name:
                raise EvidenceError(f"strata[{index}].name", f"{stratum.name!r} appears twice")
            try:
                check_comparable(strata[0].stable, stratum.stable)
            except EvidenceError as error:
                raise error.within(f"strata[{index}].stable") from None
        grids = _grids(strata, {})
        past: dict[str, int] = {}
        for index, moment in enumerate(history):
            try:
                past = _grids(moment.strata, past)
            except EvidenceError as error:
                raise error.within(f"history[{index}]") from None
        for name, bins in past.items():
            if grids.get(name, bins) % bins:
                raise EvidenceError(
                    f"history.scores.{name}",
                    f"{bins} bins, which is not a whole part of the {grids[name]} of now",
                )

    @property
    def labelled(self) -> tuple[int, int]:
        """Labelled rows of (stable, canary) over all strata."""
        return (
            sum([stratum.stable.labelled for stratum in self.strata]),
            sum([stratum.canary.labelled for stratum in self.strata]),
        )

    @property
    def served(self) -> tuple[int, int]:
        """Served rows of (stable, canary) over all strata."""
        return (
            sum([stratum.stable.served for stratum in self.strata]),
            sum([stratum.canary.served for stratum in self.strata]),
        )


def merge(parts: Iterable[Evidence]) -> Evidence:
    """Add evidence of the same trial: strata of the same name sum, others stay apart.

    Exact and independent of order. Raises `EvidenceError` when two parts disagree about the
    classes, the score grid or the weight of a stratum.
    """
    strata: dict[str, Stratum] = {}
    for part in parts:
        for stratum in part.strata:
            known = strata.get(stratum.name)
            strata[stratum.name] = stratum if known is None else known + stratum
    return Evidence(tuple(strata.values()))


def _grids(strata: Iterable[Stratum], known: Mapping[str, int]) -> dict[str, int]:
    """Return the bins of each class; raise `EvidenceError` where two arms, or `known`, differ."""
    grids = dict(known)
    for index, stratum in enumerate(strata):
        for arm, counts in (("stable", stratum.stable), ("canary", stratum.canary)):
            for name, histogram in counts.scores.items():
                bins = grids.setdefault(name, histogram.bins)
                if bins != histogram.bins:
                    raise EvidenceError(
                        f"strata[{index}].{arm}.scores.{name}.positive",
                        f"{histogram.bins} bins, but others have {bins}",
                    )
    return grids


def check_comparable(first: ArmCounts, second: ArmCounts) -> None:
    """Raise `EvidenceError` unless both have the same classes and score grids.

    The path names the field of `second`.
    """
    if first.labels != second.labels:
        raise EvidenceError(
            "labels", f"{list(second.labels)} are not the labels {list(first.labels)}"
        )
    for name in first.scores.keys() & second.scores.keys():
        if first.scores[name].bins != second.scores[name].bins:
            raise EvidenceError(
                f"scores.{name}.positive",
                f"{second.scores[name].bins} bins, but the other has {first.scores[name].bins}",
            )


def check_grown(earlier: ArmCounts, later: ArmCounts) -> None:
    """Raise `EvidenceError` naming the first count that is smaller in `later`.

    Counters are cumulative and survive their pods: one that fell means that evidence was lost or
    that two sources were mixed up.
    """
    check_comparable(earlier, later)
    _not_decreasing("confusion", earlier.confusion, later.confusion)
    for name, before in earlier.scores.items():
        after = later.scores.get(name)
        if after is None:
            raise EvidenceError(f"scores.{name}", "was there before and is gone")
        _not_decreasing(f"scores.{name}.positive", before.positive, after.positive)
        _not_decreasing(f"scores.{name}.negative", before.negative, after.negative)
    for name in ("served", "labelled", "requests", "users"):
        before, after = getattr(earlier, name), getattr(later, name)
        _not_decreasing(name, np.asarray(before), np.asarray(after))
    for name, rows in earlier.served_as.items():
        _not_decreasing(
            f"served_as.{name}", np.asarray(rows), np.asarray(later.served_as.get(name, 0))
        )
    if earlier.weighted is not None and later.weighted is not None:
        _not_decreasing("weighted.confusion", earlier.weighted.confusion, later.weighted.confusion)
        for name, sums in earlier.weighted.scores.items():
            now = later.weighted.scores.get(name)
            if now is None:
                raise EvidenceError(f"weighted.scores.{name}", "was there before and is gone")
            _not_decreasing(f"weighted.scores.{name}", sums, now)
    if earlier.buckets is not None and later.buckets is not None:
        _not_decreasing("buckets.confusion", earlier.buckets.confusion, later.buckets.confusion)


_Part = TypeVar("_Part", WeightedCounts, GroupCounts)


def _sum_optional(
    name: str,
    first: _Part | None,
    second: _Part | None,
    first_arm: ArmCounts,
    second_arm: ArmCounts,
) -> _Part | None:
    """Add what both have; an arm without labels has nothing to add."""
    if first is None or second is None:
        for part, arm in ((first, first_arm), (second, second_arm)):
            if part is None and arm.labelled and (first is not None or second is not None):
                raise EvidenceError(name, "is known of one part of the labels only")
        return first if first is not None else second
    return first + second


def _sum_scores(name: str, first: ArmCounts, second: ArmCounts) -> ScoreHistogram:
    known: Sequence[ScoreHistogram] = [
        arm.scores[name] for arm in (first, second) if name in arm.scores
    ]
    return known[0] if len(known) == 1 else known[0] + known[1]


def _not_decreasing(name: str, before: Counts | Sums, after: Counts | Sums) -> None:
    if before.shape != after.shape:
        raise EvidenceError(name, f"has shape {after.shape}, which was {before.shape}")
    fell = after < before
    if fell.any():
        where = tuple(int(index) for index in np.argwhere(fell)[0])
        path = name + "".join(f"[{index}]" for index in where)
        raise EvidenceError(path, f"fell from {before[where]} to {after[where]}")
