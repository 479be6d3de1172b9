"""Pods that follow the load: what a trial holds, what a newcomer needs, and what nobody waits for."""

from dataclasses import replace
from typing import Any

import pytest

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, Stage
from assay.rollout import MemberView, Observation, PodsView
from assay.rollout.scaling import can_replace, floors, settled
from assay.rollout.traffic import cluster_of

from .test_blue_green import GUARDS_ONLY
from .world import EIGHT, PROMOTE, ROLLBACK, SEVEN, STEPS, World, a_spec, judged

FLOOR = 1


class Scaled(World):
    """A world in which a load, and not the spec, says how many pods each revision has."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, int] = {}
        self.there: dict[str, int] = {}
        self.scales = True

    def load(self, revision: str, asked: int, there: int | None = None) -> "Scaled":
        """So many pods are asked for in each member; `there`: only so many are ready."""
        self.asked[revision] = asked
        self.there[revision] = asked if there is None else there
        return self

    def observation(self) -> Observation:
        seen = super().observation()
        if not self.scales:
            return seen
        return replace(seen, members=tuple(map(self._scaled, seen.members)))

    def _scaled(self, view: MemberView) -> MemberView:
        asked = {name: self.asked.get(name, FLOOR) for name in view.revisions}
        least = floors(self.status, view.name, FLOOR, asked, asked)
        pods = {
            name: PodsView(
                asked[name],
                self.there.get(name, asked[name]) if old.ready else 0,
                least=least[name],
            )
            for name, old in view.revisions.items()
        }
        seen = replace(view, revisions=pods, replicas=8, floor=FLOOR)
        return settled(self.status, seen)

    def held(self) -> set[int | None]:
        return {item.held_replicas for item in self.status.clusters}

    def least(self, revision: str) -> int:
        """What the autoscaler of a revision in east is told to keep."""
        return floors(self.status, "east", FLOOR, self.asked, [revision])[revision]


def on_trial(**rollout: Any) -> Scaled:
    """Version 7 serves with four pods in each member, 8 is on trial."""
    world = Scaled()
    world.spec = a_spec(SEVEN)
    world.load(SEVEN, 4).run()
    assert world.held() == {None}
    world.later(3600).asks_for(EIGHT, **rollout).reads(0.1).load(EIGHT, 4)
    world.with_judgement(judged(burnt_in=False)).run()
    return world


def at_last_step() -> Scaled:
    world = on_trial()
    for _ in STEPS[1:]:
        world.with_judgement(judged()).later(60).look()
        world.with_judgement(judged(burnt_in=False)).run()
    assert world.rollout.step == len(STEPS) - 1
    return world


def test_stable_keeps_what_it_had_until_the_rollout_is_over() -> None:
    world = on_trial()
    assert (world.stage, world.held(), world.least(SEVEN)) == (Stage.TRIAL, {4}, 4)

    # Its load shrinks with its share: what is held is not lowered. It may grow.
    for asked in (2, 6, 4):
        world.load(SEVEN, asked).load(EIGHT, 6).look()
        assert world.held() == {4}

    world.with_judgement(ROLLBACK).look()
    assert (world.stage, world.held()) == (Stage.ROLLING_BACK, {4}), "traffic is on its way back"
    world.run()
    assert (world.stage, world.held(), world.least(SEVEN)) == (Stage.DONE, {None}, FLOOR)


def test_nothing_is_held_before_the_canary_has_traffic_in_a_member() -> None:
    world = Scaled()
    world.spec = a_spec(SEVEN)
    world.load(SEVEN, 4).run()
    world.later(3600).asks_for(EIGHT).slow.add(EIGHT)
    world.run()
    assert (world.stage, world.held()) == (Stage.STARTING, {None})
    assert world.least(SEVEN) == FLOOR
    assert world.least(EIGHT) == 4, "it comes with as many as serve"


def test_switched_on_or_off_in_a_trial_stable_is_held_until_the_rollout_is_over() -> None:
    world = Scaled()
    world.scales = False
    world.spec = a_spec(SEVEN)
    world.run().later(3600).asks_for(EIGHT).with_judgement(judged(burnt_in=False)).run()
    assert (world.stage, world.held()) == (Stage.TRIAL, {None})
    world.scales = True
    world.load(SEVEN, 3).look()
    assert world.held() == {3}
    world.scales = False
    world.look()
    assert world.held() == {3}
    world.with_judgement(ROLLBACK).run()
    assert (world.stage, world.held()) == (Stage.DONE, {None})


def test_a_new_canary_begins_with_what_stable_has_then() -> None:
    world = on_trial()
    nine = "9" * 10
    world.load(SEVEN, 3).load(nine, 3).asks_for(nine).look()
    assert world.stage is Stage.STARTING
    assert world.held() == {None}
    world.run()
    assert (world.stage, world.held()) == (Stage.TRIAL, {3})


def test_a_canary_takes_all_traffic_with_as_many_pods_as_stable_is_asked_to_have() -> None:
    world = at_last_step()
    world.load(SEVEN, 6, there=5).load(EIGHT, 5)
    world.with_judgement(PROMOTE).run()
    assert world.stage is Stage.TRIAL, "five pods where six are asked for"
    ready = world.condition("Ready")
    assert ready is not None
    assert "with as many pods as stable has; east: 5 of 6, west: 5 of 6." in ready.message

    world.load(EIGHT, 6).run()

    assert (world.stage, world.stable, world.held()) == (Stage.DONE, EIGHT, {None})
    assert world.least(EIGHT) == FLOOR


def test_taken_by_hand_it_serves_member_by_member_when_it_is_large_enough() -> None:
    world = on_trial()
    world.load(SEVEN, 6).load(EIGHT, 4).person("promote", full=True).look()
    assert world.stage is Stage.PROMOTING
    assert {item.revision for item in world.status.clusters} == {SEVEN}
    assert world.least(EIGHT) == 6
    world.load(EIGHT, 6).run()
    assert (world.stage, {item.revision for item in world.status.clusters}) == (Stage.DONE, {EIGHT})


def test_blue_green_is_switched_when_the_second_set_is_as_large_as_the_first() -> None:
    world = on_trial(type="BlueGreen", blueGreen={}, analysis=GUARDS_ONLY)
    assert (world.stage, world.held()) == (Stage.TRIAL, {4})
    assert {item.weight for item in world.status.clusters} == {100}

    world = Scaled()
    world.load(SEVEN, 4).run()
    world.later(3600).load(EIGHT, 3).reads(None, 0)
    world.asks_for(EIGHT, type="BlueGreen", blueGreen={}, analysis=GUARDS_ONLY)
    world.run()
    assert {item.weight for item in world.status.clusters} == {0}, "three of four"
    assert world.held() == {None}
    world.load(EIGHT, 4).run()
    assert {item.weight for item in world.status.clusters} == {100}


def test_pods_that_come_because_load_grows_are_not_waited_for() -> None:
    world = on_trial()
    since = [wave.serving_since for wave in world.rollout.waves]
    world.load(EIGHT, 7, there=4).later(30).look()
    assert {item.weight for item in world.status.clusters} == {5}
    assert [wave.serving_since for wave in world.rollout.waves] == since
    assert {(item.ready, item.desired) for item in world.status.clusters} == {(8, 11)}
    # Nor those that the canary gets because stable grows, until it takes its place.
    world.load(SEVEN, 6).load(EIGHT, 6, there=4).later(30).look()
    assert {item.weight for item in world.status.clusters} == {5}
    assert [wave.serving_since for wave in world.rollout.waves] == since


def test_a_rebuilt_hub_holds_what_was_held() -> None:
    world = Scaled()
    world.keeps_records = True
    world.load(SEVEN, 4).run()
    world.later(3600).asks_for(EIGHT).load(EIGHT, 4)
    world.with_judgement(judged(burnt_in=False)).run()
    world.load(SEVEN, 2).rebuilds_the_hub()
    assert world.held() == {4}
    world.look()
    assert world.held() == {4}


def test_why_the_number_does_not_follow_the_load_is_told_of_each_member_once() -> None:
    world = on_trial()
    seen = world.observation()
    mute = {
        name: replace(pods, unscaled="no metrics")
        for name, pods in seen.members[0].revisions.items()
    }
    members = (replace(seen.members[0], revisions=mute), *seen.members[1:])
    told = world._decide(world.status, replace(seen, members=members)).status
    assert [item.message for item in told.clusters] == ["no metrics", ""]
    fixed = tuple(replace(item, floor=None) for item in members)
    told = world._decide(world.status, replace(seen, members=fixed)).status
    assert [item.message for item in told.clusters] == ["", ""]


@pytest.mark.parametrize(
    ("new", "old", "can"),
    [
        (PodsView(2, 2), PodsView(4, 4), True),  # fixed numbers: placement has said so
        (PodsView(4, 4, least=2), PodsView(4, 4), True),
        (PodsView(4, 3, least=2), PodsView(4, 4), False),
        (PodsView(4, 3, least=2), PodsView(4, 2), False),
    ],
)
def test_who_can_take_the_place_of_whom(new: PodsView, old: PodsView, *, can: bool) -> None:
    member = MemberView("east", reachable=True, revisions={EIGHT: new, SEVEN: old})
    assert can_replace(member, EIGHT, SEVEN) is can


def test_the_least_of_each_revision() -> None:
    cluster = ClusterStatus(name="east", reachable=True, revision=SEVEN, held_replicas=3)
    status = ModelDeploymentStatus(clusters=(cluster,))
    assert cluster_of(status, "east") == cluster
    found = floors(status, "east", 2, {SEVEN: 5, EIGHT: 2}, [SEVEN, EIGHT])
    assert found == {SEVEN: 3, EIGHT: 5}
    assert floors(status, "west", 2, {}, [SEVEN]) == {SEVEN: 2}
