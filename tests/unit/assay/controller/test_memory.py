"""What is written when, and a rollback that the hub does not know yet."""

import dataclasses
import time
from typing import Any

from assay.controller.hub import Deployment, deployment
from assay.controller.memory import Memory
from assay.rollout import Event

SETTINGS: dict[str, Any] = {}


def a_document(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "ml",
            "name": "fraud",
            "uid": "uid-1",
            "generation": 3,
            "resourceVersion": "42",
            "finalizers": ["assay.dev/cleanup"],
        },
        "spec": {
            "model": {"uri": "https://m/7", "version": "7", "digest": "sha256:" + "7" * 64},
            "traffic": {"parentRefs": [{"name": "models"}]},
        },
        "status": status,
    }


def a_rollout(stage: str, verdict: str | None = None, id_: str = "0" * 10) -> dict[str, Any]:
    decision = {"verdict": verdict, "reason": "Worse", "at": "2026-11-23T12:00:00Z"}
    return {
        "id": id_,
        "stage": stage,
        "startedAt": "2026-11-23T12:00:00Z",
        "settings": {},
        **({"decision": decision} if verdict else {}),
    }


def an_item(**status: Any) -> Deployment:
    return deployment(a_document(**status))


ON_TRIAL = an_item(rollout=a_rollout("Trial"))
BACK = an_item(rollout=a_rollout("RollingBack", "Rollback")).status


def test_a_rollback_that_was_acted_on_wins_over_what_the_hub_says() -> None:
    memory = Memory()
    memory.take(ON_TRIAL)
    memory.latched = BACK
    assert memory.take(ON_TRIAL).status is BACK


def test_it_is_forgotten_once_the_hub_knows() -> None:
    memory = Memory(latched=BACK)
    memory.take(ON_TRIAL)
    memory.latched = BACK
    known = dataclasses.replace(ON_TRIAL, status=BACK)
    assert memory.take(known) is known
    assert memory.latched is None


def test_it_says_nothing_about_another_rollout() -> None:
    memory = Memory()
    memory.take(ON_TRIAL)
    memory.latched = BACK
    other = an_item(rollout=a_rollout("Trial", id_="1" * 10))
    assert memory.take(other) is other


def test_another_object_of_the_same_name_starts_afresh() -> None:
    memory = Memory()
    memory.take(ON_TRIAL)
    memory.keys, memory.latched, memory.unsaid = "k", BACK, [Event("Normal", "X", "x")]
    memory.take(dataclasses.replace(ON_TRIAL, uid="uid-2"))
    assert (memory.keys, memory.latched, memory.unsaid) == (None, None, [])


def test_keys_are_not_shown() -> None:
    assert "hidden" not in repr(Memory(keys="hidden"))


def test_transitions_are_written_at_once_and_numbers_now_and_then() -> None:
    memory = Memory()
    entry = {"metric": "f1", "verdict": "Hold", "reason": "Undecided"}
    old = an_item(analysis=[{**entry, "canary": "0.8"}]).status
    numbers = an_item(analysis=[{**entry, "canary": "0.9"}]).status
    verdict = an_item(analysis=[{**entry, "canary": "0.9", "verdict": "Rollback"}]).status
    assert memory.worth_writing(old, numbers)
    memory.wrote("43", old)
    assert not memory.worth_writing(old, old)
    assert not memory.held_back
    assert not memory.worth_writing(old, numbers)
    assert memory.held_back
    memory.held_back = False  # another look
    assert memory.worth_writing(old, verdict)
    assert not memory.held_back


def test_what_saves_writes_after_a_restart_costs_no_write_of_its_own() -> None:
    cluster = {"name": "east", "reachable": True}
    memory = Memory(last=an_item(), numbers_at=time.monotonic())
    old, proved = (
        an_item(clusters=[each]).status for each in (cluster, {**cluster, "applied": "a.b"})
    )
    assert old != proved
    assert not memory.worth_writing(old, proved)


PENDING = {"name": "p99", "member": "east", "limit": "<= 0.2", "reason": "GuardPending"}


def test_what_guards_said_is_known_although_the_hub_did_not_take_it() -> None:
    memory = Memory()
    said = an_item(rollout=a_rollout("Trial"), guards=[PENDING]).status
    memory.decided(said)
    assert memory.with_guards(ON_TRIAL).status == said
    other = an_item(rollout=a_rollout("Trial", id_="1" * 10))
    assert memory.with_guards(other) is other


def test_a_guard_that_turns_is_written_at_once() -> None:
    memory = Memory()
    old = an_item(guards=[{**PENDING, "value": "0.3"}]).status
    memory.wrote("43", old)
    assert not memory.worth_writing(old, an_item(guards=[{**PENDING, "value": "0.4"}]).status)
    turned = {**PENDING, "value": "0.3", "reason": "GuardBreached"}
    assert memory.worth_writing(old, an_item(guards=[turned]).status)
