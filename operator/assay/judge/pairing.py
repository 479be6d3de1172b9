"""The paired comparison, for shadow traffic: both revisions answered the same rows.

The difference of two metrics of the same rows moves with the rows on which the versions differ:
with ``g`` the influence of a row on its version's metric, ``Var = Var_rows(g_canary - g_stable) / n``
(statistics 2c). Nothing else changes: the same e-processes, guards, words. There is no floor from
stable's variance, because the two samples cannot be lucky apart from each other.
"""

from collections.abc import Sequence

import numpy as np

from assay.evidence.counts import ArmCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.paired import PairedCounts
from assay.judge import reasons
from assay.judge.looks import Looks, Pairs, Part
from assay.judge.metrics.metric import Floats, Metric, NoValue, Reading

SMOOTHING = 0.125
"""Rows added to each combination of label and predictions (statistics 2c)."""


def read_pairs(metric: Metric, counts: PairedCounts) -> Looks:
    """Read one look. Raises `NoValue` when there is nothing that the metric counts."""
    if counts.rows == 0 and not counts.scores:
        raise NoValue(reasons.NO_LABELS, "no shadowed row has a label: nothing to compare yet")
    arms = [counts.stable, counts.canary]
    by_outcome = metric.read([*arms, *_single_outcomes(counts)])
    if any(item.cells[2:].any() for item in by_outcome):
        pairs = [_of_outcomes(counts, item.cells[2:]) for item in by_outcome]
    else:  # nothing of the metric is in the predictions: it is in the scores
        pairs = _of_scores(metric, counts)
    return Looks(
        tuple(
            Part(item.component, item.weight, item.cells[:2].reshape(2, 1, -1), pairs=each)
            for item, each in zip(by_outcome, pairs, strict=True)
        )
    )


def _single_outcomes(counts: PairedCounts) -> list[ArmCounts]:
    """Return an arm for each (label, prediction) in which only that was counted, once."""
    size = len(counts.labels)
    units = np.eye(size * size, dtype=np.int64).reshape(-1, size, size)
    return [ArmCounts.counted(counts.labels, unit, _nothing(counts)) for unit in units]


def _nothing(counts: PairedCounts) -> dict[str, ScoreHistogram]:
    return {
        name: ScoreHistogram(0 * each.stable.positive, 0 * each.stable.negative)
        for name, each in counts.scores.items()
    }


def _of_outcomes(counts: PairedCounts, cells: Floats) -> Pairs:
    """Count pairs of cells; `cells` (K K, C) tells to which one a (label, prediction) belongs."""
    size = len(counts.labels)
    where = cells.reshape(size, size, -1)

    def by_cells(rows: Floats) -> Floats:
        pairs: Floats = np.einsum("ysc,ysi,ycj->ij", rows, where, where)
        return pairs

    smoothing = np.full(counts.outcomes.shape, SMOOTHING)
    return Pairs(by_cells(counts.outcomes.astype(np.float64)), by_cells(smoothing))


def _of_scores(metric: Metric, counts: PairedCounts) -> list[Pairs]:
    """Count pairs of cells on the coarse grid of the joint histograms."""
    names = list(counts.scores)
    units: list[tuple[str, ArmCounts]] = []
    for name in names:
        bins = counts.scores[name].joint.shape[1]
        for unit in np.eye(2 * bins, dtype=np.int64).reshape(-1, 2, bins):
            scores = {each: ScoreHistogram(*(unit if each == name else 0 * unit)) for each in names}
            units.append((name, ArmCounts.counted(counts.labels, None, scores)))
    readings = metric.read([arm for _, arm in units])
    owners = [name for name, _ in units]
    return [_joint(counts, item, owners) for item in readings]


def _joint(counts: PairedCounts, item: Reading, owners: Sequence[str]) -> Pairs:
    """Find the class whose scores the component reads, and count its pairs of cells."""
    used = [name for name in counts.scores if item.cells[np.asarray(owners) == name].any()]
    total = np.zeros((item.cells.shape[-1],) * 2)
    for name in used:
        joint = counts.scores[name].joint
        where = item.cells[np.asarray(owners) == name].reshape(2, joint.shape[1], -1)
        total += np.einsum("lsc,lsi,lcj->ij", joint.astype(np.float64), where, where)
    return Pairs(total, np.zeros_like(total))
