"""What a pause stops and what goes on: by spec.paused, by hand, and as a step of the canary."""

import pytest

from assay.api.deployment_status import Stage
from assay.api.model_deployment import Paused
from assay.rollout import RouteView

from .world import EIGHT, PROMOTE, ROLLBACK, SEVEN, World, judged, on_trial, serving

STEPS = [{"weight": 5}, {"pause": "Manual"}, {"weight": 50}]
DAYS = 30 * 86400.0


def waiting() -> World:
    """A trial that has come to its manual pause."""
    world = on_trial(canary={"steps": STEPS}).with_judgement(judged()).run()
    assert world.rollout.step == 1
    return world


def test_a_pause_step_keeps_the_weight_and_says_who_can_end_it() -> None:
    world = waiting()

    assert [step.weight for step in world.rollout.steps] == [5, 5]
    assert world.members["east"].route == RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/1")
    assert world.says("Paused") == ("True", "WaitingForApproval")
    assert world.says("Ready") == ("False", "WaitingForApproval")
    message = world.condition("Paused").message  # type: ignore[union-attr]
    assert message.startswith("step 2 waits for a person: kubectl assay approve goes on, ")


def test_a_pause_step_lasts_until_somebody_approves() -> None:
    world = waiting().later(DAYS).run()
    assert world.rollout.step == 1

    world.person("approve").run()

    assert world.rollout.step == 2
    assert world.rollout.steps[1].approved_by == "alice@example.com"
    assert [step.weight for step in world.rollout.steps] == [5, 5, 50]
    assert world.says("Paused") == ("absent", "")


def test_approval_takes_no_step_that_the_evidence_does_not_allow() -> None:
    world = waiting().with_problems("east").person("approve").run()
    assert (world.answer.result, world.rollout.step) == ("Done", 1)

    assert world.with_problems().run().rollout.step == 2


@pytest.mark.parametrize("order", [("verdict", "approval"), ("approval", "verdict")])
def test_a_pause_as_the_last_step_wants_approval_and_verdict(order: tuple[str, str]) -> None:
    world = on_trial(canary={"steps": [{"weight": 5}, {"pause": "Manual"}]})
    world.with_judgement(judged()).run()
    for what in order:
        assert world.stage is Stage.TRIAL
        if what == "verdict":
            world.with_judgement(PROMOTE).run()
        else:
            world.person("approve").run()

    assert world.stable == EIGHT


@pytest.mark.parametrize("how", ["spec", "hand", "step"])
def test_a_rollback_goes_on_in_every_pause_but_all(how: str) -> None:
    world = waiting() if how == "step" else on_trial()
    if how == "hand":
        world.person("pause").run()
    elif how == "spec":
        world.pauses(Paused.PROMOTION).run()
    assert world.says("Paused")[0] == "True"

    world.with_judgement(ROLLBACK).run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")


@pytest.mark.parametrize("how", ["spec", "hand"])
@pytest.mark.parametrize("step", [0, 2])
def test_neither_step_nor_promotion_while_paused(how: str, step: int) -> None:
    world = on_trial(step)
    if how == "hand":
        world.person("pause").run()
    else:
        world.pauses(Paused.PROMOTION).run()
    before = world.rollout.step

    world.with_judgement(PROMOTE).later(3600).run()
    assert (world.stage, world.rollout.step) == (Stage.TRIAL, before)

    if how == "hand":
        world.person("resume").run()
    else:
        world.pauses(Paused.NONE).run()
    assert world.rollout.step > before or world.stable == EIGHT


def test_the_clock_of_a_trial_stands_still_while_it_is_paused() -> None:
    world = on_trial().later(86400 - 600).person("pause").run()
    world.later(DAYS).run()
    assert world.stage is Stage.TRIAL

    world.person("resume").run().later(500).run()
    assert world.stage is Stage.TRIAL
    assert world.rollout.held_seconds == DAYS

    assert world.later(101).run().rollout.decision.reason == "Inconclusive"  # type: ignore[union-attr]


def test_a_message_of_a_paused_trial_does_not_change_with_time() -> None:
    world = waiting()
    assert world.later(5).look().status == world.later(5).look().status


def test_paused_before_it_starts_a_canary_gets_pods_and_no_traffic_and_no_deadline() -> None:
    world = serving().pauses(Paused.PROMOTION).asks_for(EIGHT)
    world.pauses(Paused.PROMOTION).run().later(DAYS).run()

    assert world.stage is Stage.STARTING
    assert world.members["east"].pods[EIGHT].ready
    world.breaks(EIGHT, "OOMKilled").pods_move()
    assert world.later(DAYS).run().stage is Stage.STARTING
    world.broken.clear()
    world.pods_move()
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")

    world.with_judgement(judged(burnt_in=False)).pauses(Paused.NONE).run()
    assert (world.stage, world.rollout.step) == (Stage.TRIAL, 0)


def test_a_first_start_is_held_by_all_only() -> None:
    assert World().pauses(Paused.PROMOTION).run().stable == SEVEN

    world = World().pauses(Paused.ALL).run()
    assert (world.stage, world.members["east"].pods) == (None, {})
    assert world.says("Ready") == ("False", "PausedInSpec")
    assert world.pauses(Paused.NONE).run().stable == SEVEN


@pytest.mark.parametrize("judgement", [ROLLBACK, PROMOTE])
def test_all_changes_nothing_and_shows_the_verdict(judgement: object) -> None:
    world = on_trial(2).pauses(Paused.ALL)
    world.with_judgement(judgement).later(DAYS).run()  # type: ignore[arg-type]

    assert (world.stage, world.stable, world.canary) == (Stage.TRIAL, SEVEN, EIGHT)
    assert world.status.clusters[0].weight == 50
    assert world.status.analysis[0].verdict.value in {"Rollback", "Promote"}
    assert world.says("Paused") == ("True", "PausedInSpec")

    world.pauses(Paused.NONE).run()
    assert world.stage is Stage.DONE


def test_all_keeps_the_pods_that_were_to_go() -> None:
    world = on_trial(2).with_judgement(ROLLBACK)
    world.run().pauses(Paused.ALL).later(DAYS).run()
    assert [item.revision for item in world.status.retired_revisions] == [EIGHT]

    assert world.pauses(Paused.NONE).run().status.retired_revisions == ()


def test_the_deadline_of_the_start_begins_again_when_the_pause_ends() -> None:
    world = serving().asks_for(EIGHT).breaks(EIGHT, "FetchFailed: 503").run().later(500)
    world.person("pause").run().later(DAYS).person("resume").run()

    assert world.later(599).run().stage is Stage.STARTING
    assert world.later(1).run().rollout.decision.reason == "ProgressDeadlineExceeded"  # type: ignore[union-attr]
