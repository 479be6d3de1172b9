"""One number of an evaluation, with what is known of its uncertainty."""

from dataclasses import dataclass

from assay.judge.verdict import Average, MultiClass
from assay_workbench.intervals import Interval

Key = tuple[str, Average | None, str | None, MultiClass | None]
"""What a figure is of: the same for two models of one evaluation."""


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes
    ----------
    metric
        As ``spec.rollout.analysis.metrics[].type`` says it, where there is such a type.
    value
        `None` if there is none; `why` says so then.
    interval
        `None` for figures without one.
    average
        `Average.BINARY`: of the positive class. `None`: of the class `of`, or of all rows.
    of
        The class that it is about, if it is about one.
    multi_class
        Of ROC AUC over several classes.
    hidden
        By how much score bins may have shifted it at the most; 0 where it is exact.
    why
        Why there is no value or no interval.
    """

    metric: str
    value: float | None
    interval: Interval | None
    average: Average | None = None
    of: str | None = None
    multi_class: MultiClass | None = None
    hidden: float = 0.0
    why: str = ""

    @property
    def key(self) -> Key:
        """What it is of."""
        return self.metric, self.average, self.of, self.multi_class

    @property
    def lower_is_better(self) -> bool:
        """Whether it is a loss."""
        return self.metric in LOSSES


LOSSES = frozenset({"LogLoss", "Brier", "Cost", "ECE"})
"""Metrics of which less is better."""
