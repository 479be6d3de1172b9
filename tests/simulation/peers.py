"""Rules of other tools, written anew from their documented semantics, on the same runs.

Not the tools themselves. Where a rule is undefined (a window without a value) the reading is the
kinder one: the check is skipped, although Flagger counts it as failed.

- *Flagger-like*: one check per window of W labelled requests, the canary's metric against a fixed
  threshold; 5 failed checks roll back, 10 passed promote (5 and 5 at W = 2000).
- *Argo-like*: one measurement per window; more than `failureLimit` 3 failures roll back, `count` 20
  measurements promote.
- *naive z*: a z test at 1.645 (5 %, one-sided) at every look, as if it were the only one, once both
  arms have 10 rows of each kind (hits and errors for F1, positives and negatives for AUC).

The threshold is the true metric of stable less the margin: an oracle's, real users guess it.
"""

from collections.abc import Callable

import numpy as np

from tests.simulation.ends import Ends
from tests.simulation.kayenta import PER_VALUE, kayenta
from tests.simulation.values import Floats, Value, f1, halves

EACH_LOOK = 1.645
EACH_LOOK_ROWS = 10


def windows(value: Value, increments: Floats, looks: int) -> Floats:
    """Values of successive windows of `looks` looks, (runs, windows), from rows per look."""
    runs, total, size = increments.shape
    count = total // looks
    kept = increments[:, : count * looks].reshape(runs, count, looks, size)
    return value(kept.sum(axis=2))


def flagger(
    values: Floats, threshold: float, labels: Floats, failures: int = 5, passes: int = 10
) -> Ends:
    """Enough failed checks roll back, enough passed ones promote; neither is ever forgotten."""
    failed = np.cumsum(values < threshold, axis=1)
    passed = np.cumsum(values >= threshold, axis=1)
    return Ends.first(passed >= passes, failed >= failures, labels)


def argo(
    values: Floats, threshold: float, labels: Floats, failure_limit: int = 3, count: int = 20
) -> Ends:
    """More failures than the limit roll back, enough measurements promote."""
    failed = np.cumsum(values < threshold, axis=1)
    measured = np.cumsum(np.isfinite(values), axis=1)
    return Ends.first(measured >= count, failed > failure_limit, labels)


def naive(
    difference: Floats, variance: Floats, labels: Floats, margin: float, border: float
) -> Ends:
    """Test both nulls at every look with the plain variance; `border` is rollback's, 0 or d."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(variance > 0.0, np.sqrt(variance), np.nan)
        better = (difference + margin) / error > EACH_LOOK
        worse = -(difference + border) / error > EACH_LOOK
    return Ends.first(better, worse, labels)


def each_look(
    value: Value,
    variance: Callable[[Floats], Floats],
    arms: tuple[Floats, Floats],
    labels: Floats,
    margin: float,
) -> dict[str, Ends]:
    """Both naive z tests on cumulated cells (runs, looks, C) of stable and canary."""
    stable, canary = arms
    difference = value(canary) - value(stable)
    few = np.minimum(fewest(value, stable), fewest(value, canary)) < EACH_LOOK_ROWS
    difference = np.where(few, np.nan, difference)
    spread = variance(canary) + variance(stable)
    return {
        "naive z, rollback if worse than 0": naive(difference, spread, labels, margin, 0.0),
        "naive z, around -d": naive(difference, spread, labels, margin, margin),
    }


def fewest(value: Value, cells: Floats) -> Floats:
    """Rows of the rarer of the two kinds that the metric compares."""
    if value is f1:
        return np.minimum(cells[..., 3], cells[..., 1] + cells[..., 2])
    return np.minimum(*(half.sum(axis=-1) for half in halves(cells)))


def windowed(value: Value, canary: Floats, threshold: float, per_look: int) -> dict[str, Ends]:
    """Threshold rules on the canary's rows per look (runs, looks, C)."""
    result = {}
    for size, checks in ((200, (5, 10)), (1000, (5, 10)), (2000, (5, 5))):
        measured = windows(value, canary, size // per_look)
        labels = size * np.arange(1.0, measured.shape[1] + 1.0)
        name = f"Flagger-like W={size}" + (" (5/5)" if checks == (5, 5) else "")
        result[name] = flagger(measured, threshold, labels, *checks)
        if size < 2000:
            result[f"Argo-like W={size}"] = argo(measured, threshold, labels)
    return result


def mann_whitney(value: Value, arms: tuple[Floats, Floats], per_look: int) -> dict[str, Ends]:
    """Kayenta-like rules on stable's and the canary's rows per look (runs, looks, C)."""
    stable, canary = (windows(value, arm, PER_VALUE // per_look) for arm in arms)
    return {
        "Kayenta-like, 5 judgements": kayenta(canary, stable, 5),
        "Kayenta-like, 1 judgement": kayenta(canary, stable, 1),
    }
