"""How a ModelDeployment stands: all that the screen of `kubectl assay status` shows. Pure."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from assay.api.analysis import Mode
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage, Verdict
from assay.api.model_deployment import ModelDeploymentSpec
from assay.rollout import waves

from .member_pods import Pods

HISTORY = 3
"""Rollouts of the past that are on the screen."""


@dataclass(frozen=True)
class Standing:
    """What is known of a ModelDeployment.

    Attributes
    ----------
    name
        With its namespace.
    spec
        None if it cannot be read.
    labels
        Of the ModelClusters, by name; empty for who may not read them.
    pods
        Of the members that were asked.
    lines
        What else there is to say, as key and words.
    """

    name: str
    generation: int
    spec: ModelDeploymentSpec | None
    status: ModelDeploymentStatus
    now: datetime.datetime
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pods: Mapping[str, Pods] = field(default_factory=dict)
    lines: tuple[tuple[str, str], ...] = ()

    @property
    def running(self) -> RolloutStatus | None:
        """The rollout that is under way."""
        rollout = self.status.rollout
        return None if rollout is None or rollout.stage is Stage.DONE else rollout

    def verdict(self) -> tuple[Verdict, str] | None:
        """Return what the evidence of a running trial says and why; None while nothing is judged."""
        rollout = self.running
        if rollout is None or rollout.stage is Stage.STARTING:
            return None
        if (decided := rollout.decision or rollout.latched) is not None:
            return decided.verdict, decided.reason
        deciding = [item for item in self.status.analysis if item.mode is not Mode.DRY_RUN]
        reason = next(
            (each.reason for each in self.status.conditions if each.type == "EvidenceSufficient"),
            "NotRead",
        )
        verdicts = {item.verdict for item in deciding}
        if Verdict.ROLLBACK in verdicts:
            return Verdict.ROLLBACK, reason
        if verdicts == {Verdict.PROMOTE}:
            return Verdict.PROMOTE, reason
        return Verdict.HOLD, reason

    def steps(self) -> str:
        """Say which steps the trial has, and where it is."""
        rollout = self.running
        if rollout is None or rollout.stage is Stage.STARTING:
            return ""
        words = []
        for index, step in enumerate(rollout.settings.steps):
            what = f"{step.weight} %" + (" (pause)" if step.pause else "")
            if index < rollout.step:
                what += " done"
            elif index == rollout.step and rollout.stage is Stage.TRIAL:
                what += " now"
            words.append(what)
        return ", ".join(words)

    def waves(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Return each wave of the running rollout with its members, in order.

        Without waves there is one, which has no name. A member that no wave has come to, and whose
        labels are not known, is in a later one.
        """
        rollout, names = self.running, [item.name for item in self.status.clusters]
        if rollout is None or not rollout.settings.waves:
            yield "", tuple(names)
            return
        came = {item.name: item.wave for item in self.status.clusters}
        found: dict[int | None, list[str]] = {}
        for name in names:
            index = came[name]
            if index is None and name in self.labels:
                index = waves.wave_of(rollout.settings, self.labels[name])
            found.setdefault(index, []).append(name)
        for index, wave in enumerate(waves.planned(rollout.settings)):
            if index in found:
                state = _wave_state(rollout, index)
                yield f"wave {wave.name}, {state}", tuple(found[index])
        if None in found:
            yield "a later wave", tuple(found[None])


def _wave_state(rollout: RolloutStatus, index: int) -> str:
    record = waves.record_of(rollout, index)
    if record is None:
        return "waits"
    if index < waves.present(rollout):
        return "is through"
    if record.arrived_at is None:
        return "gets ready"
    return "soaks" if rollout.latched is not None else "on trial"
