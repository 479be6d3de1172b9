"""What ROC AUC and average precision share: one class's scores, ranked against other rows.

Cells: rows of the class (positives) per bin, then the rows they are compared with (negatives) per
bin, ascending score.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.metrics.burn_in import at_least, enough, rows
from assay.judge.metrics.metric import (
    Bools,
    Component,
    Floats,
    Guards,
    Metric,
    NoValue,
    Reading,
    anywhere,
    block_sums,
)
from assay.judge.metrics.positive import positive_class, scored_classes
from assay.judge.metrics.tables import Table, flat, score_table
from assay.judge.verdict import Average, MetricSpec, MultiClass

Ends = tuple[bool, bool]

TIED_CELLS = 3
"""Separate cells with rows of both classes that show scores to be discrete, not merely close."""


@dataclass(frozen=True)
class Ranked(Component):
    """How well the scores of a class rank its rows above others.

    Attributes
    ----------
    name
        Of the metric.
    of
        Which classes it ranks, in words, where the metric has several: what lacks rows is then a
        rare class.
    whole_ends
        Whether the first and the last bin hold everything beyond the grid: how far apart their
        scores are is then not known.
    refined
        Whether bins with many rows are split: scores that still share one are tied, as those of a
        tree are, unless nearly all share the same.
    """

    name: str
    of: str | None = None
    whole_ends: Ends = (True, True)
    refined: bool = False

    parts = 2
    needs = (1, 1)
    """Positives and negatives that each arm needs."""

    @override
    def undefined(self, arm: str, cells: Floats) -> NoValue:
        positives, negatives = (float(half.sum()) for half in halves(cells))
        of = "" if self.of is None else f" for {self.of}"
        if positives + negatives <= 0.0:
            return NoValue(reasons.NO_SCORES, f"no scores{of} of the {arm} have been counted yet")
        return NoValue(
            reasons.ONE_CLASS_ONLY if self.of is None else reasons.RARE_CLASS,
            f"{self.name}{of} of the {arm} has no value: it has {rows(positives)} positive and "
            f"{rows(negatives)} negative labels, and needs both",
        )

    @override
    def is_blind(self, shares: Floats, half_width: Floats) -> Bools:
        wide = super().is_blind(shares, half_width)
        if not self.refined or not anywhere(wide):
            return wide
        positives, negatives = halves(shares)
        shared = ((positives > 0.0) & (negatives > 0.0)).sum(axis=-1)
        blind: Bools = wide & (shared < TIED_CELLS)
        return blind

    @override
    def guards(self, stable: Floats, canary: Floats) -> Guards:
        fewest = np.minimum(block_sums(stable, 2), block_sums(canary, 2))
        passed = at_least(fewest[..., 0], self.needs[0]) & at_least(fewest[..., 1], self.needs[1])
        return Guards(passed, passed, passed & False)

    @override
    def missing(self, stable: Floats, canary: Floats) -> tuple[str, str]:
        of = "" if self.of is None else f" for {self.of}"
        for arm, cells in (("stable", stable), ("the canary", canary)):
            for kind, half, needed in zip(
                ("positive", "negative"), halves(cells), self.needs, strict=True
            ):
                if not enough(float(half.sum()), needed):
                    return (
                        reasons.BURN_IN if self.of is None else reasons.RARE_CLASS,
                        f"{arm} has {rows(float(half.sum()))} {kind} labels{of}, {needed} are needed",
                    )
        return "", ""


def halves(cells: Floats) -> tuple[Floats, Floats]:
    """Split cells (..., 2B) into positives and negatives (..., B)."""
    middle = cells.shape[-1] // 2
    return cells[..., :middle], cells[..., middle:]


class Ranking(Metric):
    """A ranking metric of the positive class (Binary) or its mean over several classes.

    Weights of classes (Weighted) are the parts of their rows in all arms together, so that both
    arms are measured by the same yardstick.
    """

    def __init__(
        self,
        spec: MetricSpec,
        name: str,
        component: Callable[[str, str | None, Ends, bool], Component],
    ) -> None:
        if spec.average is Average.MICRO:
            msg = f"average: {spec.average.value} is not known for {spec.type}"
            raise ValueError(msg)
        self._spec = spec
        self._component = component
        self._short = name
        binary = spec.average is Average.BINARY
        self.name = name if binary else f"{spec.average.value.lower()} {name}"

    @override
    def read(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        if self._spec.average is Average.BINARY:
            return self._binary(arms, positive_class(arms, self._spec.positive_label))
        if self._spec.multi_class is MultiClass.ONE_VS_ONE:
            return self._one_vs_one(arms)
        names = scored_classes(arms)
        tables = {name: score_table(arms, name, ranked=True) for name in names}
        weights = self._weights([float(table.cells[:, 0].sum()) for table in tables.values()])
        return tuple(
            self._reading(tables[name], f"class {name!r}", weight)
            for name, weight in zip(names, weights, strict=True)
        )

    def _binary(self, arms: Sequence[ArmCounts], name: str) -> tuple[Reading, ...]:
        return (self._reading(score_table(arms, name, ranked=True), None),)

    def _reading(self, table: Table, of: str | None, weight: float = 1.0) -> Reading:
        component = self._component(self._short, of, table.whole_ends, table.refined)
        return table.reading(component, flat, weight)

    def _one_vs_one(self, arms: Sequence[ArmCounts]) -> tuple[Reading, ...]:
        """Compare each class with each other one, both ways (Hand and Till 2001)."""
        if any(arm.weighted is not None or arm.buckets is not None for arm in arms):
            raise NoValue(
                reasons.NO_SCORES,
                f"{self.name} cannot be measured where labels were chosen by chance or users are split: "
                "the scores of one class among the rows of one other are counted without weights and "
                "users; compare one class with the rest instead",
            )
        names = scored_classes(arms)
        if len(names) == 1:
            return self._binary(arms, names[0])
        sizes = {
            name: sum(int(arm.scores[name].positive.sum()) for arm in arms if name in arm.scores)
            for name in names
        }
        pairs = [(one, other) for one in names for other in names if one != other]
        weights = self._weights([float(sizes[one] + sizes[other]) for one, other in pairs])
        return tuple(
            self._reading(
                Table.of_used(np.array(list(_against(arms, *pair)))),
                f"class {pair[0]!r} against {pair[1]!r}",
                weight,
            )
            for pair, weight in zip(pairs, weights, strict=True)
        )

    def _weights(self, sizes: Sequence[float]) -> list[float]:
        if self._spec.average is Average.WEIGHTED:
            return [size / sum(sizes) for size in sizes]
        return [1.0 / len(sizes)] * len(sizes)


def _against(arms: Sequence[ArmCounts], one: str, other: str) -> Iterator[Floats]:
    """Yield the rows of two classes by the first one's score, (2, B) per arm."""
    bins = max(arm.scores[one].bins for arm in arms if one in arm.scores)
    for arm in arms:
        histogram = arm.scores.get(one)
        if histogram is None:
            yield np.zeros((2, bins))
            continue
        if not histogram.others and histogram.negative.any():
            raise NoValue(
                reasons.NO_SCORES,
                f"the scores of class {one!r} were not counted by true class, which comparing one "
                "class with one other needs",
            )
        rest = histogram.others.get(other, np.zeros(bins, np.int64))
        yield np.array([histogram.positive, rest], dtype=np.float64)
