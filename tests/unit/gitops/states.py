"""Every state that a ModelDeployment can show, as an API server would give it, decided by the operator's own code."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assay.api.conditions import ConditionType, Reason, condition, update
from assay.api.model_deployment import Paused
from assay.controller.clean import replaced
from assay.placement import Constraint, Fault, Plan
from assay.rollout import decide
from tests.unit.assay.rollout.test_requests import (
    first_start,
    promoting,
    rejected,
    rolling_back,
    starting,
    waiting,
)
from tests.unit.assay.rollout.world import EIGHT, SEVEN, World, judged, on_trial, serving

Document = dict[str, Any]


def shown(world: World) -> Document:
    """The object of `world` as the hub holds it."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {
            "name": "fraud",
            "namespace": "ml",
            "generation": world.generation,
            "resourceVersion": "4711",
        },
        "spec": world.spec.to_dict(),
        "status": world.document or {"observedGeneration": 0},
    }


def new() -> World:
    """Applied; the operator has not looked at it."""
    return World()


def changed() -> World:
    """Git has changed it since the operator looked."""
    return serving().asks_for(EIGHT)


def first_start_late() -> World:
    world = first_start().later(700)
    world.look()
    return world


def refused_artifact() -> World:
    return serving().breaks(EIGHT, "digest does not match").asks_for(EIGHT).run()


def never_ready() -> World:
    return starting().later(700).run()


def pods_missing() -> World:
    """One of the pods of stable is being replaced."""
    world = serving()
    world.slow.add(SEVEN)
    east = world.members["east"]
    east.pods[SEVEN] = replace(east.pods[SEVEN], ready=0)
    world.look()
    return world


def trial_without_stable() -> World:
    world = on_trial()
    world.slow.add(SEVEN)
    east = world.members["east"]
    east.pods[SEVEN] = replace(east.pods[SEVEN], ready=0)
    world.look()
    return world


def trial_held_by_evidence() -> World:
    world = on_trial().with_problems("east")
    world.look()
    return world


def paused_by_hand() -> World:
    return on_trial().person("pause").run()


def paused_in_spec() -> World:
    return on_trial().pauses(Paused.PROMOTION).run()


def frozen() -> World:
    """spec.paused: All, and then another version."""
    world = serving().pauses(Paused.ALL)
    paused = world.spec.paused
    world.asks_for(EIGHT)
    world.spec = world.spec.model_copy(update={"paused": paused})
    world.look()
    return world


def freeze_at_rest() -> World:
    world = serving().pauses(Paused.ALL)
    world.look()
    return world


def inconclusive() -> World:
    return on_trial().with_judgement(judged()).later(90_000).run()


def aborted() -> World:
    return on_trial().person("abort").run()


def undone() -> World:
    world = on_trial().person("promote", full=True).run()
    assert world.stable == EIGHT
    return world.person("undo", toRevision=SEVEN).run()


def reverted() -> World:
    return on_trial().asks_for(SEVEN).run()


def fixed() -> World:
    return rejected().asks_for(SEVEN).run()


def retried() -> World:
    world = rejected().with_judgement(judged(burnt_in=False)).person("retry").run()
    assert world.says("Ready") == ("False", "TrialRunning")
    return world


def invalid() -> World:
    world = serving().asks_for(EIGHT)
    world.invalid = "spec.rollout.analysis.guards[0].query: no such function"
    world.look()
    return world


def unreadable_spec() -> World:
    """As `controller.reconcile` writes it of a spec that the types refuse."""
    world = serving()
    why = "spec.serving.resources: 2 GiB is no quantity"
    _rewrite(
        world,
        condition(ConditionType.READY, False, Reason.INVALID_SPEC, why),
        condition(ConditionType.STALLED, True, Reason.INVALID_SPEC, why),
        condition(ConditionType.RECONCILING, False, Reason.INVALID_SPEC),
    )
    return world


def member_away() -> World:
    return serving().loses("west").run()


def members_away() -> World:
    return serving().loses("east", "west").run()


def members_away_before() -> World:
    """Another version is wanted, and nobody can be asked to serve it."""
    return serving().loses("east", "west").asks_for(EIGHT).run()


def trial_members_away() -> World:
    return on_trial().loses("east", "west").run()


def no_members() -> World:
    return serving().drops("east", "west").run()


def too_full() -> World:
    world = serving()
    fault = Fault(Constraint.CAPACITY, "2 replicas wanted, members allow 1")
    seen = replace(world.observation(), plan=Plan({"east": 1, "west": 1}, fault=fault))
    made = decide("uid-1", world.generation, world.spec, world.status, seen, world.now)
    world.document = made.status.to_dict()
    return world


def _rewrite(world: World, *conditions: Any) -> None:
    old = world.status.conditions
    new = update(old, replaced(old, *conditions), world.generation, world.now)
    world.document = world.status.model_copy(update={"conditions": new}).to_dict()


STATES: dict[str, Callable[[], World]] = {
    "applied, the operator has not looked yet": new,
    "changed in Git, the operator has not looked yet": changed,
    "first start: pods start": first_start,
    "first start: not ready in progressDeadlineSeconds": first_start_late,
    "serves what the spec names": serving,
    "serves; a pod is being replaced": pods_missing,
    "serves; one of two members is away": member_away,
    "serves; `spec.paused: All`": freeze_at_rest,
    "serves; not every replica has a place": too_full,
    "no member can be reached": members_away,
    "no ModelCluster matches": no_members,
    "another version: its pods start": starting,
    "another version: a pod refuses the artifact": refused_artifact,
    "another version: never got ready": never_ready,
    "another version, under `spec.paused: All`": frozen,
    "another version, no member can be reached": members_away_before,
    "trial": on_trial,
    "trial; evidence cannot be read": trial_held_by_evidence,
    "trial; stable has no ready pod in a member": trial_without_stable,
    "trial; no member can be reached": trial_members_away,
    "trial, after a retry": retried,
    "trial, paused by hand": paused_by_hand,
    "trial, `spec.paused: Promotion`": paused_in_spec,
    "trial, waits for approval": waiting,
    "promotion under way": promoting,
    "rollback under way": rolling_back,
    "rolled back: worse": rejected,
    "rolled back: no verdict in maxSeconds": inconclusive,
    "rolled back: aborted by hand": aborted,
    "undone by hand": undone,
    "spec went back to stable in a trial": reverted,
    "spec went back to stable after a rollback": fixed,
    "a guard of the spec cannot be asked": invalid,
    "spec cannot be read": unreadable_spec,
}


def deleting(document: Document, now: datetime.datetime) -> Document:
    """The object while its members are being cleaned."""
    return {
        **document,
        "metadata": {**document["metadata"], "deletionTimestamp": now.isoformat()},
    }
