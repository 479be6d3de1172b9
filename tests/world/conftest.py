"""A fleet of a hub and three members; ``ASSAY_FLEET=name`` uses one that is up."""

import os
from collections.abc import Iterator

import pytest

from demo.artifacts import ArtifactServer
from demo.stage import Stage
from fleet import Fleet
from tests.world.report import Record
from tests.world.world import CLUSTERS, World, WorldStage


@pytest.fixture(scope="session")
def local_fleet() -> Iterator[Fleet]:
    """The hub, aws-eu, gcp-eu and gcp-us."""
    if name := os.environ.get("ASSAY_FLEET"):
        fleet = Fleet.load(name)
        fleet.load_images()
        yield fleet
        return
    fleet = Fleet.up("world", CLUSTERS)
    try:
        yield fleet
    finally:
        fleet.down()


@pytest.fixture(scope="session")
def stage(local_fleet: Fleet) -> Iterator[Stage]:
    """The operator on the hub, and three members that say where they are."""
    assert tuple(local_fleet.clusters) == CLUSTERS
    hub, *members = local_fleet.clusters.values()
    stage = WorldStage(hub, {member.name: member for member in members})
    stage.install()
    yield stage
    stage.uninstall()


@pytest.fixture(scope="session")
def world(local_fleet: Fleet, stage: Stage, store: ArtifactServer) -> Iterator[World]:
    """One world for all chapters: what is watched is watched from the first to the last."""
    with World(local_fleet, stage, store).running() as world:
        yield world


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """Facts for the table, which is written when every chapter was told and held."""
    record = Record()
    yield record
    if record.is_complete and not request.session.testsfailed:
        record.write()
