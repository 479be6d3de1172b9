"""A hub that was rebuilt goes on where the old one stopped, from what its members remember."""

import dataclasses
from typing import Any

import pytest

from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.render.naming import Identity
from assay.render.record import read_record, record
from assay.rollout import MemberView, RecordView, adopted

from .world import EIGHT, NINE, PROMOTE, ROLLBACK, SEVEN, World, on_trial, serving


def remembered(status: ModelDeploymentStatus, member: str) -> RecordView:
    """What the member's record says after `status` was carried out."""
    view = read_record(record(Identity("fraud", "ml", "old-hub"), "uid-0", status, member))
    assert view is not None
    return view


def recording(world: World) -> World:
    """Every member that is there has the record of the present status."""
    for name, member in world.members.items():
        if member.reachable:
            member.record = remembered(world.status, name)
    return world


def without_observations(status: ModelDeploymentStatus) -> dict[str, Any]:
    """What was decided: the rest a hub sees for itself."""
    document = status.to_dict()
    for name in ("conditions", "observedGeneration", "analysis", "retiredRevisions"):
        document.pop(name, None)
    for cluster in document["clusters"]:
        for name in ("ready", "desired", "message"):
            cluster.pop(name, None)
    return document


def test_a_trial_goes_on_under_its_id_with_its_settings() -> None:
    world = recording(on_trial())
    before = world.status
    world.spec = world.spec.model_copy(
        update={"rollout": world.spec.rollout.model_copy(update={"max_seconds": 60})}
    )
    routes = {name: member.route for name, member in world.members.items()}
    pods = {name: dict(member.pods) for name, member in world.members.items()}

    world.rebuilds_the_hub()

    assert without_observations(world.status) == without_observations(before)
    world.run()
    assert world.stage is Stage.TRIAL
    assert {name: member.route for name, member in world.members.items()} == routes
    assert {name: dict(member.pods) for name, member in world.members.items()} == pods
    world.with_judgement(ROLLBACK).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)


def test_a_trial_that_was_rebuilt_can_be_won() -> None:
    world = recording(on_trial()).rebuilds_the_hub().run()
    for _ in range(4):
        world.later(61).with_judgement(PROMOTE).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)


def test_rejected_stays_rejected_although_the_spec_names_it() -> None:
    world = on_trial().with_judgement(ROLLBACK).run().with_judgement(None)
    assert world.stage is Stage.DONE

    recording(world).rebuilds_the_hub().run().later(1000).run()

    assert (world.stable, world.canary) == (SEVEN, None)
    assert world.says("Stalled") == ("True", "RolledBack")


def test_one_that_never_got_ready_waits_for_another_spec_of_this_hub() -> None:
    world = serving()
    world.slow.add(EIGHT)
    world.asks_for(EIGHT).run().later(601).run()
    assert world.stage is Stage.DONE

    recording(world).rebuilds_the_hub().run()
    assert world.canary is None

    world.generation += 1
    world.run()
    assert world.canary == EIGHT


def test_a_rollback_in_one_member_ends_the_trial() -> None:
    world = recording(on_trial())
    trial = world.members["west"].record
    world.with_judgement(ROLLBACK).run()
    recording(world)
    world.members["west"].record = trial

    world.with_judgement(None).rebuilds_the_hub().run()

    assert (world.stable, world.canary) == (SEVEN, None)
    assert [item.revision for item in world.status.rejected_revisions] == [EIGHT]


def test_the_newest_rollout_counts() -> None:
    world = recording(on_trial()).loses("west")
    world.later(10).asks_for(NINE).run()
    recording(world)

    world.finds("west").rebuilds_the_hub()

    assert world.canary == NINE
    west = next(item for item in world.status.clusters if item.name == "west")
    assert west.weight == 0, "what it gave another canary"


def test_counts_of_a_member_that_is_gone_are_not_left_out() -> None:
    world = on_trial()
    for member in world.members.values():
        member.store = f"store-{member.name}"
    recording(world.run()).loses("west")

    world.rebuilds_the_hub()

    stores = {item.name: item.ledger_store for item in world.status.clusters}
    assert stores == {"east": "store-east", "west": "unknown"}


def test_a_hub_that_knows_something_takes_nothing_up() -> None:
    world = recording(on_trial())
    views = [member.view() for member in world.members.values()]
    assert adopted(world.status, 1, views) is None


@pytest.mark.parametrize(
    "view",
    [
        MemberView("east", reachable=True),
        MemberView("east", reachable=True, record=RecordView("0123456789", None)),
        MemberView("east", reachable=False, record=RecordView("0123456789", None)),
    ],
    ids=["no record", "a record of another form", "not there"],
)
def test_there_may_be_nothing_to_take_up(view: MemberView) -> None:
    assert adopted(ModelDeploymentStatus(), 1, [view]) is None


def test_a_record_in_another_form_still_tells_its_decision() -> None:
    manifest = record(Identity("fraud", "ml", "old-hub"), "uid-0", on_trial().status, "east")
    text = manifest["data"]["record.json"].replace('"startedAt"', '"begunAt"')
    view = read_record({"data": {"record.json": text}})
    assert view is not None
    assert (view.rollout, view.kept) == (on_trial().rollout.id, None)


class TestAnotherHubHoldsAMember:
    """A first start waits for who may yet tell what serves, but not for ever."""

    @staticmethod
    def held(world: World) -> World:
        member = world.members["west"]
        member.reachable = False
        view = member.view

        def held_view() -> MemberView:
            found = view()
            return found if found.reachable else dataclasses.replace(found, reason="HeldByOtherHub")

        member.view = held_view  # type: ignore[method-assign]
        return world

    def test_it_waits_for_its_record(self) -> None:
        world = self.held(World())
        decision = world.look()
        assert world.stage is None
        assert decision.wake_after == 120.0
        ready = world.condition("Ready")
        assert ready is not None
        assert "the Lease of another hub in a member ends" in ready.message

    def test_a_hub_that_lives_is_not_waited_for(self) -> None:
        world = self.held(World()).run().later(121).run()
        assert world.stable == SEVEN

    def test_a_deployment_that_serves_waits_for_nobody(self) -> None:
        world = self.held(serving()).asks_for(EIGHT).run()
        assert world.stage is Stage.TRIAL
