"""Mode Replicas: pods make the shares, and evidence of one stratum is of one mix of pods."""

import datetime

import pytest

from assay.api.deployment_status import Stage
from assay.api.model_deployment import ALL_TRAFFIC, TrafficMode
from assay.rollout.observation import LEAD_SECONDS, Announced, PodsView
from assay.rollout.sharing import schedule
from assay.rollout.sizing import canary_pods
from assay.rollout.traffic import IDLE_STRATUM, cluster_of, traffic_of, wanted_route

from .world import (
    EIGHT,
    MONDAY,
    NINE,
    PROMOTE,
    ROLLBACK,
    SEVEN,
    World,
    judged,
    serving,
    without_gateway,
)

STEPS = [{"weight": 20}, {"weight": 50}]


def starting(replicas: int = 4, **rollout: object) -> World:
    """Version 7 serves, 8 was just asked for; no gateway is anywhere."""
    world = without_gateway(serving(replicas=replicas)).later(3600)
    world.asks_for(EIGHT, **{"canary": {"steps": STEPS}, **rollout})
    return world.with_judgement(judged(burnt_in=False))


def trial(replicas: int = 4, **rollout: object) -> World:
    """Its first step is in force."""
    world = starting(replicas, **rollout).run().later(LEAD_SECONDS).run()
    assert world.stage is Stage.TRIAL
    return world


def behind(world: World, name: str = "east") -> set[str]:
    """Revisions whose pods the member's Service selects."""
    route = world.members[name].route
    assert route is not None
    return {route.stable, route.canary_slot}


def stratum(world: World, name: str = "east") -> str:
    """What servers in a member count under now, as they were told."""
    route = world.members[name].route
    assert route is not None
    return next(
        (it.stratum for it in reversed(route.strata) if it.since <= world.now), IDLE_STRATUM
    )


def desired(world: World, name: str = "east") -> dict[str, int]:
    return {revision: pods.desired for revision, pods in world.members[name].pods.items()}


@pytest.mark.parametrize(
    ("weight", "replicas", "pods"),
    [
        (5, 1, 1),
        (5, 19, 1),
        (5, 40, 2),
        (20, 4, 1),
        (20, 6, 2),
        (33, 4, 2),
        (50, 3, 3),
        (10, 500, 56),
        (ALL_TRAFFIC, 4, 4),
        (20, 0, 0),
    ],
)
def test_the_canary_has_the_pods_that_give_its_share(weight: int, replicas: int, pods: int) -> None:
    assert canary_pods(starting().run().rollout, weight, replicas) == pods


def test_nothing_reaches_a_canary_before_its_trial() -> None:
    world = starting()
    world.slow = {EIGHT}
    world.run()
    assert world.stage is Stage.STARTING
    assert desired(world) == {SEVEN: 4, EIGHT: 1}
    assert behind(world) == {SEVEN}


def test_a_step_counts_when_servers_had_time_to_learn_of_it() -> None:
    world = starting().run()
    assert world.stage is Stage.TRIAL
    assert behind(world) == {SEVEN, EIGHT}
    assert stratum(world) == IDLE_STRATUM
    assert world.rollout.steps[0].shown_at is None
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "By its ready pods the canary gets 20 %: east 20 % (evidence from " in message

    world.later(LEAD_SECONDS - 1).run()
    assert stratum(world) == IDLE_STRATUM
    world.later(1).run()
    assert stratum(world) == f"{world.rollout.id}/0"
    assert world.rollout.steps[0].shown_at == world.now


def test_pods_change_while_nothing_counts() -> None:
    world = trial()
    first = f"{world.rollout.id}/0"
    world.with_judgement(judged()).look()
    assert world.rollout.step == 1
    world.with_judgement(judged(burnt_in=False)).run()
    # Servers are told that the first step ends; its pods stay until it has.
    assert (desired(world), stratum(world)) == ({SEVEN: 4, EIGHT: 1}, first)
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "its pods change from" in message
    world.later(LEAD_SECONDS)
    world.slow = {EIGHT}
    world.run()
    assert (desired(world), stratum(world)) == ({SEVEN: 4, EIGHT: 4}, IDLE_STRATUM)
    world.later(LEAD_SECONDS).run()
    assert stratum(world) == IDLE_STRATUM
    world.slow = set()
    world.run().later(LEAD_SECONDS).run()
    assert stratum(world) == f"{world.rollout.id}/1"
    assert world.status.share == 50


def test_a_step_with_the_same_pods_needs_no_pause() -> None:
    world = trial(2, canary={"steps": [{"weight": 5}, {"weight": 20}, {"weight": 50}]})
    world.with_judgement(judged()).look()
    world.with_judgement(judged(burnt_in=False)).run()
    assert desired(world) == {SEVEN: 2, EIGHT: 1}
    assert stratum(world) == f"{world.rollout.id}/0"
    world.later(LEAD_SECONDS).run()
    assert stratum(world) == f"{world.rollout.id}/1"


def test_status_says_the_share_that_results() -> None:
    world = trial(2)
    assert {item.name: (item.weight, item.share) for item in world.status.clusters} == {
        "east": (20, 33),
        "west": (20, 33),
    }
    assert world.status.share == 33
    world.members["east"].pods[EIGHT] = PodsView(1, 0)
    world.look()
    assert world.status.share == 20
    assert serving().status.share is None


def test_a_rollback_is_one_write_and_the_pods_end_at_once() -> None:
    world = trial()
    world.with_judgement(ROLLBACK).look()
    assert world.stage is Stage.ROLLING_BACK
    assert behind(world) == {SEVEN}
    world.run()
    assert world.stage is Stage.DONE
    assert desired(world) == {SEVEN: 4}
    assert world.status.share is None
    assert all(item.strata is None for item in world.status.clusters)


def test_a_winner_takes_all_when_it_is_whole() -> None:
    world = trial(canary={"steps": [{"weight": 20}]})
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).run()
    assert world.stage is Stage.PROMOTING
    assert behind(world) == {SEVEN, EIGHT}
    assert stratum(world) == IDLE_STRATUM
    world.slow = set()
    world.run()
    assert behind(world) == {EIGHT}
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)


def test_a_canary_without_ready_pods_is_behind_no_service() -> None:
    world = trial()
    world.slow = {EIGHT}
    for member in world.members.values():
        member.pods[EIGHT] = PodsView(1, 0)
    world.look()
    assert behind(world) == {SEVEN}
    world.slow = set()
    world.run()
    # Nothing is mixed anew before all servers know that nothing counts.
    assert behind(world) == {SEVEN}
    world.later(LEAD_SECONDS).run()
    assert behind(world) == {SEVEN, EIGHT}
    assert stratum(world) == IDLE_STRATUM
    world.later(LEAD_SECONDS).run()
    assert stratum(world) == f"{world.rollout.id}/0"


def test_pods_of_a_third_version_end_before_the_trial() -> None:
    world = trial().asks_for(NINE, canary={"steps": STEPS})
    world.lingering = {EIGHT}
    world.run()
    assert world.stage is Stage.TRIAL
    assert world.canary == NINE
    assert EIGHT in world.members["east"].pods
    assert behind(world) == {SEVEN}
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "first the pods of other versions end" in message
    world.lingering = set()
    world.run()
    assert behind(world) == {SEVEN, NINE}


def test_old_pods_after_a_promotion_do_not_hold_up_the_next_trial() -> None:
    world = trial(canary={"steps": [{"weight": 20}]}, scaleDownDelaySeconds=86400)
    world.with_judgement(PROMOTE).run()
    assert world.stable == EIGHT
    assert desired(world) == {SEVEN: 4, EIGHT: 4}
    world.asks_for(NINE, canary={"steps": STEPS}).with_judgement(judged(burnt_in=False)).run()
    assert behind(world) == {EIGHT, NINE}


def test_numbers_of_pods_stand_still_in_a_trial() -> None:
    world = trial()
    for member in world.members.values():
        member.replicas = 8
    world.run()
    assert desired(world) == {SEVEN: 4, EIGHT: 1}
    cluster = cluster_of(world.status, "east")
    assert cluster is not None
    assert "placement gives it 8 pods, it keeps 4 until the rollout is over" in cluster.message
    world.with_judgement(ROLLBACK).run()
    assert desired(world) == {SEVEN: 8}


def test_blue_green_is_a_switch_of_the_selector() -> None:
    guard = {"name": "p99", "query": "x", "max": "0.2"}
    world = without_gateway(serving(replicas=2)).later(60)
    world.asks_for(
        EIGHT,
        type="BlueGreen",
        blueGreen={"scaleDownDelaySeconds": 600},
        analysis={"metrics": [], "guards": [guard]},
    )
    world.reads(0.1).run()
    assert behind(world) == {EIGHT}
    assert world.status.share == 100
    world.later(LEAD_SECONDS).run()
    assert stratum(world) == f"{world.rollout.id}/1"
    world.reads(0.3).run().later(60).run()
    assert behind(world) == {SEVEN}
    assert desired(world) == {SEVEN: 2}


def test_a_rebuilt_hub_goes_on_with_what_was_announced() -> None:
    world = starting()
    world.keeps_records = True
    world.run()
    told = world.members["east"].route
    world.rebuilds_the_hub()
    # What members remember has no traffic section of this spec: the same manifests are there.
    world.run()
    assert world.members["east"].route == told
    world.later(LEAD_SECONDS).run()
    assert stratum(world) == f"{world.rollout.id}/0"


def test_another_mode_waits_for_the_end_of_the_rollout() -> None:
    world = trial()
    gateway = world.spec.traffic.model_copy(update={"mode": TrafficMode.GATEWAY})
    world.spec = world.spec.model_copy(update={"traffic": gateway})
    world.run()
    assert traffic_of(world.spec, world.status).mode is TrafficMode.REPLICAS
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "spec.traffic.mode was changed since" in message
    world.with_judgement(ROLLBACK).run()
    assert traffic_of(world.spec, world.status).mode is TrafficMode.GATEWAY


def test_a_member_that_is_away_keeps_what_it_was_told() -> None:
    world = trial().loses("west")
    world.with_judgement(judged()).look()
    before = cluster_of(world.status, "west")
    world.with_judgement(judged(burnt_in=False)).run().later(LEAD_SECONDS).run()
    after = cluster_of(world.status, "west")
    assert before is not None
    assert after is not None
    assert after.strata == before.strata
    assert after.weight == 20
    world.finds("west").run()
    for _ in range(3):
        world.later(LEAD_SECONDS).run()
    assert stratum(world, "west") == f"{world.rollout.id}/1"


class TestSchedule:
    LATER = MONDAY + datetime.timedelta(seconds=LEAD_SECONDS)

    def after(
        self, kept: tuple[Announced, ...], shown: tuple[Announced, ...], wanted: str, seconds: float
    ) -> tuple[Announced, ...]:
        now = MONDAY + datetime.timedelta(seconds=seconds)
        return schedule(kept, shown, wanted, now, LEAD_SECONDS)

    def test_idle_needs_no_announcement(self) -> None:
        assert self.after((), (), IDLE_STRATUM, 0) == ()

    def test_a_stratum_is_told_ahead_and_kept(self) -> None:
        told = self.after((), (), "a/0", 0)
        assert told == (Announced("a/0", self.LATER),)
        assert self.after(told, told, "a/0", 500) == told

    def test_what_a_member_was_told_too_late_is_told_again(self) -> None:
        told = self.after((), (), "a/0", 0)
        assert self.after(told, (), "a/0", 29) == told
        again = self.after(told, (), "a/0", 30)
        assert again == (Announced("a/0", MONDAY + datetime.timedelta(seconds=30 + LEAD_SECONDS)),)

    def test_the_one_in_force_stays_until_the_next_is(self) -> None:
        told = self.after((), (), "a/0", 0)
        idle = self.after(told, told, IDLE_STRATUM, 300)
        assert [item.stratum for item in idle] == ["a/0", IDLE_STRATUM]
        assert idle[1].since == MONDAY + datetime.timedelta(seconds=300 + LEAD_SECONDS)
        then = self.after(idle, idle, "a/1", 500)
        assert [item.stratum for item in then] == [IDLE_STRATUM, "a/1"]


def test_wanted_route_at_rest_is_the_same_in_both_modes() -> None:
    world = without_gateway(serving())
    route = wanted_route(world.status, "east")
    assert route is not None
    assert (route.stable, route.canary_slot, route.strata) == (SEVEN, SEVEN, ())
