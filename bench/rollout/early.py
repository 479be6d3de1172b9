"""How many answers of a canary reach clients before its trial begins.

Usage: ``ASSAY_FLEET=name python -m bench.rollout.early [TRIALS] [REQUESTS_PER_SECOND]`` on a fleet
that is up; without ASSAY_FLEET a fleet is made and taken down. A gateway may take new endpoints before new weights: while it does, the canary meets
the weight that its slot had at rest (`assay.rollout.traffic`), and its answers still bear the
stratum ``idle``.

Each trial: a version gets 5 % of a steady stream, and is taken back by the spec as soon as the
record says that it is on trial in both members and answers came.
"""

import os
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from assay.api.deployment_status import Stage as RolloutStage
from demo.artifacts import ArtifactServer
from demo.models import Version, artifact
from demo.stage import Stage
from fleet import Fleet
from tests.e2e.trial import Trial

if TYPE_CHECKING:
    from demo.log import Prediction

STEPS = {"rollout.canary.steps": [{"weight": 5}]}
SEEN_SECONDS = 2.0
"""How long each trial is watched."""


def main() -> None:
    """Run the trials and print what was answered early."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 200.0
    first, other = artifact(Version.FIRST), artifact(Version.GOOD)
    name = os.environ.get("ASSAY_FLEET")
    fleet = Fleet.load(name) if name else Fleet.up("bench")
    hub, *members = fleet.clusters.values()
    stage = Stage(hub, {member.name: member for member in members})
    stage.install()
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            ArtifactServer(pathlib.Path(directory), fleet.bridge_address) as store,
        ):
            trial = Trial(stage, store, "early")
            trial.start(first, STEPS)
            early: list[Prediction] = []
            with trial.stream(rate) as stream:
                for number in range(1, trials + 1):
                    trial.apply(other, STEPS)
                    trial.until_stage(RolloutStage.TRIAL, other.version)
                    time.sleep(SEEN_SECONDS)
                    trial.apply(first, STEPS)
                    trial.until("stable alone", lambda found: found.is_ready)
                    early = stream.log.rows(
                        lambda row: row.version == other.version and row.rollout == "idle"
                    )
                    print(f"trial {number}: {len(early)} early answers so far", flush=True)
            late = len(stream.log.rows(lambda row: row.version == other.version)) - len(early)
            print(
                f"{len(early)} early answers and {late} on trial in {trials} trials at "
                f"{rate:.0f} requests per second; {len(stream.log.failures)} failed requests"
            )
            trial.delete()
    finally:
        stage.uninstall()
        if not name:
            fleet.down()


if __name__ == "__main__":
    main()
