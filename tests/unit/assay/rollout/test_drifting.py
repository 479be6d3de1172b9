"""Drift and decay are shown, and decide nothing."""

from typing import Any

import pytest

from assay.api.conditions import ConditionType
from assay.judge import Judgement
from assay.rollout.drifting import SIGNALS
from assay.rollout.observation import Signal, Signals

from .world import EIGHT, PROMOTE, ROLLBACK, SEVEN, World, judged

DRIFTED = Signal(True, "DiffersFromTraining", "feature age: PSI 0.41 (limit 0.12)")
KEPT = Signal(False, "NoDrift", "30 features are as in training in the last day")
UNKNOWN = Signal(None, "HistoryTooShort", "nothing is compared yet")
DECAYED = Signal(True, "LabelledQualityFell", "F1 by live labels is 0.571")


def says(revision: str = SEVEN, **said: Signal) -> Signals:
    kinds = {"drift": ConditionType.DRIFT_DETECTED, "quality": ConditionType.QUALITY_DECAYED}
    return Signals(revision, {kinds[name]: each for name, each in said.items()})


def serving() -> World:
    world = World()
    world.run()
    world.pods_move()
    world.run()
    assert world.stable == SEVEN
    world.events.clear()
    return world


def test_what_is_not_watched_is_not_shown() -> None:
    world = serving()
    assert world.says("DriftDetected") == ("absent", "")
    world.signals = says()
    world.run()
    assert world.says("DriftDetected") == ("absent", "")
    assert not world.events


def test_drift_is_a_condition_and_an_event_when_it_begins_and_when_it_ends() -> None:
    world = serving()
    for said, status, events in (
        (UNKNOWN, ("Unknown", "HistoryTooShort"), []),
        (KEPT, ("False", "NoDrift"), []),
        (DRIFTED, ("True", "DiffersFromTraining"), [("Warning", "DiffersFromTraining")]),
        (DRIFTED, ("True", "DiffersFromTraining"), []),
        (KEPT, ("False", "NoDrift"), [("Normal", "NoDrift")]),
    ):
        world.signals = says(drift=said)
        decision = world.look()
        assert world.says("DriftDetected") == status
        assert [(event.type, event.reason) for event in decision.events] == events
        assert [bool(event.topic) for event in decision.events] == [True] * len(events)
    found = world.condition("DriftDetected")
    assert found is not None
    assert found.message == KEPT.message
    assert world.says("Ready")[0] == "True"


def test_a_restarted_operator_leaves_what_was_said_until_it_knows_better() -> None:
    world = serving()
    world.signals = says(drift=DRIFTED, quality=DECAYED)
    world.run()
    world.events.clear()
    world.signals = None
    world.later(60).run()
    assert world.says("DriftDetected") == ("True", "DiffersFromTraining")
    assert world.says("QualityDecayed") == ("True", "LabelledQualityFell")
    world.signals = says(drift=DRIFTED, quality=DECAYED)
    world.run()
    assert not world.events


def test_a_new_stable_version_has_not_drifted_because_the_old_one_had() -> None:
    world = serving()
    world.signals = says(drift=DRIFTED)
    world.run()
    promote(world, PROMOTE)
    assert world.stable == EIGHT
    assert world.says("DriftDetected") == ("absent", "")


def promote(world: World, judgement: Judgement) -> list[dict[str, Any]]:
    """Try the next version with one judgement at all looks; return every status on the way."""
    world.asks_for(EIGHT)
    seen = []
    for _ in range(40):
        world.with_judgement(judgement)
        decision = world.look()
        status = decision.status.to_dict()
        status["conditions"] = [
            each for each in status["conditions"] if each["type"] not in SIGNALS
        ]
        seen.append({"status": status, "order": decision.order, "holds": decision.holds_for})
        seen[-1]["pace"] = decision.pace
        seen[-1]["events"] = [event for event in decision.events if not event.topic]
        world.pods_move()
        world.later(30)
    return seen


@pytest.mark.parametrize("judgement", [PROMOTE, ROLLBACK, judged()], ids=lambda it: it.reason)
def test_a_verdict_is_the_same_whatever_drifts_or_decays(judgement: Judgement) -> None:
    def tried(*turns: Signals | None) -> list[dict[str, Any]]:
        world = serving()
        world.signals = turns[0]
        seen = promote(world, judgement)
        world.signals = turns[-1]
        return [*seen, *promote(world, judgement)]

    usual = tried(None)
    assert tried(says(drift=DRIFTED, quality=DECAYED)) == usual
    both = says(drift=KEPT), says(EIGHT, drift=DRIFTED, quality=DECAYED)
    assert tried(*both) == usual
    assert usual[-1]["status"]["stable"]["revision"] == (EIGHT if judgement is PROMOTE else SEVEN)
