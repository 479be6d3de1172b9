"""Part 3 of the tutorial, on what the demo leaves: version 3 is stable, version 1 was before."""

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from demo.artifacts import ArtifactServer
from demo.manifests import NAME, NAMESPACE
from demo.models import Version, artifact
from demo.stage import Stage
from fleet import Fleet, state
from tests import tutorial
from tests.e2e.person import Person
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e

ROOT = tutorial.PAGE.parent.parent


@pytest.fixture
def after_the_demo(stage: Stage, store: ArtifactServer, person: Person) -> Iterator[Trial]:
    """Versions as the demo leaves them, without waiting for evidence."""
    trial = Trial(stage, store, NAME)
    trial.start(artifact(Version.FIRST))
    trial.apply(artifact(Version.GOOD))
    trial.until_stage(RolloutStage.TRIAL, Version.GOOD)
    asked = person.run("promote", NAME, "-n", NAMESPACE, "--full")
    assert asked.returncode == 0, asked.stderr
    trial.until("version 3 serves", lambda found: found.is_ready)
    yield trial
    trial.delete()


def test_part_3(after_the_demo: Trial, local_fleet: Fleet, tmp_path: pathlib.Path) -> None:
    # A shell that somebody types into knows aliases; `.venv` may be elsewhere in a test.
    programs = pathlib.Path(sys.executable).parent
    lines = [
        "set -euo pipefail; shopt -s expand_aliases",
        tutorial.preparation().replace("--name demo", f"--name {local_fleet.name}"),
        *tutorial.blocks("part 3"),
    ]
    script = tmp_path / "tutorial.sh"
    script.write_text("\n".join(lines).replace(".venv/bin/fleet", f"{programs}/fleet"))

    done = subprocess.run(
        ["bash", str(script)],
        cwd=ROOT,
        env={
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ASSAY_CACHE": str(state.cache_directory()),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "httproute" in said
    assert said.index("RolledBack") < said.index("AbortedByHand")
