"""What each trigger changes in status. Only here is the stage, and what goes with it, written."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    HistoryEntry,
    ModelDeploymentStatus,
    RejectedRevision,
    RetiredRevision,
    RevisionRef,
    RolloutStatus,
    Stage,
    StepRecord,
    Verdict,
)
from assay.api.model_deployment import ModelFormat

from .observation import Event
from .situation import Situation, seconds
from .transitions import Trigger, next_stage
from .wording import clip, moment, named, sentences, users_mixed

_RETIRED = 8
"""At most so many revisions keep pods without traffic, however fast the spec changes."""

_Item = TypeVar("_Item", RejectedRevision, RetiredRevision)
_Effect = Callable[[Situation, ModelDeploymentStatus, Stage], tuple[ModelDeploymentStatus, Event]]


def apply(
    situation: Situation, status: ModelDeploymentStatus, trigger: Trigger
) -> tuple[ModelDeploymentStatus, Event]:
    """Return the status after `trigger`, and the event that tells of it.

    Raises
    ------
    transitions.IllegalTransitionError
        If `trigger` cannot happen in the present stage.
    """
    stage = next_stage(status.rollout.stage if status.rollout else None, trigger)
    return _EFFECTS[trigger](situation, status, stage)


def _start(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    canary = _reference(situation)
    status = status.model_copy(
        update={
            "canary": canary,
            "rollout": RolloutStatus(
                id=_id(situation, status, canary),
                stage=stage,
                started_at=situation.now,
                settings=situation.spec.rollout,
                sticky_by=situation.spec.traffic.sticky_by,
            ),
            "analysis": (),
            "rejected_revisions": _without(status.rejected_revisions, canary),
        }
    )
    serves = f"{named(status.stable)} serves" if status.stable else ""
    return status, _normal("RolloutStarted", sentences(f"{named(canary)} is starting", serves))


def _supersede(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    message = f"{named(status.canary)} gave way to {named(_reference(situation))}"
    decision = _decision(situation, Verdict.HOLD, Reason.SUPERSEDED, message)
    status = _remember(situation, status, status.canary, decision)
    status, _ = _start(situation, _retire_canary(situation, status), stage)
    return status, _normal(Reason.SUPERSEDED, message)


def _begin_trial(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    status = _to_step(situation, status, stage, 0)
    return status, _normal("TrialStarted", _step_message(status))


def _take_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    status = _to_step(situation, status, stage, _rollout(status).step + 1)
    return status, _normal("StepTaken", _step_message(status))


def _promote_first(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    message = f"{named(status.canary)} is ready in every reachable member and the first of all"
    return _promote(situation, status, stage, Reason.FIRST_REVISION, message)


def _promote_winner(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    return _promote(situation, status, stage, judgement.reason, judgement.message)


def _promote(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage, reason: str, message: str
) -> tuple[ModelDeploymentStatus, Event]:
    winner = status.canary
    decision = _decision(situation, Verdict.PROMOTE, reason, message)
    status = _retire(situation, status, status.stable)
    status = status.model_copy(
        update={"stable": winner, "canary": None, "rollout": _decided(status, stage, decision)}
    )
    return status, _normal("Promoted", sentences(f"{named(winner)} takes all traffic", message))


def _roll_back(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    return _reject(situation, status, stage, judgement.reason, judgement.message)


def _roll_back_recorded(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    records = (member.record for member in situation.holders if member.record)
    rollout = _rollout(status)
    decision = next(
        item.decision
        for item in records
        if item.rollout == rollout.id
        and item.decision
        and item.decision.verdict is Verdict.ROLLBACK
    )
    if decision.reason == Reason.REVERTED:
        return _revert(situation, status, stage)
    return _reject(situation, status, stage, decision.reason, decision.message)


def _miss_deadline(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    canary = _canary(status)
    limit = _rollout(status).settings.progress_deadline_seconds
    why = situation.failures(canary.revision)
    mixed = situation.users_not_kept(status)
    message = sentences(
        f"{named(canary)} was not ready within {limit} s", "; ".join(why), users_mixed(mixed)
    )
    reason = Reason.PROGRESS_DEADLINE_EXCEEDED
    return _reject(situation, status, stage, reason, message, situation.generation)


def _end_inconclusive(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    limit = _rollout(status).settings.max_seconds
    judgement = situation.judgement(status)
    known = f"Last: {judgement.message}" if judgement else ""
    holds = "; ".join(f"{item.member}: {item.reason}" for item in situation.problems)
    message = sentences(f"there was no verdict within {limit} s", known, holds)
    return _reject(situation, status, stage, Reason.INCONCLUSIVE, message)


def _reject(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    reason: str,
    message: str,
    generation: int | None = None,
) -> tuple[ModelDeploymentStatus, Event]:
    """Roll back a canary that lost: it is not tried again (with `generation`: not by this one)."""
    canary = _canary(status)
    rejected = RejectedRevision(
        revision=canary.revision,
        version=canary.version,
        reason=reason,
        message=clip(message),
        at=situation.now,
        generation=generation,
    )
    decision = _decision(situation, Verdict.ROLLBACK, reason, message)
    others = _without(status.rejected_revisions, canary)
    status = status.model_copy(
        update={
            "rejected_revisions": (rejected, *others),
            "rollout": _decided(status, stage, decision),
        }
    )
    text = sentences(f"{named(canary)} is rolled back, {named(status.stable)} serves", message)
    return status, Event("Warning", Reason.ROLLED_BACK, text)


def _revert(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """End the trial of a canary that nobody asks for any more; it has lost nothing."""
    message = f"the spec names {named(status.canary)} no more; {named(status.stable)} serves"
    decision = _decision(situation, Verdict.ROLLBACK, Reason.REVERTED, message)
    status = status.model_copy(update={"rollout": _decided(status, stage, decision)})
    return status, _normal(Reason.REVERTED, message)


def _settle(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout = _rollout(status)
    if rollout.decision is None:
        raise AssertionError("a rollout ends after it was decided")
    back = rollout.stage is Stage.ROLLING_BACK
    tried = status.canary if back else status.stable
    status = _remember(situation, status, tried, rollout.decision)
    if back:
        status = _retire_canary(situation, status)
    status = status.model_copy(update={"rollout": rollout.model_copy(update={"stage": stage})})
    return status, _normal("RolloutDone", f"{named(status.stable)} serves")


_EFFECTS: Mapping[Trigger, _Effect] = {
    Trigger.NEW_REVISION: _start,
    Trigger.SUPERSEDED: _supersede,
    Trigger.FIRST_READY: _promote_first,
    Trigger.CANARY_READY: _begin_trial,
    Trigger.DEADLINE_EXCEEDED: _miss_deadline,
    Trigger.STEP_TAKEN: _take_step,
    Trigger.PROMOTE: _promote_winner,
    Trigger.ROLLBACK: _roll_back,
    Trigger.ROLLBACK_RECORDED: _roll_back_recorded,
    Trigger.REVERTED: _revert,
    Trigger.INCONCLUSIVE: _end_inconclusive,
    Trigger.SETTLED: _settle,
    Trigger.LAGGING: _settle,
}


def _rollout(status: ModelDeploymentStatus) -> RolloutStatus:
    if status.rollout is None:
        raise AssertionError("only called while there is a rollout")
    return status.rollout


def _canary(status: ModelDeploymentStatus) -> RevisionRef:
    if status.canary is None:
        raise AssertionError("only called while there is a canary")
    return status.canary


def _reference(situation: Situation) -> RevisionRef:
    model = situation.spec.model
    return RevisionRef(
        revision=situation.observed.revision,
        version=model.version,
        digest=model.digest,
        threshold=model.decision.threshold if model.decision else None,
        format=None if model.format is ModelFormat.SKOPS else model.format,
    )


def _id(situation: Situation, status: ModelDeploymentStatus, canary: RevisionRef) -> str:
    # The generation keeps two rollouts apart that start within one second: a recorded rollback of
    # the first must not end the second.
    stable = status.stable.revision if status.stable else ""
    when = f"{situation.now.isoformat()}/{situation.generation}"
    text = f"{situation.uid}/{stable}/{canary.revision}/{when}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _to_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage, step: int
) -> ModelDeploymentStatus:
    rollout = _rollout(status)
    taken = StepRecord(weight=rollout.settings.canary.steps[step].weight, started_at=situation.now)
    update = {"stage": stage, "step": step, "steps": (*rollout.steps, taken)}
    return status.model_copy(update={"rollout": rollout.model_copy(update=update)})


def _step_message(status: ModelDeploymentStatus) -> str:
    rollout = _rollout(status)
    last = rollout.steps[-1]
    return (
        f"{named(status.canary)} gets {last.weight} % of the traffic from {moment(last.started_at)}"
        f" (step {rollout.step + 1} of {len(rollout.settings.canary.steps)});"
        f" {named(status.stable)} gets the rest"
    )


def _decision(situation: Situation, verdict: Verdict, reason: str, message: str) -> DecisionRecord:
    return DecisionRecord(verdict=verdict, reason=reason, message=clip(message), at=situation.now)


def _decided(
    status: ModelDeploymentStatus, stage: Stage, decision: DecisionRecord
) -> RolloutStatus:
    return _rollout(status).model_copy(update={"stage": stage, "decision": decision})


def _retire_canary(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Take the canary off; its pods stay for a while only if they ever had traffic."""
    if _rollout(status).steps:
        status = _retire(situation, status, status.canary)
    return status.model_copy(update={"canary": None})


def _retire(
    situation: Situation, status: ModelDeploymentStatus, ref: RevisionRef | None
) -> ModelDeploymentStatus:
    if ref is None:
        return status
    delay = _rollout(status).settings.scale_down_delay_seconds
    retired = RetiredRevision(revision=ref.revision, until=situation.now + seconds(delay))
    others = _without(status.retired_revisions, ref)
    return status.model_copy(update={"retired_revisions": (retired, *others)[:_RETIRED]})


def _remember(
    situation: Situation,
    status: ModelDeploymentStatus,
    ref: RevisionRef | None,
    decision: DecisionRecord,
) -> ModelDeploymentStatus:
    if ref is None:
        return status
    rollout = _rollout(status)
    entry = HistoryEntry(
        id=rollout.id,
        version=ref.version,
        revision=ref.revision,
        verdict=decision.verdict,
        reason=decision.reason,
        message=decision.message,
        started_at=rollout.started_at,
        at=situation.now,
    )
    return status.model_copy(update={"history": (entry, *status.history)})


def _without(items: tuple[_Item, ...], ref: RevisionRef) -> tuple[_Item, ...]:
    return tuple(item for item in items if item.revision != ref.revision)


def _normal(reason: str, message: str) -> Event:
    return Event("Normal", str(reason), clip(message))
