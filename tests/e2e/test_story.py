"""Version 1 becomes stable, version 2 is rolled back, version 3 is promoted, nobody notices."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from assay.api.deployment_status import HistoryEntry
from demo.artifacts import ArtifactServer
from demo.log import Log
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import Observed, Stage
from fleet import Fleet
from tests.e2e.person import Person
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Told:
    """What the story left behind."""

    rolled_back: HistoryEntry
    promoted: HistoryEntry
    between: Observed
    after: Observed
    log: Log
    stable_pods: tuple[dict[str, tuple[str, int]], dict[str, tuple[str, int]]]
    events: list[str]
    reports: dict[str, dict[str, Any]]
    page: str


@pytest.fixture(scope="module")
def told(
    stage: Stage,
    store: ArtifactServer,
    local_fleet: Fleet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Told]:
    """The whole story under a steady 50 requests a second, retries off."""
    trial = Trial(stage, store, "story")
    first, worse, better = (artifact(version) for version in Version)
    trial.start(first)
    started = trial.stage.read(trial.name)
    assert started is not None
    assert started.status.stable is not None
    stable = started.status.stable.revision
    before = trial.pods(stable)
    with trial.stream(50.0) as stream:
        trial.apply(worse)
        rolled_back = trial.verdict(worse)
        between = trial.until(
            "the verdict is told", lambda found: found.condition("Stalled")[0] == "True"
        )
        pods_after = trial.pods(stable)
        trial.apply(better)
        promoted = trial.verdict(better)
        after = trial.until("version 3 serves", lambda found: found.is_ready)
        wait_until(
            "answers of version 3 alone",
            lambda: {item.version for item in stream.log.recent(2.0)} == {"3"},
        )
    events = [event.reason for event in stage.events(trial.name)]
    folder = tmp_path_factory.mktemp("story")
    person, page = Person(folder, local_fleet), folder / "page.html"
    reports = {}
    for entry in (rolled_back, promoted):
        words = (trial.name, "-n", NAMESPACE, "--rollout", entry.id, person.contexts, "-o", "json")
        asked = person.run("report", *words, "--html", str(page))
        assert asked.returncode == 0, asked.stderr
        reports[entry.verdict.value] = json.loads(asked.stdout)
    yield Told(
        rolled_back,
        promoted,
        between,
        after,
        stream.log,
        (before, pods_after),
        events,
        reports,
        page.read_text(),
    )
    trial.delete()


def test_the_worse_version_is_rolled_back(told: Told) -> None:
    assert told.rolled_back.verdict.value == "Rollback"
    assert told.rolled_back.reason == "Worse"


def test_the_better_version_is_promoted_in_both_members(told: Told) -> None:
    assert told.promoted.verdict.value == "Promote"
    assert told.after.status.stable is not None
    assert told.after.status.stable.version == "3"
    assert {(item.name, item.revision) for item in told.after.status.clusters} == {
        (name, told.after.status.stable.revision) for name in ("east", "west")
    }


def test_after_the_rollback_status_says_why_with_the_numbers(told: Told) -> None:
    available, ready, stalled = (
        told.between.condition(kind) for kind in ("Available", "Ready", "Stalled")
    )

    assert available[0] == "True"
    assert ready[:2] == ("False", "RolledBack")
    assert stalled[:2] == ("True", "RolledBack")
    assert "of the canary is" in ready[2]
    assert "of stable" in ready[2]


def test_not_one_request_failed(told: Told) -> None:
    assert told.log.requests > 500
    assert told.log.failures == []


def test_no_pod_of_stable_was_touched(told: Told) -> None:
    before, after = told.stable_pods

    assert len(before) == 2
    assert before == after


def test_events_tell_the_story(told: Told) -> None:
    assert {"RolledBack", "Promoted"} <= set(told.events)


def test_a_report_judges_again_what_was_decided(told: Told) -> None:
    for verdict, report in told.reports.items():
        assert report["decision"]["verdict"] == verdict
        assert report["evidence"][-1]["verdict"] == verdict, report["notes"]
        members = {member["name"]: member["evidence"] for member in report["members"]}
        assert members.keys() == {"east", "west"}
        assert all(member["problem"] is None and member["read"] for member in members.values())
        assert {each["class"] for each in report["curves"]}
    assert told.reports["Promote"]["rollout"]["settingsOfThen"]
    assert not told.reports["Rollback"]["rollout"]["settingsOfThen"]
    assert told.page.count("<svg") >= 3


def test_every_arm_answered_in_both_members(told: Told) -> None:
    seen = {(item.version, item.member) for item in told.log.rows()}

    assert seen == {(version, member) for version in "123" for member in ("east", "west")}
