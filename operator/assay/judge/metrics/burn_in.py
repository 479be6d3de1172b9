"""How much must have been seen before a test may decide: what several metrics ask alike."""

import math

from assay.judge.metrics.metric import Bools, Floats

TRIALS = 30
"""Rows that matter to the metric (of F1: TP + FP + FN) that each arm needs."""
SUCCESSES = 10
"""Correct ones that stable needs to be compared with, and the canary to be promoted."""
ERRORS = 5
"""Wrong ones that the asymptotic promotion needs; with fewer the exact test decides."""


def at_least(counts: Floats, needed: float) -> Bools:
    """Whether counts reach a number; standardised counts may miss it by their rounding."""
    reached: Bools = counts[()] >= needed - 1e-9  # [()]: plain numbers are ten times quicker
    return reached


def enough(count: float, needed: float) -> bool:
    """Tell the same of one count."""
    return count >= needed - 1e-9


def rows(count: float) -> str:
    """Write how many whole rows there are: never as many as are needed when they are not."""
    return f"{math.floor(count + 1e-9):.0f}"
