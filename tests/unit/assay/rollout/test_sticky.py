"""A trial of users: it waits until they are kept, and holds when they are not any more."""

from assay.api.deployment_status import Stage, Verdict
from assay.api.model_deployment import StickyBy
from assay.rollout import RouteView

from .world import EIGHT, NINE, PROMOTE, ROLLBACK, SEVEN, World, judged, serving

HEADER, OTHER = StickyBy(header="x-user-id"), StickyBy(header="x-account")
ABSENT = "no BackendTrafficPolicy in member west; install Envoy Gateway 1.9 there"


def on_trial_of_users() -> World:
    world = serving().keeps_users("east", "west", by=HEADER)
    world.asks_for(EIGHT).keeps_users("east", "west", by=HEADER)
    world.run()
    assert world.stage is Stage.TRIAL
    return world


def test_the_route_tells_servers_who_the_user_is_from_the_first_step_on() -> None:
    world = on_trial_of_users()

    route = RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0", "header:x-user-id")
    assert world.members["east"].route == route
    assert world.says("UsersKept") == ("True", "UsersKept")


def test_no_canary_gets_traffic_where_users_are_not_kept() -> None:
    world = serving()
    world.asks_for(EIGHT).keeps_users("east", by=HEADER)
    world.keeps_users("west", by=HEADER, problem=ABSENT)
    world.run()

    assert world.stage is Stage.STARTING
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.says("UsersKept") == ("False", "UsersNotKept")
    for name in ("UsersKept", "Ready"):
        condition = world.condition(name)
        assert condition is not None
        assert f"west: {ABSENT}" in condition.message
    assert "UsersNotKept" in world.events

    world.later(601).run()

    assert world.stage is Stage.DONE
    assert world.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert ABSENT in stalled.message


def test_the_trial_begins_as_soon_as_every_gateway_keeps_users() -> None:
    world = serving()
    world.asks_for(EIGHT).keeps_users("east", by=HEADER)
    world.run()
    assert world.stage is Stage.STARTING
    assert world.says("UsersKept") == ("Unknown", "UsersNotKept")
    assert "UsersNotKept" not in world.events

    world.keeps_users("west", by=HEADER).run()

    assert world.stage is Stage.TRIAL


def test_a_policy_for_another_key_keeps_nobody() -> None:
    world = serving().keeps_users("east", "west", by=OTHER)
    world.asks_for(EIGHT).keeps_users("east", by=HEADER).run()

    assert world.stage is Stage.STARTING
    assert world.says("UsersKept") == ("Unknown", "UsersNotKept")


def test_a_trial_whose_users_get_lost_is_not_promoted_and_can_be_rolled_back() -> None:
    world = on_trial_of_users()
    world.with_judgement(judged()).run()
    world.later(61).run()
    assert (world.stage, world.rollout.step) == (Stage.TRIAL, 2)
    world.keeps_users("west", by=HEADER, problem=ABSENT)

    world.with_judgement(PROMOTE).later(61).run()

    assert world.stage is Stage.TRIAL
    assert world.says("EvidenceSufficient") == ("False", "UsersNotKept")

    world.with_judgement(ROLLBACK).run()

    decision = world.rollout.decision
    assert decision is not None
    assert decision.verdict is Verdict.ROLLBACK
    assert world.members["west"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")


def test_a_member_that_joins_gets_no_canary_before_it_keeps_users() -> None:
    world = serving().keeps_users("east", by=HEADER).loses("west")
    world.asks_for(EIGHT).keeps_users("east", by=HEADER).run()
    assert world.stage is Stage.TRIAL

    world.finds("west").run()

    assert world.members["west"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert world.says("UsersKept") == ("Unknown", "UsersNotKept")

    world.keeps_users("west", by=HEADER).run()

    assert world.members["west"].route == world.members["east"].route
    assert world.says("UsersKept") == ("True", "UsersKept")


def test_another_key_counts_from_the_next_rollout() -> None:
    world = on_trial_of_users()
    traffic = world.spec.traffic.model_copy(update={"sticky_by": OTHER})
    world.spec = world.spec.model_copy(update={"traffic": traffic})
    world.run()

    assert world.stage is Stage.TRIAL
    assert world.rollout.sticky_by == HEADER
    ready = world.condition("Ready")
    assert ready is not None
    assert "spec.traffic.stickyBy was changed since" in ready.message

    world.asks_for(NINE).keeps_users("east", "west", by=OTHER).run()

    assert (world.canary, world.rollout.sticky_by) == (NINE, OTHER)
    route = world.members["east"].route
    assert route is not None
    assert route.user_by == "header:x-account"


def test_the_first_revision_waits_for_no_gateway() -> None:
    world = World().keeps_users("east", "west", by=HEADER, problem=ABSENT)
    world.run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.says("Ready") == ("True", "Serving")
    assert world.says("UsersKept") == ("False", "UsersNotKept")
