"""Why a version was promoted, rolled back or neither, and what people did, for 3 a.m."""

import json
import pathlib

import pytest
import yaml
from click.testing import CliRunner

from assay.cli import main
from assay.cli.explain_words import ENDS, HOLDS
from assay.cli.report_words import WHY
from assay.evidence import errors
from assay.judge import reasons
from assay.rollout import guards

from ..rollout.world import EIGHT, NINE, PROMOTE, ROLLBACK, World, judged, on_trial  # noqa: TID252
from .test_status import METRICS, STEPS, measured
from .world_hub import WorldHub


@pytest.fixture
def hub() -> WorldHub:
    return WorldHub(on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run())


def run(kubeconfig: pathlib.Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, [*words, "--kubeconfig", str(kubeconfig)])
    assert result.exit_code == code, result.output
    return result.output


def told(kubeconfig: pathlib.Path, *words: str) -> str:
    return " ".join(run(kubeconfig, *words).split())


def lose(world: World) -> None:
    world.with_judgement(ROLLBACK).run().later(60).run()


def test_a_running_trial_says_what_is_missing_and_how_much_time_is_left(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    text = told(kubeconfig, "explain", "fraud")

    assert text.startswith("Version 8 is on trial since 2026-11-23 13:00:00 UTC (")
    assert "nothing is decided yet" in text
    assert f"Undecided: {HOLDS['Undecided'].means}" in text
    assert "Available is True: version 7 (7777777777) answers in 2 members." in text
    assert "Version 8 gets east 20 %, west 20 % of the traffic." in text
    assert "kubectl assay abort fraud -n ml ends it now" in text


def test_numbers_are_said_in_plain_words_also_where_less_is_better(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    text = told(kubeconfig, "explain", "fraud")

    assert "f1: the canary has 0.8100 and stable 0.8200, so it measures 0.0100 worse." in text
    assert (
        "With 95 % confidence it lies between 0.0310 worse and 0.0110 better; "
        "you allow 0.02, and both is possible yet." in text
    )
    assert "loss: the canary has 0.2900 and stable 0.3100, so it measures 0.0200 better." in text
    assert (
        "it lies between 0.0020 worse and 0.0400 better; you allow 0.05, and it is within that"
        in text
    )
    assert "1 310 labels of the canary and 5 220 of stable." in text


def test_a_rollback_says_why_what_serves_and_what_to_do(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    lose(hub.world)

    text = told(kubeconfig, "explain", "fraud")

    assert text.startswith(
        "Version 8 was rolled back at 2026-11-23 13:01:00 UTC, 60 s after it began (Worse)."
    )
    assert "In a metric it is shown to be worse than the old version." in text
    assert "f1 0.61 vs 0.82, difference -0.21 [-0.30, -0.12]" in text
    assert "Available is True: version 7 (7777777777) answers in 2 members." in text
    assert ENDS["Worse"].split(".")[0] in text
    assert f"report fraud -n ml --rollout {hub.world.rollout.id}" in text


@pytest.mark.parametrize("which", ["8", EIGHT])
def test_any_version_of_history_can_be_asked_for(
    hub: WorldHub, kubeconfig: pathlib.Path, which: str
) -> None:
    lose(hub.world)
    hub.world.asks_for(NINE).with_judgement(judged()).run()

    text = told(kubeconfig, "explain", "fraud", which)

    assert text.startswith("Version 8 was rolled back")
    assert "f1 0.61 vs 0.82" in text
    assert "what was measured" not in text  # status has the numbers of version 9 by now
    assert told(kubeconfig, "explain", "fraud").startswith("Version 9 is on trial")
    refused = run(kubeconfig, "explain", "fraud", "11", code=1)
    assert "there has been no rollout 11; versions in history: 8, 7" in refused


def test_a_person_is_named_with_their_words(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    hub.world.person("abort").run().later(60).run()

    text = told(kubeconfig, "explain", "fraud")

    assert "was rolled back by alice@example.com at" in text
    assert "In their words: the labels of today are wrong" in text


def test_pods_that_do_not_start_are_explained_in_their_own_words(
    kubeconfig: pathlib.Path, hub: WorldHub
) -> None:
    hub.world = World().run().later(60)
    hub.world.breaks(EIGHT, "digest is sha256:00, not sha256:88").asks_for(EIGHT).run()

    text = told(kubeconfig, "explain", "fraud")

    assert text.startswith("Version 8 is starting since")
    assert "digest is sha256:00, not sha256:88" in text
    assert "Mend uri, digest or credentials" in text


def test_what_keeps_the_first_rollout_from_beginning_is_said(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    hub.world = World()
    hub.world.drops("east", "west").run()

    text = run(kubeconfig, "explain", "fraud", code=1)

    assert "there has been no rollout yet. NoMembers: no ModelCluster with any label" in text
    assert "Correct spec.placement.clusterSelector" in text


def test_json_and_yaml_have_the_same(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    lose(hub.world)

    found = json.loads(run(kubeconfig, "explain", "fraud", "-o", "json"))

    assert yaml.safe_load(run(kubeconfig, "explain", "fraud", "-o", "yaml")) == found
    assert (found["version"], found["verdict"], found["reason"]) == ("8", "Rollback", "Worse")
    assert found["at"] == "2026-11-23T13:01:00Z"


def test_every_reason_has_words() -> None:
    """Of the judge, of what cannot be read, and of guards."""
    every = {
        value
        for module in (reasons, errors, guards)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    kept = guards.KEPT  # nothing to say

    assert every - {kept} <= HOLDS.keys() | WHY.keys()
    assert {reason for reason, words in HOLDS.items() if not words.means} == set()


def test_history_lists_rollouts_newest_first_and_who_did_what(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    hub.world.person("abort").run().later(60).run()
    hub.world.asks_for(NINE, canary={"steps": STEPS}).with_judgement(judged()).run()
    hub.world.person("approve").run()

    lines = run(kubeconfig, "history", "fraud").splitlines()

    assert lines[0].split() == ["ended", "(UTC)", "version", "verdict", "reason", "took", "by"]
    assert lines[1].split()[:4] == ["under", "way", "9", "Trial"]
    assert lines[2].split()[:5] == ["2026-11-23", "13:01", "8", "Rollback", "AbortedByHand"]
    assert lines[3].split()[:5] == ["2026-11-23", "12:00", "7", "Promote", "FirstRevision"]
    text = " ".join("\n".join(lines).split())
    assert "alice@example.com ended the pause at step 2" in text
    assert "decided Rollback of version 8 (AbortedByHand): the labels of today are wrong" in text
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_history_as_a_document(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    hub.world.with_judgement(PROMOTE).run()

    found = json.loads(run(kubeconfig, "history", "fraud", "-o", "json"))

    assert found["running"]["version"] == "8"
    assert found["history"][0]["seconds"] == 0
    assert found["people"] == []
