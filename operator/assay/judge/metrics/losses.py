"""Log loss and Brier score: proper losses of probabilities, from score histograms.

Bins are uniform in log-odds x on [-GRID_LIMIT, GRID_LIMIT]; a row counts with the loss l(x) at the
centre of its bin. Scores beyond the grid count as its ends, as in the counts themselves: a wrong
prediction costs at most ln(1 + e^12) = 12.0 (scikit-learn clips too, at 36).

What bins hide. A row's loss is off by at most the larger change of l from the centre to an edge of
its bin: the mean of that is the hard bound. Around the centre c of a bin of width h the rows' mean
is ``l(c) + h^2/24 (l''(c) + 2 l'(c) f'(c)/f(c))``, f the density of the scores: an error of order
h^2, whose curvature part is at most h^2/96 for log loss (6e-6 for 1 024 bins). The slope part needs f',
which only the counts know. Merging bins in pairs multiplies both parts by four, so the change of
the value under merging is three times the error that is left: that change, the larger one of the two
ways to pair, is the credible bound, as with AUC.
"""

import abc
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.metrics.burn_in import at_least, enough, rows
from assay.judge.metrics.linear import Linear
from assay.judge.metrics.metric import Floats, Guards, Metric, NoValue, Reading
from assay.judge.metrics.positive import only_class, scored_classes
from assay.judge.metrics.tables import flat, own_rows_table, score_table
from assay.judge.verdict import MetricSpec

GRID_LIMIT = 12.0
"""Log-odds at the ends of the score grid."""
ROWS = 50
"""Rows that each arm needs."""
CLASS_ROWS = 10
"""Rows of each class that each arm needs."""

Loss = Callable[[Floats], Floats]
"""Loss of a row that is of the class, by the log-odds of its score. Of one that is not: at -x."""


def log_of(odds: Floats) -> Floats:
    """Return the log loss, -ln(s)."""
    result: Floats = np.logaddexp(0.0, -odds)
    return result


def square_of(odds: Floats) -> Floats:
    """Return the squared error, (1 - s)^2."""
    result: Floats = scipy.special.expit(-odds) ** 2
    return result


@dataclass(frozen=True)
class BinnedLoss(Linear):
    """The mean loss of binned scores.

    Attributes
    ----------
    loss
        Of a row of the class, by log-odds.
    blocks
        The cells are one block of bins after the other, ascending score: True where rows are of
        the class whose score it is, False where they are of another.
    classes
        What the rows of the blocks are called.
    rare
        The reason to give when one of them is rare.
    """

    name: str
    loss: Loss
    blocks: tuple[bool, ...]
    classes: tuple[str, ...]
    rare: str

    @override
    def losses(self, size: int) -> Floats:
        return _of_bins(self.loss, self.blocks, size)[0]

    @override
    def half_width(self, shares: Floats) -> Floats:
        return self._mean(1, shares)

    @override
    def resolution(self, shares: Floats) -> Floats:
        hard, even, odd = (self._mean(which, shares) for which in (1, 2, 3))
        return np.minimum(np.maximum(np.abs(even), np.abs(odd)), hard)

    @override
    def pseudo(self, size: int) -> Floats:
        """One row of each class at even odds: rows that were all sure and right may be luck."""
        bins = size // len(self.blocks)
        block = np.zeros(bins)
        block[(bins - 1) // 2] += 0.5
        block[bins // 2] += 0.5
        return np.tile(block, len(self.blocks))

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        passed = np.logical_and.reduce(
            [
                at_least(blocks.sum(axis=-1), ROWS) & at_least(blocks.min(axis=-1), CLASS_ROWS)
                for blocks in (self._by_block(stable), self._by_block(canary))
            ]
        )
        return Guards(passed, passed, np.zeros_like(passed))

    @override
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        for arm, cells in (("stable", stable), ("the canary", canary)):
            blocks = self._by_block(cells)
            if not enough(float(blocks.sum()), ROWS):
                return reasons.BURN_IN, (
                    f"{arm} has {rows(float(blocks.sum()))} scored rows, {ROWS} are needed"
                )
            least = int(np.argmin(blocks))
            if not enough(float(blocks[least]), CLASS_ROWS):
                return self.rare, (
                    f"{arm} has {rows(float(blocks[least]))} {self.classes[least]}, "
                    f"{CLASS_ROWS} are needed"
                )
        return "", ""

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        return NoValue(
            reasons.NO_SCORES, f"no scores of the {arm} have been counted yet for the {self.name}"
        )

    def _by_block(self, cells: Floats) -> Floats:
        sums: Floats = cells.reshape(*cells.shape[:-1], len(self.blocks), -1).sum(axis=-1)
        return sums

    def _mean(self, which: int, shares: Floats) -> Floats:
        """Return the mean over the rows of one of the columns of `_of_bins`."""
        bound = _of_bins(self.loss, self.blocks, shares.shape[-1])[which]
        result: Floats = (shares @ bound) / shares.sum(axis=-1)
        return result


class ProbabilityLoss(Metric):
    """A proper loss: of the positive class's score, or over all classes where there are several."""

    higher_is_better = False

    def __init__(self, spec: MetricSpec, name: str, loss: Loss) -> None:
        self.name = name
        self._asked = spec.positive_label
        self._loss = loss

    @override
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        name = self._asked if self._asked is not None else only_class(arms)
        if name is None:
            return self._several(arms, scored_classes(arms))
        return (self._of_class(arms, name, ("positive rows", "negative rows"), reasons.BURN_IN),)

    @abc.abstractmethod
    def _several(self, arms: Sequence[ArmCounts], names: tuple[str, ...]) -> tuple[Reading, ...]:
        """Read a model of several classes."""

    def _of_class(
        self, arms: Sequence[ArmCounts], name: str, classes: tuple[str, str], rare: str
    ) -> Reading:
        component = BinnedLoss(self.name, self._loss, (True, False), classes, rare)
        return score_table(arms, name).reading(component, flat)


class LogLoss(ProbabilityLoss):
    """The mean of -ln(score of the true class), as scikit-learn's ``log_loss``."""

    largest = float(np.log1p(np.exp(GRID_LIMIT)))

    def __init__(self, spec: MetricSpec) -> None:
        super().__init__(spec, "log loss", log_of)

    @override
    def _several(self, arms: Sequence[ArmCounts], names: tuple[str, ...]) -> tuple[Reading, ...]:
        """Read each row once, in the block of its true class."""
        component = BinnedLoss(
            self.name,
            self._loss,
            (True,) * len(names),
            tuple(f"rows of class {name!r}" for name in names),
            reasons.RARE_CLASS,
        )
        return (own_rows_table(arms, names).reading(component, flat),)


class Brier(ProbabilityLoss):
    """The mean squared error of probabilities, as scikit-learn's ``brier_score_loss``.

    Of several classes it is the sum over them, 0 to 2, which scikit-learn does not halve either.
    """

    largest = 2.0

    def __init__(self, spec: MetricSpec) -> None:
        super().__init__(spec, "Brier score", square_of)

    @override
    def _several(self, arms: Sequence[ArmCounts], names: tuple[str, ...]) -> tuple[Reading, ...]:
        return tuple(
            self._of_class(
                arms,
                name,
                (f"rows of class {name!r}", f"rows of classes other than {name!r}"),
                reasons.RARE_CLASS,
            )
            for name in names
        )


@functools.lru_cache(maxsize=64)
def _of_bins(loss: Loss, blocks: tuple[bool, ...], size: int) -> tuple[Floats, ...]:
    """Return by cell (C,): the loss, its hard bound and the changes under both ways to pair bins."""
    bins = size // len(blocks)
    edges = np.linspace(-GRID_LIMIT, GRID_LIMIT, bins + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])
    places = np.arange(bins)
    pairs = [
        # The centre of a pair is the edge between its bins; a bin left over stays where it is.
        np.where((partner >= 0) & (partner < bins), edges[np.maximum(places, partner)], centres)
        for partner in (places ^ 1, ((places + 1) ^ 1) - 1)
    ]
    found = []
    for own in blocks:
        sign = 1.0 if own else -1.0
        at_centre = loss(sign * centres)
        hard = np.maximum(
            np.abs(loss(sign * edges[1:]) - at_centre), np.abs(loss(sign * edges[:-1]) - at_centre)
        )
        found.append([at_centre, hard, *(loss(sign * pair) - at_centre for pair in pairs)])
    result = tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    for each in result:
        each.setflags(write=False)
    return result
