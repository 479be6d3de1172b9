"""What the operator exports of a trial: what the last look saw, and nothing older."""

import dataclasses
import math

from assay.api.analysis import Guard
from assay.api.conditions import ConditionType, condition
from assay.controller import metrics
from assay.judge import Judgement, MetricJudgement, Verdict
from assay.judge.verdict import OtherTest
from assay.rollout import GuardReading

F1 = MetricJudgement(
    "f1", Verdict.HOLD, "Undecided", "", 400, 100,
    stable=0.8, canary=0.7, log_e_promote=-1.0, log_e_rollback=1.5, limit_promote=3.0,
    limit_rollback=3.35,
)  # fmt: skip


def exported(name: str) -> dict[str, float]:
    """Return the samples of one family of this trial by their last label."""
    return {
        list(sample.labels.values())[-1]: sample.value
        for family in metrics.REGISTRY.collect()
        if family.name == name
        for sample in family.samples
        if sample.labels.get("deployment") == "shown"
    }


def show(metric: MetricJudgement) -> None:
    metrics.show("ml", "shown", Judgement(metric.verdict, metric.reason, "", (metric,)))


def test_every_test_that_was_asked_is_exported_and_no_other() -> None:
    others = (
        OtherTest("exactRollback", 2.5, 4.6),
        OtherTest("member", 0.5, 6.0, "east"),
        OtherTest("sinceMoment", -3.0, 5.3, "640"),
    )
    show(dataclasses.replace(F1, others=others))
    assert exported("assay_metric_log_e_value") == {
        "promote": -1.0,
        "rollback": 1.5,
        "exactRollback": 2.5,
        "member/east": 0.5,
        "sinceMoment": -3.0,
    }
    assert exported("assay_metric_log_e_limit")["member/east"] == 6.0
    show(F1)
    assert exported("assay_metric_log_e_value") == {"promote": -1.0, "rollback": 1.5}
    metrics.forget("ml", "shown")
    assert exported("assay_metric_log_e_value") == {}
    assert exported("assay_metric_value") == {}


def test_guards_are_exported_by_member_and_forgotten() -> None:
    guard = Guard.model_validate({"name": "p99", "query": "x", "max": "0.2"})
    readings = [GuardReading("p99", "east", 0.1), GuardReading("p99", "west", None)]
    metrics.show_guards("ml", "shown", [guard], readings)
    values = exported("assay_guard_value")
    assert values["east"] == 0.1
    assert math.isnan(values["west"])
    assert exported("assay_guard_limit") == {"max": 0.2}
    metrics.show_guards("ml", "shown", [guard], readings[:1])
    assert exported("assay_guard_value") == {"east": 0.1}
    metrics.forget("ml", "shown")
    assert exported("assay_guard_value") == exported("assay_guard_limit") == {}


def test_a_problem_is_exported_while_it_lasts() -> None:
    stalled = condition(ConditionType.STALLED, True, "RolledBack")
    conditions = [
        stalled,
        condition(ConditionType.READY, False, "RolledBack"),
        condition(ConditionType.AVAILABLE, True, "Serving"),
        condition(ConditionType.EVIDENCE_SUFFICIENT, None, "NoTrial"),
        condition(ConditionType.PLACED, False, "CapacityExceeded"),
    ]
    metrics.show_problems("ml", "shown", conditions)
    assert exported("assay_deployment_problem") == {"RolledBack": 1, "CapacityExceeded": 1}
    metrics.forget("ml", "shown")
    metrics.show_problems("ml", "shown", [stalled])
    assert exported("assay_deployment_problem") == {"RolledBack": 1}
    metrics.show_problems("ml", "shown", ())
    assert exported("assay_deployment_problem") == {}
