"""Assay installed once on the fleet; every test brings a ModelDeployment of its own."""

import pathlib
import re
from collections.abc import Iterator

import pytest

from demo.artifacts import ArtifactServer
from demo.stage import Stage
from fleet import Fleet
from tests.e2e.person import Person
from tests.e2e.trial import Trial


@pytest.fixture(scope="session")
def stage(local_fleet: Fleet) -> Iterator[Stage]:
    """The operator on the hub, east and west as members."""
    hub, *members = local_fleet.clusters.values()
    stage = Stage(hub, {member.name: member for member in members})
    stage.install()
    yield stage
    stage.uninstall()


@pytest.fixture
def trial(request: pytest.FixtureRequest, stage: Stage, store: ArtifactServer) -> Iterator[Trial]:
    """A ModelDeployment named after the test, deleted afterwards."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:36].strip("-")
    trial = Trial(stage, store, name)
    yield trial
    trial.delete()


@pytest.fixture
def person(local_fleet: Fleet, tmp_path: pathlib.Path) -> Person:
    """An administrator of all clusters."""
    return Person(tmp_path, local_fleet)
