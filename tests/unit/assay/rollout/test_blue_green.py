"""Blue-green: nothing, then all of the live traffic, judged by health and guards."""

from typing import Any

import pytest

from assay.api.deployment_status import Stage, Verdict
from assay.rollout import Order, PodsView, RouteView
from assay.rollout.traffic import IDLE_STRATUM, PreviewView, wanted_preview

from .world import EIGHT, NINE, ROLLBACK, SEVEN, World, serving

P99 = {"name": "p99", "query": "x", "max": "0.2", "forSeconds": 30, "minRequests": 200}
GUARDS_ONLY = {"metrics": [], "guards": [P99]}
PREVIEW = ["preview.example.com"]


def a_world(members: tuple[str, ...] = ("east", "west"), **settings: Any) -> World:
    """Version 7 serves; 8 is asked for, blue-green."""
    rollout = {"type": "BlueGreen", "blueGreen": settings, "analysis": GUARDS_ONLY}
    return serving(members=members).later(3600).asks_for(EIGHT, **rollout).reads(None, 0)


def live(world: World) -> dict[str, tuple[str, str]]:
    """To which revisions each member's route goes."""
    return {
        name: (member.route.stable, member.route.canary_slot)
        for name, member in world.members.items()
        if member.route is not None
    }


def previews(world: World) -> set[PreviewView | None]:
    return {wanted_preview(world.status, name) for name in world.members}


ON_SEVEN = {"east": (SEVEN, SEVEN), "west": (SEVEN, SEVEN)}
ON_EIGHT = {"east": (EIGHT, EIGHT), "west": (EIGHT, EIGHT)}


def test_without_preview_hosts_it_is_switched_when_the_second_set_is_ready() -> None:
    world = a_world()
    world.slow.add(EIGHT)
    world.run()
    assert (world.stage, live(world)) == (Stage.STARTING, ON_SEVEN)

    world.slow.clear()
    world.run()

    assert (world.stage, live(world)) == (Stage.TRIAL, ON_EIGHT)
    assert world.stable == SEVEN
    assert all(SEVEN in member.pods for member in world.members.values())
    assert previews(world) == {None}


def test_the_switch_is_one_write_that_keeps_the_shape_of_the_route() -> None:
    world = a_world().run()

    route = world.members["east"].route
    assert route == RouteView(EIGHT, EIGHT, 1, f"{world.rollout.id}/1")
    available = world.condition("Available")
    assert available is not None
    assert available.message == (
        "version 7 (7777777777) answers in 2 members, in east, west version 8 (8888888888)"
    )


def test_it_is_promoted_when_the_old_set_was_kept_for_its_time_and_every_guard_is_kept() -> None:
    world = a_world(scaleDownDelaySeconds=60).run().reads(0.1)

    world.later(59).run()
    assert world.stage is Stage.TRIAL
    world.later(1).run()

    assert (world.stage, world.stable, live(world)) == (Stage.DONE, EIGHT, ON_EIGHT)
    entry = world.status.history[0]
    assert (entry.verdict, entry.reason) == (Verdict.PROMOTE, "GuardsKept")
    assert entry.message.startswith("every guard is kept; version 8 (8888888888) has had 100 %")


def test_a_guard_without_data_holds_the_promotion_and_keeps_the_old_set() -> None:
    world = a_world().run().later(3600).run()

    assert (world.stage, live(world)) == (Stage.TRIAL, ON_EIGHT)
    assert world.says("EvidenceSufficient") == ("False", "GuardNoData")
    assert all(SEVEN in member.pods for member in world.members.values())


def test_without_data_for_ever_it_goes_back_as_inconclusive() -> None:
    world = a_world().run().later(86400).run()

    assert (world.stage, world.stable, live(world)) == (Stage.DONE, SEVEN, ON_SEVEN)
    assert world.status.history[0].reason == "Inconclusive"
    assert "guard p99 in east" in world.status.history[0].message


def test_a_breach_after_the_switch_goes_back_by_one_write_traffic_first() -> None:
    world = a_world().run().reads(0.5, 1000, "west").run().later(30)
    decision = world.look()

    assert decision.order is Order.ACT_THEN_RECORD
    assert (world.stage, live(world)) == (Stage.ROLLING_BACK, ON_SEVEN)
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, IDLE_STRATUM)
    world.run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.status.rejected_revisions[0].reason == "GuardBreached"


def test_what_is_breached_goes_back_although_the_old_set_has_failed_meanwhile() -> None:
    world = a_world().run().reads(0.9)
    world.breaks(SEVEN, "ImagePullBackOff")
    for member in world.members.values():
        member.pods[SEVEN] = PodsView(2, 0, "ImagePullBackOff")
    world.later(30).run()
    world.later(30).run()

    assert live(world) == ON_SEVEN
    assert world.stage is Stage.DONE
    assert world.status.history[0].reason == "GuardBreached"


def test_with_preview_hosts_the_switch_waits_for_guards_kept_on_what_comes_there() -> None:
    world = a_world(previewHostnames=PREVIEW).run()
    stratum = f"{world.rollout.id}/0"

    assert (world.stage, live(world)) == (Stage.TRIAL, ON_SEVEN)
    assert previews(world) == {PreviewView(EIGHT, ("preview.example.com",), stratum)}

    world.reads(0.1, 100).run()
    assert live(world) == ON_SEVEN
    assert world.says("EvidenceSufficient") == ("False", "GuardTooFewRequests")
    world.reads(0.1, 200).run()

    assert live(world) == ON_EIGHT
    assert previews(world) == {PreviewView(EIGHT, ("preview.example.com",), stratum)}
    world.later(30).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    assert previews(world) == {None}


def test_guards_of_the_trial_before_do_not_switch_the_next() -> None:
    world = a_world(previewHostnames=PREVIEW).run().reads(0.1)
    world.asks_for(
        NINE, type="BlueGreen", blueGreen={"previewHostnames": PREVIEW}, analysis=GUARDS_ONLY
    )
    world.look()
    world.pods_move()
    world.look()

    assert (world.canary, world.rollout.step) == (NINE, 0)
    assert live(world) == ON_SEVEN


def test_a_breach_in_the_preview_never_touches_live_traffic() -> None:
    world = a_world(previewHostnames=PREVIEW).run().reads(0.5, 200, "east").run().later(30).look()
    assert world.status.rollout is not None
    assert world.status.rollout.decision is not None
    assert world.status.rollout.decision.reason == "GuardBreached"


def test_a_person_approves_the_switch_and_no_deadline_runs_meanwhile() -> None:
    world = a_world(approval="Manual").run().later(5 * 86400).run()
    assert (world.stage, live(world)) == (Stage.TRIAL, ON_SEVEN)
    assert world.says("Paused") == ("True", "WaitingForApproval")

    world.person("approve").run()

    assert live(world) == ON_EIGHT
    assert world.rollout.steps[0].approved_by == "alice@example.com"


@pytest.mark.parametrize("full", [False, True])
def test_a_person_switches_without_waiting_for_guards(*, full: bool) -> None:
    world = a_world(previewHostnames=PREVIEW).run().person("promote", full=full).run()

    assert live(world) == ON_EIGHT
    assert world.stage is (Stage.DONE if full else Stage.TRIAL)
    if full:
        assert "guard p99 in east: " in world.status.history[0].message


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_pause_holds_the_switch_and_its_end_lets_it_go(verb: str) -> None:
    world = a_world(previewHostnames=PREVIEW).run().person("pause").run().reads(0.1).run()
    assert live(world) == ON_SEVEN
    if verb == "resume":
        assert live(world.person(verb).run()) == ON_EIGHT


def test_an_abort_after_the_switch_goes_back_and_a_retry_may_follow() -> None:
    world = a_world().run().person("abort").run()
    assert (world.stage, live(world)) == (Stage.DONE, ON_SEVEN)

    world.person("retry").run()
    assert (world.stage, live(world)) == (Stage.TRIAL, ON_EIGHT)
    route = world.members["east"].route
    assert route is not None
    assert route.stratum == f"{world.rollout.id}/3"


def test_a_retry_previews_in_a_stratum_of_its_own() -> None:
    world = a_world(previewHostnames=PREVIEW).run().person("abort").run().person("retry").run()

    assert previews(world) == {
        PreviewView(EIGHT, ("preview.example.com",), f"{world.rollout.id}/1")
    }


def test_an_undo_comes_back_to_the_version_before() -> None:
    world = a_world().run().reads(0.1).later(30).run()
    assert world.stable == EIGHT

    world.person("undo", toRevision=SEVEN).run()
    assert (world.stage, world.stable, live(world)) == (Stage.DONE, SEVEN, ON_SEVEN)


def test_the_spec_goes_back_to_stable_after_the_switch() -> None:
    world = a_world().run()
    world.asks_for(SEVEN).run()

    assert (world.stage, world.stable, live(world)) == (Stage.DONE, SEVEN, ON_SEVEN)
    assert world.status.rejected_revisions == ()


def test_a_member_whose_new_pods_are_all_gone_gets_its_old_set_back() -> None:
    world = a_world().run()
    world.slow.add(EIGHT)
    world.members["west"].pods[EIGHT] = PodsView(2, 0)
    world.run()

    assert live(world) == {"east": (EIGHT, EIGHT), "west": (SEVEN, SEVEN)}
    assert world.stage is Stage.TRIAL


def test_the_promotion_takes_no_traffic_from_a_member_in_which_a_pod_restarts_just_then() -> None:
    world = in_waves(maxFailures=1).reads(0.1).run().later(30)
    world.look()
    world.pods_move()
    world.look()
    assert live(world) == ON_EIGHT
    world.members["west"].pods[EIGHT] = PodsView(2, 1)
    world.slow.add(EIGHT)

    world.later(600).look()
    world.later(60).look()

    assert world.stable == EIGHT
    assert live(world) == ON_EIGHT


def in_waves(**last: Any) -> World:
    """East first, then west, with preview hosts."""
    pilot = {"name": "pilot", "clusterSelector": {"matchLabels": {"name": "east"}}}
    world = a_world(previewHostnames=PREVIEW)
    for name, member in world.members.items():
        member.labels = {"name": name}
    settings = {"blueGreen": {"previewHostnames": PREVIEW}, "analysis": GUARDS_ONLY}
    waves = [pilot, {"name": "others", "soakSeconds": 60, **last}]
    return world.asks_for(EIGHT, type="BlueGreen", waves=waves, **settings)


def test_later_waves_switch_after_the_first_was_kept_and_all_go_back_together() -> None:
    world = in_waves()
    world.reads(0.1).run()
    assert live(world) == {"east": (EIGHT, EIGHT), "west": (SEVEN, SEVEN)}
    assert wanted_preview(world.status, "west") is None

    world.later(30).run()
    assert world.rollout.latched is not None
    assert live(world) == ON_EIGHT
    assert world.stable == SEVEN

    world.reads(0.5, 1000, "east").run().later(30).run()
    assert (world.stage, world.stable, live(world)) == (Stage.DONE, SEVEN, ON_SEVEN)


def test_a_rebuilt_hub_goes_on_behind_the_switched_traffic() -> None:
    world = a_world()
    world.keeps_records = True
    world.run().rebuilds_the_hub().run()
    assert (world.stage, live(world)) == (Stage.TRIAL, ON_EIGHT)

    world.reads(0.1).later(30).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)


def test_a_member_that_is_left_goes_back_to_stable() -> None:
    world = a_world().run().drops("east", "west")
    world.look()

    assert live(world) == ON_SEVEN


def test_a_canary_without_metrics_climbs_by_time_and_guards() -> None:
    world = serving().later(3600).asks_for(EIGHT, analysis=GUARDS_ONLY).reads(None, 0).run()
    assert (world.stage, world.rollout.step) == (Stage.TRIAL, 0)

    world.with_judgement(ROLLBACK).run()  # nobody asks the judge
    assert world.stage is Stage.TRIAL
    world.with_judgement(None).reads(0.1).run()
    assert world.rollout.step == 1
    world.later(60).run()

    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    assert world.status.history[0].reason == "GuardsKept"
