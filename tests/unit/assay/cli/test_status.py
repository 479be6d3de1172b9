"""The screen for whoever is on call."""

import io

from rich.console import Console

from assay.api.deployment_status import ModelDeploymentStatus
from assay.cli.status import show

from ..rollout.world import (  # noqa: TID252
    EIGHT,
    judged,
    on_trial,
    serving,
    without_gateway,
)

STEPS = [{"weight": 5}, {"pause": "Manual"}, {"weight": 50}]


def screen(status: ModelDeploymentStatus, generation: int) -> str:
    out = io.StringIO()
    show(Console(file=out, width=100, highlight=False), "ml/fraud", generation, status)
    return out.getvalue()


def test_it_says_what_is_waited_for_and_who_can_do_what() -> None:
    world = on_trial(canary={"steps": STEPS}).with_judgement(judged()).run()
    world.loses("west").person("resume").run()

    text = screen(world.status, world.generation)

    assert text.splitlines()[0] == "ml/fraud  Ready False, WaitingForApproval"
    assert "Paused: step 2 waits for a person: kubectl assay approve goes on" in text
    assert "MembersReachable: 1 of 2 members cannot be reached: west: connection refused" in text
    assert f"rollout: {world.rollout.id}, Trial, step 2 of 3" in text
    assert "stable: version 7 (7777777777)" in text
    assert "last request: resume by alice@example.com at 2026-11-23 13:00:00 UTC: Refused." in text
    assert "Hold (Undecided)" in text
    assert "5 %" in text


def test_it_says_the_share_that_pods_really_make() -> None:
    world = without_gateway(serving(replicas=2)).later(60).asks_for(EIGHT).run()

    text = screen(world.status, world.generation)

    assert "share: the canary gets 33 % by its ready pods" in text
    assert text.count("5 %, by pods 33 %") == 2


def test_it_says_that_the_operator_has_not_looked() -> None:
    text = screen(ModelDeploymentStatus(), 1)

    assert text.splitlines()[:3] == [
        "ml/fraud  not looked at yet",
        "the operator has not seen generation 1 of the spec yet",
        "  stable: none",
    ]
