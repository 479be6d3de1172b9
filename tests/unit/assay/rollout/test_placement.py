"""What status says of placement."""

import dataclasses

import pytest

from assay.api.deployment_status import ModelDeploymentStatus
from assay.placement import Constraint, Fault, Plan
from assay.rollout import Decision, Observation, decide

from .world import MONDAY, World, a_spec, on_trial, serving

TOO_FULL = Plan({"east": 1}, fault=Fault(Constraint.CAPACITY, "2 replicas wanted, members allow 1"))


def look(world: World, plan: Plan) -> Decision:
    """Decide on what the world shows and on how its members were chosen."""
    seen = dataclasses.replace(world.observation(), plan=plan)
    members = tuple(
        dataclasses.replace(view, replicas=plan.shares.get(view.name, 0)) for view in seen.members
    )
    return _decide(world, dataclasses.replace(seen, members=members))


def _decide(world: World, seen: Observation) -> Decision:
    return decide("uid-1", world.generation, world.spec, world.status, seen, MONDAY)


def says(status: ModelDeploymentStatus, kind: str) -> tuple[str, str, str]:
    found = next((item for item in status.conditions if item.type == kind), None)
    return ("absent", "", "") if found is None else (found.status, found.reason, found.message)


def test_where_everything_is() -> None:
    status = look(serving(), Plan({"east": 1, "west": 1})).status

    assert says(status, "Placed") == ("True", "ReplicasPlaced", "2 replicas: east 1; west 1")
    assert says(status, "Ready")[0] == "True"
    assert [(item.name, item.replicas) for item in status.clusters] == [("east", 1), ("west", 1)]


def test_at_rest_a_placement_that_does_not_fit_is_what_there_is_to_know() -> None:
    decision = look(serving(), TOO_FULL)

    assert says(decision.status, "Placed") == (
        "False",
        "CapacityExceeded",
        "2 replicas wanted, members allow 1",
    )
    assert says(decision.status, "Ready")[:2] == ("False", "CapacityExceeded")
    assert says(decision.status, "Stalled")[2].endswith(
        "serves in 2 members. 2 replicas wanted, members allow 1."
    )
    assert says(decision.status, "Available")[0] == "True"
    assert ("Warning", "CapacityExceeded") in {(it.type, it.reason) for it in decision.events}


def test_pods_that_are_still_to_come_are_waited_for() -> None:
    status = look(serving(), Plan({"east": 3, "west": 1})).status

    assert says(status, "Ready")[:2] == ("False", "Starting")
    assert says(status, "Ready")[2].endswith("is stable; east: 1 of 3 pods ready.")


def test_a_trial_goes_on_while_a_replica_has_no_place() -> None:
    status = look(on_trial(), TOO_FULL).status

    assert says(status, "Ready")[1] == "TrialRunning"
    assert says(status, "Placed")[1] == "CapacityExceeded"


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint.RESIDENCY, "OutsideResidency"),
        (Constraint.TAINTS, "TaintsNotTolerated"),
        (Constraint.SELECTOR, "NoMembers"),
    ],
    ids=lambda item: item if isinstance(item, str) else item.name,
)
def test_without_any_member_the_reason_is_what_is_to_blame(
    constraint: Constraint, reason: str
) -> None:
    world = serving().drops("east", "west")
    status = look(world, Plan({}, fault=Fault(constraint, "members allow 0"))).status

    assert says(status, "Stalled")[:2] == ("True", reason)


def test_a_member_that_is_left_keeps_what_it_had() -> None:
    world = serving()
    east, west = world.document["clusters"]
    world.document = {**world.document, "clusters": [east, {**west, "replicas": 3}]}
    status = look(world.drops("west"), Plan({"east": 2})).status

    assert [(item.name, item.replicas) for item in status.clusters] == [("east", 2), ("west", 3)]


def test_a_lost_member_is_still_called_unreachable() -> None:
    world = on_trial().loses("west").drops("west")
    plan = Plan({"east": 2}, lost=frozenset({"west"}))
    status = look(world, plan).status

    assert says(status, "MembersReachable") == (
        "False",
        "MembersUnreachable",
        "1 of 2 members cannot be reached: west: connection refused",
    )
    assert [(item.name, item.reachable) for item in status.clusters] == [
        ("east", True),
        ("west", False),
    ]


def test_it_looks_again_when_a_member_is_away_for_long_enough() -> None:
    world = serving()
    world.spec = a_spec().model_copy(
        update={"placement": a_spec().placement.model_copy(update={"toleration_seconds": 10})}
    )
    assert look(world, Plan({"east": 1, "west": 1})).wake_after is None

    decision = look(world.loses("west"), Plan({"east": 1, "west": 1}))
    assert decision.wake_after == 10
