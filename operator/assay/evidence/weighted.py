"""Labels that were chosen by chance: sums of inverse-probability weights, and of their squares.

A row that was picked for labelling with probability p stands for w = 1/p rows. The sums of w give
unbiased shares where labels depend on the prediction; the sums of w^2 give their variance.
Reference: Horvitz, Thompson (1952).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from typing_extensions import override

from assay.evidence.arrays import Sums, as_sums
from assay.evidence.errors import EvidenceError


@dataclass(frozen=True, eq=False)
class WeightedCounts:
    """Sums over the labelled rows of one arm in one stratum.

    Attributes
    ----------
    confusion, confusion_squares
        Sums of w and of w^2, shape ``(K, K)``, in the order of the arm's labels.
    scores, score_squares
        The same by class, shape ``(2, bins)``: rows that are of the class, rows that are not.
    """

    confusion: Sums
    confusion_squares: Sums
    scores: Mapping[str, Sums] = field(default_factory=dict)
    score_squares: Mapping[str, Sums] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and freeze the sums."""
        for name in ("confusion", "confusion_squares"):
            object.__setattr__(self, name, as_sums(getattr(self, name), name, 2))
        for name in ("scores", "score_squares"):
            each = getattr(self, name)
            frozen = {key: as_sums(each[key], f"{name}.{key}", 2) for key in sorted(each)}
            object.__setattr__(self, name, frozen)
        _check_squares("confusion_squares", self.confusion, self.confusion_squares)
        if self.scores.keys() != self.score_squares.keys():
            raise EvidenceError("score_squares", "has other classes than scores")
        for name, sums in self.scores.items():
            _check_squares(f"score_squares.{name}", sums, self.score_squares[name])

    def __add__(self, other: "WeightedCounts") -> "WeightedCounts":
        """Merge: every sum is a sum."""
        if self.scores.keys() != other.scores.keys():
            raise EvidenceError("scores", "has other classes")
        return WeightedCounts(
            self.confusion + other.confusion,
            self.confusion_squares + other.confusion_squares,
            {name: sums + other.scores[name] for name, sums in self.scores.items()},
            {name: sums + other.score_squares[name] for name, sums in self.score_squares.items()},
        )

    def coarser(self, bins: int) -> "WeightedCounts":
        """Return the sums with neighbouring score bins merged, so that `bins` are left."""
        return replace(
            self,
            scores={name: _merged(sums, bins) for name, sums in self.scores.items()},
            score_squares={name: _merged(sums, bins) for name, sums in self.score_squares.items()},
        )

    @override
    def __eq__(self, other: object) -> bool:
        """Compare sum by sum."""
        if not isinstance(other, WeightedCounts):
            return NotImplemented
        return all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self._arrays(), other._arrays(), strict=False)
        ) and (self.scores.keys(), len(self._arrays())) == (
            other.scores.keys(),
            len(other._arrays()),
        )

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> list[Sums]:
        return [
            self.confusion,
            self.confusion_squares,
            *self.scores.values(),
            *self.score_squares.values(),
        ]


def _merged(sums: Sums, bins: int) -> Sums:
    merged: Sums = sums.reshape(2, bins, -1).sum(axis=-1)
    return merged


def _check_squares(name: str, sums: Sums, squares: Sums) -> None:
    """Weights are at least 1, so the sum of their squares is at least their sum."""
    if sums.shape != squares.shape:
        raise EvidenceError(name, f"has shape {squares.shape}, the sums have {sums.shape}")
    small = squares < sums * (1.0 - 1e-9)
    if small.any():
        where = "".join(f"[{int(index)}]" for index in np.argwhere(small)[0])
        raise EvidenceError(
            name + where, "is smaller than the sum of the weights, which are at least 1"
        )
