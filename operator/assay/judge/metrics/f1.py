"""Binary F1 of the positive class against all others.

Cells: true positives, errors (false positives and false negatives), true negatives. Each row that
is not a true negative is a Bernoulli trial with success probability J = TP / (TP + FP + FN), and
F1 = 2 J / (1 + J). Hence the closed form Var(F1) = 4ab(a+b)/(2a+b)^4 with a = TP, b = FP + FN, in
which a + 1 and b + 1 stand for small counts, and exact inference at any sample size.
"""

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.exact import Link, Stream
from assay.judge.metrics.metric import Floats, Guards, Metric, NoValue

RELEVANT = 30
"""TP + FP + FN that each arm needs."""
SUCCESSES = 10
"""TP that stable needs to be compared with, and the canary to be promoted."""
ERRORS = 5
"""FP + FN that the asymptotic tests need; with fewer the exact test decides."""

_LINK = Link(chance=lambda value: value / (2.0 - value), value=lambda rate: 2.0 * rate / (1 + rate))


class F1(Metric):
    """F1 of one class, as scikit-learn's ``f1_score(average="binary")``."""

    name = "F1"

    @override
    def positive(self, arm: ArmCounts, asked: str | None) -> str:
        positive = super().positive(arm, asked)
        if positive not in arm.labels:
            raise NoValue(
                reasons.POSITIVE_LABEL_UNKNOWN,
                f"the positive class is {positive!r}, the classes seen are {list(arm.labels)}",
            )
        return positive

    @override
    def cells(self, arms: Sequence[ArmCounts], positive: str) -> Floats:
        place = arms[0].labels.index(positive)
        matrices = np.array([arm.confusion for arm in arms], dtype=np.float64)
        hits = matrices[:, place, place]
        errors = matrices[:, place, :].sum(axis=1) + matrices[:, :, place].sum(axis=1) - 2.0 * hits
        return np.stack([hits, errors, matrices.sum(axis=(1, 2)) - hits - errors], axis=1)

    @override
    def value(self, cells: Floats) -> float | None:
        hits, errors = float(cells[0]), float(cells[1])
        return 2.0 * hits / (2.0 * hits + errors) if hits + errors > 0.0 else None

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        return NoValue(
            reasons.METRIC_UNDEFINED,
            f"F1 of the {arm} has no value: among {_rows(cells)} labelled rows none is positive "
            "or was predicted so",
        )

    @override
    def gradient(self, shares: Floats, effective: Floats) -> Floats:
        hits, errors = float(shares[0]), float(shares[1])
        denominator = 2.0 * hits + errors
        value = 2.0 * hits / denominator
        return np.array([2.0 - 2.0 * value, -value, 0.0]) / denominator

    @override
    def pseudo(self, size: int) -> Floats:
        return np.array([1.0, 1.0, 0.0])

    @override
    def spread(self, value: float) -> float:
        return value * (1.0 - value) * (2.0 - value)

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        needs = []
        for arm, cells in (("stable", stable), ("the canary", canary)):
            if cells[0] + cells[1] < RELEVANT:
                needs.append(
                    f"{arm} has {cells[0] + cells[1]:.0f} rows that are positive or predicted so, "
                    f"{RELEVANT} are needed"
                )
        if stable[0] < SUCCESSES:
            needs.append(f"stable has {stable[0]:.0f} true positives, {SUCCESSES} are needed")
        in_force = not needs
        few_errors = min(stable[1], canary[1]) < ERRORS
        if canary[0] < SUCCESSES:
            needs.append(f"the canary has {canary[0]:.0f} true positives, {SUCCESSES} are needed")
        if few_errors:
            needs.append(
                f"{stable[1]:.0f} and {canary[1]:.0f} errors (stable, canary) are fewer than "
                f"{ERRORS}, so the exact test decides"
            )
        return Guards(
            promote=not needs,
            rollback=in_force,
            missing=needs[0] if needs else "",
            near_perfect=few_errors,
        )

    @override
    def stream(self, effective: Floats) -> Stream:
        return float(effective[0]), float(effective[0] + effective[1])

    @override
    def link(self) -> Link:
        return _LINK


def _rows(cells: Floats) -> str:
    return f"{cells.sum():.0f}"
