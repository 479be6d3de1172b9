"""A trial as the demo would record it: real models and the real judge, simulated traffic."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import ArmCounts, Evidence, ScoreHistogram, Stratum
from assay.evidence.counts import Moment
from assay.evidence.moments import wanted
from assay_server.ledger.bins import BINS, bin_of
from demo.evidence import TrialRecord, look, sum_scores
from demo.manifests import deployment_manifest
from demo.models import POSITIVE, Version, artifact, scores, split

Record = Callable[[Version], TrialRecord]
START = 1_700_000_000.0
CLASSES = ("benign", POSITIVE)


class Counter:
    """Counts what a ledger would have counted."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.arms: dict[tuple[str, int, str], tuple[np.ndarray, np.ndarray]] = {}
        self.truth = (split().held_out_labels == POSITIVE).astype(int)

    def add(self, member: str, step: int, arm: str, version: Version, rows: int) -> None:
        chosen = self.random.integers(0, len(self.truth), rows)
        probability = scores(version, split().held_out_rows)[chosen]
        confusion, bins = self.arms.setdefault(
            (member, step, arm), (np.zeros((2, 2), int), np.zeros((2, BINS), int))
        )
        np.add.at(confusion, (self.truth[chosen], (probability >= 0.5).astype(int)), 1)
        np.add.at(bins, (1 - self.truth[chosen], bin_of(probability)), 1)

    def evidence(self, weights: dict[int, float], past: Sequence[Moment]) -> Evidence:
        def arm(member: str, step: int, name: str) -> ArmCounts:
            confusion, bins = self.arms[member, step, name]
            histogram = {POSITIVE: ScoreHistogram(bins[0], bins[1])}
            rows = int(confusion.sum())
            return ArmCounts(CLASSES, confusion, histogram, served=rows, labelled=rows)

        places = sorted({(member, step) for member, step, _ in self.arms})
        return Evidence(
            tuple(
                Stratum(
                    f"{member}/{step}",
                    arm(member, step, "stable"),
                    arm(member, step, "canary"),
                    weights[step],
                )
                for member, step in places
            ),
            tuple(past),
        )


def trial_status(spec: ModelDeploymentSpec, step: int) -> ModelDeploymentStatus:
    """Status in the middle of a trial."""
    reference = {"revision": "0" * 10, "version": "1", "digest": "sha256:" + "0" * 64}
    steps = [
        {"weight": item.weight, "startedAt": "2026-01-01T00:00:00Z"}
        for item in spec.rollout.canary.steps[: step + 1]
    ]
    return ModelDeploymentStatus.model_validate(
        {
            "stable": reference,
            "canary": {**reference, "revision": "1" * 10},
            "rollout": {
                "id": "2" * 10,
                "stage": "Trial",
                "step": step,
                "startedAt": "2026-01-01T00:00:00Z",
                "settings": spec.rollout.to_dict(),
                "steps": steps,
            },
        }
    )


@pytest.fixture
def record() -> Record:
    """Return a function that records a trial of a version against the first one, to its verdict."""

    def make(canary: Version) -> TrialRecord:
        manifest = deployment_manifest(artifact(canary), "http://models.example.com")
        spec = ModelDeploymentSpec.model_validate(manifest["spec"])
        steps = spec.rollout.canary.steps
        counter, past = Counter(seed=4), []
        trial = TrialRecord("2" * 10, "1", canary.value)
        step, since = 0, 0
        for second in range(1, 240):
            weight = steps[step].weight / 100
            for member in ("east", "west"):
                served = counter.random.poisson(50)
                of_canary = counter.random.binomial(served, weight)
                counter.add(member, step, "stable", Version.FIRST, served - of_canary)
                counter.add(member, step, "canary", canary, of_canary)
            weights = {index: item.weight / 100 for index, item in enumerate(steps)}
            evidence = counter.evidence(
                weights, [moment for moment in past if moment.seconds in wanted(second, 1)]
            )
            past.append(Moment(float(second), copy.deepcopy(evidence.strata)))
            seen = look(spec, trial_status(spec, step), evidence, START + second)
            trial.looks.append(seen)
            trial.scores = sum_scores(evidence)
            if seen.verdict != "Hold":
                trial.decided = (seen.verdict, seen.reason)
                trial.decided_at = seen.at
                return trial
            if step + 1 < len(steps) and second - since >= steps[step].min_seconds:
                step, since = step + 1, second
        return trial

    return make
