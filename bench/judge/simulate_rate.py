"""Simulated rollouts per core-minute: what `assay simulate` does in its default setting.

Run: .venv/bin/python bench/judge/simulate_rate.py [RUNS]
"""

import sys
import time

import numpy as np

from assay.api.model_deployment import ModelDeploymentSpec
from assay.rollout.simulation import (
    Effect,
    Member,
    Simulation,
    Traffic,
    Trial,
    canary,
    fit,
    yardsticks_of,
)

EFFECTS = (1.0, 0.0, -1.0, -2.0, -5.0)
F1 = {"name": "f1", "type": "F1", "margin": "0.03"}
AUC = {"name": "auc", "type": "ROCAUC", "margin": "0.01"}
BASELINES = {"f1": 0.9, "auc": 0.98}
CASES = {
    "F1, 40 labels/s": ([F1], 40.0, 1),
    "F1 + AUC, 40 labels/s": ([F1, AUC], 40.0, 1),
    "F1 + AUC, 200 labels/s": ([F1, AUC], 200.0, 1),
    "F1, 40 labels/s, 3 members": ([F1], 40.0, 3),
    "F1 + AUC, 40 labels/s, 3 members": ([F1, AUC], 40.0, 3),
}


def a_trial(metrics: list[dict[str, str]], rate: float, members: int) -> Trial:
    """Ten minutes with a look every second, as in examples/breast-cancer."""
    spec = ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": "https://models.example.com/a.skops",
                "version": "2",
                "digest": "sha256:" + "2" * 64,
            },
            "traffic": {"parentRefs": [{"name": "models"}]},
            "rollout": {
                "canary": {"steps": [{"weight": 10, "minSeconds": 20}, {"weight": 50}]},
                "maxSeconds": 600,
                "analysis": {"intervalSeconds": 1, "metrics": metrics},
            },
        }
    )
    yardsticks = yardsticks_of(spec)
    wanted = {each.spec.name: BASELINES[each.spec.name] for each in yardsticks}
    stable = fit(yardsticks, wanted, 0.37)
    alike = tuple(Member(f"m{place}", 1.0 / members) for place in range(members))
    return Trial.of(spec, yardsticks, stable, Traffic(rate, members=alike), 2000)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for title, case in CASES.items():
        trial = a_trial(*case)
        canaries = [canary(trial.yardsticks, trial.stable, Effect(size)) for size in EFFECTS]
        start = time.process_time()
        simulation = Simulation(trial, canaries, runs, np.random.default_rng(1))
        while simulation.advance():
            pass
        minutes = (time.process_time() - start) / 60.0
        looks = np.mean([each.seconds.mean() for each in simulation.outcomes()])
        print(
            f"{title}: {len(EFFECTS) * runs / minutes:,.0f} rollouts per core-minute, "
            f"{looks:.0f} looks each"
        )


if __name__ == "__main__":
    main()
