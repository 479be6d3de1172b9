"""Values of both versions as small bars on one axis, for terminals. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.api.analysis import Metric, MetricType
from assay.api.deployment_status import AnalysisStatus

WIDTH = 30
"""Cells of a bar: what is left beside names and numbers of 80 columns."""

_LESS_IS_BETTER = frozenset({MetricType.LOG_LOSS, MetricType.BRIER, MetricType.COST})


@dataclass(frozen=True)
class Glyphs:
    """What a bar is made of.

    Attributes
    ----------
    ground, value, first, last, inside, border
        An empty cell, the value itself, the ends of a band and what is between them, the border
        beyond which the canary is worse by more than the margin.
    """

    ground: str
    value: str
    first: str
    last: str
    inside: str
    border: str


UNICODE = Glyphs("·", "●", "├", "┤", "─", "┊")
ASCII = Glyphs(".", "o", "[", "]", "-", ":")


def less_is_better(metric: Metric) -> bool:
    """Return whether smaller values of it are better."""
    return metric.type in _LESS_IS_BETTER


def bars(item: AnalysisStatus, metric: Metric | None, glyphs: Glyphs) -> tuple[str, str] | None:
    """Draw stable and canary on one axis; None while there are no numbers.

    The bounds are those of the difference, drawn from stable's value: where the canary may be if
    stable is what it measures. The border is where it would be worse by the margin.

    Parameters
    ----------
    metric
        Its settings; None if they are not known, then there is no border.
    """
    known = [item.stable, item.canary, item.lower, item.upper]
    if any(each is None for each in known):
        return None
    stable, canary, lower, upper = (float(each or 0.0) for each in known)
    low, high = stable + lower, stable + upper
    border = None
    if metric is not None:
        margin = float(metric.margin)
        border = stable + margin if less_is_better(metric) else stable - margin
    points = [stable, canary, low, high, *([] if border is None else [border])]
    axis = _Axis(min(points), max(points))
    plain = axis.row({} if border is None else {border: glyphs.border}, glyphs.ground)
    band = list(plain)
    first, last = axis.cell(low), axis.cell(high)
    for cell in range(first + 1, last):
        if band[cell] == glyphs.ground:
            band[cell] = glyphs.inside
    band[first], band[last] = glyphs.first, glyphs.last
    band[axis.cell(canary)] = glyphs.value
    plain[axis.cell(stable)] = glyphs.value
    return "".join(plain), "".join(band)


@dataclass(frozen=True)
class _Axis:
    """From the smallest to the largest value, one cell of room at each end."""

    least: float
    most: float

    def cell(self, value: float) -> int:
        span = self.most - self.least
        if span <= 0.0:
            return WIDTH // 2
        return 1 + round((value - self.least) / span * (WIDTH - 3))

    def row(self, marks: dict[float, str], ground: str) -> list[str]:
        cells = [ground] * WIDTH
        for value, mark in marks.items():
            cells[self.cell(value)] = mark
        return cells


def dots(ready: int, desired: int, glyphs: Glyphs, most: int = 12) -> str:
    """Draw pods, ready ones filled; nothing if they are more than `most`."""
    if not 0 < desired <= most:
        return ""
    full, empty = ("●", "○") if glyphs is UNICODE else ("#", ".")
    return full * min(ready, desired) + empty * max(0, desired - ready)


def metric_named(name: str, metrics: Sequence[Metric]) -> Metric | None:
    """Return the settings of a metric."""
    return next((each for each in metrics if each.name == name), None)
