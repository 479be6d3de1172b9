"""Back to what was stable not long ago: no steps and no verdict, but waves, guards and a way back."""

from typing import Any

import pytest

from assay.api.deployment_status import Stage, Verdict

from .test_blue_green import GUARDS_ONLY, P99
from .world import EIGHT, NINE, PROMOTE, ROLLBACK, SEVEN, STEPS, World, judged, serving

WAVES = [
    {"name": "pilot", "clusterSelector": {"matchLabels": {"wave": "pilot"}}, "soakSeconds": 60},
    {"name": "rest", "approval": "Manual"},
]


def promoted(world: World, revision: str, **rollout: Any) -> World:
    """`revision` has come through its trial."""
    world.later(3600).asks_for(revision, **rollout).reads(0.1).with_judgement(PROMOTE)
    for _ in STEPS:
        world.run().later(61)
    world.run()
    assert (world.stage, world.stable) == (Stage.DONE, revision)
    return world.with_judgement(judged(burnt_in=False))


def back_to(revision: str, count: int, *before: str, **rollout: Any) -> World:
    """All of `before` were stable one after the other; then the spec names `revision` again."""
    world = serving(SEVEN)
    for each in before:
        promoted(world, each)
    world.events.clear()
    world.later(3600).asks_for(revision, fastTrackRevisions=count, **rollout)
    return world.with_judgement(judged(burnt_in=False))


def is_tried(world: World) -> bool:
    """Whether the first step of a trial is being taken, and no verdict is there yet."""
    world.run()
    weights = [step.weight for step in world.rollout.steps]
    return world.stage is Stage.TRIAL and weights == [5] and world.rollout.latched is None


def test_it_is_promoted_without_steps_and_without_a_verdict() -> None:
    world = back_to(SEVEN, 1, EIGHT)
    world.slow.add(SEVEN)
    world.run()
    assert (world.stage, world.stable) == (Stage.STARTING, EIGHT), "its pods have to be ready"

    world.slow.clear()
    world.run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert [step.weight for step in world.rollout.steps] == [50]
    assert world.events == ["FastTrack", "TrialStarted", "Promoted", "RolloutDone"]
    entry = world.status.history[0]
    assert (entry.revision, entry.verdict, entry.reason) == (SEVEN, Verdict.PROMOTE, "FastTrack")
    assert (
        "is one of the last 1 that were stable (spec.rollout.fastTrackRevisions)" in entry.message
    )
    assert world.says("Ready") == ("True", "Serving")


@pytest.mark.parametrize(
    ("count", "before", "tried"),
    [
        pytest.param(0, (EIGHT,), True, id="not asked for"),
        pytest.param(1, (EIGHT,), False, id="the last one"),
        pytest.param(1, (EIGHT, NINE), True, id="the last but one"),
        pytest.param(2, (EIGHT, NINE), False, id="of two"),
        pytest.param(1, (EIGHT, SEVEN, EIGHT), False, id="each counts once"),
    ],
)
def test_how_far_back(count: int, before: tuple[str, ...], *, tried: bool) -> None:
    world = back_to(SEVEN, count, *before)
    assert is_tried(world) is tried
    assert (world.stable == SEVEN) is not tried


def test_what_was_never_stable_is_tried() -> None:
    world = back_to(NINE, 100, EIGHT)
    assert is_tried(world)


def test_what_was_rejected_is_tried_although_it_was_stable_before() -> None:
    world = promoted(serving(SEVEN), EIGHT)
    world.person("undo", toRevision=SEVEN).run()
    assert world.stable == SEVEN
    assert [item.revision for item in world.status.rejected_revisions] == [EIGHT]
    # The spec still names it: that alone starts nothing.
    world.asks_for(EIGHT, fastTrackRevisions=5).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    world.person("retry").with_judgement(judged(burnt_in=False))
    assert is_tried(world)


def test_what_did_not_get_ready_in_time_is_tried_by_the_next_generation() -> None:
    world = back_to(SEVEN, 1, EIGHT, progressDeadlineSeconds=10)
    world.slow.add(SEVEN)
    world.run().later(11).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    world.slow.clear()
    world.asks_for(SEVEN, fastTrackRevisions=1)
    assert is_tried(world)


def test_a_guard_that_is_breached_takes_it_back_and_one_without_data_waits() -> None:
    guarded = {"guards": [P99]}
    world = back_to(SEVEN, 1, EIGHT, analysis=guarded).reads(None, 0)
    world.run()
    assert (world.stage, {item.weight for item in world.status.clusters}) == (Stage.TRIAL, {50})
    world.reads(0.9, 1000).run().later(31).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)
    assert world.status.rejected_revisions[0].reason == "GuardBreached"

    world = back_to(SEVEN, 1, EIGHT, analysis=guarded).reads(None, 0)
    world.run()
    world.reads(0.1, 1000).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)


def test_labels_may_still_take_it_back() -> None:
    world = back_to(SEVEN, 1, EIGHT, analysis={"guards": [P99]}).reads(None, 0)
    world.run()
    assert world.stage is Stage.TRIAL
    world.with_judgement(ROLLBACK).run()
    assert (world.stage, world.stable) == (Stage.DONE, EIGHT)


def test_members_follow_in_waves_and_no_step_is_taken_meanwhile() -> None:
    steps = [*STEPS, {"pause": "Manual"}]
    world = promoted(serving(SEVEN), EIGHT)
    world.members["east"].labels = {"wave": "pilot"}
    world.later(3600)
    world.asks_for(SEVEN, fastTrackRevisions=1, waves=WAVES, canary={"steps": steps})
    world.with_judgement(judged()).run()
    weights = {item.name: item.weight for item in world.status.clusters}
    assert (world.stage, weights) == (Stage.TRIAL, {"east": 50, "west": 0})
    assert [step.weight for step in world.rollout.steps] == [50]
    world.later(61).run()
    assert world.says("Ready") == ("False", "WaitingForApproval"), "that of the wave"
    world.person("approve").run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert [step.weight for step in world.rollout.steps] == [50]


def test_blue_green_is_switched_without_a_preview_and_without_approval() -> None:
    settings = {"previewHostnames": ["preview.example.com"], "approval": "Manual"}
    world = back_to(
        SEVEN, 1, EIGHT, type="BlueGreen", blueGreen=settings, analysis=GUARDS_ONLY
    ).reads(None, 0)
    world.run()
    assert {item.weight for item in world.status.clusters} == {100}
    assert world.stage is Stage.TRIAL
    world.reads(0.1, 1000).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)


def test_it_takes_the_place_of_a_trial() -> None:
    world = promoted(serving(SEVEN), EIGHT).later(3600)
    world.asks_for(NINE, fastTrackRevisions=1)
    assert is_tried(world)
    world.asks_for(SEVEN, fastTrackRevisions=1).run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.status.history[1].reason == "Superseded"


def test_a_rebuilt_hub_goes_on_with_it() -> None:
    world = back_to(SEVEN, 1, EIGHT)
    world.keeps_records = True
    world.slow.add(SEVEN)
    world.run().rebuilds_the_hub()
    world.slow.clear()
    world.run()
    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    assert world.status.history[0].reason == "FastTrack"
