"""What is asked of the judge and what it answers: plain frozen values."""

import enum
import math
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


class Average(enum.StrEnum):
    """How a metric of several classes becomes one number, as in scikit-learn."""

    BINARY = "Binary"
    """Of the positive class against all others."""
    MACRO = "Macro"
    """The mean over the classes."""
    MICRO = "Micro"
    """Of all rows together: with one label per row this is accuracy."""
    WEIGHTED = "Weighted"
    """The mean over the classes, weighted by their rows."""


class MultiClass(enum.StrEnum):
    """Which comparisons make the ROC AUC of several classes."""

    ONE_VS_REST = "OneVsRest"
    """Each class against all others."""
    ONE_VS_ONE = "OneVsOne"
    """Each class against each other one (Hand and Till)."""


LEAST_MARGIN = 1e-9
"""What a manifest can say at the least; nobody will ever have the labels to show it."""


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
        Absolute value that the canary must not be proven to be worse than; `None` for none. Below
        it for metrics that should be high, above it for losses and costs.
    positive_label
        The positive class; `None` takes the second of two labels, as scikit-learn does.
    average, multi_class
        How several classes become one number. The judge of a single class among several is
        ``Binary`` with its label as the positive one.
    beta
        Of FBeta: recall counts beta^2 times as much as precision.
    costs
        Of Cost: what a row costs, by true and predicted label; pairs that are left out cost 0.
    decides
        Whether it has a say in the verdict; one that has none takes no chance of error from the
        others and is judged as if it were one of them.
    """

    name: str
    type: str
    margin: float
    floor: float | None = None
    positive_label: str | None = None
    average: Average = Average.BINARY
    multi_class: MultiClass = MultiClass.ONE_VS_REST
    beta: float = 1.0
    costs: tuple[tuple[str, str, float], ...] = ()
    decides: bool = True

    def __post_init__(self) -> None:
        """Refuse what no test could mean."""
        largest = max([1.0, *(cost for *_, cost in self.costs)])
        if not 0.0 < self.margin < largest:
            msg = f"margin: {self.margin} is not between 0 and {largest:g}"
            raise ValueError(msg)
        if self.margin < LEAST_MARGIN:
            msg = f"margin: {self.margin} is less than {LEAST_MARGIN:g}, which nobody could show"
            raise ValueError(msg)
        unbounded = self.type in {"Cost", "LogLoss", "Brier"}
        if self.floor is not None and not (
            self.floor > 0.0 and (unbounded or self.floor < 1.0) and math.isfinite(self.floor)
        ):
            msg = f"floor: {self.floor} is not between 0 and 1"
            raise ValueError(msg)
        if not 0.0 < self.beta < 100.0:
            msg = f"beta: {self.beta} is not between 0 and 100"
            raise ValueError(msg)
        for true, predicted, cost in self.costs:
            if not (cost >= 0.0 and math.isfinite(cost)):
                msg = f"costs: {cost} of {true!r} predicted as {predicted!r} is not a cost"
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
    by_member
        Whether a canary proven worse in one member cluster alone is rolled back too.
    since_moments
        Whether one proven worse since some moment of the evidence's history is rolled back too.
        Both take a part of rollback's chance of error, so they must not change during a trial.
    growth
        How many times as many labels there will be when the trial's time is over, >= 1; `None` if
        nobody knows. With it the judge can say that no verdict is to be expected.
    by_user
        Whether lots were drawn for users: rows that name none then hold everything.
    """

    confidence: float = 0.95
    rollback_on: RollbackOn = RollbackOn.WORSE
    min_label_coverage: float = 0.0
    promote_on: PromoteOn = PromoteOn.NOT_WORSE
    by_member: bool = False
    since_moments: bool = False
    growth: float | None = None
    by_user: bool = False

    def __post_init__(self) -> None:
        """Refuse what no test could mean."""
        if not 0.5 <= self.confidence < 1.0:
            msg = f"confidence: {self.confidence} is not between 0.5 and 1"
            raise ValueError(msg)
        if not 0.0 <= self.min_label_coverage <= 1.0:
            msg = f"minLabelCoverage: {self.min_label_coverage} is not between 0 and 1"
            raise ValueError(msg)
        if self.growth is not None and not self.growth >= 1.0:
            msg = f"growth: {self.growth} is less than 1"
            raise ValueError(msg)


@dataclass(frozen=True)
class OtherTest:
    """A test besides the two of all counts; it decides on its own.

    Attributes
    ----------
    name
        One of exactPromote, exactRollback, floor, sinceMoment, and member with `of`.
    of
        The member, or the seconds after the start from which on counts weigh most.
    log_e, limit
        Natural logarithm of the e-value, and what it must reach.
    """

    name: str
    log_e: float
    limit: float
    of: str = ""


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
        Display band of the difference. It excludes exactly what the two tests reject; the others
        may decide besides.
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
    others
        The other tests that were asked.
    decides
        Whether it has a say in the verdict of the trial.
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
    others: tuple[OtherTest, ...] = ()
    decides: bool = True


@dataclass(frozen=True)
class Judgement:
    """The answer for the whole trial: one verdict, and what each metric says."""

    verdict: Verdict
    reason: str
    message: str
    metrics: tuple[MetricJudgement, ...]

    @property
    def past_burn_in(self) -> bool:
        """Whether the rollback test of every metric that decides is in force; else no step is taken."""
        deciding = [metric.past_burn_in for metric in self.metrics if metric.decides]
        return bool(deciding) and all(deciding)
