"""What a rollout does, one sentence per test."""

import datetime
import json
from typing import Any

import pytest

from assay.api.deployment_status import DecisionRecord, Stage, Verdict
from assay.api.model_deployment import ModelFormat, Unsafe
from assay.rollout import Order, PodsView, RecordView, RouteView

from .world import (
    EIGHT,
    NINE,
    PROMOTE,
    ROLLBACK,
    SEVEN,
    Member,
    World,
    a_spec,
    judged,
    on_trial,
    serving,
)

FAILURE = (
    "DigestMismatch: https://models.example.com/fraud-8.skops has digest sha256:aaa,"
    " spec.model.digest is sha256:bbb"
)


def test_the_first_revision_starts_without_a_trial_and_without_a_route() -> None:
    world = World()

    world.look()

    assert world.stage is Stage.STARTING
    assert (world.stable, world.canary) == (None, SEVEN)
    assert world.members["east"].route is None
    assert world.says("Ready") == ("False", "Starting")
    assert world.says("Reconciling") == ("True", "Starting")
    assert world.says("Available") == ("False", "NotAvailable")
    assert world.status.observed_generation == 1


def test_the_first_revision_becomes_stable_when_ready_everywhere() -> None:
    world = serving()

    assert world.stage is Stage.DONE
    assert (world.stable, world.canary) == (SEVEN, None)
    decision = world.rollout.decision
    assert decision is not None
    assert (decision.verdict, decision.reason) == (Verdict.PROMOTE, "FirstRevision")
    assert world.members["west"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.says("Ready") == ("True", "Serving")
    assert world.says("Available") == ("True", "Serving")
    assert world.says("Promoted") == ("True", "Serving")
    assert world.says("Reconciling") == world.says("Stalled") == ("absent", "")
    assert world.events == ["RolloutStarted", "Promoted", "RolloutDone"]


def test_a_steady_deployment_costs_nothing() -> None:
    world = serving()

    assert world.later(86400).look().wake_after is None
    assert not world.look().events


def test_a_first_revision_that_is_late_is_stalled_and_serves_when_it_gets_ready_after_all() -> None:
    world = World()
    world.slow.add(SEVEN)
    world.run().later(600).look()
    assert world.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert world.says("Reconciling") == ("absent", "")

    world.slow.clear()
    world.pods_move()
    world.run()

    assert world.says("Ready") == ("True", "Serving")


def test_a_first_revision_that_never_got_ready_is_replaced_by_the_next() -> None:
    world = World().breaks(SEVEN, FAILURE).run().asks_for(EIGHT).run()

    assert world.stable == EIGHT
    assert [item.reason for item in world.status.history] == ["FirstRevision", "Superseded"]
    assert world.status.retired_revisions == ()


def test_the_first_revision_waits_for_every_reachable_member_only() -> None:
    world = World().loses("west").run()

    assert world.stable == SEVEN
    assert world.says("Ready") == ("True", "Serving")
    assert world.says("MembersReachable") == ("False", "MembersUnreachable")
    message = world.condition("MembersReachable").message  # type: ignore[union-attr]
    assert message == "1 of 2 members cannot be reached: west: connection refused"


def test_nothing_starts_while_no_member_can_be_reached() -> None:
    world = World().loses("east", "west").run()

    assert world.stage is None
    assert world.says("Ready") == ("False", "MembersUnreachable")
    assert world.finds("east").run().stable == SEVEN


def test_no_member_is_stalled() -> None:
    world = World()
    world.members.clear()
    world.run()

    assert world.says("Stalled") == ("True", "NoMembers")


def test_what_is_only_observed_is_recorded_whenever_and_what_is_decided_ahead() -> None:
    world = serving().later(60)
    world.members["east"].replicas = 3
    assert world.look().order is Order.ANY
    world.loses("west")
    decision = world.look()
    assert decision.order is Order.ANY
    assert decision.status.clusters[1].unreachable_since is not None
    world.finds("west").asks_for(EIGHT)
    assert world.look().order is Order.RECORD_THEN_ACT
    while world.stage is not Stage.TRIAL:
        world.pods_move()
        order = world.look().order
    assert order is Order.RECORD_THEN_ACT, "it gives the canary its share"


def test_a_new_revision_starts_beside_stable_without_traffic() -> None:
    world = serving().later(60).asks_for(EIGHT)

    decision = world.look()

    assert decision.order is Order.RECORD_THEN_ACT
    assert world.stage is Stage.STARTING
    assert set(world.members["east"].pods) == {SEVEN, EIGHT}
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.rollout.settings == world.spec.rollout
    assert decision.wake_after == 0.0
    assert world.look().wake_after == 600
    assert world.says("Available") == ("True", "Serving")


def test_a_ready_canary_gets_the_first_weight_everywhere_at_once() -> None:
    world = on_trial()

    stratum = f"{world.rollout.id}/0"
    assert [item.route for item in world.members.values()] == [
        RouteView(SEVEN, EIGHT, 5, stratum),
        RouteView(SEVEN, EIGHT, 5, stratum),
    ]
    assert [item.weight for item in world.rollout.steps] == [5]
    assert world.look().wake_after == 10
    assert world.says("Reconciling") == ("True", "TrialRunning")
    assert world.says("Ready") == ("False", "TrialRunning")
    assert world.says("Promoted") == ("False", "TrialRunning")


def test_a_canary_that_is_not_ready_in_one_member_gets_no_traffic_anywhere() -> None:
    world = serving().asks_for(EIGHT)
    world.look()
    east = world.members["east"]
    east.pods[EIGHT] = PodsView(1, 1)

    world.look()

    assert world.stage is Stage.STARTING
    assert east.route == RouteView(SEVEN, SEVEN, 1, "idle/0")


def test_an_artifact_that_is_refused_shows_at_once_in_its_own_words() -> None:
    world = serving().later(60).asks_for(EIGHT).breaks(EIGHT, FAILURE).run()

    assert world.stage is Stage.STARTING
    assert world.says("Stalled") == ("True", "ArtifactRejected")
    assert world.says("Reconciling") == ("absent", "")
    assert world.says("Ready") == ("False", "ArtifactRejected")
    assert world.says("Available") == ("True", "Serving")
    message = world.condition("Stalled").message  # type: ignore[union-attr]
    assert "sha256:aaa" in message
    assert "sha256:bbb" in message
    assert "version 7 (7777777777) serves" in message
    assert "ArtifactRejected" in world.events
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")


def as_joblib(world: World) -> World:
    """Let the spec name a pickle."""
    model = world.spec.model.model_copy(
        update={"format": ModelFormat.JOBLIB, "unsafe": Unsafe.ALLOW}
    )
    world.spec = world.spec.model_copy(update={"model": model})
    return world


def test_a_pickle_is_marked_for_as_long_as_it_is_in_use() -> None:
    world = as_joblib(serving().later(60).asks_for(EIGHT)).run()

    assert world.says("UnsafeModel") == ("True", "CodeOnLoad")
    item = world.condition("UnsafeModel")
    assert item is not None
    assert item.message.startswith("version 8 (8888888888): loading a Joblib artifact runs code")
    assert world.events.count("CodeOnLoad") == 1
    # Also when it has become stable, and while the next version takes its place.
    world = as_joblib(World()).run()
    assert world.stable == SEVEN
    assert world.says("UnsafeModel") == ("True", "CodeOnLoad")
    assert world.asks_for(EIGHT).run().says("UnsafeModel") == ("True", "CodeOnLoad")
    assert world.status.canary is not None
    assert world.status.canary.format is None


def test_nothing_is_said_of_other_formats() -> None:
    world = serving()

    assert world.says("UnsafeModel") == ("absent", "")
    assert "format" not in world.document["stable"]


def test_an_artifact_that_appears_after_all_ends_the_stall_by_itself() -> None:
    world = serving().later(60).asks_for(EIGHT).breaks(EIGHT, FAILURE).run()
    world.broken.clear()
    world.pods_move()

    world.look()

    assert world.stage is Stage.TRIAL
    assert world.says("Stalled") == ("absent", "")


def test_a_canary_that_never_gets_ready_is_rejected_for_this_generation() -> None:
    world = serving().later(60).asks_for(EIGHT).breaks(EIGHT, FAILURE).run().later(600).run()

    assert world.stage is Stage.DONE
    assert (world.stable, world.canary) == (SEVEN, None)
    [rejected] = world.status.rejected_revisions
    assert (rejected.revision, rejected.reason) == (EIGHT, "ProgressDeadlineExceeded")
    assert rejected.generation == world.generation
    assert "sha256:aaa" in rejected.message
    assert world.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert EIGHT not in world.members["east"].pods


def test_a_new_generation_tries_a_canary_that_never_got_ready_again() -> None:
    world = serving().later(60).asks_for(EIGHT).breaks(EIGHT, FAILURE).run().later(600).run()
    world.broken.clear()

    world.asks_for(EIGHT).run()

    assert world.stage is Stage.TRIAL
    assert world.canary == EIGHT
    assert world.status.rejected_revisions == ()


def test_the_deadline_starts_again_when_a_member_comes_back() -> None:
    world = serving().asks_for(EIGHT)
    world.slow.add(EIGHT)
    world.run().later(500).loses("west").look()
    world.later(500).finds("west")

    assert world.look().wake_after == 600
    assert world.stage is Stage.STARTING
    assert world.later(599).run().stage is Stage.STARTING
    assert world.later(1).run().stage is Stage.DONE


def test_no_canary_is_rejected_because_nobody_could_be_reached() -> None:
    world = serving().asks_for(EIGHT)
    world.look()
    world.loses("east", "west").look()

    assert world.later(5000).run().stage is Stage.STARTING


@pytest.mark.parametrize(
    ("seconds", "judgement", "problems", "step"),
    [
        pytest.param(
            0, judged(), (), 1, id="the first step has no minSeconds and is taken at once"
        ),
        pytest.param(0, None, (), 0, id="no judgement: no climbing"),
        pytest.param(0, judged(burnt_in=False), (), 0, id="not past burn-in: no climbing"),
        pytest.param(0, judged(), ("west",), 0, id="a member's evidence is missing: no climbing"),
        pytest.param(0, PROMOTE, (), 1, id="a Promote at the first step only climbs"),
        pytest.param(
            900, judged("Hold", "NoLabels", burnt_in=False), (), 0, id="time alone climbs nowhere"
        ),
    ],
)
def test_climbing_from_the_first_step(
    seconds: float, judgement: Any, problems: tuple[str, ...], step: int
) -> None:
    world = on_trial().later(seconds).with_judgement(judgement).with_problems(*problems)

    world.look()

    assert world.stage is Stage.TRIAL
    assert world.rollout.step == step


def test_one_look_takes_one_step_and_the_next_waits_until_the_routes_show_it() -> None:
    world = on_trial().with_judgement(judged()).later(3600)
    world.look()
    world.members["west"].route = RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0")

    world.decide()
    held = world.later(3600).decide()

    assert held.status.rollout is not None
    assert held.status.rollout.step == 1
    assert [item.weight for item in held.status.rollout.steps] == [5, 20]


def test_a_step_lasts_its_min_seconds() -> None:
    world = on_trial(step=1).with_judgement(judged())

    world.later(59).look()
    assert world.rollout.step == 1
    world.later(1).look()
    assert world.rollout.step == 2


def test_a_canary_that_is_not_ready_stops_the_climb() -> None:
    world = on_trial().with_judgement(judged())
    west = world.members["west"]
    west.pods[EIGHT] = PodsView(2, 1)

    world.look()

    assert world.rollout.step == 0
    assert west.route == RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0")


def test_a_member_whose_canary_pods_are_all_gone_sends_nothing_to_them() -> None:
    world = on_trial()
    west = world.members["west"]
    west.pods[EIGHT] = PodsView(1, 0)

    world.look()

    assert west.route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.members["east"].route == RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0")


def test_promote_is_written_before_any_member_changes() -> None:
    world = on_trial(step=2).with_judgement(PROMOTE)
    routes = [item.route for item in world.members.values()]

    decision = world.decide()

    assert decision.order is Order.RECORD_THEN_ACT
    assert decision.status.rollout is not None
    assert decision.status.rollout.stage is Stage.PROMOTING
    assert decision.status.stable is not None
    assert decision.status.stable.revision == EIGHT
    assert [item.route for item in world.members.values()] == routes


def test_a_promotion_on_record_switches_no_route_to_pods_that_broke_meanwhile() -> None:
    """The operator died between the record and the routes, and so did the pods in one member."""
    world = on_trial(2).with_judgement(PROMOTE)
    world.document = json.loads(json.dumps(world.decide().status.to_dict()))
    assert world.stable == EIGHT
    world.members["west"].pods[EIGHT] = PodsView(2, 0)
    world.look()
    routes = {name: member.route for name, member in world.members.items()}
    assert routes["east"] == RouteView(EIGHT, EIGHT, 1, "idle/0")
    assert routes["west"] == RouteView(SEVEN, SEVEN, 1, "idle/0")

    world.pods_move()
    world.run()
    assert world.members["west"].route == RouteView(EIGHT, EIGHT, 1, "idle/0")


def test_promote_ends_with_all_traffic_on_the_canary_and_the_old_pods_for_a_while() -> None:
    world = on_trial(step=2).with_judgement(PROMOTE).run()

    assert world.stage is Stage.DONE
    assert (world.stable, world.canary) == (EIGHT, None)
    assert world.members["west"].route == RouteView(EIGHT, EIGHT, 1, "idle/0")
    [retired] = world.status.retired_revisions
    assert (retired.revision, retired.until) == (SEVEN, world.now + datetime.timedelta(seconds=30))
    assert world.look().wake_after == 30
    assert world.says("Ready") == ("True", "Serving")
    assert world.status.history[0].verdict is Verdict.PROMOTE

    world.later(30).run()
    assert world.status.retired_revisions == ()
    assert set(world.members["east"].pods) == {EIGHT}


@pytest.mark.parametrize(
    ("step", "judgement", "problems"),
    [
        pytest.param(0, PROMOTE, (), id="not at the first step"),
        pytest.param(2, judged(), (), id="not while undecided"),
        pytest.param(2, PROMOTE, ("east",), id="not with a Prometheus that does not answer"),
        pytest.param(2, None, (), id="not without a judgement"),
    ],
)
def test_nothing_else_promotes(step: int, judgement: Any, problems: tuple[str, ...]) -> None:
    world = on_trial(step).with_judgement(judgement).with_problems(*problems).later(60)

    world.look()

    assert world.stage is Stage.TRIAL
    assert world.stable == SEVEN


def test_missing_evidence_is_named() -> None:
    world = on_trial(step=2).with_problems("east")

    world.look()

    assert world.says("EvidenceSufficient") == ("False", "PrometheusUnreachable")
    message = world.condition("EvidenceSufficient").message  # type: ignore[union-attr]
    assert message == "east: PrometheusUnreachable: no answer"


def test_a_trial_goes_on_with_the_last_counts_of_an_unreachable_member() -> None:
    world = on_trial(step=2).loses("west").with_judgement(PROMOTE).run()

    assert world.stable == EIGHT


AWAY = "MembersUnreachable"
"""Why there is no evidence of a member that is away and whose last counts nobody knows."""


@pytest.mark.parametrize("step", [0, 2])
def test_without_the_last_counts_of_an_unreachable_member_a_trial_holds(step: int) -> None:
    world = on_trial(step).loses("west").with_problems("west", reason=AWAY)

    world.with_judgement(PROMOTE).later(60).run()

    assert (world.stage, world.rollout.step) == (Stage.TRIAL, step)
    assert world.says("EvidenceSufficient") == ("False", AWAY)
    message = world.condition("EvidenceSufficient").message  # type: ignore[union-attr]
    assert message == "west: MembersUnreachable: no answer"


def test_a_held_trial_goes_on_when_the_member_is_back() -> None:
    world = on_trial(2).loses("west").with_problems("west", reason=AWAY).with_judgement(PROMOTE)
    world.run().finds("west").with_problems().run()

    assert world.stable == EIGHT


def test_a_held_trial_ends_in_time() -> None:
    world = on_trial(2).loses("west").with_problems("west", reason=AWAY).later(86400).run()

    assert world.stable == SEVEN
    assert world.status.rejected_revisions[0].reason == "Inconclusive"
    assert "west: MembersUnreachable" in world.status.rejected_revisions[0].message


def test_a_member_whose_canary_had_no_ready_pod_when_it_was_lost_took_part_too() -> None:
    world = on_trial(2).later(1)
    world.members["west"].pods[EIGHT] = PodsView(1, 0)
    world.look()
    world.later(1).loses("west").with_problems("west", reason=AWAY)

    world.with_judgement(PROMOTE).run()

    assert world.stage is Stage.TRIAL


def test_a_member_that_was_away_since_before_the_trial_freezes_nobody() -> None:
    world = serving().loses("west").with_problems("west", reason=AWAY)
    world.asks_for(EIGHT).with_judgement(PROMOTE).run()
    for _ in range(3):
        world.later(60).run()

    assert world.stable == EIGHT


def test_a_member_that_never_served_freezes_nobody() -> None:
    world = on_trial(2)
    world.members["north"] = Member("north", reachable=False)

    world.with_problems("north", reason=AWAY).with_judgement(PROMOTE).run()

    assert world.stable == EIGHT


def test_status_knows_whose_counts_were_read_in_this_rollout() -> None:
    world = on_trial()
    world.members["west"].store = "store-1"
    world.look()
    assert [item.ledger_store for item in world.status.clusters] == [None, "store-1"]

    world.loses("west").look()
    assert [item.ledger_store for item in world.status.clusters] == [None, "store-1"]

    world.asks_for(NINE).look()
    assert [item.ledger_store for item in world.status.clusters] == [None, None]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_rollback_verdict_counts_at_every_step_at_once(step: int) -> None:
    world = on_trial(step).with_judgement(ROLLBACK).with_problems("east")

    decision = world.look()

    assert decision.order is Order.ACT_THEN_RECORD
    assert world.stage is Stage.ROLLING_BACK
    assert world.members["west"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")


def test_after_a_rollback_status_tells_git_that_something_else_runs() -> None:
    world = on_trial(1).with_judgement(ROLLBACK).run()

    assert world.stage is Stage.DONE
    assert (world.stable, world.canary) == (SEVEN, None)
    assert world.says("Available") == ("True", "Serving")
    assert world.says("Ready") == ("False", "RolledBack")
    assert world.says("Stalled") == ("True", "RolledBack")
    assert world.says("Promoted") == ("False", "RolledBack")
    message = world.condition("Stalled").message  # type: ignore[union-attr]
    assert "f1 0.61 vs 0.82, difference -0.21 [-0.30, -0.12]" in message
    [rejected] = world.status.rejected_revisions
    assert (rejected.revision, rejected.reason, rejected.generation) == (EIGHT, "Worse", None)
    assert [item.revision for item in world.status.retired_revisions] == [EIGHT]
    assert world.status.analysis[0].difference == "-0.0100"


def test_a_rejected_revision_is_not_tried_again_by_another_generation() -> None:
    world = on_trial().with_judgement(ROLLBACK).run().later(60).asks_for(EIGHT).run()

    assert world.stage is Stage.DONE
    assert world.says("Stalled") == ("True", "RolledBack")


def test_rollback_is_absorbing_whatever_the_evidence_says_later() -> None:
    world = on_trial(2).with_judgement(ROLLBACK)
    world.look()
    world.members["west"].route = RouteView(SEVEN, EIGHT, 50, f"{world.rollout.id}/2")

    decision = world.with_judgement(PROMOTE).later(60).decide()

    assert decision.order is Order.ACT_THEN_RECORD
    assert decision.status.rollout is not None
    assert decision.status.rollout.stage is Stage.ROLLING_BACK
    assert world.run().stable == SEVEN


def test_a_rollback_that_only_the_members_recorded_counts() -> None:
    world = on_trial(2).with_judgement(PROMOTE)
    record = DecisionRecord(verdict=Verdict.ROLLBACK, reason="Worse", message="f1", at=world.now)
    world.members["west"].record = RecordView(world.rollout.id, record)

    world.run()

    assert world.stable == SEVEN
    assert world.status.rejected_revisions[0].reason == "Worse"


def test_an_unreachable_member_does_not_hold_up_a_rollback_and_is_converged_later() -> None:
    world = on_trial(1).loses("west").with_judgement(ROLLBACK).run()
    assert world.stage is Stage.DONE
    assert world.members["west"].route == RouteView(SEVEN, EIGHT, 20, f"{world.rollout.id}/1")

    world.finds("west").later(60).run()

    assert world.members["west"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert set(world.members["west"].pods) == {SEVEN}


def test_a_member_that_was_away_during_a_promotion_serves_on_until_the_new_pods_are_ready() -> None:
    world = on_trial(2).loses("west").with_judgement(PROMOTE).run().later(3600).run()
    west = world.members["west"]
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    west.pods[EIGHT] = PodsView(1, 0)

    world.finds("west").look()

    assert set(west.pods) == {SEVEN, EIGHT}
    assert west.route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.says("Ready") == ("False", "Starting")
    world.pods_move()
    world.run()
    assert west.route == RouteView(EIGHT, EIGHT, 1, "idle/0")
    assert set(west.pods) == {EIGHT}
    assert world.says("Ready") == ("True", "Serving")


def test_without_a_verdict_in_time_the_canary_is_rolled_back_as_inconclusive() -> None:
    world = on_trial(1).later(86400).run()

    assert world.stable == SEVEN
    assert world.status.rejected_revisions[0].reason == "Inconclusive"
    assert "no verdict within 86400 s" in world.status.rejected_revisions[0].message


def test_a_new_revision_during_a_trial_takes_the_place_of_the_canary() -> None:
    world = on_trial(1)
    before = world.rollout.id
    world.asks_for(NINE).look()

    assert (world.stage, world.canary) == (Stage.STARTING, NINE)
    assert world.rollout.id != before
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert [item.revision for item in world.status.retired_revisions] == [EIGHT]
    assert world.status.rejected_revisions == ()
    assert world.status.history[0].reason == "Superseded"


def test_a_judgement_never_counts_for_the_canary_that_came_after() -> None:
    world = on_trial(1).asks_for(NINE)
    observation = world.with_judgement(ROLLBACK).observation()
    world.with_judgement(judged()).look()
    world.pods_move()

    second = world._decide(world.status, observation)

    assert second.status.rejected_revisions == ()


@pytest.mark.parametrize(("wanted", "reason"), [(NINE, "Superseded"), (SEVEN, "Reverted")])
def test_a_canary_is_not_judged_by_what_another_revision_says(wanted: str, reason: str) -> None:
    world = on_trial(1).with_judgement(ROLLBACK).asks_for(wanted)
    world.look()

    world.with_judgement(None).run()

    assert world.status.rejected_revisions == ()
    assert world.status.history[0].reason == reason


def test_a_spec_that_goes_back_to_stable_ends_the_trial_at_once() -> None:
    world = on_trial(1).asks_for(SEVEN)

    assert world.look().order is Order.ACT_THEN_RECORD
    world.run()

    assert (world.stage, world.stable, world.canary) == (Stage.DONE, SEVEN, None)
    assert world.status.rejected_revisions == ()
    assert world.status.history[0].reason == "Reverted"
    assert world.says("Ready") == ("True", "Serving")


def test_a_spec_that_goes_to_a_rejected_revision_ends_the_trial() -> None:
    world = on_trial().with_judgement(ROLLBACK).run().later(60).asks_for(NINE)
    world.with_judgement(judged(burnt_in=False)).run()
    assert (world.stage, world.canary) == (Stage.TRIAL, NINE)

    world.asks_for(EIGHT).run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.says("Stalled") == ("True", "RolledBack")


def test_the_settings_of_a_trial_are_frozen_and_status_says_so() -> None:
    world = on_trial().asks_for(EIGHT, maxSeconds=60).later(600)

    world.look()

    assert world.stage is Stage.TRIAL
    message = world.condition("Reconciling").message  # type: ignore[union-attr]
    assert "spec.rollout was changed since" in message


def test_a_new_member_gets_pods_first_and_its_route_when_they_are_ready() -> None:
    world = serving()
    north = world.members["north"] = Member("north")

    world.look()
    assert (set(north.pods), north.route) == ({SEVEN}, None)
    assert world.says("Ready") == ("False", "Starting")

    world.pods_move()
    world.run()
    assert north.route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.says("Ready") == ("True", "Serving")


def test_a_member_that_joins_during_a_trial_holds_the_climb_until_it_is_in() -> None:
    world = on_trial()
    north = world.members["north"] = Member("north")
    world.with_judgement(judged()).look()
    assert world.rollout.step == 0

    world.pods_move()
    world.look()

    assert north.route == RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0")


def test_a_member_that_leaves_disappears_from_status() -> None:
    world = serving()
    del world.members["west"]

    world.run()

    assert [item.name for item in world.status.clusters] == ["east"]
    assert world.says("Ready") == ("True", "Serving")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("west",), id="one"),
        pytest.param(("east", "west"), id="all of them, by a mistyped selector"),
    ],
)
def test_a_member_that_placement_drops_gives_the_canarys_traffic_back(names: Any) -> None:
    world = on_trial(1).drops(*names)
    # The other member does not serve well enough for anybody to be left.
    world.members["east"].pods[SEVEN] = PodsView(2, 1)

    world.look()

    for name in names:
        assert world.members[name].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
        assert world.members[name].pods[SEVEN].ready
    assert {item.name for item in world.status.clusters} == {"east", "west"}
    assert world.stage is Stage.TRIAL


@pytest.mark.parametrize("names", [("west",), ("east", "west")])
def test_a_rollback_does_not_end_while_a_dropped_member_shows_the_canary(names: Any) -> None:
    world = on_trial(1).drops(*names).with_judgement(ROLLBACK)
    before = {name: world.members[name].route for name in names}
    assert world.look().order is Order.ACT_THEN_RECORD
    for name in names:  # a write that failed
        assert world.members[name].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
        world.members[name].route = before[name]

    world.later(60).look()
    assert world.stage is Stage.ROLLING_BACK
    world.look()

    assert world.stage is Stage.DONE
    assert not any(
        item.route and item.route.canary_slot == EIGHT for item in world.members.values()
    )


def test_a_dropped_member_that_was_away_gives_the_traffic_back_when_it_returns() -> None:
    world = on_trial(1).loses("west").drops("west").with_judgement(ROLLBACK).run()
    west = world.members["west"]
    assert world.stage is Stage.DONE
    assert west.route is not None
    assert west.route.canary_slot == EIGHT
    assert [item.name for item in world.status.clusters] == ["east", "west"]

    world.members["east"].pods[SEVEN] = PodsView(2, 1)
    world.finds("west").look()

    assert west.route == RouteView(SEVEN, SEVEN, 1, "idle/0")


def test_a_dropped_member_takes_part_again_when_it_is_chosen_again() -> None:
    world = on_trial(1).drops("east", "west")
    world.look()
    assert world.says("Stalled") == ("True", "NoMembers")

    world.takes("east", "west").run()

    assert world.members["west"].route == RouteView(SEVEN, EIGHT, 20, f"{world.rollout.id}/1")


def test_a_dropped_member_is_left_when_the_others_serve() -> None:
    world = on_trial(1).drops("west").run()

    assert not world.members["west"].holds
    assert [item.name for item in world.status.clusters] == ["east"]


def test_a_promotion_does_not_wait_for_a_late_member_for_ever() -> None:
    world = on_trial(2).with_judgement(PROMOTE)
    world.look()
    west = world.members["west"]
    west.pods[EIGHT] = PodsView(2, 0)
    world.slow.add(EIGHT)
    world.look()
    assert world.stage is Stage.PROMOTING

    world.later(600).look()

    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    assert world.says("Ready") == ("False", "Starting")


def test_history_and_rejections_are_bounded_but_the_named_rejection_stays() -> None:
    world = on_trial().with_judgement(ROLLBACK).run()

    world.spec = a_spec(EIGHT).model_copy(update={"revision_history_limit": 0})
    world.run()

    assert world.status.history == ()
    assert [item.revision for item in world.status.rejected_revisions] == [EIGHT]


def test_the_id_of_a_rollout_is_ten_hexadecimal_digits_and_differs_in_time() -> None:
    first, second = on_trial(), on_trial().later(60)
    second.with_judgement(None).asks_for(SEVEN).run().asks_for(EIGHT).run()

    assert first.canary == second.canary
    assert first.rollout.id != second.rollout.id
    assert len(first.rollout.id) == 10


def test_a_member_that_still_serves_the_revision_before_takes_no_part_in_a_trial() -> None:
    world = on_trial(2).loses("west").with_judgement(PROMOTE).run().later(3600)
    west = world.members["west"]
    west.pods[EIGHT] = PodsView(1, 0)
    world.slow.add(EIGHT)
    world.finds("west").with_judgement(judged()).asks_for(NINE).run()

    assert (world.stage, world.rollout.step) == (Stage.TRIAL, 0)
    assert west.route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.members["east"].route == RouteView(EIGHT, NINE, 5, f"{world.rollout.id}/0")


def test_a_revision_that_comes_back_soon_is_looked_at_afresh_and_keeps_its_pods() -> None:
    world = on_trial(1).with_judgement(None).asks_for(NINE)
    world.look()
    world.asks_for(EIGHT).look()

    assert (world.stage, world.canary) == (Stage.STARTING, EIGHT)
    assert world.status.retired_revisions == ()
    assert world.members["east"].pods[EIGHT].is_ready
    world.look()
    assert (world.stage, world.rollout.step) == (Stage.TRIAL, 0)


def test_old_pods_stay_as_long_as_a_route_that_could_not_be_written_needs_them() -> None:
    world = on_trial(2).with_judgement(PROMOTE)
    west = world.members["west"]
    before = west.route
    world.look()
    west.route = before

    status = world.later(31).decide().status

    assert [item.revision for item in status.retired_revisions] == [SEVEN]


def test_the_numbers_of_a_trial_stay_until_the_next_rollout_begins() -> None:
    world = on_trial().with_judgement(ROLLBACK).run().later(3600).run()
    assert [item.metric for item in world.status.analysis] == ["f1"]

    world.asks_for(NINE).look()

    assert world.status.analysis == ()


def test_a_recorded_end_without_a_defeat_rejects_nothing() -> None:
    world = on_trial(2)
    record = DecisionRecord(verdict=Verdict.ROLLBACK, reason="Reverted", at=world.now)
    world.members["west"].record = RecordView(world.rollout.id, record)

    world.look()

    assert world.stage is Stage.ROLLING_BACK
    assert world.status.rejected_revisions == ()


def test_pods_that_fail_during_a_rollback_do_not_hide_it() -> None:
    world = on_trial().breaks(EIGHT, FAILURE)
    world.pods_move()

    world.with_judgement(ROLLBACK).look()

    assert world.says("Reconciling") == ("True", "RollingBack")


def test_a_spec_that_goes_to_and_fro_within_a_second_starts_another_rollout() -> None:
    world = serving().asks_for(EIGHT)
    world.look()
    first = world.rollout.id
    world.asks_for(SEVEN).run().asks_for(EIGHT).look()

    assert (world.stage, world.canary) == (Stage.STARTING, EIGHT)
    assert world.rollout.id != first


@pytest.mark.parametrize(
    ("weight", "step"),
    [
        pytest.param(20, 0, id="a route with the step before, of the same weight, is not the step"),
        pytest.param(21, 1, id="a route whose weight somebody changed is not the step"),
    ],
)
def test_no_step_is_taken_on_another_route(weight: int, step: int) -> None:
    world = on_trial(1, canary={"steps": [{"weight": 20}, {"weight": 20}, {"weight": 50}]})
    route = RouteView(SEVEN, EIGHT, weight, f"{world.rollout.id}/{step}")
    world.members["west"].route = route

    decision = world.with_judgement(judged()).later(60).decide()

    assert decision.status.rollout is not None
    assert decision.status.rollout.step == 1


def test_every_message_of_a_trial_stays_the_same_until_something_happens() -> None:
    world = on_trial()

    assert world.later(7).decide().status == world.status
