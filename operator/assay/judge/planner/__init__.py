"""The planner: labels and time to a decision, asked before a trial starts. Pure, as the judge.

`plan` answers a `Question`; `remedies` says what would help when the answer is "never in time". To
read the code start in `question`, then `duration`, `information` (what a decision needs),
`unit_variance` (what a row gives) and `schedule` (the steps).
"""

from assay.judge.planner.duration import WORSE, MetricPlan, Need, Plan, plan
from assay.judge.planner.information import POWERS, paired_variance
from assay.judge.planner.question import (
    LOSSES,
    TYPES,
    Baseline,
    PlanError,
    Question,
    Target,
)
from assay.judge.planner.remedies import Remedies, remedies
from assay.judge.planner.schedule import Segment, Step

__all__ = [
    "LOSSES",
    "POWERS",
    "TYPES",
    "WORSE",
    "Baseline",
    "MetricPlan",
    "Need",
    "Plan",
    "PlanError",
    "Question",
    "Remedies",
    "Segment",
    "Step",
    "Target",
    "paired_variance",
    "plan",
    "remedies",
]
