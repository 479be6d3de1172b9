"""Which binormal model has the metric values that a user knows of stable, and which canary is worse.

Two numbers, separation and threshold, must explain all values. Metrics of the scores (rankings, log
loss, Brier) see the separation only, so they settle it; the threshold then comes as near as it can to
the values of the confusion matrix. Without such a metric one value goes with the threshold at which the metric
is best (precision and recall: at which F1 is), and two or more settle both numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from .model import Floats, ScoreModel, confusion_cells, score_cells
from .yardstick import Cells, Yardstick, grid_for, reads_scores

STRONGEST = 8.0
"""Separation of a model that makes no mistake in a million rows."""

WEAKEST = -4.0
"""Separation of a canary that takes one class for the other."""

MISFIT = 0.1
"""Margins by which a value may be missed without a word."""

_TIE = 1e-6


class ModelError(ValueError):
    """No binormal model does what is asked.

    Attributes
    ----------
    metric
        Name of the metric that cannot have the value; empty when it is about all.
    problem
        What is wrong, in words.
    """

    def __init__(self, metric: str, problem: str) -> None:
        super().__init__(f"{metric}: {problem}" if metric else problem)
        self.metric = metric
        self.problem = problem


@dataclass(frozen=True)
class Effect:
    """How a canary differs from stable.

    Attributes
    ----------
    size
        Below 0 is worse, in margins: of the metric that changes most, measured by its margin. With
        a `metric`, the difference of that metric in its own units, canary less stable.
    metric
        Name, or `None` for margins.
    """

    size: float
    metric: str | None = None

    @property
    def words(self) -> str:
        """The effect as an option writes it, e.g. ``-2x`` or ``f1=-0.05``."""
        return f"{self.size:g}x" if self.metric is None else f"{self.metric}={self.size:g}"


def values(yardsticks: Sequence[Yardstick], model: ScoreModel, stable: ScoreModel) -> Floats:
    """Return the value of each metric for `model`, on the score grid of `stable`; (metrics,)."""
    confusion = confusion_cells(model.separation, model.threshold, model.prevalence)
    scores = None
    if reads_scores(yardsticks):
        scores = score_cells(model, grid_for(yardsticks, stable))
    cells = Cells(confusion, scores)
    with np.errstate(all="ignore"):
        return np.array([float(each.value(cells)) for each in yardsticks])


def fit(
    yardsticks: Sequence[Yardstick], wanted: Mapping[str, float], prevalence: float
) -> ScoreModel:
    """Return the model whose metrics come nearest to `wanted` (by name), in units of their margins.

    Raises
    ------
    ModelError
        When the only metric cannot have its value at all. That several cannot have theirs together
        is no error: compare with `values`.
    """
    scored = [each for each in yardsticks if each.scored]
    others = [each for each in yardsticks if not each.scored]
    if scored:
        separation = _settled(lambda s: _loss(scored, wanted, _at_zero(s, prevalence)))
        threshold = _threshold(others, wanted, separation, prevalence)
        found = ScoreModel(separation, threshold, prevalence)
    else:

        def best(separation: float) -> ScoreModel:
            if len(others) > 1:
                threshold = _threshold(others, wanted, separation, prevalence)
            else:
                threshold = _best_threshold(others[0], separation, prevalence)
            return ScoreModel(separation, threshold, prevalence)

        found = best(_settled(lambda s: _loss(others, wanted, best(s))))
    for group in (scored, others):
        if len(group) == 1 and (not scored or group is scored):
            _check(group[0], wanted, found)
    return found


def misfits(
    yardsticks: Sequence[Yardstick], wanted: Mapping[str, float], model: ScoreModel
) -> list[str]:
    """Return the names of metrics whose value is not what was wanted."""
    found = values(yardsticks, model, model)
    return [
        each.spec.name
        for each, value in zip(yardsticks, found, strict=True)
        if not abs(value - wanted[each.spec.name]) <= MISFIT * each.spec.margin
    ]


def canary(yardsticks: Sequence[Yardstick], stable: ScoreModel, effect: Effect) -> ScoreModel:
    """Return the model that differs from `stable` by `effect`. Raises `ModelError` if none does."""
    if effect.size == 0.0:
        return stable
    known = values(yardsticks, stable, stable)
    if effect.metric is None:
        scale = np.array([each.better / each.spec.margin for each in yardsticks])
    else:
        scale = np.array([float(each.spec.name == effect.metric) for each in yardsticks])

    def moved(separation: float) -> float:
        change = (values(yardsticks, stable.separated_by(separation), stable) - known) * scale
        return float(change[np.argmax(np.abs(change))])

    improves = effect.size > 0.0
    if effect.metric is not None:
        (named,) = (each for each in yardsticks if each.spec.name == effect.metric)
        improves = effect.size * named.better > 0.0
    end = STRONGEST + 2.0 if improves else WEAKEST
    reach = moved(end)
    if not abs(reach) > abs(effect.size) or reach * effect.size < 0.0:
        unit = "" if effect.metric else " margins"
        problem = (
            f"no canary with the same threshold differs by {effect.size:g}{unit}; "
            f"the most is {reach:.3g}"
        )
        raise ModelError(effect.metric or "", problem)
    low, high = sorted((stable.separation, end))
    found = brentq(lambda s: moved(s) - effect.size, low, high, xtol=1e-9)
    return stable.separated_by(float(found))


def _at_zero(separation: float, prevalence: float) -> ScoreModel:
    """Return a model whose threshold does not matter."""
    return ScoreModel(separation, separation / 2.0, prevalence)


def _loss(yardsticks: Sequence[Yardstick], wanted: Mapping[str, float], model: ScoreModel) -> float:
    found = values(yardsticks, model, model)
    off = [
        (value - wanted[each.spec.name]) / each.spec.margin
        for each, value in zip(yardsticks, found, strict=True)
    ]
    total = float(np.sum(np.square(off)))
    return total if np.isfinite(total) else 1e12


def _settled(loss: Callable[[float], float]) -> float:
    """Return the separation of least loss: the best of a coarse grid, made precise."""
    grid = np.linspace(0.0, STRONGEST, 81)
    place = int(np.argmin([loss(float(each)) for each in grid]))
    low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    found = minimize_scalar(
        loss, bounds=(float(low), float(high)), method="bounded", options={"xatol": 1e-7}
    )
    return float(found.x)


def _threshold(
    yardsticks: Sequence[Yardstick],
    wanted: Mapping[str, float],
    separation: float,
    prevalence: float,
) -> float:
    """Return the threshold at which the metrics come nearest to what is wanted.

    A value below the best one has a threshold on either side; the one nearer to the best F1 is it.
    """
    middle = _f1_best(separation, prevalence)
    if not yardsticks:
        return middle

    def loss(thresholds: Floats) -> Floats:
        confusion = confusion_cells(separation, thresholds, prevalence)
        total = _TIE * (thresholds - middle) ** 2
        for each in yardsticks:
            off = each.value(Cells(confusion, None)) - wanted[each.spec.name]
            total = total + (off / each.spec.margin) ** 2
        return total

    return _lowest(loss, separation)


def _best_threshold(yardstick: Yardstick, separation: float, prevalence: float) -> float:
    if yardstick.spec.type in {"Precision", "Recall"}:
        return _f1_best(separation, prevalence)

    def loss(thresholds: Floats) -> Floats:
        cells = Cells(confusion_cells(separation, thresholds, prevalence), None)
        return -yardstick.better * yardstick.value(cells)

    return _lowest(loss, separation)


def _f1_best(separation: float, prevalence: float) -> float:
    def loss(thresholds: Floats) -> Floats:
        cells = confusion_cells(separation, thresholds, prevalence)
        value: Floats = cells[:, 3] / (2.0 * cells[:, 3] + cells[:, 1] + cells[:, 2])
        return -value

    return _lowest(loss, separation)


def _lowest(loss: Callable[[Floats], Floats], separation: float) -> float:
    """Return the threshold of least loss: the best of a grid, then of a finer one around it."""
    best, reach = separation / 2.0, separation / 2.0 + 4.0
    for _ in range(2):
        thresholds = np.linspace(best - reach, best + reach, 401)
        with np.errstate(all="ignore"):
            found = loss(thresholds)
        place = int(np.argmin(np.where(np.isfinite(found), found, np.inf)))
        best, reach = float(thresholds[place]), 2.0 * reach / 400.0
    return best


def _check(yardstick: Yardstick, wanted: Mapping[str, float], model: ScoreModel) -> None:
    name = yardstick.spec.name
    if not misfits([yardstick], wanted, model):
        return
    (nearest,) = values([yardstick], model, model)
    raise ModelError(
        name,
        f"{wanted[name]:g} is not what a binormal model with {100.0 * model.prevalence:g} % "
        f"positive rows can have; the nearest is {nearest:.4g}",
    )
