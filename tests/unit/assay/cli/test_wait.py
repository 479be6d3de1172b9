"""Waiting in scripts: what is met, what is in vain, and the exit codes that say so."""

import pathlib
import threading
import time

import pytest
from click.testing import CliRunner, Result

from assay.cli import main
from assay.cli.wait import Answer, Goal, Span, outcome

from ..rollout.world import EIGHT, PROMOTE, ROLLBACK, World, on_trial  # noqa: TID252
from .world_hub import WorldHub

MET, MISSED, PENDING = Answer.MET, Answer.MISSED, Answer.PENDING


@pytest.fixture
def hub() -> WorldHub:
    return WorldHub(on_trial(2))


def answers(world: World, wanted: str | None = None) -> list[Answer]:
    """What is answered to promoted, rolled-back and ready."""
    document = WorldHub(world).document()
    return [outcome(document, world.status, goal, wanted)[0] for goal in Goal]


def test_a_trial_is_pending_whatever_is_waited_for() -> None:
    assert answers(on_trial()) == [PENDING, PENDING, PENDING]


def test_a_promotion_is_met_before_everything_serves() -> None:
    world = on_trial(2).with_judgement(PROMOTE)
    world.look()

    assert answers(world) == [MET, PENDING, PENDING]
    assert answers(world.run()) == [MET, MISSED, MET]


def test_a_rollback_is_met_when_it_is_over_and_ends_the_other_waits() -> None:
    world = on_trial(2).with_judgement(ROLLBACK)
    world.look()
    assert answers(world) == [PENDING, PENDING, PENDING]

    assert answers(world.run()) == [MISSED, MET, MISSED]


def test_what_was_said_of_another_generation_does_not_count() -> None:
    world = on_trial(2).with_judgement(ROLLBACK).run()
    world.generation += 1  # the spec was changed, and nobody has looked

    assert answers(world) == [PENDING, PENDING, PENDING]


def test_another_version_in_the_spec_does_not_count_either() -> None:
    world = World().run()

    assert answers(world, "7") == [MET, MISSED, MET]
    assert answers(world, "8") == [PENDING, PENDING, PENDING]


def test_a_spec_that_cannot_be_carried_out_is_waited_for_in_vain() -> None:
    world = World().run().later(60).asks_for(EIGHT)
    world.invalid = "guard p99: its query cannot be read"

    assert answers(world.run()) == [MISSED, MISSED, MISSED]


def test_pods_that_never_start_end_it() -> None:
    world = World().run().later(60).breaks(EIGHT, "no such artifact").asks_for(EIGHT).run()
    assert answers(world) == [PENDING, PENDING, PENDING]

    assert answers(world.later(601).run().later(60).run()) == [MISSED, MET, MISSED]


def test_nobody_has_looked_yet() -> None:
    assert answers(World()) == [PENDING, PENDING, PENDING]


# The command


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["wait", "fraud", "--kubeconfig", str(kubeconfig), *words])


def test_exit_codes(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    late = call(kubeconfig, "--for=promoted", "--timeout=0")
    assert late.exit_code == 3
    assert late.stderr.startswith("assay wait: not promoted: TrialRunning: version 8")

    hub.world.with_judgement(ROLLBACK).run()
    assert call(kubeconfig, "--for=rolled-back").exit_code == 0
    missed = call(kubeconfig, "--for=promoted")
    assert missed.exit_code == 1
    assert "f1 0.61 vs 0.82" in missed.stdout

    assert call(kubeconfig, "--for=better").exit_code == 2
    hub.trouble = 403
    refused = call(kubeconfig, "--for=ready")
    assert (refused.exit_code, refused.stderr) == (2, "assay wait: the server is busy\n")


def test_a_hub_that_is_away_for_a_while_is_waited_for(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    def ends() -> None:
        while not hub.looks:
            time.sleep(0.05)
        hub.trouble = 503
        seen = len(hub.queries)
        while len(hub.queries) == seen:
            time.sleep(0.05)
        hub.world.with_judgement(PROMOTE).run()
        hub.trouble = 0

    thread = threading.Thread(target=ends)
    thread.start()
    found = call(kubeconfig, "--for=promoted", "--timeout=10m")
    thread.join()

    assert found.exit_code == 0, found.output
    assert "version 8 (8888888888) is the stable revision" in found.stdout


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("0", 0), ("1.5", 1.5), ("2d", 172800)]
)
def test_spans_are_those_of_kubectl(text: str, seconds: float) -> None:
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 m", "m", "-1s", "10m!"])
def test_what_is_no_span_is_refused(kubeconfig: pathlib.Path, text: str) -> None:
    assert call(kubeconfig, "--for=ready", f"--timeout={text}").exit_code == 2
