"""Counts of shadow traffic: every labelled row was answered by both revisions.

Pairs say far more than two samples of the same size, because what is hard for one version is hard
for the other too. All counts are plain sums, so they merge; rows of different members and steps may
be added, since both versions saw each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from assay.evidence.arrays import Counts, as_counts
from assay.evidence.counts import ArmCounts
from assay.evidence.errors import EvidenceError
from assay.evidence.histogram import ScoreHistogram


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Scores of one class under both revisions.

    Attributes
    ----------
    stable, canary
        Each on the fine grid.
    joint
        Rows by both scores on a coarse grid, shape ``(2, b, b)``: rows of the class, then others;
        stable's bin, then the canary's. The fine grid has a multiple of b bins.
    """

    stable: ScoreHistogram
    canary: ScoreHistogram
    joint: Counts

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        joint = as_counts(self.joint, "joint", 3)
        object.__setattr__(self, "joint", joint)
        bins = joint.shape[1]
        if joint.shape != (2, bins, bins) or self.stable.bins % bins:
            raise EvidenceError(
                "joint", f"is {' x '.join(map(str, joint.shape))} for {self.stable.bins} bins"
            )
        for name, scores, axis in (("stable", self.stable, 2), ("canary", self.canary, 1)):
            factor = self.stable.bins // bins
            if scores.bins != self.stable.bins:
                raise EvidenceError(name, f"{scores.bins} bins, stable has {self.stable.bins}")
            coarse = scores.coarser(factor)
            if not np.array_equal(joint.sum(axis=axis), [coarse.positive, coarse.negative]):
                raise EvidenceError("joint", f"does not add up to the scores of {name}")

    def __add__(self, other: "PairedScores") -> "PairedScores":
        """Merge: every count is a sum."""
        if self.joint.shape != other.joint.shape:
            raise EvidenceError("joint", "has another number of bins")
        return PairedScores(
            self.stable + other.stable, self.canary + other.canary, self.joint + other.joint
        )


@dataclass(frozen=True, eq=False)
class PairedCounts:
    """What is known of two revisions that answered the same rows.

    Attributes
    ----------
    labels
        The classes, in the order of the axes of `outcomes`.
    outcomes
        Rows by true label, stable's prediction and the canary's, shape ``(K, K, K)``.
    scores
        By class.
    """

    labels: tuple[str, ...]
    outcomes: Counts
    scores: Mapping[str, PairedScores] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and freeze the counts."""
        outcomes = as_counts(self.outcomes, "outcomes", 3)
        size = len(self.labels)
        if outcomes.shape != (size, size, size):
            shape = " x ".join(map(str, outcomes.shape))
            raise EvidenceError("outcomes", f"is {shape} for {size} labels")
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "outcomes", outcomes)
        object.__setattr__(self, "scores", dict(sorted(self.scores.items())))

    def __add__(self, other: "PairedCounts") -> "PairedCounts":
        """Merge: every count is a sum."""
        if (self.labels, self.scores.keys()) != (other.labels, other.scores.keys()):
            raise EvidenceError("labels", "are not the same, or not the same classes have scores")
        return PairedCounts(
            self.labels,
            self.outcomes + other.outcomes,
            {name: each + other.scores[name] for name, each in self.scores.items()},
        )

    @property
    def rows(self) -> int:
        """Labelled rows."""
        return int(self.outcomes.sum())

    @property
    def stable(self) -> ArmCounts:
        """What stable said, alone."""
        return self._arm(self.outcomes.sum(axis=2), {n: s.stable for n, s in self.scores.items()})

    @property
    def canary(self) -> ArmCounts:
        """What the canary said, alone."""
        return self._arm(self.outcomes.sum(axis=1), {n: s.canary for n, s in self.scores.items()})

    def _arm(self, confusion: Counts, scores: Mapping[str, ScoreHistogram]) -> ArmCounts:
        return ArmCounts.counted(self.labels, confusion, scores)
