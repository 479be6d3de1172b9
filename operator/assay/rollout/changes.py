"""What effects are made of: the changes of status that more than one of them needs."""

import hashlib
from typing import TypeVar

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    HistoryEntry,
    ModelDeploymentStatus,
    RejectedRevision,
    RejectedTrials,
    RetiredRevision,
    RevisionRef,
    RolloutStatus,
    Stage,
    StepRecord,
    Verdict,
    WaveRecord,
)
from assay.api.model_deployment import ModelFormat, Rollout
from assay.api.request import Request

from . import cost, waves
from .observation import Event
from .situation import Situation, seconds
from .sizing import by_weight
from .wording import clip, moment, named, sentences

_RETIRED = 8
"""At most so many revisions keep pods without traffic, however fast the spec changes."""

_POD_TIMES = 1000
"""Of so many members in all the history tells how long pods ran."""

_Item = TypeVar("_Item", RejectedRevision, RetiredRevision)


def rollout_of(status: ModelDeploymentStatus) -> RolloutStatus:
    """Return the rollout; only asked while there is one."""
    if status.rollout is None:
        raise AssertionError("only called while there is a rollout")
    return status.rollout


def with_rollout(status: ModelDeploymentStatus, **update: object) -> ModelDeploymentStatus:
    """Return `status` with these fields of its rollout changed."""
    return status.model_copy(update={"rollout": rollout_of(status).model_copy(update=update)})


def canary_of(status: ModelDeploymentStatus) -> RevisionRef:
    """Return the canary; only asked while there is one."""
    if status.canary is None:
        raise AssertionError("only called while there is a canary")
    return status.canary


def request_of(situation: Situation) -> Request:
    """Return the request that a trigger took."""
    request = situation.observed.request
    assert isinstance(request, Request)  # a trigger saw it
    return request


def reference(situation: Situation) -> RevisionRef:
    """Return what the spec names."""
    model = situation.spec.model
    return RevisionRef(
        revision=situation.observed.revision,
        version=model.version,
        digest=model.digest,
        threshold=model.decision.threshold if model.decision else None,
        format=None if model.format is ModelFormat.SKOPS else model.format,
    )


def started(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    canary: RevisionRef,
    settings: Rollout,
) -> ModelDeploymentStatus:
    """Return `status` with a new rollout of `canary`."""
    return status.model_copy(
        update={
            "canary": canary,
            "rollout": RolloutStatus(
                id=_id(situation, status, canary),
                stage=stage,
                started_at=situation.now,
                settings=settings,
                sticky_by=situation.spec.traffic.sticky_by,
                traffic=situation.spec.traffic,
                waves=(wave_after(situation, settings, -1),),
            ),
            "analysis": (),
            "guards": (),
            "rejected_revisions": without(status.rejected_revisions, canary),
        }
    )


def _id(situation: Situation, status: ModelDeploymentStatus, canary: RevisionRef) -> str:
    # Two rollouts that start within one second are kept apart by the generation, or by the rollout
    # before: a recorded rollback of the first must not end the second.
    stable = status.stable.revision if status.stable else ""
    before = status.rollout.id if status.rollout else ""
    when = f"{situation.now.isoformat()}/{situation.generation}/{before}"
    text = f"{situation.uid}/{stable}/{canary.revision}/{when}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def wave_after(situation: Situation, settings: Rollout, after: int) -> WaveRecord:
    """Return the record of the next wave after index `after` that has members."""
    # A rollout may start while nobody answers; then those that are away come first.
    members = situation.reachable or situation.observed.members
    found = waves.following(settings, after, members)
    index, wave = found or (len(settings.waves), waves.planned(settings)[-1])
    now = situation.now
    return WaveRecord(index=index, name=wave.name, started_at=now, progressed_at=now)


def to_step(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    step: int,
    by: str | None = None,
) -> ModelDeploymentStatus:
    """Return `status` in a step that is taken now."""
    rollout = rollout_of(status)
    weight = rollout.settings.steps[step].weight
    taken = StepRecord(weight=weight, started_at=situation.now, by=by)
    return with_rollout(status, stage=stage, step=step, steps=(*rollout.steps, taken))


def step_message(status: ModelDeploymentStatus) -> str:
    """Say what the present step is."""
    rollout = rollout_of(status)
    last, steps = rollout.steps[-1], rollout.settings.steps
    waits = " until a person approves" if steps[rollout.step].pause else ""
    if by_weight(rollout):
        waits = f", in each member with the pods for it{waits}"
    return (
        f"{named(status.canary)} gets {last.weight} % of the traffic from {moment(last.started_at)}"
        f"{waits} (step {rollout.step + 1} of {len(steps)}); {named(status.stable)} gets the rest"
    )


def decision_now(
    situation: Situation, verdict: Verdict, reason: str, message: str, *, by_hand: bool = False
) -> DecisionRecord:
    """Return a decision of this moment; by hand it says whose."""
    request = request_of(situation) if by_hand else None
    return DecisionRecord(
        verdict=verdict,
        reason=reason,
        message=clip(message),
        at=situation.now,
        by=request.by if request else None,
        request_reason=(request.reason or None) if request else None,
    )


def decided(status: ModelDeploymentStatus, stage: Stage, decision: DecisionRecord) -> RolloutStatus:
    """Return the rollout as decided."""
    update = {"stage": stage, "decision": decision, "paused": None}
    return rollout_of(status).model_copy(update=update)


def promote(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    reason: str,
    message: str,
    *,
    by_hand: bool = False,
) -> tuple[ModelDeploymentStatus, Event]:
    """Let the canary take all traffic."""
    decision = decision_now(situation, Verdict.PROMOTE, reason, message, by_hand=by_hand)
    return take(situation, status, stage, decision)


def take(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage, decision: DecisionRecord
) -> tuple[ModelDeploymentStatus, Event]:
    """Make the canary stable."""
    winner = status.canary
    status = retire(situation, status, status.stable)
    status = status.model_copy(
        update={"stable": winner, "canary": None, "rollout": decided(status, stage, decision)}
    )
    text = sentences(f"{named(winner)} takes all traffic", decision.message)
    return status, normal("Promoted", text)


def reject(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    decision: DecisionRecord,
    generation: int | None = None,
) -> tuple[ModelDeploymentStatus, Event]:
    """Roll back a canary that lost: it is not tried again (with `generation`: not by this one)."""
    canary = canary_of(status)
    rejected = RejectedRevision(
        revision=canary.revision,
        version=canary.version,
        reason=decision.reason,
        message=decision.message,
        at=situation.now,
        generation=generation,
        trials=_trials(status),
    )
    others = without(status.rejected_revisions, canary)
    status = status.model_copy(
        update={
            "rejected_revisions": (rejected, *others),
            "rollout": decided(status, stage, decision),
        }
    )
    text = sentences(
        f"{named(canary)} is rolled back, {named(status.stable)} serves", decision.message
    )
    return status, Event("Warning", Reason.ROLLED_BACK, clip(text))


def _trials(status: ModelDeploymentStatus) -> RejectedTrials | None:
    """Return what a retry goes on with."""
    rollout = rollout_of(status)
    if not rollout.steps or status.stable is None:
        return None
    return RejectedTrials(
        rollouts=(*rollout.earlier, rollout.id),
        stable=status.stable.revision,
        started_at=rollout.evidence_since,
        steps=rollout.steps,
    )


def retire_canary(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Take the canary off; its pods stay for a while only if they ever had traffic.

    Behind a Service only the end of its pods ends the connections that clients keep open to them.
    """
    rollout = rollout_of(status)
    if rollout.steps and not rollout.by_pods:
        status = retire(situation, status, status.canary)
    return status.model_copy(update={"canary": None})


def retire(
    situation: Situation, status: ModelDeploymentStatus, ref: RevisionRef | None
) -> ModelDeploymentStatus:
    """Take a revision off; its pods stay for scaleDownDelaySeconds."""
    if ref is None:
        return status
    delay = rollout_of(status).settings.scale_down_delay_seconds
    retired = RetiredRevision(revision=ref.revision, until=situation.now + seconds(delay))
    others = without(status.retired_revisions, ref)
    return status.model_copy(update={"retired_revisions": (retired, *others)[:_RETIRED]})


def stay_from_now(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Let retired pods stay for scaleDownDelaySeconds from now: some served until the last switch."""
    until = situation.now + seconds(rollout_of(status).settings.scale_down_delay_seconds)
    retired = tuple(
        item.model_copy(update={"until": max(item.until, until)})
        for item in status.retired_revisions
    )
    return status.model_copy(update={"retired_revisions": retired})


def remember(
    situation: Situation,
    status: ModelDeploymentStatus,
    ref: RevisionRef | None,
    decision: DecisionRecord,
) -> ModelDeploymentStatus:
    """Add the rollout to the history."""
    if ref is None:
        return status
    rollout = rollout_of(status)
    entry = HistoryEntry(
        id=rollout.id,
        version=ref.version,
        revision=ref.revision,
        digest=ref.digest,
        threshold=ref.threshold,
        format=ref.format,
        verdict=decision.verdict,
        reason=decision.reason,
        message=decision.message,
        started_at=rollout.started_at,
        at=situation.now,
        by=decision.by,
        request_reason=decision.request_reason,
        trial_pods=cost.trial_pods(
            situation.spec,
            status,
            {
                item.name: item.labels
                for item in (*situation.observed.members, *situation.observed.leaving)
            },
            situation.now,
        ),
    )
    return status.model_copy(update={"history": bounded((entry, *status.history))})


def bounded(history: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """Forget the pods of older entries: an object has a largest size, and must be written."""
    kept, room = [], _POD_TIMES
    for entry in history:
        room -= len(entry.trial_pods or ())
        kept.append(entry if room >= 0 else entry.model_copy(update={"trial_pods": None}))
    return tuple(kept)


def without(items: tuple[_Item, ...], ref: RevisionRef) -> tuple[_Item, ...]:
    """Return `items` without the revision."""
    return tuple(item for item in items if item.revision != ref.revision)


def normal(reason: str, message: str) -> Event:
    """Return an event of type Normal."""
    return Event("Normal", str(reason), clip(message))
