"""Events of a ModelDeployment and of what it has in members, in one list."""

import json
import pathlib
import urllib.parse
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assay.cli import main

from ..rollout.world import EIGHT, SEVEN, on_trial  # noqa: TID252
from .world_hub import WorldHub


def an_event(
    about: str, at: str, message: str, kind: str = "Normal", **more: Any
) -> dict[str, Any]:
    what, _, name = about.partition("/")
    return {
        "metadata": {"creationTimestamp": "2026-11-23T00:00:00Z"},
        "involvedObject": {"kind": what, "name": name},
        "type": kind,
        "reason": "Because",
        "message": message,
        "lastTimestamp": at,
        **more,
    }


@pytest.fixture
def hub() -> WorldHub:
    hub = WorldHub(on_trial())
    hub.events = [
        an_event(f"Pod/fraud-{EIGHT}-5c4d8-9wq2z", "2026-11-23T13:00:03Z", "is late", "Warning"),
        an_event(f"Pod/fraud-eu-{SEVEN}-x", "2026-11-23T13:00:04Z", "of another one"),
        an_event("Pod/fraud-ledger-0", "2026-11-23T13:00:02Z", "pulled", count=4),
        an_event(
            "ModelDeployment/fraud",
            "",
            "a trial begins",
            lastTimestamp=None,
            eventTime="2026-11-23T13:00:01.000000Z",
        ),
    ]
    return hub


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    found = CliRunner().invoke(main, ["events", "fraud", "--kubeconfig", str(kubeconfig), *words])
    assert found.exit_code == 0, found.output
    return found


def test_the_newest_is_last_and_others_are_left_out(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    hub.in_cluster = ""

    found = json.loads(call(kubeconfig, "--contexts", "west=hub", "-o", "json").stdout)

    # The fake hub does not filter: what came of it as the hub is everything.
    west = [(each["message"], each["count"]) for each in found if each["where"] == "west"]
    assert west == [("a trial begins", 1), ("pulled", 4), ("is late", 1)]
    selector = "involvedObject.kind=ModelDeployment,involvedObject.name=fraud"
    assert selector in urllib.parse.unquote(hub.queries[1])
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)


def test_warnings_alone(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    hub.in_cluster = ""

    lines = call(kubeconfig, "--warnings").stdout.splitlines()

    assert lines == ["2026-11-23 13:00:03  Because  is late"]


def test_nothing_is_said_to_be_nothing(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    hub.events = []

    assert call(kubeconfig).stdout.startswith("no events are kept")
