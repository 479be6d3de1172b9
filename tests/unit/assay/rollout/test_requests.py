"""What becomes of a person's request, in every stage, and that it becomes so once."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from assay.api.deployment_status import Stage
from assay.api.model_deployment import Paused
from assay.rollout import Order, RecordView, RouteView

from .world import EIGHT, NINE, PROMOTE, ROLLBACK, SEVEN, World, judged, on_trial, serving

PAUSE_LAST = [{"weight": 5}, {"pause": "Manual"}]


def starting() -> World:
    world = serving().asks_for(EIGHT)
    world.slow.add(EIGHT)
    return world.run()


def waiting() -> World:
    return on_trial(canary={"steps": PAUSE_LAST}).with_judgement(judged()).run()


def promoting() -> World:
    world = on_trial(2).with_judgement(PROMOTE)
    world.later(60).look()
    world.slow.add(EIGHT)
    for member in world.members.values():
        member.pods[EIGHT] = member.pods[EIGHT].__class__(1, 0)
    world.look()
    assert world.stage is Stage.PROMOTING
    return world


def rolling_back() -> World:
    world = on_trial().with_judgement(ROLLBACK)
    world.look()
    assert world.stage is Stage.ROLLING_BACK
    return world


def rejected() -> World:
    return on_trial().with_judgement(ROLLBACK).run()


def first_start() -> World:
    world = World()
    world.slow.add(SEVEN)
    return world.run()


STAGES: dict[str, Callable[[], World]] = {
    "none": World,
    "first start": first_start,
    "starting": starting,
    "trial": on_trial,
    "paused": lambda: on_trial().person("pause").run(),
    "waiting": waiting,
    "promoting": promoting,
    "rolling back": rolling_back,
    "rejected": rejected,
    "serving": serving,
    "promoted": lambda: on_trial(2).with_judgement(PROMOTE).later(60).run(),
}

DONE = {
    ("starting", "pause"),
    ("starting", "abort"),
    ("trial", "pause"),
    ("trial", "promote"),
    ("trial", "full"),
    ("trial", "abort"),
    ("paused", "resume"),
    ("paused", "promote"),
    ("paused", "full"),
    ("paused", "abort"),
    ("waiting", "pause"),
    ("waiting", "approve"),
    ("waiting", "full"),
    ("waiting", "abort"),
    ("rejected", "retry"),
    ("promoted", "undo"),
    ("rolling back", "retry"),  # the same look sees that the routes are back
}
"""Where something can be done; everywhere else it is refused with a reason."""


def ask(world: World, verb: str, **fields: Any) -> World:
    full = {"full": True} if verb == "full" else {}
    to = {"toRevision": SEVEN} if verb == "undo" else {}
    return world.person("promote" if full else verb, **full, **to, **fields)


@pytest.mark.parametrize(
    "verb", ["pause", "resume", "approve", "promote", "full", "abort", "retry", "undo"]
)
@pytest.mark.parametrize("stage", STAGES)
def test_every_request_in_every_stage(stage: str, verb: str) -> None:
    world = ask(STAGES[stage](), verb)
    events = len(world.events)
    before = world.status
    world.look()

    assert world.answer.id == f"request-{world.requests}"
    assert (world.answer.by, world.answer.reason) == (
        "alice@example.com",
        "the labels of today are wrong",
    )
    assert world.answer.at == world.now
    if (stage, verb) in DONE:
        assert world.answer.result == "Done", world.answer.message
        assert world.status.rollout != before.rollout
    else:
        assert world.answer.result == "Refused"
        assert world.answer.message
        assert "RequestRefused" in world.events[events:]
    # The annotation stays, and nothing happens for it again.
    answer, events = world.answer, len(world.events)
    world.run()
    assert world.answer == answer
    again = {"RequestRefused", "Paused", "Resumed", "Approved", "Retried"}
    assert not again & set(world.events[events:])


@pytest.mark.parametrize("verb", ["pause", "promote", "full", "abort", "undo"])
def test_a_request_for_another_rollout_is_void(verb: str) -> None:
    world = on_trial()
    before = world.rollout

    ask(world, verb, rolloutId="f" * 10).look()

    assert world.answer.result == "Refused"
    assert world.answer.message == (f"it is for rollout ffffffffff, the present one is {before.id}")
    assert world.rollout == before


def test_a_request_for_another_step_is_void() -> None:
    world = on_trial(1).person("promote", step=0)
    world.look()

    assert world.answer.message == "it is for step 1, the present one is 2"
    assert world.rollout.step == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abort", "Expecting value"),
        ("[]", "must be a JSON object"),
        ("[" * 2000, "is nested too deeply"),
        ('{"id": "a", "id": "b"}', "holds a key twice"),
        ("{}", "id: Field required"),
        ("x" * 5000, "has more than 4096 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_once_and_stops_nothing(text: str, says: str) -> None:
    world = on_trial()
    world.request = text

    world.with_judgement(judged()).run()

    assert world.answer.result == "Refused"
    assert world.answer.message.startswith("annotation assay.dev/request: ")
    assert says in world.answer.message
    assert world.events.count("RequestRefused") == 1
    assert world.rollout.step == 1


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("id", "", "id: String should match pattern"),
        ("verb", "destroy", "verb: Input should be 'pause'"),
        ("rolloutId", "x", "rolloutId: String should match pattern"),
        ("by", 7, "by: Input should be a valid string"),
        ("reason", "x" * 257, "reason: String should have at most 256 characters"),
        ("step", -1, "step: Input should be greater than or equal to 0"),
        ("full", [], "full: Input should be a valid boolean"),
        ("force", True, "force: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, says: str) -> None:
    world = on_trial().person("pause")
    world.request = json.dumps({**json.loads(world.request), field: value})
    world.run()

    assert world.answer.result == "Refused"
    assert says in world.answer.message
    assert world.rollout.paused is None


@pytest.mark.parametrize(
    ("verb", "fields", "says"),
    [
        ("abort", {"full": True}, "full is for promote, not for abort"),
        ("abort", {"toRevision": SEVEN}, "toRevision is needed for undo, and only there"),
        ("undo", {}, "toRevision is needed for undo, and only there"),
    ],
)
def test_fields_go_with_their_verb(verb: str, fields: dict[str, Any], says: str) -> None:
    world = on_trial().person(verb, **fields).run()

    assert world.answer.message.startswith(f"annotation assay.dev/request: {says}; ")
    assert world.stage is Stage.TRIAL


def test_abort_takes_traffic_away_first_and_rejects_the_revision() -> None:
    world = on_trial().person("abort")

    decision = world.look()
    assert decision.order is Order.ACT_THEN_RECORD
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    world.run()

    entry = world.status.history[0]
    assert (entry.verdict, entry.reason) == ("Rollback", "AbortedByHand")
    assert (entry.by, entry.request_reason) == (
        "alice@example.com",
        "the labels of today are wrong",
    )
    assert entry.message.startswith(
        "alice@example.com: the labels of today are wrong. The evidence"
    )
    assert world.says("Stalled") == ("True", "RolledBack")
    world.asks_for(EIGHT).run()
    assert world.canary is None


def test_an_abort_that_was_acted_on_and_not_recorded_is_done_once() -> None:
    world = on_trial().person("abort")
    acted = world.decide()
    for member in world.members.values():
        member.follow(acted.status)
        rollout = acted.status.rollout
        assert rollout is not None
        member.record = RecordView(rollout.id, rollout.decision)

    world.run()  # another operator, which knows what status said before

    assert world.answer.result == "Done"
    assert [item.reason for item in world.status.history] == ["AbortedByHand", "FirstRevision"]
    assert world.status.history[0].by == "alice@example.com"


def test_a_step_by_hand_skips_time_and_evidence() -> None:
    world = on_trial().with_judgement(None).person("promote")

    world.look()

    assert world.rollout.step == 1
    assert world.rollout.steps[1].by == "alice@example.com"
    assert world.run().rollout.step == 1


def test_a_step_by_hand_in_a_pause_by_hand_stays_paused() -> None:
    world = on_trial().person("pause").run().person("promote").run()

    assert world.rollout.step == 1
    assert world.says("Paused") == ("True", "PausedByHand")
    message = world.condition("Paused").message  # type: ignore[union-attr]
    assert "paused by alice@example.com at 2026-11-23 13:00:00 UTC: the labels of today" in message


def test_a_step_by_hand_waits_for_routes_and_pods() -> None:
    world = on_trial().person("promote")
    world.look()
    world.members["east"].route = RouteView(SEVEN, EIGHT, 5, f"{world.rollout.id}/0")
    world.members["west"].reachable = False
    seen = world.person("promote").decide()
    assert seen.status.last_request.message.startswith("the routes do not all")  # type: ignore[union-attr]


def test_promotion_by_hand_is_recorded_with_who_and_why() -> None:
    world = on_trial().person("promote", full=True)

    decision = world.look()
    assert decision.order is Order.RECORD_THEN_ACT
    world.run()

    assert (world.stable, world.stage) == (EIGHT, Stage.DONE)
    entry = world.status.history[0]
    assert (entry.verdict, entry.reason, entry.by) == (
        "Promote",
        "PromotedByHand",
        "alice@example.com",
    )
    assert entry.request_reason == "the labels of today are wrong"


def test_a_canary_is_not_promoted_by_hand_in_the_look_in_which_its_trial_begins() -> None:
    """Whether it is taken does not hang on when the pods got ready: no one has seen it answer."""
    world = serving().later(3600).asks_for(EIGHT)
    world.look()
    world.person("promote", full=True).pods_move()
    world.run()

    assert (world.stable, world.stage) == (SEVEN, Stage.TRIAL)
    assert world.answer.message == "there is no trial: the rollout is in stage Starting"


def test_a_canary_that_lost_is_not_promoted_by_hand() -> None:
    world = on_trial(2).with_judgement(ROLLBACK).person("promote", full=True).run()

    assert world.stable == SEVEN
    assert world.answer.message == "there is no trial: the rollout is in stage RollingBack"


@pytest.mark.parametrize("paused", [Paused.PROMOTION, Paused.ALL])
def test_what_the_spec_holds_is_not_promoted_by_hand(paused: Paused) -> None:
    world = on_trial().pauses(paused).person("promote", full=True).run()

    assert world.answer.message.startswith(f"spec.paused{':' if paused == 'Promotion' else ' is'} ")
    assert world.stage is Stage.TRIAL


def test_all_refuses_an_abort_too_and_says_what_to_do() -> None:
    world = on_trial().pauses(Paused.ALL).person("abort").run()

    assert world.answer.message == (
        "spec.paused is All, so nothing may change: change the spec first"
    )
    assert world.stage is Stage.TRIAL


def test_a_pause_ends_with_its_rollout() -> None:
    world = on_trial().person("pause").run().asks_for(NINE).run()

    assert world.rollout.paused is None
    assert world.canary == NINE
    assert world.stage is Stage.TRIAL


def test_a_retry_goes_on_with_the_evidence_it_had() -> None:
    world = on_trial(1).person("abort").run()
    before = world.rollout

    world.with_judgement(judged(burnt_in=False)).later(600).person("retry").run()

    rollout = world.rollout
    assert world.answer.result == "Done"
    assert rollout.id != before.id
    assert rollout.earlier == (before.id,)
    assert rollout.evidence_since == before.started_at
    # Its steps have numbers of their own, so no stratum mixes two trials.
    assert [step.weight for step in rollout.steps] == [5, 20, 5]
    assert world.members["east"].route == RouteView(SEVEN, EIGHT, 5, f"{rollout.id}/2")
    assert world.status.rejected_revisions == ()


def test_what_lost_by_evidence_loses_again_by_the_same_evidence() -> None:
    world = rejected().person("retry").run()

    assert (world.stage, world.stable) == (Stage.DONE, SEVEN)
    trials = world.status.rejected_revisions[0].trials
    assert trials is not None
    assert len(trials.rollouts) == 2
    assert [item.reason for item in world.status.history][:2] == ["Worse", "Worse"]


def test_against_another_stable_a_retry_has_no_evidence_yet() -> None:
    world = on_trial().person("abort").run().asks_for(NINE).with_judgement(judged())
    world.run().person("promote", full=True).run().asks_for(EIGHT).run()
    assert (world.stable, world.stage) == (NINE, Stage.DONE)

    world.with_judgement(judged(burnt_in=False)).person("retry").run()

    assert world.rollout.continues is None
    assert [step.weight for step in world.rollout.steps] == [5]


def test_what_never_got_ready_is_tried_again_in_the_same_generation() -> None:
    world = serving().asks_for(EIGHT).breaks(EIGHT, "FetchFailed: 503").run().later(601).run()
    assert world.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    world.broken.clear()

    world.with_judgement(judged(burnt_in=False)).person("retry").run()

    assert (world.stage, world.canary) == (Stage.TRIAL, EIGHT)
    assert world.rollout.continues is None


def test_there_is_an_end_to_retries() -> None:
    world = on_trial().person("abort").run()
    for _ in range(15):
        world.with_judgement(None).person("retry").run().person("abort").run()

    world.person("retry").run()

    assert world.answer.message == f"revision {EIGHT} was tried 16 times already"
    assert len(json.dumps(world.document)) < 60_000


def undone() -> World:
    """Version 8 was promoted, and somebody goes back to 7."""
    world = STAGES["promoted"]().later(3600).run()
    world.slow.add(SEVEN)
    return world.person("undo", toRevision=SEVEN)


def test_undo_starts_the_earlier_revision_beside_the_present_one() -> None:
    world = undone().run()

    assert (world.stage, world.stable, world.canary) == (Stage.STARTING, EIGHT, SEVEN)
    assert world.members["east"].route == RouteView(EIGHT, EIGHT, 1, "idle/0")
    ref = world.status.canary
    assert ref is not None
    assert (ref.version, ref.digest) == ("7", "sha256:" + "7" * 64)
    assert world.says("Available")[0] == "True"


def test_undo_takes_all_traffic_at_once_when_the_pods_are_ready() -> None:
    world = undone().run()
    world.slow.clear()
    world.pods_move()

    decision = world.look()
    assert decision.order is Order.RECORD_THEN_ACT
    assert world.members["east"].route == RouteView(SEVEN, SEVEN, 1, "idle/0")
    world.run()

    assert (world.stable, world.stage) == (SEVEN, Stage.DONE)
    entry = world.status.history[0]
    assert (entry.verdict, entry.reason, entry.by) == (
        "Promote",
        "UndoneByHand",
        "alice@example.com",
    )
    # Git still names version 8, which is not tried again by itself.
    assert world.says("Stalled") == ("True", "RolledBack")
    assert world.says("Available") == ("True", "Serving")
    assert world.later(3600).run().canary is None
    assert world.asks_for(SEVEN).run().says("Ready") == ("True", "Serving")


def test_an_undo_that_never_gets_ready_leaves_what_serves() -> None:
    world = undone().run().later(601).run()

    assert (world.stable, world.stage) == (EIGHT, Stage.DONE)
    assert world.says("Ready") == ("True", "Serving")
    assert world.status.history[0].reason == "ProgressDeadlineExceeded"


def test_a_new_revision_takes_the_place_of_an_undo() -> None:
    world = undone().run().asks_for(NINE)
    world.with_judgement(judged(burnt_in=False)).run()

    assert (world.stable, world.canary) == (EIGHT, NINE)
    assert world.stage is Stage.TRIAL
    assert world.rollout.undo is None


def test_git_that_agrees_with_an_undo_changes_nothing_in_it() -> None:
    world = undone().run()
    before = world.rollout.id
    world.slow.clear()

    world.asks_for(SEVEN).run()

    assert (world.rollout.id, world.stable) == (before, SEVEN)
    assert world.says("Ready") == ("True", "Serving")


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        (EIGHT, "revision 8888888888 serves already"),
        (NINE, "history has no revision 9999999999 that was stable; it has 8888888888, 7777777777"),
    ],
)
def test_undo_goes_to_what_was_stable(revision: str, says: str) -> None:
    world = STAGES["promoted"]().person("undo", toRevision=revision).run()

    assert world.answer.message == says
