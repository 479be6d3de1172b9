"""What the canonical form leaves out changes no decision."""

import datetime
import json
import random
import re
from collections.abc import Callable

import pytest

from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.rollout import PodsView, decide
from tests.unit.assay.rollout.world import PROMOTE, ROLLBACK, World, judged

from .clocks import NOW
from .scope import MEMBERS, WAVES, Budget, Scope
from .state import UID, Written, read_status, written

Thing = Callable[[], object]

SCOPES = (
    Scope("one wave", Budget()),
    Scope("waves", Budget(), waves=WAVES),
    Scope("whole records", Budget(rebuilt=1)),
    Scope("three pods each", Budget(), replicas=3),
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.name)
def test_a_kept_status_acts_like_the_whole_one(scope: Scope, seed: int) -> None:
    """At random places, with messages, history, conditions and every time: the same is decided."""
    dice = random.Random(f"{scope.name}/{seed}")
    world = a_world(scope)
    stages = {world.stage}
    for _ in range(120):
        happens(world, scope, dice)
        stages.add(world.stage)
        kept = as_kept(world.status, world.now, scope)
        seen = world.observation()
        status = read_status(kept.body, kept.entries, scope)
        whole = decide(UID, world.generation, world.spec, world.status, seen, world.now)
        little = decide(UID, world.generation, world.spec, status, seen, NOW)
        expected = as_kept(whole.status, world.now, scope)
        assert named(as_kept(little.status, NOW, scope)) == named(expected)
        assert little.order is whole.order
        assert little.wake_after == whole.wake_after
        reasons = [item.reason for item in whole.events if item.type == "Normal"]
        assert [item.reason for item in little.events if item.type == "Normal"] == reasons
    assert stages > {Stage.TRIAL}


def a_world(scope: Scope) -> World:
    """Version 7 serves, 8 is on trial."""
    world = World(*MEMBERS, replicas=scope.replicas)
    world.keeps_records = True
    for name, member in world.members.items():
        member.labels = {"name": name}
    world.spec, world.revision = scope.spec(scope.revisions[0]), scope.revisions[0]
    for _ in range(2):
        world.run().later(31)
    world.spec, world.revision = scope.spec(scope.revisions[1]), scope.revisions[1]
    world.generation += 1
    return world.with_judgement(judged()).run()


def happens(world: World, scope: Scope, dice: random.Random) -> None:
    """One thing, mostly something that gets a rollout on."""
    name = dice.choice(MEMBERS)

    def asks_for_another() -> None:
        world.revision = dice.choice(scope.revisions)
        world.spec = scope.spec(world.revision)
        world.generation += 1

    def restarts() -> None:
        pods = world.members[name].pods
        for revision, each in pods.items():
            pods[revision] = PodsView(each.desired, dice.randint(0, each.desired))

    said = dice.choice((None, judged(), judged(), PROMOTE, PROMOTE, ROLLBACK))
    verb = dice.choice(("abort", "pause", "resume", "promote"))
    often: list[Thing] = [
        world.look,
        world.look,
        world.pods_move,
        lambda: world.later(dice.choice((1, 29, 31, 60))),
        lambda: world.with_judgement(said),
        lambda: world.finds(*MEMBERS),
    ]
    seldom: list[Thing] = [
        asks_for_another,
        restarts,
        lambda: world.person(verb),
        lambda: world.later(1).loses(name),  # not in the second of the first step: see clocks.py
        lambda: world.later(dice.choice((119, 121, 301))),
    ]
    dice.choice(often if dice.random() < 0.85 else seldom)()


def as_kept(status: ModelDeploymentStatus, now: datetime.datetime, scope: Scope) -> Written:
    """Return `status` as the exploration keeps it when it is `now`."""

    def earlier(found: re.Match[str]) -> str:
        time = datetime.datetime.fromisoformat(found[0]) - (now - NOW)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", earlier, json.dumps(status.to_dict()))
    return written(ModelDeploymentStatus.model_validate_json(text), scope)


def named(kept: Written) -> tuple[str, tuple[str, ...]]:
    """Return `kept` without the name of its rollout, which is made of the time."""
    return re.sub(r'"id":"[0-9a-f]{10}"', '"id":""', kept.body), kept.entries
