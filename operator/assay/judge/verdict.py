"""What is asked of the judge and what it answers: plain frozen values."""

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """What to do with the canary."""

    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    HOLD = "Hold"


class RollbackOn(enum.StrEnum):
    """Which proof rolls back."""

    WORSE = "Worse"
    """Proven worse at all. Always ends; a canary worse by half the margin is a coin flip."""
    WORSE_THAN_MARGIN = "WorseThanMargin"
    """Proven worse by more than the margin. A canary worse by just the margin stays undecided."""


class PromoteOn(enum.StrEnum):
    """Which proof promotes."""

    NOT_WORSE = "NotWorse"
    """Proven not to be worse by the margin (non-inferior)."""
    BETTER = "Better"
    """Proven better (superior)."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric to judge by.

    Attributes
    ----------
    name
        For people.
    type
        A key of `assay.judge.metrics.METRICS`.
    margin
        The difference d > 0 that matters, in units of the metric.
    floor
        Absolute value below which the canary is rolled back; `None` for none.
    positive_label
        The positive class; `None` takes the second of two labels, as scikit-learn does.
    """

    name: str
    type: str
    margin: float
    floor: float | None = None
    positive_label: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no test could mean."""
        if not 0.0 < self.margin < 1.0:
            msg = f"margin: {self.margin} is not between 0 and 1"
            raise ValueError(msg)
        if self.floor is not None and not 0.0 < self.floor < 1.0:
            msg = f"floor: {self.floor} is not between 0 and 1"
            raise ValueError(msg)


@dataclass(frozen=True)
class Policy:
    """How to judge.

    Attributes
    ----------
    confidence
        One minus the chance of a wrong verdict, for each direction, over all looks together.
    rollback_on, promote_on
        Which proof decides.
    min_label_coverage
        Share of the served rows that must have a label in each arm; 0 switches the check off.
    """

    confidence: float = 0.95
    rollback_on: RollbackOn = RollbackOn.WORSE
    min_label_coverage: float = 0.0
    promote_on: PromoteOn = PromoteOn.NOT_WORSE

    def __post_init__(self) -> None:
        """Refuse what no test could mean."""
        if not 0.5 <= self.confidence < 1.0:
            msg = f"confidence: {self.confidence} is not between 0.5 and 1"
            raise ValueError(msg)
        if not 0.0 <= self.min_label_coverage <= 1.0:
            msg = f"minLabelCoverage: {self.min_label_coverage} is not between 0 and 1"
            raise ValueError(msg)


@dataclass(frozen=True)
class MetricJudgement:
    """What one metric says. Numbers are `None` while the metric has no value, never NaN.

    Attributes
    ----------
    verdict, reason, message
        Of this metric alone.
    stable, canary, difference
        Metric values, standardised over the strata; difference = canary - stable.
    lower, upper
        Display band of the difference. It excludes exactly what the two tests reject.
    log_e_promote, log_e_rollback
        Natural logarithms of the e-values (statistics 2.0).
    limit_promote, limit_rollback
        What they must reach.
    half_width
        The hard bound of what score bins can hide in one arm; 0 for metrics of the confusion
        matrix.
    labels_stable, labels_canary
        Labelled rows.
    past_burn_in
        Whether the rollback test is in force: a canary that collapses now will be found.
    """

    name: str
    verdict: Verdict
    reason: str
    message: str
    labels_stable: int
    labels_canary: int
    stable: float | None = None
    canary: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    log_e_promote: float | None = None
    log_e_rollback: float | None = None
    limit_promote: float | None = None
    limit_rollback: float | None = None
    half_width: float = 0.0
    past_burn_in: bool = False


@dataclass(frozen=True)
class Judgement:
    """The answer for the whole trial: one verdict, and what each metric says."""

    verdict: Verdict
    reason: str
    message: str
    metrics: tuple[MetricJudgement, ...]

    @property
    def past_burn_in(self) -> bool:
        """Whether every metric's rollback test is in force; steps advance only then."""
        return all(metric.past_burn_in for metric in self.metrics)
