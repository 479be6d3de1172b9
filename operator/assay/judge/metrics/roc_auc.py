"""Area under the ROC curve from score histograms.

Cells: positives per bin, then negatives per bin, ascending score. A row is compared with the other
class's rows of other bins as it is, and with those of its own bin as a tie. The variance is that of
DeLong on the binned scores, exactly.

What bins hide. The exact area lies within A -/+ w/2, w = sum P_b N_b / (P N): the hard bound, which
weak models make large because their scores share few bins. The real error is that of a trapezoid
rule and shrinks with the square of the bin width: merging bins in pairs multiplies it by four, so
the change of A under merging is three times the error that is left. That change, the larger one of
the two ways to pair, is the credible bound (`resolution`), never above w/2. It is blind to a
model whose scores all share one bin, so promotion also asks for w/2 <= `assay.judge.comparison.HARD_WIDTH`.

References: DeLong et al. (1988); Hanley and McNeil (1982).
"""

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.metrics.metric import Floats, Guards, Metric, NoValue

CLASS_ROWS = 20
"""Positives, and negatives, that each arm needs."""


class ROCAUC(Metric):
    """Area under the ROC curve of one class's score, as scikit-learn's ``roc_auc_score``."""

    name = "AUC"

    @override
    def cells(self, arms: Sequence[ArmCounts], positive: str) -> Floats:
        sizes = {arm.scores[positive].bins for arm in arms if positive in arm.scores}
        if not sizes:
            raise NoValue(
                reasons.NO_SCORES, f"no scores of class {positive!r} have been counted yet"
            )
        bins = max(sizes)
        table = np.zeros((len(arms), 2 * bins))
        for row, arm in zip(table, arms, strict=True):
            histogram = arm.scores.get(positive)
            if histogram is not None:
                row[:bins] = histogram.positive
                row[bins:] = histogram.negative
        return table

    @override
    def value(self, cells: Floats) -> float | None:
        positives, negatives = _halves(cells)
        pairs = float(positives.sum()) * float(negatives.sum())
        if pairs <= 0.0:
            return None
        below = np.cumsum(negatives) - 0.5 * negatives
        return float(positives @ below) / pairs

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        positives, negatives = (float(half.sum()) for half in _halves(cells))
        if positives + negatives <= 0.0:
            return NoValue(reasons.NO_SCORES, f"no scores of the {arm} have been counted yet")
        return NoValue(
            reasons.ONE_CLASS_ONLY,
            f"AUC of the {arm} has no value: it has {positives:.0f} positive and "
            f"{negatives:.0f} negative labels, and needs both",
        )

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        """Compare the placement of each bin with A; unbiased (n / (n - 1)) as in DeLong."""
        positives, negatives = _halves(shares)
        held = float(positives.sum()), float(negatives.sum())
        above = (held[1], held[0])
        wins = (np.cumsum(negatives) - 0.5 * negatives) / above[0]
        losses = (held[0] - np.cumsum(positives) + 0.5 * positives) / above[1]
        area = float(positives @ wins) / held[0]
        rows = [max(2.0, float(half.sum())) for half in _halves(effective)]
        unbiased = [
            np.sqrt(count / (count - 1.0)) / part for count, part in zip(rows, held, strict=True)
        ]
        return np.concatenate([(wins - area) * unbiased[0], (losses - area) * unbiased[1]])

    @override
    def components(self, size: int) -> tuple[slice, ...]:
        return slice(0, size // 2), slice(size // 2, size)

    @override
    def least_square(self, effective: Floats) -> Floats:
        """As if one more row stood half-way among the other class: 1 / (4 n) per class.

        Twenty perfectly ranked positives say little about the next; their own variance says zero.
        Without this limit a canary at the border is promoted in 9 % (stable's AUC .995) to 24 %
        (.9999) of 500 simulated trials with margin .02, with it in 3 %.
        """
        return np.array([0.25 / max(1.0, float(half.sum())) for half in _halves(effective)])

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        for arm, cells in (("stable", stable), ("the canary", canary)):
            for kind, half in zip(("positive", "negative"), _halves(cells), strict=True):
                if half.sum() < CLASS_ROWS:
                    missing = f"{arm} has {half.sum():.0f} {kind} labels, {CLASS_ROWS} are needed"
                    return Guards(promote=False, rollback=False, missing=missing)
        return Guards(promote=True, rollback=True)

    @override
    def half_width(self, shares: Floats) -> float:
        positives, negatives = _halves(shares)
        return 0.5 * float(positives @ negatives) / float(positives.sum() * negatives.sum())

    @override
    def resolution(self, shares: Floats) -> float:
        positives, negatives = _halves(shares)
        change = 0.5 * (positives[1:] * negatives[:-1] - positives[:-1] * negatives[1:])
        paired = max(abs(float(change[0::2].sum())), abs(float(change[1::2].sum())))
        return min(paired / float(positives.sum() * negatives.sum()), self.half_width(shares))


def _halves(cells: Floats) -> tuple[Floats, Floats]:
    middle = len(cells) // 2
    return cells[:middle], cells[middle:]
