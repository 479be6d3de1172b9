"""What all tests share: no time limits, and the local fleet, started once and taken down at the end.

``ASSAY_FLEET=name`` uses a fleet that is already up and leaves it up. Its images are built anew from
this checkout first (a second when nothing has changed): what is tested is what is here.
"""

import os
import pathlib
from collections.abc import Iterator

import hypothesis
import pytest

from demo.artifacts import ArtifactServer
from fleet import Cluster, Fleet

ROOT = pathlib.Path(__file__).parent.parent

# How fast a machine is says nothing about what runs on it.
hypothesis.settings.register_profile(
    "machine-independent",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("machine-independent")


@pytest.fixture(scope="session")
def local_fleet() -> Iterator[Fleet]:
    """Three clusters: hub, east and west."""
    if name := os.environ.get("ASSAY_FLEET"):
        fleet = Fleet.load(name)
        fleet.load_images()
        yield fleet
        return
    fleet = Fleet.up("test", ["hub", "east", "west"])
    try:
        yield fleet
    finally:
        fleet.down()


@pytest.fixture(scope="session")
def hub_with_crds(local_fleet: Fleet) -> Cluster:
    """The hub with this checkout's CustomResourceDefinitions, established."""
    hub = local_fleet.clusters["hub"]
    hub.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    hub.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"))
    return hub


@pytest.fixture(scope="session")
def store(local_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtifactServer]:
    """An artifact store that the members' pods reach."""
    directory = tmp_path_factory.mktemp("artifacts")
    with ArtifactServer(directory, local_fleet.bridge_address) as server:
        yield server
