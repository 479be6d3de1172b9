"""What the mistakes cost: the mean of a cost per row, by true and predicted class.

Cells: one per distinct cost, ascending, the first for rows that cost nothing. Which classes made a
cost does not matter to its mean or variance, so the cells are few and the same however many classes
appear during the trial. With costs of 0 and 1 all this is one minus accuracy, cell by cell.

Exact inference: a row is free with probability p, and the mean cost lies between (1 - p) times the
smallest and times the largest cost, however the paying rows fall. This needs no zero diagonal, and
no loss of power comes from mistakes that are free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.exact import Link, Stream
from assay.judge.metrics.burn_in import ERRORS, TRIALS, at_least, enough, rows
from assay.judge.metrics.linear import Linear
from assay.judge.metrics.metric import Floats, Guards, Metric, NoValue, Reading
from assay.judge.metrics.tables import confusion_table
from assay.judge.verdict import MetricSpec


@dataclass(frozen=True)
class CostComponent(Linear):
    """The mean cost of a row.

    Attributes
    ----------
    costs
        Ascending; the first is 0, the others are above.
    """

    costs: tuple[float, ...]
    name: str = "cost"

    @override
    def losses(self, size: int) -> Floats:
        return np.array(self.costs)

    @property
    @override
    def unit(self) -> float:
        return self.costs[1]

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        return NoValue(
            reasons.METRIC_UNDEFINED,
            f"{self.name} of the {arm} has no value: no predictions have been compared with labels",
        )

    @override
    def pseudo(self, size: int) -> Floats:
        """One row that is free and one spread over the costs: none is impossible yet."""
        return np.array([1.0, *[1.0 / (size - 1)] * (size - 1)])

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        rollback = at_least(np.minimum(stable.sum(axis=-1), canary.sum(axis=-1)), TRIALS)
        paying = np.minimum(stable[..., 1:].sum(axis=-1), canary[..., 1:].sum(axis=-1))
        enough = at_least(paying, ERRORS)
        return Guards(rollback & enough, rollback, rollback & ~enough)

    @override
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        for arm, cells in (("stable", stable), ("the canary", canary)):
            if not enough(float(cells.sum()), TRIALS):
                return reasons.BURN_IN, (
                    f"{arm} has {rows(float(cells.sum()))} labelled rows, {TRIALS} are needed"
                )
        paying = [float(cells[1:].sum()) for cells in (stable, canary)]
        if not enough(min(paying), ERRORS):
            return reasons.BURN_IN, (
                f"{rows(paying[0])} and {rows(paying[1])} rows that cost anything (stable, canary) "
                f"are fewer than {ERRORS}"
            )
        return "", ""

    @override
    def stream(self, effective: Floats) -> Stream:
        return effective[..., 0], effective.sum(axis=-1)

    @override
    def link(self) -> Link:
        least, most = self.costs[1], self.costs[-1]
        return Link(
            worst=lambda rate: (rate - 1.0) * most,
            best=lambda rate: (rate - 1.0) * least,
            of_worst=lambda goodness: np.clip(1.0 + goodness / most, 0.0, 1.0),
            of_best=lambda goodness: np.clip(1.0 + goodness / least, 0.0, 1.0),
            span=(-most, 0.0),
        )


class Cost(Metric):
    """The mean cost of a row. Labels that are named but not seen yet simply have no rows."""

    name = "cost"
    higher_is_better = False

    def __init__(self, spec: MetricSpec) -> None:
        self._costs = {(true, predicted): cost for true, predicted, cost in spec.costs}
        distinct = sorted({0.0, *self._costs.values()})
        if len(distinct) == 1:
            msg = "costs: none is above 0, so there is nothing to compare"
            raise ValueError(msg)
        self._component = CostComponent(tuple(distinct))
        self.largest = distinct[-1]

    @override
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        labels = arms[0].labels
        place = {cost: index for index, cost in enumerate(self._component.costs)}
        member = np.zeros((len(labels) ** 2, len(place)))
        for index in range(len(member)):
            pair = labels[index // len(labels)], labels[index % len(labels)]
            member[index, place[self._costs.get(pair, 0.0)]] = 1.0

        def by_cost(matrix: Floats) -> Floats:
            summed: Floats = matrix.reshape(*matrix.shape[:-2], -1) @ member
            return summed

        return (confusion_table(arms).reading(self._component, by_cost),)
