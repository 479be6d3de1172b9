"""One class only so far: a hold that says so, for every mean over classes."""

import itertools

import numpy as np
import pytest

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, Policy, judge, reasons
from assay.judge.verdict import Average, Verdict


@pytest.mark.parametrize(
    ("average", "kind"),
    list(itertools.product((Average.MACRO, Average.WEIGHTED), ("F1", "Precision", "Recall"))),
)
def test_rows_of_one_class_that_are_all_right_say_nothing(average: Average, kind: str) -> None:
    arms = [
        ArmCounts.counted(("0", "1"), np.array([[rows, 0], [0, 0]]), served=rows)
        for rows in (220, 40)
    ]
    spec = MetricSpec("f1", kind, 0.02, average=average)
    [found] = judge((spec,), Policy(), Evidence((Stratum("m/0", *arms, 0.2),))).metrics
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.ONE_CLASS_ONLY)
    assert "all rows so far are of one class" in found.message
