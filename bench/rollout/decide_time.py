"""CPU time of one decision of the state machine in the middle of a trial, by the number of members.

Run: PYTHONPATH=. .venv/bin/python bench/rollout/decide_time.py
"""

import statistics
import time
from pathlib import Path

import yaml

from assay.api.model_deployment import ModelDeploymentSpec
from assay.rollout.simulation.world import World

EXAMPLE = Path(__file__).parents[2] / "examples/breast-cancer/modeldeployment.yaml"
MEMBERS = (1, 3, 50, 500)


def main() -> None:
    """Print the median and the fastest of some decisions that change nothing."""
    spec = ModelDeploymentSpec.model_validate(yaml.safe_load(EXAMPLE.read_text())["spec"])
    for count in MEMBERS:
        world = World(spec, tuple(f"member-{place:03d}" for place in range(count)))
        status = world.begin()
        times = []
        for _ in range(max(10, 2000 // count)):
            began = time.process_time()
            world.look(status, None, 10.0)
            times.append(1000.0 * (time.process_time() - began))
        print(
            f"{count:4d} members: fastest {min(times):8.2f} ms, median {statistics.median(times):8.2f} ms"
        )


if __name__ == "__main__":
    main()
