"""What the counters in the members' Prometheus say of a trial, read and judged once more.

The operator reads the same counters and decides. The judge keeps no state, so anybody who can
read Prometheus can follow a trial look by look; that is what the live view and the plots show.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import (
    Evidence,
    EvidenceUnavailable,
    MemberEvidence,
    ScoreHistogram,
    combine,
    moments,
)
from assay.evidence.prometheus import Connection, Trial, read
from assay.judge import Judgement, judge
from assay.rollout.settings import metric_specs, policy

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricPoint:
    """One metric at one look; numbers are None while the metric has no value.

    `lower` and `upper` are the band of canary less stable. Before `past_burn_in` there are too few
    labels for the e-values to count.
    """

    stable: float | None
    canary: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    log_e_promote: float | None
    log_e_rollback: float | None
    limit_promote: float | None
    limit_rollback: float | None
    past_burn_in: bool = True


@dataclass(frozen=True)
class Look:
    """One look at a trial.

    Attributes
    ----------
    at
        Unix seconds.
    labels
        Labelled rows of (stable, canary) over all members and steps.
    metrics
        By name; empty when the evidence could not be read.
    problem
        Why it could not be read, else empty.
    """

    at: float
    step: int
    weight: int
    labels: tuple[int, int]
    verdict: str
    reason: str
    message: str
    metrics: Mapping[str, MetricPoint]
    problem: str = ""


@dataclass
class TrialRecord:
    """Everything that was seen of one trial: the looks, and the score counts of the last one.

    Attributes
    ----------
    scores
        By arm (``stable``, ``canary``): counts per bin of positive and negative rows, summed over
        members and steps.
    decided
        Verdict and reason that the operator wrote down, None while there are none.
    """

    rollout: str
    stable_version: str
    canary_version: str
    canary_revision: str = ""
    looks: list[Look] = field(default_factory=list)
    scores: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    decided: tuple[str, str] | None = None
    decided_at: float | None = None

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> "TrialRecord":
        """Read a record that `write` wrote."""
        data = json.loads(path.read_text())
        looks = [
            Look(
                **{
                    **look,
                    "labels": tuple(look["labels"]),
                    "metrics": {
                        name: MetricPoint(**point) for name, point in look["metrics"].items()
                    },
                }
            )
            for look in data.pop("looks")
        ]
        scores = {arm: (counts[0], counts[1]) for arm, counts in data.pop("scores").items()}
        decided = data.pop("decided")
        return cls(**data, looks=looks, scores=scores, decided=tuple(decided) if decided else None)


@dataclass
class Past:
    """What the members said at earlier moments of one trial, as the operator reads them again."""

    members: dict[int, Mapping[str, MemberEvidence]] = field(default_factory=dict)
    built: moments.Built = field(default_factory=dict)

    def joined(
        self, members: Mapping[str, MemberEvidence], elapsed_seconds: float, rollout: RolloutStatus
    ) -> dict[int, Mapping[str, MemberEvidence]]:
        """Return the moments that a look wants, and remember what the members say now."""
        interval = rollout.settings.analysis.interval_seconds
        wanted = moments.wanted(elapsed_seconds, interval)
        self.members = {at: then for at, then in self.members.items() if at in wanted}
        known, now = dict(self.members), int(elapsed_seconds)
        if now % interval == 0:
            self.members[now] = {
                name: said.coarser(moments.COARSENING) for name, said in members.items()
            }
        return known


def read_trial(
    connections: Mapping[str, Connection],
    namespace: str,
    name: str,
    status: ModelDeploymentStatus,
    *,
    now: float,
    scrape_interval_seconds: float,
    label_age_seconds: int = 0,
    at: float | None = None,
    past: Past | None = None,
) -> Evidence:
    """Read the counts of the running trial from every member's Prometheus, now or as they were at `at`.

    With `past` they have a history, and are remembered there.

    Raises
    ------
    EvidenceUnavailable
        If one of them cannot be read in full.
    """
    rollout = status.rollout
    assert rollout is not None
    assert status.stable is not None
    assert status.canary is not None
    window = max(60.0, now - rollout.started_at.timestamp() + 30.0)
    members = {
        member: read(
            connection,
            Trial(namespace, name, rollout.id, label_age_seconds),
            scrape_interval_seconds=scrape_interval_seconds,
            window_seconds=window,
            at=at,
        )
        for member, connection in connections.items()
    }
    steps = rollout.settings.canary.weights
    weights = {index: weight / 100 for index, weight in enumerate(steps)}
    revisions = status.stable.revision, status.canary.revision
    evidence = combine(members, *revisions, weights=weights)
    if past is None:
        return evidence
    known = past.joined(members, now - rollout.started_at.timestamp(), rollout)
    history = moments.history(known, members, *revisions, weights=weights, built=past.built)
    return replace(evidence, history=history)


def outcomes(
    connections: Mapping[str, Connection],
    namespace: str,
    name: str,
    trial: TrialRecord,
    labels: Sequence[str],
    *,
    scrape_interval_seconds: float,
) -> npt.NDArray[np.int64]:
    """Return the canary's confusion matrix as Prometheus holds it, summed over members and steps.

    Rows are true classes, columns predicted ones, both as in `labels`. A trial that is over may be
    read too: its counters stay. Raises `EvidenceUnavailable`.
    """
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for connection in connections.values():
        found = read(
            connection,
            Trial(namespace, name, trial.rollout),
            scrape_interval_seconds=scrape_interval_seconds,
            window_seconds=60.0,
        )
        for (revision, _), counts in found.counts.items():
            if revision == trial.canary_revision:
                for (truth, predicted), rows in counts.outcomes.items():
                    matrix[labels.index(truth), labels.index(predicted)] += rows
    return matrix


def look(
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    evidence: Evidence | EvidenceUnavailable,
    now: float,
) -> Look:
    """Judge the evidence as the operator does, and return what to show."""
    rollout = status.rollout
    assert rollout is not None
    weight = rollout.steps[-1].weight if rollout.steps else 0
    if isinstance(evidence, EvidenceUnavailable):
        return Look(
            at=now,
            step=rollout.step,
            weight=weight,
            labels=(0, 0),
            verdict="Hold",
            reason=evidence.reason,
            message=evidence.message,
            metrics={},
            problem=f"{evidence.reason}: {evidence.message}",
        )
    analysis = rollout.settings.analysis
    how = policy(analysis, members=len(status.clusters))
    judgement = judge(metric_specs(spec, analysis, evidence), how, evidence)
    return Look(
        at=now,
        step=rollout.step,
        weight=weight,
        labels=evidence.labelled,
        verdict=judgement.verdict.value,
        reason=judgement.reason,
        message=judgement.message,
        metrics=_points(judgement),
    )


def sum_scores(evidence: Evidence) -> dict[str, tuple[list[int], list[int]]]:
    """Return the score counts (positive rows, negative rows) per bin of both arms, summed."""
    arms = {
        "stable": [stratum.stable.scores for stratum in evidence.strata],
        "canary": [stratum.canary.scores for stratum in evidence.strata],
    }
    result = {}
    for arm, scores in arms.items():
        histograms: list[ScoreHistogram] = [
            histogram for by_class in scores for histogram in by_class.values()
        ]
        if histograms:
            total = sum(histograms[1:], start=histograms[0])
            result[arm] = (total.positive.tolist(), total.negative.tolist())
    return result


def roc_curve(positive: Sequence[int], negative: Sequence[int]) -> tuple[Floats, Floats]:
    """Return (false, true) positive rates from the highest threshold to the lowest, with both ends.

    Counts are per bin in ascending order of the score. An arm without one of the classes has no
    curve: the result is then the diagonal's two ends.
    """
    true = np.asarray(positive, dtype=np.float64)[::-1].cumsum()
    false = np.asarray(negative, dtype=np.float64)[::-1].cumsum()
    if not len(true) or true[-1] == 0 or false[-1] == 0:
        ends = np.array([0.0, 1.0])
        return ends, ends
    start = np.zeros(1)
    return np.concatenate([start, false / false[-1]]), np.concatenate([start, true / true[-1]])


def _points(judgement: Judgement) -> dict[str, MetricPoint]:
    names: Any = MetricPoint.__dataclass_fields__
    return {
        metric.name: MetricPoint(**{name: getattr(metric, name) for name in names})
        for metric in judgement.metrics
    }
