"""What a metric reads of a simulated trial: found out by showing it single rows.

No formula of a metric is written down a second time here. The metric is read from arms that hold one
row each; the cells in which that row appears are a linear map, which serves whole batches of trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge import MetricSpec
from assay.judge.looks import Part, Parts
from assay.judge.metrics import Component, metric_of

from .model import BINS, Floats, Grid, ScoreModel, grid_of, probability_grid_of

PROBABILITY_LOSSES = frozenset({"LogLoss", "Brier"})
"""Metrics that take scores for probabilities."""

OF_SCORES = frozenset({"ROCAUC", "AveragePrecision"}) | PROBABILITY_LOSSES
"""Metrics of the scores; all others are of the confusion matrix."""


@dataclass(frozen=True, eq=False)
class Column:
    """One component of a metric.

    Attributes
    ----------
    of_confusion
        (4, C): the cells of a row that is a true negative, false positive, false negative or true
        positive; `None` where the component reads score cells as they are.
    """

    component: Component
    weight: float
    of_confusion: Floats | None


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts of many arms, by stratum.

    Attributes
    ----------
    confusion
        (..., 4).
    scores
        (..., 2 B); `None` when no metric reads them.
    """

    confusion: Floats
    scores: Floats | None


@dataclass(frozen=True, eq=False)
class Yardstick:
    """One metric, and how it is read."""

    spec: MetricSpec
    columns: tuple[Column, ...]
    better: float
    """1 where larger values are better, -1 where smaller ones are."""

    @classmethod
    def of(cls, spec: MetricSpec, labels: tuple[str, str]) -> "Yardstick":
        """Read the metric from arms of one row each; `labels` are the negative and positive class."""
        metric = metric_of(spec)
        readings = metric.read(list(_single_rows(labels)))
        columns = tuple(
            Column(
                reading.component,
                reading.weight,
                None if spec.type in OF_SCORES else reading.cells[:4],
            )
            for reading in readings
        )
        return cls(spec, columns, 1.0 if metric.higher_is_better else -1.0)

    @property
    def scored(self) -> bool:
        """Whether it reads scores, and nothing else."""
        return self.spec.type in OF_SCORES

    def needs(self, cells: Cells) -> Cells:
        """Leave out scores that the metric does not read."""
        return cells if self.scored else Cells(cells.confusion, None)

    def value(self, cells: Cells) -> Floats:
        """Return the metric of counts or chances (..., C), NaN where there is none."""
        parts = [each.weight * each.component.value(self._of(each, cells)) for each in self.columns]
        total: Floats = np.sum(parts, axis=0)
        return total

    def parts(self, cells: Cells, groups: Cells | None = None) -> Parts:
        """Return what the judge reads of both arms' counts, (2, R, H, C); groups (2, R, G, H, C)."""
        return tuple(
            Part(
                column.component,
                column.weight,
                self._of(column, cells),
                groups=None if groups is None else self._of(column, groups),
                timed=groups is not None,
            )
            for column in self.columns
        )

    @staticmethod
    def _of(column: Column, cells: Cells) -> Floats:
        if column.of_confusion is not None:
            mapped: Floats = cells.confusion @ column.of_confusion
            return mapped
        if cells.scores is None:
            raise AssertionError("scores are drawn when a metric reads them")
        return cells.scores


def reads_scores(yardsticks: Sequence[Yardstick]) -> bool:
    """Return whether any metric reads scores."""
    return any(each.scored for each in yardsticks)


def grid_for(yardsticks: Sequence[Yardstick], model: ScoreModel) -> Grid:
    """Return the coarsest score bins that all metrics can be read from."""
    if any(each.spec.type in PROBABILITY_LOSSES for each in yardsticks):
        return probability_grid_of(model)
    return grid_of(model, BINS if reads_scores(yardsticks) else 2)


def nothing_yet(labels: tuple[str, str]) -> Evidence:
    """Return the evidence of a trial that knows its classes and has no rows."""
    nothing = np.zeros(2, np.int64)
    arm = ArmCounts.counted(labels, None, {labels[1]: ScoreHistogram(nothing, nothing)})
    return Evidence((Stratum("member/0", arm, arm),))


def _single_rows(labels: tuple[str, str]) -> Iterator[ArmCounts]:
    """Yield an arm for each place of the confusion matrix, and for a row of each class with a score."""
    positive = labels[1]
    nothing = np.zeros(2, np.int64)
    for matrix in np.eye(4, dtype=np.int64).reshape(4, 2, 2):
        yield ArmCounts.counted(labels, matrix, {positive: ScoreHistogram(nothing, nothing)})
    for unit in np.eye(2, dtype=np.int64):
        for pair in ((unit, nothing), (nothing, unit)):
            yield ArmCounts.counted(labels, None, {positive: ScoreHistogram(*pair)})
