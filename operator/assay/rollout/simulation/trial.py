"""What is simulated: one rollout's settings, the traffic it gets, and the moments it is looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge import MetricSpec, Policy
from assay.rollout import settings

from .model import Floats, Grid, ScoreModel
from .yardstick import OF_SCORES, Yardstick, grid_for, nothing_yet


class UnsupportedError(ValueError):
    """A metric that the simulation has no model for; the message says what is missing."""


@dataclass(frozen=True)
class Member:
    """One member cluster, by its share of the requests; the shares sum to 1."""

    name: str
    share: float


@dataclass(frozen=True)
class Traffic:
    """What a trial gets to see.

    Attributes
    ----------
    label_rate
        Labelled rows per second, over both versions and all members.
    label_delay
        Seconds from a request to its label.
    label_coverage
        Share of the rows that ever get a label, in (0, 1].
    members
        At least one.
    """

    label_rate: float
    label_delay: float = 0.0
    label_coverage: float = 1.0
    members: tuple[Member, ...] = (Member("member-1", 1.0),)

    @property
    def row_rate(self) -> float:
        """Served rows per second."""
        return self.label_rate / self.label_coverage


@dataclass(frozen=True, eq=False)
class Trial:
    """Everything about a trial but its canary.

    Attributes
    ----------
    spec
        As in the manifest.
    labels
        The negative and the positive class.
    yardsticks
        The metrics, in the manifest's order.
    stable
        The model that serves.
    grid
        Its score bins.
    spacing
        Seconds between two looks: analysis.intervalSeconds, doubled until there are not too many.
    """

    spec: ModelDeploymentSpec
    labels: tuple[str, str]
    yardsticks: tuple[Yardstick, ...]
    policy: Policy
    stable: ScoreModel
    traffic: Traffic
    grid: Grid
    spacing: int

    @classmethod
    def of(
        cls,
        spec: ModelDeploymentSpec,
        yardsticks: Sequence[Yardstick],
        stable: ScoreModel,
        traffic: Traffic,
        most_looks: int,
    ) -> "Trial":
        """Lay out the trial of `spec`, with at most `most_looks` looks."""
        rollout = spec.rollout
        spacing = rollout.analysis.interval_seconds
        # By powers of two: the moments of which a real trial remembers the counts stay looks.
        while math.ceil(rollout.max_seconds / spacing) > most_looks:
            spacing *= 2
        return cls(
            spec=spec,
            labels=class_labels(spec),
            yardsticks=tuple(yardsticks),
            policy=settings.policy(rollout.analysis),
            stable=stable,
            traffic=traffic,
            grid=grid_for(yardsticks, stable),
            spacing=spacing,
        )

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """What the judge is asked."""
        return tuple(each.spec for each in self.yardsticks)

    @property
    def weights(self) -> Floats:
        """The canary's share of the requests by step, (steps,)."""
        return np.array([weight / 100.0 for weight in self.spec.rollout.canary.weights])

    @property
    def looks(self) -> tuple[int, ...]:
        """Seconds since the start at which the trial is looked at, ascending; the last is maxSeconds."""
        end = self.spec.rollout.max_seconds
        return (*range(self.spacing, end, self.spacing), end)

    @property
    def delay(self) -> int:
        """Looks between a request and its label: the label's delay, rounded up to whole looks."""
        return math.ceil(self.traffic.label_delay / self.spacing - 1e-9)


def yardsticks_of(spec: ModelDeploymentSpec) -> tuple[Yardstick, ...]:
    """Return the metrics of the manifest.

    Raises
    ------
    UnsupportedError
        For a metric of the scores of another class than the positive one, and for more than two
        classes.
    ValueError
        For settings that exclude each other.
    """
    labels = class_labels(spec)
    for metric in spec.rollout.analysis.metrics:
        if metric.type.value in OF_SCORES and metric.class_ not in {None, labels[1]}:
            raise UnsupportedError(
                f"{metric.name}: {metric.type.value} of class {metric.class_!r} is not simulated: "
                f"only {labels[1]!r} has scores"
            )
    specs = settings.metric_specs(spec, spec.rollout.analysis, nothing_yet(labels))
    return tuple(Yardstick.of(each, labels) for each in specs)


def class_labels(spec: ModelDeploymentSpec) -> tuple[str, str]:
    """Return the names of the negative and the positive class, as far as the manifest has any."""
    metrics = spec.rollout.analysis.metrics
    decision = spec.model.decision
    classes = [each.class_ for each in metrics if each.class_]
    costs = {
        label
        for each in metrics
        for entry in (each.costs.matrix or () if each.costs else ())
        for label in (entry.label, entry.predicted)
    }
    positive = decision.positive_label if decision else None
    positive = positive or next(iter(classes), None) or max(costs, default="1")
    others = sorted({*classes, *costs} - {positive})
    if len(others) > 1:
        raise UnsupportedError(
            f"the classes {', '.join(others)} beside {positive!r} are not simulated; one is"
        )
    return (others[0] if others else ("0" if positive != "0" else "other")), positive
