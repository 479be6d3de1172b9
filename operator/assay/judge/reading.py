"""From evidence to what one metric is judged by: cells of both arms, restarts, groups, members."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge import reasons
from assay.judge.looks import Looks, Part, Parts
from assay.judge.metrics.metric import Component, Floats, Metric, NoValue, Reading

RESTARTS = 768
"""At most so many moments share the error: 32 in each octave of time, and 24 octaves are 2^24 s.

Equal shares, fixed beforehand: which moments are remembered changes nothing for the others
(`assay.evidence.moments.wanted`).
"""


def read_looks(metric: Metric, evidence: Evidence) -> Looks:
    """Read one look. Raises `NoValue` when an arm has nothing that the metric counts."""
    strata = evidence.strata
    if not (
        any(each.stable.labelled for each in strata)
        and any(each.canary.labelled for each in strata)
    ):
        stable, canary = evidence.labelled
        raise NoValue(
            reasons.NO_LABELS,
            f"stable has {stable} labels and the canary {canary}: nothing to compare yet",
        )
    columns = [_column(item, len(strata)) for item in metric.read(_arms(strata))]
    past = _past(metric, evidence) if evidence.history else []
    restarts, restart_weights = _restarts(evidence, past)
    parts = tuple(columns)
    if past:
        parts = tuple(
            column
            if column.groups is not None
            else column._replace(groups=each.batches, timed=True)
            for column, each in zip(columns, past, strict=True)
        )
    return Looks(parts, restarts, restart_weights, _members(strata, columns))


def _column(item: Reading, strata: int) -> Part:
    """Arrange a reading of all strata of stable and then of the canary as one look."""
    shape = (2, strata, item.cells.shape[-1])
    return Part(
        item.component,
        item.weight,
        item.cells.reshape(shape),
        None if item.squares is None else item.squares.reshape(shape),
        None
        if item.groups is None
        else item.groups.reshape(2, strata, *item.groups.shape[1:]).swapaxes(1, 2),
        rows=None if item.rows is None else item.rows.reshape(shape),
        heaviest=item.heaviest,
    )


@dataclass(frozen=True, eq=False)
class _Past:
    """One component at T earlier moments and now, on the grid of the moments.

    Attributes
    ----------
    cells, squares
        (T + 1, 2, H, C'), cumulative; the last is now.
    batches
        What came between the moments, (2, T, H, C').
    """

    component: Component
    weight: float
    cells: Floats
    squares: Floats | None
    batches: Floats


def _arms(strata: Sequence[Stratum]) -> list[ArmCounts]:
    return [each.stable for each in strata] + [each.canary for each in strata]


def _members(strata: Sequence[Stratum], columns: Sequence[Part]) -> dict[str, Parts]:
    """Return the parts of each member's own strata, if there are several members."""
    names = [stratum.name.rpartition("/")[0] for stratum in strata]
    if len(set(names)) < 2:
        return {}
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    return {
        member: tuple(
            Part(
                each.component,
                each.weight,
                each.cells[:, own],
                None if each.squares is None else each.squares[:, own],
                None if each.groups is None else each.groups[:, :, own],
            )
            for each in columns
        )
        for member, own in places.items()
    }


def _past(metric: Metric, evidence: Evidence) -> list[_Past]:
    """Read all moments of the history at once, on their own grid."""
    moments = [moment.strata for moment in evidence.history]
    present = _on_grid_of(evidence.strata, moments)
    arms = []
    for strata in (*moments, present):
        known = {each.name: each for each in strata}
        arms += _arms([known.get(each.name) or _empty(each) for each in present])
    size = len(moments) + 1
    past = []
    for item in metric.read(arms):
        shape = (size, 2, len(present), item.cells.shape[-1])
        cells = item.cells.reshape(shape)
        squares = None if item.squares is None else item.squares.reshape(shape)
        batches = np.diff(cells, axis=0).swapaxes(0, 1)
        past.append(_Past(item.component, item.weight, cells, squares, batches))
    return past


def _restarts(evidence: Evidence, past: Sequence[_Past]) -> tuple[Parts, Floats | None]:
    """Return what came since each restart, and the weight of each."""
    starts = len(evidence.history)
    if not past:
        return (), None
    weights = np.full(starts, 1.0 / max(starts, RESTARTS))
    parts = []
    for each in past:
        since = (each.cells[-1] - each.cells[:starts]).swapaxes(0, 1)
        squares = None
        if each.squares is not None:
            squares = (each.squares[-1] - each.squares[:starts]).swapaxes(0, 1)
        parts.append(Part(each.component, each.weight, since, squares))
    return tuple(parts), weights


def _on_grid_of(strata: Sequence[Stratum], moments: Sequence[Sequence[Stratum]]) -> list[Stratum]:
    """Return `strata` with the scores on the moments' grid."""
    sizes = {
        histogram.bins
        for moment in moments
        for stratum in moment
        for arm in (stratum.stable, stratum.canary)
        for histogram in arm.scores.values()
    }
    if not sizes:
        return list(strata)
    size = min(sizes)

    def coarse(arm: ArmCounts) -> ArmCounts:
        scores = {
            name: each if each.bins == size else each.coarser(each.bins // size)
            for name, each in arm.scores.items()
        }
        weighted = arm.weighted and arm.weighted.coarser(size)
        return replace(arm, scores=scores, weighted=weighted)

    return [
        replace(each, stable=coarse(each.stable), canary=coarse(each.canary)) for each in strata
    ]


def _empty(like: Stratum) -> Stratum:
    """Return a stratum of the same classes and grids in which nothing has happened yet."""

    def nothing(arm: ArmCounts) -> ArmCounts:
        scores = {
            name: ScoreHistogram(np.zeros_like(each.positive), np.zeros_like(each.negative))
            for name, each in arm.scores.items()
        }
        return ArmCounts(arm.labels, np.zeros_like(arm.confusion), scores)

    return replace(like, stable=nothing(like.stable), canary=nothing(like.canary))
