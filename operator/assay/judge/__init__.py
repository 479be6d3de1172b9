"""The judge: from counts to a verdict. Pure functions of plain values, numpy and scipy only.

`judge` decides; `docs/statistics.md` explains the method. To read the code start in `judge.py`,
then `reading` (evidence to cells), `decision` (the rules), `comparison` (the numbers of one
metric), `eprocess` and `exact` (the tests), `strata` (standardisation and variances), `samples` (is
the sample what it should be) and `metrics`. Everything from `looks` on is batched: a simulation
judges through the same code.
"""

from assay.judge.judge import judge, judge_pairs
from assay.judge.metrics import METRICS
from assay.judge.verdict import (
    Judgement,
    MetricJudgement,
    MetricSpec,
    Policy,
    PromoteOn,
    RollbackOn,
    Verdict,
)

__all__ = [
    "METRICS",
    "Judgement",
    "MetricJudgement",
    "MetricSpec",
    "Policy",
    "PromoteOn",
    "RollbackOn",
    "Verdict",
    "judge",
    "judge_pairs",
]
