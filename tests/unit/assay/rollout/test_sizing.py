"""A canary has the pods for its weight, gets the weight when they are ready, and all of them before all traffic."""

import pytest

from assay.api.deployment_status import Stage
from assay.api.model_deployment import ALL_TRAFFIC
from assay.rollout.sizing import canary_pods, wanted_pods
from assay.rollout.traffic import IDLE_STRATUM, cluster_of, wanted_route

from .world import EIGHT, PROMOTE, ROLLBACK, SEVEN, PodsView, World, judged, on_trial, serving

BY_GUARDS = {"metrics": []}


def desired(world: World, name: str = "east") -> dict[str, int]:
    """Pods asked for by revision."""
    return {revision: pods.desired for revision, pods in world.members[name].pods.items()}


def weights(world: World) -> dict[str, int]:
    return {item.name: item.weight for item in world.status.clusters}


def full_trial(step: int = 0, replicas: int = 4) -> World:
    return on_trial(step, replicas=replicas)


@pytest.mark.parametrize(
    ("weight", "replicas", "pods"),
    [
        (5, 1, 1),
        (5, 20, 1),
        (5, 21, 2),
        (20, 4, 1),
        (50, 4, 2),
        (50, 3, 2),
        (99, 4, 4),
        (33, 3, 1),
        (1, 1000, 10),
        (0, 4, 1),
        (ALL_TRAFFIC, 4, 4),
        (50, 0, 0),
    ],
)
def test_a_canary_has_its_share_of_the_pods_rounded_up(
    weight: int, replicas: int, pods: int
) -> None:
    assert canary_pods(full_trial().rollout, weight, replicas) == pods


def test_stable_keeps_all_its_pods_and_the_canary_grows_with_its_steps() -> None:
    world = full_trial()
    assert desired(world) == {SEVEN: 4, EIGHT: 1}
    assert desired(full_trial(1)) == {SEVEN: 4, EIGHT: 1}
    assert desired(full_trial(2)) == {SEVEN: 4, EIGHT: 2}
    assert weights(full_trial(2)) == {"east": 50, "west": 50}


@pytest.mark.parametrize(
    "settings",
    [
        {"canary": {"steps": [{"weight": 5}], "scale": "Full"}},
        {"type": "BlueGreen", "analysis": {"metrics": []}},
    ],
    ids=["scale Full", "blue-green"],
)
def test_a_second_full_set_on_request(settings: dict[str, object]) -> None:
    world = serving(replicas=4).later(3600).asks_for(EIGHT, **settings)
    world.look()
    assert desired(world) == {SEVEN: 4, EIGHT: 4}


def test_a_first_revision_and_one_that_is_undone_are_whole() -> None:
    world = World("east", replicas=4)
    world.look()
    assert desired(world) == {SEVEN: 4}

    world = serving(replicas=4).later(60).asks_for(EIGHT, analysis=BY_GUARDS).run()
    world.later(60).run()
    assert world.stable == EIGHT
    world.later(3600).run()
    assert desired(world) == {EIGHT: 4}
    world.person("undo", toRevision=SEVEN).look()
    assert desired(world) == {EIGHT: 4, SEVEN: 4}


def test_a_weight_is_raised_in_a_member_when_its_pods_for_that_are_ready() -> None:
    world = full_trial(1)
    world.slow = {EIGHT}
    world.with_judgement(judged()).later(60).look()
    assert world.rollout.step == 2
    assert weights(world) == {"east": 20, "west": 20}
    assert desired(world) == {SEVEN: 4, EIGHT: 2}

    world.look()
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "Until its pods for that are ready it keeps in east 20 %, west 20 %" in message
    assert "east: 1 of 2 pods ready; west: 1 of 2 pods ready" in message
    cluster = cluster_of(world.status, "east")
    assert cluster is not None
    assert (cluster.ready, cluster.desired) == (5, 6)

    pods = world.members["west"].pods
    pods[EIGHT] = PodsView(2, 2)
    world.look()
    assert weights(world) == {"east": 20, "west": 50}


def test_requests_split_by_an_earlier_weight_are_counted_for_its_step() -> None:
    world = full_trial(1)
    world.slow = {EIGHT}
    world.with_judgement(judged()).later(60).look()
    route = wanted_route(world.status, "east")
    assert route is not None
    assert (route.weight, route.stratum) == (20, f"{world.rollout.id}/1")

    world.slow = set()
    world.with_judgement(judged(burnt_in=False)).run()
    route = wanted_route(world.status, "east")
    assert route is not None
    assert (route.weight, route.stratum) == (50, f"{world.rollout.id}/2")


def test_a_step_lasts_its_seconds_from_when_it_is_shown() -> None:
    world = full_trial(0)
    world.with_judgement(judged()).look()  # to the step of 20 % for 60 s; its one pod is there
    world.members["west"].pods[EIGHT] = PodsView(1, 0)
    world.later(60).look()
    assert world.rollout.steps[-1].shown_at is None
    world.pods_move()
    world.look()
    world.look()
    assert world.rollout.steps[-1].shown_at == world.now
    world.later(59).look()
    assert world.rollout.step == 1
    world.later(1).look()
    assert world.rollout.step == 2


def test_a_share_is_kept_while_a_pod_is_ready() -> None:
    world = full_trial(2)
    pods = world.members["east"].pods
    pods[EIGHT] = PodsView(2, 1)
    world.look()
    assert weights(world) == {"east": 50, "west": 50}
    world.members["east"].pods[EIGHT] = PodsView(2, 0)
    world.look()
    assert weights(world) == {"east": 0, "west": 50}


def test_a_winner_keeps_its_share_until_it_is_whole_and_is_switched_then() -> None:
    world = full_trial(2)
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).later(60).look()
    assert world.stage is Stage.PROMOTING
    assert desired(world) == {SEVEN: 4, EIGHT: 4}
    route = wanted_route(world.status, "east")
    assert route is not None
    assert (route.stable, route.canary_slot, route.weight) == (SEVEN, EIGHT, 50)
    assert route.stratum == IDLE_STRATUM

    world.look()
    message = world.condition("Ready").message  # type: ignore[union-attr]
    assert "First its pods get ready: east: 2 of 4 pods ready; west: 2 of 4 pods ready" in message

    pods = world.members["east"].pods
    pods[EIGHT] = PodsView(4, 4)
    world.look()
    assert world.stage is Stage.PROMOTING
    shown = {name: member.route for name, member in world.members.items()}
    assert shown["east"] is not None
    assert {shown["east"].stable, shown["east"].canary_slot} == {EIGHT}
    assert shown["west"] is not None
    assert shown["west"].stable == SEVEN

    world.slow = set()
    world.run()
    assert world.stage is Stage.DONE
    assert weights(world) == {"east": 0, "west": 0}


def test_old_pods_stay_from_the_switch_on_however_late_it_is() -> None:
    world = full_trial(2)
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).later(60).look()
    world.later(300).look()
    world.slow = set()
    world.run()
    assert world.stage is Stage.DONE
    world.later(29).look()
    assert SEVEN in desired(world)
    world.later(1).run()
    assert desired(world) == {EIGHT: 4}


def test_a_winner_that_never_gets_whole_in_a_member_ends_the_promotion_all_the_same() -> None:
    world = full_trial(2)
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).later(60).look()
    world.later(601).look()
    assert world.stage is Stage.DONE
    assert weights(world) == {"east": 50, "west": 50}
    assert world.says("Ready") == ("False", "Starting")
    world.later(3600).look()
    assert desired(world) == {SEVEN: 4, EIGHT: 4}, "a route still needs the old ones"

    world.slow = set()
    world.run()
    assert world.says("Ready") == ("True", "Serving")
    assert desired(world) == {EIGHT: 4}


def test_a_winner_whose_pods_fail_gives_its_share_back() -> None:
    world = full_trial(2)
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).later(60).look()
    pods = world.members["east"].pods
    pods[EIGHT] = PodsView(4, 0)
    world.look()
    route = world.members["east"].route
    assert route is not None
    assert {route.stable, route.canary_slot} == {SEVEN}


def test_a_member_that_is_left_is_not_given_to_a_few_pods() -> None:
    world = full_trial(2).drops("east")
    world.slow = {EIGHT}
    world.with_judgement(PROMOTE).later(60).run()
    cluster = cluster_of(world.status, "east")
    assert cluster is not None
    assert (cluster.revision, cluster.weight) == (SEVEN, 0)


def test_a_rollback_takes_the_traffic_at_once_and_finds_stable_whole() -> None:
    world = full_trial(2)
    world.slow = {EIGHT}
    world.with_judgement(ROLLBACK).look()
    for member in world.members.values():
        assert member.route is not None
        assert {member.route.stable, member.route.canary_slot} == {SEVEN}
        assert member.pods[SEVEN].ready == 4


def test_a_trial_is_whole_before_a_new_number_of_replicas_counts() -> None:
    world = full_trial(2)
    for member in world.members.values():
        member.replicas = 6
    world.look()
    assert desired(world) == {SEVEN: 6, EIGHT: 3}
    assert weights(world) == {"east": 50, "west": 50}, "what it has it keeps"
    status = world.status
    assert wanted_pods(status, SEVEN, 6, "east") == 6
    assert wanted_pods(status, EIGHT, 6, "east") == 3
