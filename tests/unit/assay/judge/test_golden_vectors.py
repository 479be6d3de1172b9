"""The numbers that the specification publishes, to 1e-6, verdicts included."""

import math

import numpy as np
import pytest

from assay.judge import MetricSpec, Policy, RollbackOn, Verdict, eprocess, judge, reasons

from .builders import confusion, evidence, scores

STABLE = (1640, 336, 360, 1664)
STRICT, ZONE = RollbackOn.WORSE_THAN_MARGIN, RollbackOn.WORSE


def times(factor, counts):
    return tuple(factor * count for count in counts)


@pytest.mark.parametrize(
    ("canary", "stable", "rollback_on", "promote", "rollback", "verdict", "reason"),
    [
        pytest.param(
            (410, 84, 90, 416), STABLE, STRICT, 1.562822, -3.019845, "Hold", reasons.UNDECIDED,
            id="equal, too few labels",
        ),
        pytest.param(
            times(3, (410, 84, 90, 416)), times(3, STABLE), STRICT, 4.972635, -4.399328,
            "Promote", reasons.NOT_WORSE, id="equal, three times the labels",
        ),
        pytest.param(
            (330, 120, 170, 380), STABLE, STRICT, -3.995639, 11.905690, "Rollback",
            reasons.WORSE_THAN_MARGIN, id="much worse, strict",
        ),
        pytest.param(
            (330, 120, 170, 380), STABLE, ZONE, -3.995639, 21.976146, "Rollback", reasons.WORSE,
            id="much worse, zone",
        ),
        pytest.param(
            (3, 1, 2, 94), STABLE, STRICT, -0.178974, 0.140362, "Hold", reasons.BURN_IN,
            id="six relevant rows",
        ),
    ],
)  # fmt: skip
def test_f1(canary, stable, rollback_on, promote, rollback, verdict, reason):
    counts = evidence(confusion(*canary), confusion(*stable))
    found = judge([MetricSpec("f1", "F1", 0.03)], Policy(rollback_on=rollback_on), counts)
    (metric,) = found.metrics
    assert metric.log_e_promote == pytest.approx(promote, abs=1e-6)
    assert metric.log_e_rollback == pytest.approx(rollback, abs=1e-6)
    assert (found.verdict, found.reason) == (Verdict(verdict), reason)


def test_auc():
    positive = np.array([1, 3, 6, 14, 26, 50])
    counts = evidence(scores(positive, positive[::-1]), scores(10 * positive, 10 * positive[::-1]))
    spec = MetricSpec("auc", "ROCAUC", 0.02)
    found = judge([spec], Policy(rollback_on=STRICT), counts)
    (metric,) = found.metrics
    assert metric.canary == pytest.approx(0.9524, abs=1e-12)
    assert metric.half_width == pytest.approx(0.0424 / 2, abs=1e-12)
    assert metric.log_e_promote == pytest.approx(0.534966, abs=1e-6)
    assert metric.log_e_rollback == pytest.approx(-1.727628, abs=1e-6)
    assert (found.verdict, found.reason) == (Verdict.HOLD, reasons.BINS_TOO_COARSE)


@pytest.mark.parametrize(("dist", "expected"), [(0.03, 3.933529654), (-0.2, -6.232233)])
def test_log_e(dist, expected):
    found = eprocess.PROMOTE.log_e(np.array(dist), np.array(1e-4), 0.03)
    assert found == pytest.approx(expected, abs=1e-6)


def test_limits_are_those_of_the_specification():
    counts = evidence(confusion(410, 84, 90, 416), confusion(*STABLE))
    (metric,) = judge([MetricSpec("f1", "F1", 0.03)], Policy(), counts).metrics
    assert metric.limit_promote == pytest.approx(math.log(20))
    assert metric.limit_rollback == pytest.approx(math.log(25))  # .8 of .05
