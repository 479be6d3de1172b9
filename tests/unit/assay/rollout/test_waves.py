"""Waves: the canary comes to the members in order, the verdict is one for all."""

import dataclasses
from typing import Any

import pytest

from assay.api.deployment_status import Stage, Verdict
from assay.rollout.transitions import Trigger

from .world import EIGHT, PROMOTE, ROLLBACK, SEVEN, World, a_spec, judged, serving

MEMBERS = ("a-pilot", "b-east", "c-east", "d-west")
STEPS = {"canary": {"steps": [{"weight": 20}]}}


def labelled(world: World) -> World:
    """Each member's ModelCluster has the label wave, the latter part of its name."""
    for name, member in world.members.items():
        member.labels = {"wave": name.partition("-")[2]}
    return world


def wave(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "clusterSelector": {"matchLabels": {"wave": name}}, **more}


def a_world(*waves: dict[str, Any], **rollout: Any) -> World:
    """Version 7 serves in four members; 8 is asked for, in `waves`."""
    world = labelled(World(*MEMBERS))
    world.spec, world.revision = a_spec(SEVEN), SEVEN
    world.run().later(3600)
    world.asks_for(EIGHT, waves=list(waves), **{**STEPS, **rollout})
    return world.with_judgement(judged(burnt_in=False))


def with_canary(world: World) -> list[str]:
    """Members that run pods of the canary."""
    return [name for name, member in world.members.items() if EIGHT in member.pods]


def with_traffic(world: World) -> dict[str, int]:
    """The share of the canary, where it has one."""
    return {
        name: member.route.weight
        for name, member in world.members.items()
        if member.route is not None and member.route.canary_slot == EIGHT != member.route.stable
    }


def test_the_first_wave_alone_is_tried() -> None:
    world = a_world(wave("pilot"), wave("east")).run()

    assert world.stage is Stage.TRIAL
    assert with_canary(world) == ["a-pilot"]
    assert with_traffic(world) == {"a-pilot": 20}
    assert [item.name for item in world.rollout.waves] == ["pilot"]


def test_the_others_follow_the_verdict_wave_by_wave_and_keep_their_control_arm() -> None:
    world = a_world(wave("pilot"), wave("east", soakSeconds=60), wave("west")).run()
    world.with_judgement(PROMOTE).look()
    assert world.rollout.latched is not None
    assert world.rollout.latched.verdict is Verdict.PROMOTE
    assert world.events[-1] == "WaveStarted"

    world.with_judgement(judged()).run()
    assert with_traffic(world) == {"a-pilot": 20, "b-east": 20, "c-east": 20}
    assert world.stable == SEVEN

    world.later(59).run()
    assert "d-west" not in with_canary(world)
    world.later(1).look()
    assert with_canary(world) == list(MEMBERS)
    world.run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    assert world.status.history[0].verdict is Verdict.PROMOTE


def test_a_rollback_after_the_latch_takes_all_waves_back() -> None:
    world = a_world(wave("pilot"), wave("east", soakSeconds=600), wave("west")).run()
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).run()
    assert len(with_traffic(world)) == 3

    world.with_judgement(ROLLBACK).run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert with_traffic(world) == {}
    assert [item.revision for item in world.status.rejected_revisions] == [EIGHT]


def test_a_canary_that_lost_in_the_first_wave_gets_no_pods_in_the_others() -> None:
    world = a_world(wave("pilot")).run()
    world.with_judgement(ROLLBACK).run()

    assert [item.revision for item in world.status.retired_revisions] == [EIGHT]
    assert with_canary(world) == ["a-pilot"]
    assert with_canary(world.later(31).run()) == []


def test_no_verdict_no_second_wave() -> None:
    world = a_world(wave("pilot"), wave("east")).run()
    world.with_judgement(judged()).later(3600).run()
    assert with_canary(world) == ["a-pilot"]


def test_a_latched_verdict_does_not_time_out() -> None:
    world = a_world(wave("pilot"), wave("east", soakSeconds=100000), maxSeconds=86400).run()
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).run().later(86401).run()
    assert world.stage is Stage.TRIAL
    world.later(100000).run()
    assert world.stable == EIGHT


def test_a_latched_trial_whose_guards_fall_silent_ends_in_time() -> None:
    guard = {"name": "p99", "query": "x", "max": "0.2"}
    settings = {"analysis": {"guards": [guard]}, "maxSeconds": 3600}
    world = a_world(wave("pilot"), wave("east", soakSeconds=600), **settings).reads(0.1).run()
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).reads(0.1).run()
    assert world.rollout.latched is not None
    world.reads(None).later(600).run()
    ready = world.condition("Ready")
    assert ready is not None
    assert "Without every guard kept by " in ready.message

    assert world.later(3599).run().stage is Stage.TRIAL
    world.later(1).run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.status.history[0].reason == "Inconclusive"
    assert world.status.history[0].message.startswith(
        "nothing could follow wave east within 3600 s after it had soaked. Last: "
    )


def test_only_so_many_members_get_ready_at_a_time() -> None:
    world = a_world(wave("pilot"), wave("east", maxConcurrency=1)).run()
    world.slow.add(EIGHT)
    world.with_judgement(PROMOTE).look()
    world.look()
    assert with_canary(world) == ["a-pilot", "b-east"]
    world.slow.clear()
    world.pods_move()
    world.look()
    assert with_canary(world) == ["a-pilot", "b-east", "c-east"]


def test_a_wave_that_never_gets_ready_rolls_all_back() -> None:
    world = a_world(wave("pilot"), wave("east")).run()
    world.slow.add(EIGHT)
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).run().later(599).look()
    assert world.stage is Stage.TRIAL
    world.later(1).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.status.history[0].reason == "ProgressDeadlineExceeded"
    assert with_traffic(world) == {}


def test_the_failure_budget_lets_a_wave_go_on_without_some() -> None:
    world = a_world(wave("pilot"), wave("east", maxFailures=1)).run()
    world.slow.add(EIGHT)
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).look()
    world.members["b-east"].pods[EIGHT] = dataclasses.replace(
        world.members["b-east"].pods[EIGHT], ready=1
    )
    world.run()
    assert "d-west" not in with_canary(world)
    world.later(600).run()
    assert "d-west" in with_canary(world)
    assert world.stage is Stage.TRIAL, "a wave of the rest has to get ready, too"


def test_a_break_in_serving_starts_the_soak_again() -> None:
    world = a_world(wave("pilot"), wave("east", soakSeconds=60), wave("west")).run()
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).run().later(50)
    ready = world.members["c-east"].pods[EIGHT]
    world.members["c-east"].pods[EIGHT] = dataclasses.replace(ready, ready=0)
    world.look()
    world.run().later(50).run()
    assert "d-west" not in with_canary(world)
    world.later(10).run()
    assert world.stable == EIGHT


def test_the_first_revision_of_all_comes_wave_by_wave_on_health() -> None:
    world = labelled(World(*MEMBERS))
    world.spec = a_spec(SEVEN, waves=[wave("pilot", soakSeconds=30), wave("west")])
    world.run()
    assert world.stage is Stage.STARTING
    assert [name for name, member in world.members.items() if member.pods] == ["a-pilot"]
    world.later(30).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert all(member.route is not None for member in world.members.values())


def test_the_first_revision_of_all_waits_for_no_wave_that_is_away() -> None:
    world = labelled(World(*MEMBERS))
    world.spec, world.revision = a_spec(SEVEN, waves=[wave("pilot")]), SEVEN
    world.look()
    world.loses("a-pilot").run()

    assert (world.stable, world.stage) == (SEVEN, Stage.DONE)
    world.finds("a-pilot").run()
    assert world.members["a-pilot"].route is not None


@pytest.mark.parametrize("gone", ["member", "pods"])
def test_a_latched_trial_ends_when_nothing_of_its_waves_is_left(gone: str) -> None:
    world = a_world(wave("pilot", soakSeconds=3600)).run()
    world.with_judgement(PROMOTE).run()
    assert world.rollout.latched is not None
    if gone == "member":
        world.loses("a-pilot")
    else:
        world.breaks(EIGHT, "OOMKilled").pods_move()
    assert world.run().stage is Stage.TRIAL  # a restart is no failure
    decision = world.decide()
    assert decision.wake_after is not None
    assert decision.wake_after <= 600

    world.later(600).run()
    assert (world.stable, world.stage) == (SEVEN, Stage.DONE)
    assert world.status.history[0].reason == "ProgressDeadlineExceeded"


def test_a_wave_of_nobody_is_left_out() -> None:
    world = a_world(wave("nowhere"), wave("west")).run()
    assert with_canary(world) == ["d-west"]


def test_a_member_that_is_away_holds_up_nobody_and_gets_it_when_back() -> None:
    world = a_world(wave("pilot"), wave("east"), wave("west")).run().loses("c-east")
    world.with_judgement(PROMOTE).look()
    world.with_judgement(judged()).run()
    assert world.stable == EIGHT
    world.finds("c-east").run()
    route = world.members["c-east"].route
    assert route is not None
    assert route.stable == EIGHT


def test_a_new_member_of_a_running_wave_joins_it() -> None:
    world = a_world(wave("pilot"), wave("east")).drops("c-east").run()
    world.with_judgement(PROMOTE).look()
    world.members["c-east"].reachable = True
    world.takes("c-east").look()
    assert "c-east" in with_canary(world)


def test_edits_of_the_waves_count_from_the_next_rollout() -> None:
    world = a_world(wave("pilot"), wave("east")).run()
    world.asks_for(EIGHT, waves=[], **STEPS).run()
    assert with_canary(world) == ["a-pilot"]


def test_without_waves_all_members_are_one() -> None:
    world = serving(members=MEMBERS).asks_for(EIGHT).with_judgement(judged(burnt_in=False)).run()
    assert with_canary(world) == list(MEMBERS)
    assert [item.name for item in world.rollout.waves] == ["rest"]


@pytest.mark.parametrize("trigger", [Trigger.WAVE_STARTED, Trigger.WAVE_FAILED])
def test_the_table_knows_waves(trigger: Trigger) -> None:
    from assay.rollout.transitions import TRANSITIONS

    assert trigger in TRANSITIONS[Stage.TRIAL]


def test_a_wave_may_wait_for_a_person() -> None:
    world = a_world(wave("pilot"), wave("east", approval="Manual")).run()
    world.with_judgement(PROMOTE).run()
    assert world.rollout.latched is not None
    assert with_canary(world) == ["a-pilot"]
    assert world.says("Ready") == ("False", "WaitingForApproval")

    world.with_judgement(judged()).later(10**6).run()
    assert world.stage is Stage.TRIAL, "no deadline ends it"
    world.person("approve").run()

    assert world.stable == EIGHT
    assert world.status.last_request is not None
    assert world.status.last_request.result == "Done"


def test_a_rollback_does_not_wait_for_a_person() -> None:
    world = a_world(wave("pilot"), wave("east", approval="Manual")).run()
    world.with_judgement(PROMOTE).run().with_judgement(ROLLBACK).run()
    assert world.stable == SEVEN


def test_a_rollout_that_just_began_is_looked_at_again_at_once() -> None:
    """Its pods may be ready already: nothing else would wake anybody then."""
    world = serving().later(3600).asks_for(EIGHT)
    assert world.look().wake_after == 0.0
