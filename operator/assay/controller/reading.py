"""What the members' Prometheus say of a trial: its counts, its guards, its past."""

import asyncio
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.api.deployment_status import RolloutStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import EvidenceUnavailable, MemberEvidence
from assay.evidence.moments import WINDOW_MARGIN_SECONDS
from assay.evidence.prometheus import Trial
from assay.members.member import Member
from assay.render.revision import revision_hash
from assay.rollout.observation import GuardReading

from . import metrics
from .guards import read_guards
from .history import History
from .hub import Deployment

Answers = Mapping[str, MemberEvidence | EvidenceUnavailable]
"""What each member that can be asked said of the trial."""


@dataclass(frozen=True)
class Reading:
    """What was read in one look.

    Attributes
    ----------
    chosen, leaving
        The members that were asked if they could be.
    rollout, counted
        The rollout whose canary is to be judged, and the same if counts are asked for; else None.
    guards
        None without a trial.
    past
        Which earlier moments are known.
    """

    chosen: tuple[Member, ...] = ()
    leaving: tuple[Member, ...] = ()
    rollout: RolloutStatus | None = None
    counted: RolloutStatus | None = None
    answers: Answers = field(default_factory=dict)
    guards: tuple[GuardReading, ...] | None = None
    past: object = None

    def says_the_same(self, other: "Reading") -> bool:
        """Return whether nothing that is judged or shown differs."""
        return (
            self.guards == other.guards
            and self.past == other.past
            and _comparable(self.answers) == _comparable(other.answers)
        )


async def read(
    item: Deployment,
    rollout: RolloutStatus | None,
    history: History,
    chosen: tuple[Member, ...],
    leaving: tuple[Member, ...],
    now: datetime.datetime,
) -> Reading:
    """Ask all that can be asked of the trial in `rollout`, at the same time."""
    metered = rollout is not None and bool(rollout.settings.analysis.metrics)
    counted = rollout if metered else None
    members = (*chosen, *leaving)
    age = item.spec.feedback.label_age_seconds if item.spec else 0
    answers, guards, _ = await asyncio.gather(
        _answers(item, counted, members, age, now),
        read_guards(item, rollout, chosen, now),
        history.read(item.key, counted, members, now, age),
    )
    return Reading(chosen, leaving, rollout, counted, answers, guards, history.state())


def judged(item: Deployment, spec: ModelDeploymentSpec) -> RolloutStatus | None:
    """Return the rollout if its canary is to be judged.

    One that the spec names no more is not: it would be judged by the new one's positive label.
    """
    status = item.status
    named = status.canary is not None and status.canary.revision == revision_hash(spec)
    on_trial = status.rollout is not None and status.rollout.stage is Stage.TRIAL
    return status.rollout if on_trial and status.stable and named else None


async def _answers(
    item: Deployment,
    rollout: RolloutStatus | None,
    members: tuple[Member, ...],
    label_age_seconds: int,
    now: datetime.datetime,
) -> Answers:
    if rollout is None:
        return {}
    # Of earlier trials, too: their serving pods may have died long before this one started.
    window = (now - rollout.evidence_since).total_seconds() + WINDOW_MARGIN_SECONDS
    reachable = [member for member in members if member.state.reachable]
    trial = Trial(*item.key, rollout.id, label_age_seconds, rollout.earlier)
    found = await asyncio.gather(
        *(member.evidence(trial, window) for member in reachable),
        return_exceptions=True,
    )
    answers: dict[str, MemberEvidence | EvidenceUnavailable] = {}
    for member, answer in zip(reachable, found, strict=True):
        if isinstance(answer, EvidenceUnavailable):
            metrics.EVIDENCE_PROBLEMS.labels(member.name, answer.reason).inc()
        elif isinstance(answer, BaseException):
            raise answer
        answers[member.name] = answer
    return answers


def _comparable(answers: Answers) -> Mapping[str, object]:
    return {
        name: (said.reason, said.message) if isinstance(said, EvidenceUnavailable) else said
        for name, said in answers.items()
    }
