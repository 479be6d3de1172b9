"""How much time a rollout has left, and for what: read from status as the operator reads it. Pure."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge.wording import duration
from assay.render.revision import revision_hash
from assay.rollout.observation import MemberView, Observation
from assay.rollout.situation import Situation
from assay.rollout.wording import moment

_DAY = 86400.0


@dataclass(frozen=True)
class Deadline:
    """A point in time at which something may or will happen.

    Attributes
    ----------
    what
        What happens then.
    at
        None while the clock stands still.
    seconds
        From now; negative when it is over.
    """

    what: str
    at: datetime.datetime | None
    seconds: float = 0.0

    def words(self) -> str:
        """Say it for people."""
        if self.at is None:
            return self.what
        if self.seconds <= 0:
            return f"now: {self.what}"
        at = moment(self.at)
        # Within a day the time is enough.
        when = at if self.seconds >= _DAY else at.partition(" ")[2]
        return f"{duration(self.seconds)}: {self.what} ({when})"

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        at = None if self.at is None else self.at.astimezone(datetime.UTC).isoformat()
        return {"what": self.what, "at": at, "seconds": round(self.seconds) if self.at else None}


def deadlines(
    spec: ModelDeploymentSpec, status: ModelDeploymentStatus, now: datetime.datetime
) -> tuple[Deadline, ...]:
    """Return what time alone will bring, soonest first; nothing when no rollout is under way."""
    rollout = status.rollout
    if rollout is None or rollout.stage in {Stage.DONE, Stage.ROLLING_BACK}:
        return ()
    members = tuple(
        MemberView(item.name, reachable=item.reachable, replicas=item.replicas or 0)
        for item in status.clusters
    )
    observed = Observation(revision_hash(spec), members)
    situation = Situation("", status.observed_generation, spec, status, observed, now)
    if situation.hold(status) is not None or rollout.held_since is not None:
        return (Deadline("a person is waited for: no clock ends the trial", None),)
    found = [
        Deadline(what, at, (at - now).total_seconds()) for what, at in _due(situation, rollout)
    ]
    return tuple(sorted(found, key=lambda each: each.seconds))


def _due(situation: Situation, rollout: RolloutStatus) -> Iterator[tuple[str, datetime.datetime]]:
    first = situation.before.stable is None
    if rollout.stage is Stage.PROMOTING:
        yield "the promotion waits no longer for members that lag", situation.promotion_due(rollout)
        return
    if rollout.stage is Stage.STARTING:
        if rollout.waves and not first:
            due = situation.wave_due(rollout, rollout.waves[-1])
            yield "given up if its pods are not ready", due
        return
    step = rollout.settings.steps[rollout.step]
    last = rollout.step + 1 == len(rollout.settings.steps)
    if rollout.latched is None and not last and step.min_seconds:
        number = rollout.step + 1
        yield f"step {number} has lasted long enough", situation.step_due(rollout)
    if rollout.latched is not None and (soaked := situation.soak_due(rollout)) is not None:
        yield f"wave {rollout.waves[-1].name} has soaked", soaked
    yield "rolled back without a verdict", situation.trial_due(rollout)
