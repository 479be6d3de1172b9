"""Scores of labelled rows, counted per bin. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from assay.evidence.arrays import Counts, as_counts
from assay.evidence.errors import EvidenceError


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Scores of one class, counted per bin, apart for rows that are and are not of that class.

    Attributes
    ----------
    positive, negative
        Labelled rows per bin, shape ``(bins,)``, ascending score. Both arms use one grid.
    others
        The negative rows by their true class, same shape; what one-vs-one comparisons need. Empty
        when they were not told apart.
    refined
        The same rows on a finer grid (`assay.evidence.grid`), where there is one for all arms. What
        ranks scores reads this; losses, moments and sums of weights keep to the base bins.
    whole_ends
        Whether the first and the last cell of `refined` hold everything beyond the grid: how far
        their scores are apart is then not known.
    """

    positive: Counts
    negative: Counts
    others: Mapping[str, Counts] = field(default_factory=dict)
    refined: "ScoreHistogram | None" = None
    whole_ends: tuple[bool, bool] = (True, True)

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        object.__setattr__(self, "positive", as_counts(self.positive, "positive", 1))
        object.__setattr__(self, "negative", as_counts(self.negative, "negative", 1))
        others = {
            name: as_counts(each, f"others.{name}", 1) for name, each in sorted(self.others.items())
        }
        object.__setattr__(self, "others", others)
        if self.positive.shape != self.negative.shape:
            raise EvidenceError(
                "negative", f"{self.negative.size} bins, but positive has {self.positive.size}"
            )
        for name, each in others.items():
            if each.shape != self.positive.shape:
                raise EvidenceError(
                    f"others.{name}", f"{each.size} bins, but positive has {self.positive.size}"
                )
        if others and not np.array_equal(sum(others.values()), self.negative):
            raise EvidenceError("others", "do not add up to negative")
        if self.refined is not None and self.refined.total != self.total:
            raise EvidenceError("refined", f"{self.refined.total} rows, but {self.total} by bin")

    @classmethod
    def by_label(cls, own: str, labels: Mapping[str, npt.ArrayLike]) -> "ScoreHistogram":
        """Make the histogram of class `own` from the rows of every true class."""
        counts = {name: as_counts(each, name, 1) for name, each in labels.items()}
        empty = np.zeros_like(next(iter(counts.values())))
        others = {name: each for name, each in counts.items() if name != own}
        return cls(counts.get(own, empty), sum(others.values(), empty), others)

    def coarser(self, factor: int) -> "ScoreHistogram":
        """Return the histogram with every `factor` neighbouring bins merged."""

        def merged(counts: Counts) -> Counts:
            summed: Counts = counts.reshape(-1, factor).sum(axis=1)
            return summed

        return ScoreHistogram(
            merged(self.positive),
            merged(self.negative),
            {name: merged(each) for name, each in self.others.items()},
        )

    @property
    def bins(self) -> int:
        """Number of bins of the grid."""
        return int(self.positive.size)

    @property
    def total(self) -> int:
        """Labelled rows in the histogram."""
        return int(self.positive.sum() + self.negative.sum())

    def __add__(self, other: "ScoreHistogram") -> "ScoreHistogram":
        """Merge: every count is a sum."""
        if self.bins != other.bins:
            raise EvidenceError("positive", f"{self.bins} bins cannot be added to {other.bins}")
        empty = np.zeros_like(self.positive)
        # Rows that one side did not tell apart cannot be told apart in the sum.
        apart = all(each.others or not each.negative.any() for each in (self, other))
        names = {*self.others, *other.others} if apart else set()
        refined = None
        if (
            self.refined is not None
            and other.refined is not None
            and (self.refined.bins, self.whole_ends) == (other.refined.bins, other.whole_ends)
        ):
            refined = self.refined + other.refined
        return ScoreHistogram(
            self.positive + other.positive,
            self.negative + other.negative,
            {name: self.others.get(name, empty) + other.others.get(name, empty) for name in names},
            refined,
            (True, True) if refined is None else self.whole_ends,
        )

    @override
    def __eq__(self, other: object) -> bool:
        """Compare count by count."""
        if not isinstance(other, ScoreHistogram):
            return NotImplemented
        return (
            np.array_equal(self.positive, other.positive)
            and np.array_equal(self.negative, other.negative)
            and self.others.keys() == other.others.keys()
            and all(np.array_equal(self.others[name], other.others[name]) for name in self.others)
            and self.refined == other.refined
            and self.whole_ends == other.whole_ends
        )

    __hash__ = None  # type: ignore[assignment]
