"""The table, and the diagram drawn from it."""

import itertools
import pathlib
import subprocess
import sys

import pytest

from assay.api.deployment_status import Stage
from assay.rollout.transitions import (
    TRANSITIONS,
    IllegalTransitionError,
    Trigger,
    next_stage,
)

ROOT = pathlib.Path(__file__).parents[4]
PAIRS = list(itertools.product([None, *Stage], Trigger))


@pytest.mark.parametrize(("stage", "trigger"), PAIRS)
def test_what_is_not_in_the_table_is_illegal(stage: Stage | None, trigger: Trigger) -> None:
    if trigger in TRANSITIONS[stage]:
        assert next_stage(stage, trigger) is TRANSITIONS[stage][trigger]
    else:
        with pytest.raises(IllegalTransitionError, match=trigger.name):
            next_stage(stage, trigger)


def test_rollback_is_absorbing() -> None:
    assert set(TRANSITIONS[Stage.ROLLING_BACK].values()) == {Stage.DONE}


def test_a_promotion_is_never_taken_back() -> None:
    assert set(TRANSITIONS[Stage.PROMOTING].values()) == {Stage.DONE}


def test_only_a_first_start_a_trial_and_an_undo_lead_to_promotion() -> None:
    before = {
        (stage, trigger)
        for stage, row in TRANSITIONS.items()
        for trigger, following in row.items()
        if following is Stage.PROMOTING
    }
    assert before == {
        (Stage.STARTING, Trigger.FIRST_READY),
        (Stage.TRIAL, Trigger.PROMOTE),
        (Stage.TRIAL, Trigger.PROMOTED_BY_HAND),
        (Stage.STARTING, Trigger.RESTORED),
    }


def test_every_stage_reaches_done() -> None:
    done = {Stage.DONE}
    for _ in Stage:
        done |= {stage for stage, row in TRANSITIONS.items() if stage and done & set(row.values())}
    assert done == set(Stage)


def test_the_diagram_in_the_docs_is_the_table() -> None:
    command = [sys.executable, str(ROOT / "tools/draw_rollout.py"), "--check"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
