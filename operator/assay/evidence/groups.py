"""Rows that are not independent, counted by the group in which they fall together.

A group is a bucket of users (sticky traffic: the user is the unit, not the request). The judge
compares the variance between groups with what independent rows would have; what it learns is a
ratio, so the scores may be counted on a coarser grid than the evidence's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from assay.evidence.arrays import Counts, as_counts
from assay.evidence.errors import EvidenceError


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """Labelled rows of one arm in one stratum, by group.

    Attributes
    ----------
    confusion
        Shape ``(G, K, K)``, in the order of the arm's labels.
    scores
        By class, shape ``(G, 2, bins)``: rows that are of the class, rows that are not.
    """

    confusion: Counts
    scores: Mapping[str, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        object.__setattr__(self, "confusion", as_counts(self.confusion, "confusion", 3))
        scores = {
            name: as_counts(each, f"scores.{name}", 3) for name, each in sorted(self.scores.items())
        }
        object.__setattr__(self, "scores", scores)
        for name, each in scores.items():
            if each.shape[:2] != (self.groups, 2):
                raise EvidenceError(
                    f"scores.{name}",
                    f"is {each.shape[0]} x {each.shape[1]} x bins instead of {self.groups} x 2 x bins",
                )

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.confusion.shape[0])

    def __add__(self, other: "GroupCounts") -> "GroupCounts":
        """Merge: every count is a sum."""
        if self.confusion.shape != other.confusion.shape:
            raise EvidenceError("confusion", "has another number of groups or classes")
        names = sorted({*self.scores, *other.scores})
        return GroupCounts(
            self.confusion + other.confusion,
            {name: _sum(name, self.scores, other.scores) for name in names},
        )

    @override
    def __eq__(self, other: object) -> bool:
        """Compare count by count."""
        if not isinstance(other, GroupCounts):
            return NotImplemented
        return (
            np.array_equal(self.confusion, other.confusion)
            and self.scores.keys() == other.scores.keys()
            and all(np.array_equal(self.scores[name], other.scores[name]) for name in self.scores)
        )

    __hash__ = None  # type: ignore[assignment]


def _sum(name: str, first: Mapping[str, Counts], second: Mapping[str, Counts]) -> Counts:
    if name not in first or name not in second:
        return first[name] if name in first else second[name]
    if first[name].shape != second[name].shape:
        raise EvidenceError(f"scores.{name}", "has another number of groups or bins")
    return first[name] + second[name]
