"""Conditions follow the Kubernetes API conventions and kstatus."""

import datetime

from assay.api.conditions import Condition, ConditionType, Reason, condition, update

MONDAY = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
TUESDAY = MONDAY + datetime.timedelta(days=1)


def ready(*, status: bool, message: str = "") -> Condition:
    return condition(ConditionType.READY, status, Reason.SERVING, message)


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = update((), [ready(status=False)], generation=1, now=MONDAY)
    reworded = update(first, [ready(status=False, message="still")], generation=2, now=TUESDAY)
    flipped = update(reworded, [ready(status=True)], generation=2, now=TUESDAY)

    assert reworded[0].last_transition_time == MONDAY
    assert reworded[0].observed_generation == 2
    assert reworded[0].message == "still"
    assert flipped[0].last_transition_time == TUESDAY


def test_abnormal_conditions_are_there_only_while_true() -> None:
    stalled = condition(ConditionType.STALLED, False, Reason.ROLLED_BACK)
    reconciling = condition(ConditionType.RECONCILING, True, Reason.STARTING)

    kept = update((), [stalled, reconciling, ready(status=False)], generation=1, now=MONDAY)

    assert [item.type for item in kept] == ["Reconciling", "Ready"]


def test_a_condition_that_is_no_longer_said_disappears() -> None:
    first = update(
        (), [ready(status=True), condition(ConditionType.PROMOTED, True, "Serving")], 1, MONDAY
    )

    assert [item.type for item in update(first, [ready(status=True)], 1, MONDAY)] == ["Ready"]


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    assert len(ready(status=True, message="x" * 5000).message) == 1024
