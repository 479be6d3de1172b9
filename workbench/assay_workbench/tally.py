"""Looks at the scored rows: what is counted in the first, what in the second.

The first look counts what needs no order: confusion matrices, calibration. Then the scores are put
into cells. The second look sums the influence of each row on each figure, which gives the variance of
averages over classes and of paired differences exactly, whatever depends on what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay_server.models.scores import ScoreKind
from assay_workbench import losses, ranking
from assay_workbench.calibration import Calibration
from assay_workbench.ranking import Grid, Ranked, ScoreCells
from assay_workbench.sample import Sample

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS = 2**16
"""Cells of one class's score where not every distinct score can have its own, at the most."""

_TABLES = 5
"""Numbers of 8 bytes that a cell takes by class and true class: counts and influences."""
_DRAWN = 2_000_000
"""Scores that the edges of bins are quantiles of."""

ROUND = np.arange(1, 100) / 100.0
"""Thresholds that are edges of bins too, so that counts at them are exact."""


@dataclass(eq=False)
class Arm:
    """What the first look counted of one model.

    Attributes
    ----------
    confusion
        (K, K), rows true classes.
    calibrations
        By class; of a binary model of its positive class only. Empty without probabilities.
    likeliest
        Of the most likely class, for models of more than two.
    impossible
        Rows whose true class was given no probability.
    """

    confusion: Counts
    calibrations: dict[int, Calibration]
    likeliest: Calibration | None
    impossible: int = 0


@dataclass(frozen=True, eq=False)
class Sums:
    """What the second look summed of one model, over the figures of `ranking` and `losses`.

    Attributes
    ----------
    first, second
        Sums of the rows' influence (of losses: of the losses), and of its square.
    """

    first: Floats
    second: Floats

    def variances(self, rows: int) -> Floats:
        """Variance of each figure."""
        mean = self.first / rows
        result: Floats = np.maximum(self.second / rows - mean * mean, 0.0) / rows
        return result


def scored_classes(sample: Sample) -> tuple[int, ...]:
    """Return the classes whose scores are looked at: of two, the positive one says all."""
    if len(sample.classes) == 2:
        return (1 if sample.positive is None else sample.positive,)
    return tuple(range(len(sample.classes)))


def first_look(sample: Sample) -> tuple[list[Arm], Counts | None]:
    """Count each model, and pairs of predictions (K, K, K) if there are two."""
    size = len(sample.classes)
    arms = [_empty(sample, kind) for kind in sample.kinds]
    outcomes = np.zeros((size,) * 3, np.int64) if len(arms) == 2 else None
    for part in sample.parts():
        for arm, answers in zip(arms, part.answers, strict=True):
            np.add.at(arm.confusion, (part.labels, answers.predicted), 1)
            if arm.calibrations and answers.scores is not None:
                _calibrate(arm, part.labels, answers.scores)
        if outcomes is not None:
            predicted = tuple(answers.predicted for answers in part.answers)
            np.add.at(outcomes, (part.labels, *predicted), 1)
    return arms, outcomes


def _empty(sample: Sample, kind: ScoreKind | None) -> Arm:
    size = len(sample.classes)
    probable = kind is ScoreKind.PROBABILITY
    return Arm(
        np.zeros((size, size), np.int64),
        {place: Calibration() for place in scored_classes(sample)} if probable else {},
        Calibration() if probable and size > 2 else None,
    )


def _calibrate(arm: Arm, labels: NDArray[np.intp], scores: Floats) -> None:
    for place, each in arm.calibrations.items():
        each.add(scores[:, place], labels == place)
    if arm.likeliest is not None:
        best = scores.argmax(axis=1)
        arm.likeliest.add(scores[np.arange(labels.size), best], labels == best)
    arm.impossible += losses.impossible(labels, scores)


def cells_of(sample: Sample, arm: int) -> dict[int, ScoreCells]:
    """Put the scores of one model into cells, by class; empty for a model without scores."""
    if sample.kinds[arm] is None:
        return {}
    places = scored_classes(sample)
    size = len(sample.classes)
    per_cell = 8 * _TABLES * size * len(places)
    exact = sample.rows * per_cell <= sample.memory
    most = max(256, min(BINS, sample.memory // per_cell))
    found = {}
    for place in places:
        grid = _grid(sample, arm, place, most, exact=exact)
        counts = np.zeros((size, grid.starts.size), np.int64)
        for part in sample.parts():
            scores = part.answers[arm].scores
            if scores is not None:
                np.add.at(counts, (part.labels, grid.cells(scores[:, place])), 1)
        found[place] = ScoreCells(grid, place, counts)
    return found


def _grid(sample: Sample, arm: int, place: int, most: int, *, exact: bool) -> Grid:
    every = 1 if exact else -(-sample.rows // _DRAWN)
    drawn = np.concatenate(
        [
            part.answers[arm].scores[::every, place]  # type: ignore[index]
            for part in sample.parts()
        ]
    )
    distinct = np.unique(drawn)
    if exact:
        return Grid(distinct, exact=True)
    if distinct.size > most:
        # About as many rows in each bin: what a bin hides is then the same everywhere.
        distinct = np.unique(np.quantile(drawn, np.linspace(0.0, 1.0, most), method="lower"))
    round_ = ROUND if sample.kinds[arm] is ScoreKind.PROBABILITY else np.zeros(1)
    # The first bin begins below every score, also those that were not drawn.
    return Grid(np.unique(np.concatenate([[-np.inf], distinct[1:], round_])), exact=False)


def second_look(
    sample: Sample,
    cells: Sequence[Mapping[int, ScoreCells]],
    figures: Sequence[Sequence[Ranked]],
) -> tuple[list[Sums], Floats]:
    """Sum the rows' influences.

    Parameters
    ----------
    cells, figures
        Of each model. With two models that both have scores, figures are of the same in the same
        order.

    Returns
    -------
    sums
        Of each model: over its ranking figures, then over `losses.LOSSES` if it has probabilities.
    between
        Variances of the paired differences of what both have; empty without a second model.
    """
    columns = [
        len(of_arm) + (len(losses.LOSSES) if kind is ScoreKind.PROBABILITY else 0)
        for of_arm, kind in zip(figures, sample.kinds, strict=True)
    ]
    sums = [Sums(np.zeros(count), np.zeros(count)) for count in columns]
    paired = len(columns) == 2 and columns[0] == columns[1]
    moved = Sums(np.zeros(columns[0]), np.zeros(columns[0])) if paired else None
    for part in sample.parts():
        rows = [
            _influences(part.labels, answers.scores, of_arm, by_class, kind)
            for answers, of_arm, by_class, kind in zip(
                part.answers, figures, cells, sample.kinds, strict=True
            )
        ]
        for of_arm_sums, each in zip(sums, rows, strict=True):
            _add(of_arm_sums, each)
        if moved is not None:
            _add(moved, rows[0] - rows[1])
    return sums, moved.variances(sample.rows) if moved is not None else np.zeros(0)


def _influences(
    labels: NDArray[np.intp],
    scores: Floats | None,
    figures: Sequence[Ranked],
    cells: Mapping[int, ScoreCells],
    kind: ScoreKind | None,
) -> Floats:
    if scores is None:
        return np.zeros((labels.size, 0))
    found = ranking.influences(figures, cells, labels, scores)
    if kind is ScoreKind.PROBABILITY:
        found = np.hstack([found, losses.of_rows(labels, scores)])
    return found


def _add(sums: Sums, rows: Floats) -> None:
    sums.first[:] += rows.sum(axis=0)
    sums.second[:] += (rows**2).sum(axis=0)
