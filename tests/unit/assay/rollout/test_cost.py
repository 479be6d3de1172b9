"""What a trial costs: what is counted from status is what pods really ran beside those that serve."""

import datetime
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from assay.api.deployment_status import PodTime, Stage, Verdict
from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate
from assay.rollout import changes
from assay.rollout.cost import Cost, Host, cost, extra_time, planned
from assay.rollout.observation import LEAD_SECONDS

from .world import (
    EIGHT,
    PROMOTE,
    ROLLBACK,
    World,
    a_spec,
    judged,
    on_trial,
    serving,
    without_gateway,
)

EVERY = 10
"""Seconds between two looks."""


def candidates(world: World, *unpriced: str) -> list[Candidate]:
    """ModelClusters in which a pod costs 3600 for an hour, so 1 for a second."""
    return [
        candidate(name, item.labels, unpriced=name in unpriced)
        for name, item in world.members.items()
    ]


def candidate(name: str, labels: dict[str, str], *, unpriced: bool = False) -> Candidate:
    document = {
        "clusterSource": {"inCluster": {}},
        "prometheus": {"url": "http://prometheus"},
        "cost": None if unpriced else {"perReplicaHour": "3600"},
    }
    return Candidate(name, labels, ModelClusterSpec.model_validate(document))


def costs(world: World, *unpriced: str) -> Cost:
    return cost(world.spec, world.status, candidates(world, *unpriced), world.now)


class Meter:
    """Counts the seconds of all pods in a world beside a whole set in each member.

    Attributes
    ----------
    late
        Pod seconds that may be counted in a member and did not run yet.
    """

    def __init__(self, world: World, late: int = 0) -> None:
        self.world, self.late, self.seen = world, late, Counter[str]()

    def passes(self, seconds: int) -> None:
        """Let time pass, and compare at every look."""
        for _ in range(seconds // EVERY):
            for name, member in self.world.members.items():
                pods = sum(item.desired for item in member.pods.values())
                self.seen[name] += (pods - member.replicas) * EVERY
            self.world.later(EVERY).run()
            found = costs(self.world).trial
            assert found is not None
            for name, seconds_seen in self.seen.items():
                assert 0 <= found.amounts.get(name, 0) - seconds_seen <= self.late


def begun(world: World, **rollout: Any) -> Meter:
    world.later(3600).asks_for(EIGHT, **rollout).with_judgement(judged(burnt_in=False))
    return Meter(world.reads(0.1).run())


def through_the_steps(meter: Meter) -> None:
    assert meter.world.rollout.step == 0
    meter.passes(50)
    meter.world.with_judgement(judged()).run()
    meter.passes(200)
    assert meter.world.rollout.step == len(meter.world.rollout.settings.steps) - 1


def the_history_has(meter: Meter) -> None:
    """Compare what is on record of a rollout that is over with what its pods really ran."""
    entry = meter.world.status.history[0]
    assert entry.trial_pods is not None
    assert {item.name: item.seconds for item in entry.trial_pods} == dict(meter.seen)
    found = costs(meter.world)
    assert found.past[entry.id] == found.trial


def test_a_canary_that_wins_costs_its_pods_and_then_those_of_the_old_version() -> None:
    meter = begun(serving(replicas=4))
    through_the_steps(meter)
    meter.world.with_judgement(PROMOTE).run()
    assert meter.world.stable == EIGHT
    meter.passes(100)
    # 1 pod of 4 for 50 s, then as long as 20 % take, 2 at 50 %, and 4 that stay for 30 s.
    assert meter.seen["east"] == 50 + 60 + 2 * 140 + 4 * 30
    assert costs(meter.world.later(86400)).trial == costs(meter.world).trial
    the_history_has(meter)


def test_the_old_version_costs_its_pods_until_the_new_one_has_all_of_its_own() -> None:
    meter = begun(serving(replicas=4))
    through_the_steps(meter)
    world = meter.world
    world.slow.add(EIGHT)
    world.with_judgement(PROMOTE).run()
    meter.passes(200)
    assert world.stage is Stage.PROMOTING
    world.slow.clear()
    world.run()
    assert world.stage is Stage.DONE
    meter.passes(100)
    assert meter.seen["east"] == 50 + 60 + 2 * 140 + 4 * (200 + 30)
    the_history_has(meter)


def test_what_is_over_costs_no_more() -> None:
    meter = begun(serving(replicas=4))
    through_the_steps(meter)
    meter.world.with_judgement(PROMOTE).run()
    meter.passes(100)
    assert costs(meter.world.later(86400)).trial == costs(meter.world).trial


def test_a_canary_that_loses_costs_its_pods_until_they_end() -> None:
    meter = begun(serving(replicas=4))
    through_the_steps(meter)
    meter.world.with_judgement(ROLLBACK).run()
    assert meter.world.stage is Stage.DONE
    meter.passes(100)
    assert meter.seen["east"] == 50 + 60 + 2 * 140 + 2 * 30
    the_history_has(meter)
    # What a later change of the placement makes of the last rollout, the record of it does not follow.
    before = costs(meter.world).past
    meter.world.members["east"].replicas = 8
    assert costs(meter.world.later(10).run()).past == before


@pytest.mark.parametrize(
    ("canary", "pods"),
    [
        ({"steps": [{"weight": 5}], "scale": "Full"}, 4),
        ({"steps": [{"weight": 50}, {"pause": "Manual"}]}, 2),
    ],
    ids=["scale Full", "with a pause"],
)
def test_it_is_as_large_as_its_rollout_says(canary: dict[str, Any], pods: int) -> None:
    meter = begun(serving(replicas=4), canary=canary)
    through_the_steps(meter)
    assert meter.seen["east"] == pods * 250


def test_where_pods_make_the_shares_they_count_from_the_step_on() -> None:
    steps = [{"weight": 20}, {"weight": 50}]
    meter = begun(without_gateway(serving(replicas=4)), canary={"steps": steps})
    # The second step's 3 more pods come when everybody was told, LEAD_SECONDS after it was taken.
    meter.late = 3 * LEAD_SECONDS
    through_the_steps(meter)
    assert meter.world.members["east"].pods[EIGHT].desired == 4


def test_a_second_set_costs_a_whole_one_before_and_after_the_switch() -> None:
    blue_green = {"scaleDownDelaySeconds": 60}
    meter = begun(
        serving(replicas=4), type="BlueGreen", blueGreen=blue_green, analysis={"metrics": []}
    )
    meter.passes(200)
    assert meter.world.stable == EIGHT
    assert meter.seen["east"] == 4 * (60 + 30)


def test_members_cost_from_when_their_wave_starts() -> None:
    world = World("east", "west", replicas=2)
    world.members["west"].labels = {"stage": "pilot"}
    pilot = {"name": "pilot", "clusterSelector": {"matchLabels": {"stage": "pilot"}}}
    meter = begun(
        world.run(),
        waves=[{**pilot, "soakSeconds": 100}],
        canary={"steps": [{"weight": 50}]},
    )
    meter.passes(50)
    assert meter.seen == {"west": 50, "east": 0}
    world.with_judgement(PROMOTE).run()
    meter.passes(200)
    assert meter.seen["west"] == 100 + 2 * 30
    assert meter.seen["east"] == 2 * 30
    assert world.stable == EIGHT
    the_history_has(meter)


def test_members_whose_wave_a_person_did_not_wait_for_cost_the_set_that_stays() -> None:
    world = World("east", "west", replicas=2)
    world.members["west"].labels = {"stage": "pilot"}
    pilot = {"name": "pilot", "clusterSelector": {"matchLabels": {"stage": "pilot"}}}
    meter = begun(world.run(), waves=[pilot], canary={"steps": [{"weight": 50}]})
    meter.passes(50)
    world.person("promote", full=True).run()
    assert world.stable == EIGHT
    meter.passes(100)
    assert meter.seen == {"west": 50 + 2 * 30, "east": 2 * 30}


def test_a_retry_costs_what_it_ran_itself() -> None:
    meter = begun(serving(replicas=4))
    through_the_steps(meter)
    world = meter.world.with_judgement(ROLLBACK).run().later(3600).run()
    world.slow.add(EIGHT)
    world.with_judgement(judged(burnt_in=False)).person("retry").run()
    assert world.stage is Stage.STARTING
    assert len(world.rollout.steps) > 1
    retried = Meter(world)
    retried.passes(50)
    world.slow.clear()
    world.run()
    retried.passes(50)
    assert world.stage is Stage.TRIAL
    assert retried.seen["east"] == 100


def test_a_canary_that_never_had_traffic_costs_nothing_after_its_end() -> None:
    world = serving(replicas=4)
    world.slow.add(EIGHT)
    meter = begun(world, progressDeadlineSeconds=60)
    meter.passes(200)
    assert world.stage is Stage.DONE
    assert meter.seen["east"] == 60


def test_going_back_without_a_trial_costs_the_set_that_stays() -> None:
    world = serving(replicas=4).later(60).asks_for(EIGHT, analysis={"metrics": []}).run()
    for _ in range(20):
        world.later(60).run()
    assert world.stable == EIGHT
    meter = Meter(world.person("undo", toRevision=world.status.history[-1].revision).run())
    meter.passes(100)
    assert meter.seen["east"] == 4 * 30


def test_a_first_version_is_no_trial() -> None:
    world = World("east", replicas=4)
    world.look()
    assert costs(world).trial is None
    assert world.run().stable is not None
    assert costs(world).trial is None
    assert cost(a_spec(), World().status, (), world.now).month.total == Decimal(0)


def test_what_runs_now_counts_stable_and_canary_and_names_what_has_no_price() -> None:
    found = costs(on_trial(2, replicas=4), "west")
    assert found.pods == {"east": 6, "west": 6}
    assert (found.hour.amounts, found.hour.unpriced) == ({"east": 6 * 3600}, ("west",))
    assert found.month.total == 730 * 6 * 3600
    assert found.trial is not None
    assert found.trial.unpriced == ("west",)


def test_a_member_of_which_no_model_cluster_is_known_has_no_price() -> None:
    pilot = {"name": "pilot", "clusterSelector": {"matchLabels": {"stage": "pilot"}}}
    world = World("west", replicas=4)
    world.members["west"].labels = {"stage": "pilot"}
    world = begun(world.run(), waves=[pilot]).world.later(60)
    found = cost(world.spec, world.status, (), world.now)
    assert found.month.unpriced == ("west",)
    assert found.trial is not None
    assert found.trial.unpriced == ("west",)


def test_a_clock_that_is_behind_makes_nothing_cheaper_than_nothing() -> None:
    world = on_trial(2, replicas=4)
    early = world.rollout.started_at - datetime.timedelta(seconds=30)
    found = cost(world.spec, world.status, candidates(world), early).trial
    assert found is not None
    assert found.total == 0


def test_pods_that_follow_the_load_count_as_many_as_stable_is_held_at() -> None:
    world = on_trial(replicas=4)
    hosts = {"east": Host(4, {})}
    until = world.rollout.started_at + datetime.timedelta(seconds=100)
    assert extra_time(world.rollout, hosts, until)["east"].total_seconds() == 100
    assert extra_time(world.rollout, hosts, until, whole=True)["east"].total_seconds() == 400

    document = world.spec.to_dict() | {"serving": {"autoscaling": {"maxReplicas": 4}}}
    scaled = ModelDeploymentSpec.model_validate(document)
    members = [item.model_copy(update={"held_replicas": 3}) for item in world.status.clusters]
    status = world.status.model_copy(update={"clusters": tuple(members)})
    found = cost(scaled, status, candidates(world), until).trial
    assert found is not None
    assert found.amounts == {"east": 300, "west": 300}


def spec(**rollout: Any) -> ModelDeploymentSpec:
    return a_spec(canary={"steps": [{"weight": 20}, {"weight": 50}]}, **rollout)


STARTS = [(20, 0.0), (50, 600.0)]
HOSTS = {"east": Host(4, {}), "west": Host(8, {"stage": "pilot"})}
CLUSTERS = [candidate(name, dict(host.labels)) for name, host in HOSTS.items()]


@pytest.mark.parametrize(
    ("seconds", "verdict", "east", "west"),
    [
        (1000.0, Verdict.PROMOTE, 600 + 2 * 400 + 4 * 30, 2 * 600 + 4 * 400 + 8 * 30),
        (1000.0, Verdict.ROLLBACK, 600 + 2 * 400 + 2 * 30, 2 * 600 + 4 * 400 + 4 * 30),
        (100.0, Verdict.ROLLBACK, 100 + 1 * 30, 2 * 100 + 2 * 30),
    ],
    ids=["won", "without a verdict", "before the second step"],
)
def test_a_planned_trial_costs_its_steps_until_the_verdict(
    seconds: float, verdict: Verdict, east: int, west: int
) -> None:
    found = planned(spec(), HOSTS, CLUSTERS, STARTS, seconds, verdict)
    assert found.amounts == {"east": east, "west": west}


def test_planned_waves_follow_the_verdict_and_soak() -> None:
    pilot = {"name": "pilot", "clusterSelector": {"matchLabels": {"stage": "pilot"}}}
    waves = [{**pilot, "soakSeconds": 1200}, {"name": "rest", "soakSeconds": 60}]
    won = planned(spec(waves=waves), HOSTS, CLUSTERS, STARTS, 1000.0, Verdict.PROMOTE)
    assert won.amounts == {
        "west": 2 * 600 + 4 * (600 + 60) + 8 * 30,
        "east": 2 * 60 + 4 * 30,
    }
    lost = planned(spec(waves=waves), HOSTS, CLUSTERS, STARTS, 1000.0, Verdict.ROLLBACK)
    assert lost.amounts == {"west": 2 * 600 + 4 * 400 + 4 * 30}


def test_a_first_revision_tried_nothing() -> None:
    (entry,) = serving(replicas=4).status.history
    assert entry.trial_pods is None


def test_the_history_tells_of_a_thousand_members_in_all() -> None:
    (entry,) = serving(replicas=4).status.history
    pods = tuple(PodTime(name=f"member-{number}", seconds=60) for number in range(400))
    history = (entry.model_copy(update={"trial_pods": pods}),) * 4
    known = [len(item.trial_pods or ()) for item in changes.bounded(history)]
    assert known == [400, 400, 0, 0]
