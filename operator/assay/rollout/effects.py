"""What each trigger changes in status. Only here is the stage, and what goes with it, written."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    HistoryEntry,
    ModelDeploymentStatus,
    Pausing,
    RejectedRevision,
    RejectedTrials,
    RetiredRevision,
    RevisionRef,
    RolloutStatus,
    Stage,
    StepRecord,
    Trials,
    Undo,
    Verdict,
    WaveRecord,
)
from assay.api.model_deployment import ModelFormat, Rollout
from assay.api.request import Request

from . import requests, waves
from .guards import summary
from .observation import Event
from .situation import Situation, seconds
from .transitions import BY_HAND, Trigger, next_stage
from .wording import clip, moment, named, sentences, users_mixed

_RETIRED = 8
"""At most so many revisions keep pods without traffic, however fast the spec changes."""

_Item = TypeVar("_Item", RejectedRevision, RetiredRevision)
_Effect = Callable[[Situation, ModelDeploymentStatus, Stage], tuple[ModelDeploymentStatus, Event]]


def apply(
    situation: Situation, status: ModelDeploymentStatus, trigger: Trigger
) -> tuple[ModelDeploymentStatus, Event]:
    """Return the status after `trigger`, and the event that tells of it.

    What a person asked for is in the same status as the answer, so it is done once.

    Raises
    ------
    transitions.IllegalTransitionError
        If `trigger` cannot happen in the present stage.
    """
    stage = next_stage(status.rollout.stage if status.rollout else None, trigger)
    status, event = _EFFECTS[trigger](situation, status, stage)
    if trigger in BY_HAND:
        status = requests.done(situation, status, event.message)
    return status, event


def with_clock(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Stop the clock of a rollout that waits for a person, or let it go on."""
    rollout = status.rollout
    if rollout is None:
        return status
    open_ = rollout.stage in {Stage.STARTING, Stage.TRIAL}
    waits = open_ and situation.hold(status) is not None
    since = rollout.held_since
    if waits == (since is not None):
        return status
    update = {"held_since": situation.now} if since is None else _gone_on(rollout, situation)
    return status.model_copy(update={"rollout": rollout.model_copy(update=update)})


def _gone_on(rollout: RolloutStatus, situation: Situation) -> dict[str, object]:
    since = rollout.held_since or situation.now
    more = max(0, int((situation.now - since).total_seconds()))
    return {
        "held_since": None,
        "held_seconds": rollout.held_seconds + more,
        "released_at": situation.now,
    }


def _start(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    canary = _reference(situation)
    status = _started(situation, status, stage, canary, situation.spec.rollout)
    serves = f"{named(status.stable)} serves" if status.stable else ""
    return status, _normal("RolloutStarted", sentences(f"{named(canary)} is starting", serves))


def _started(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    canary: RevisionRef,
    settings: Rollout,
) -> ModelDeploymentStatus:
    return status.model_copy(
        update={
            "canary": canary,
            "rollout": RolloutStatus(
                id=_id(situation, status, canary),
                stage=stage,
                started_at=situation.now,
                settings=settings,
                sticky_by=situation.spec.traffic.sticky_by,
                waves=(_wave(situation, settings, -1),),
            ),
            "analysis": (),
            "guards": (),
            "rejected_revisions": _without(status.rejected_revisions, canary),
        }
    )


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


def _latch(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    latched = _decision(situation, Verdict.PROMOTE, judgement.reason, judgement.message)
    update = {"stage": stage, "latched": latched}
    status = status.model_copy(update={"rollout": _rollout(status).model_copy(update=update)})
    text = f"{named(status.canary)} has won in the first wave, the others follow"
    return status, _normal("VerdictLatched", sentences(text, judgement.message))


def _start_wave(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout = _rollout(status)
    wave = _wave(situation, rollout.settings, waves.present(rollout))
    update = {"stage": stage, "waves": (*rollout.waves, wave)}
    status = status.model_copy(update={"rollout": rollout.model_copy(update=update)})
    return status, _normal("WaveStarted", f"wave {wave.name}: {named(status.canary)} comes there")


def _wave(situation: Situation, settings: Rollout, after: int) -> WaveRecord:
    # A rollout may start while nobody answers; then those that are away come first.
    members = situation.reachable or situation.observed.members
    found = waves.following(settings, after, members)
    index, wave = found or (len(settings.waves), waves.planned(settings)[-1])
    now = situation.now
    return WaveRecord(index=index, name=wave.name, started_at=now, progressed_at=now)


def _take_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    status = _to_step(situation, status, stage, _rollout(status).step + 1)
    return status, _normal("StepTaken", _step_message(status))


def _retry(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Try a rejected revision again, with the evidence that it had against the same stable one."""
    rejected = situation.rejection(status.rejected_revisions, situation.observed.revision)
    if rejected is None:
        raise AssertionError("the trigger saw a rejection")
    trials = rejected.trials
    status, _ = _start(situation, status, stage)
    stable = status.stable.revision if status.stable else ""
    on = "from the beginning"
    if trials is not None and trials.stable == stable:
        update = {
            "continues": Trials(
                rollouts=trials.rollouts, stable=stable, started_at=trials.started_at
            ),
            "steps": trials.steps,
        }
        status = status.model_copy(update={"rollout": _rollout(status).model_copy(update=update)})
        on = "with the evidence that it had"
    text = f"{named(status.canary)} is tried again {on}, asked by {_request(situation).by}"
    return status, _normal("Retried", sentences(text, f"It was rejected: {rejected.reason}"))


def _undo(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Start the pods of a revision that was stable before; the spec still names the present one."""
    request = _request(situation)
    entry = requests.earlier(status, request.to_revision)
    if entry is None or entry.digest is None or status.stable is None:
        raise AssertionError("the trigger saw where to go")
    canary = RevisionRef(
        revision=entry.revision,
        version=entry.version,
        digest=entry.digest,
        threshold=entry.threshold,
        format=entry.format,
    )
    undo = Undo(revision=status.stable.revision, by=request.by, reason=request.reason)
    # What served everywhere before comes back everywhere at once.
    settings = situation.spec.rollout.model_copy(update={"waves": ()})
    status = _started(situation, status, stage, canary, settings)
    status = status.model_copy(
        update={"rollout": _rollout(status).model_copy(update={"undo": undo})}
    )
    text = f"{named(canary)} takes the place of {named(status.stable)} when its pods are ready"
    return status, _normal("Undoing", f"{text}; asked by {request.by}")


def _restore(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Serve the earlier revision; the one before is not tried again although the spec names it."""
    undo, undone = _rollout(status).undo, status.stable
    if undo is None or undone is None:
        raise AssertionError("the trigger saw what is undone")
    message = sentences(f"{undo.by}: {undo.reason or 'no reason given'}")
    rejected = RejectedRevision(
        revision=undone.revision,
        version=undone.version,
        reason=Reason.UNDONE_BY_HAND,
        message=message,
        at=situation.now,
    )
    others = _without(status.rejected_revisions, undone)
    status = status.model_copy(update={"rejected_revisions": (rejected, *others)})
    decision = _decision(situation, Verdict.PROMOTE, Reason.UNDONE_BY_HAND, message)
    by = {"by": undo.by, "request_reason": undo.reason or None}
    return _take(situation, status, stage, decision.model_copy(update=by))


def _pause(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    request = _request(situation)
    paused = Pausing(by=request.by, reason=request.reason, at=situation.now)
    status = _with_pausing(status, stage, paused)
    return status, _normal("Paused", f"{named(status.canary)} is held by {request.by}")


def _resume(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    status = _with_pausing(status, stage, None)
    text = f"{named(status.canary)} goes on, released by {_request(situation).by}"
    hold = situation.hold(status)
    return status, _normal("Resumed", sentences(text, f"Still: {hold.message}" if hold else ""))


def _with_pausing(
    status: ModelDeploymentStatus, stage: Stage, paused: Pausing | None
) -> ModelDeploymentStatus:
    update = {"stage": stage, "paused": paused}
    return status.model_copy(update={"rollout": _rollout(status).model_copy(update=update)})


def _approve(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout, by = _rollout(status), _request(situation).by
    if situation.next_wave_waits(status):
        wave = rollout.waves[-1].model_copy(update={"next_approved_by": by})
        update = {"stage": stage, "waves": (*rollout.waves[:-1], wave)}
        status = status.model_copy(update={"rollout": rollout.model_copy(update=update)})
        return status, _normal("Approved", f"the wave after {wave.name} is approved by {by}")
    step = rollout.steps[-1].model_copy(update={"approved_by": by})
    update = {"stage": stage, "steps": (*rollout.steps[:-1], step)}
    status = status.model_copy(update={"rollout": rollout.model_copy(update=update)})
    last = rollout.step == len(rollout.settings.canary.steps) - 1
    then = "the verdict decides" if last else "the next step is taken when the evidence allows it"
    return status, _normal("Approved", f"step {rollout.step + 1} is approved by {by}; {then}")


def _order_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    by = _request(situation).by
    status = _to_step(situation, status, stage, _rollout(status).step + 1, by)
    return status, _normal("StepTaken", f"{_step_message(status)}; asked by {by}")


def _promote_by_hand(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    return _promote(
        situation, status, stage, Reason.PROMOTED_BY_HAND, _by_hand(situation, status), by_hand=True
    )


def _abort(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    decision = _decision(
        situation,
        Verdict.ROLLBACK,
        Reason.ABORTED_BY_HAND,
        _by_hand(situation, status),
        by_hand=True,
    )
    return _reject(situation, status, stage, decision)


def _by_hand(situation: Situation, status: ModelDeploymentStatus) -> str:
    """Say who decided, why, and what the evidence said then."""
    request, judgement = _request(situation), situation.judgement(status)
    known = f"The evidence then: {judgement.message}" if judgement else "There was no evidence yet"
    return sentences(f"{request.by}: {request.reason or 'no reason given'}", known)


def _promote_first(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    message = f"{named(status.canary)} is ready in every reachable member and the first of all"
    return _promote(situation, status, stage, Reason.FIRST_REVISION, message)


def _promote_winner(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    verdict = _rollout(status).latched or situation.judgement(status)
    if verdict is None:
        raise AssertionError("the trigger saw a verdict")
    return _promote(situation, status, stage, verdict.reason, verdict.message)


def _promote(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    reason: str,
    message: str,
    *,
    by_hand: bool = False,
) -> tuple[ModelDeploymentStatus, Event]:
    decision = _decision(situation, Verdict.PROMOTE, reason, message, by_hand=by_hand)
    return _take(situation, status, stage, decision)


def _take(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage, decision: DecisionRecord
) -> tuple[ModelDeploymentStatus, Event]:
    """Make the canary stable."""
    winner = status.canary
    status = _retire(situation, status, status.stable)
    status = status.model_copy(
        update={"stable": winner, "canary": None, "rollout": _decided(status, stage, decision)}
    )
    text = sentences(f"{named(winner)} takes all traffic", decision.message)
    return status, _normal("Promoted", text)


def _roll_back(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    decision = _decision(situation, Verdict.ROLLBACK, judgement.reason, judgement.message)
    return _reject(situation, status, stage, decision)


def _end_breached(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    state = situation.breach(status)
    if state is None:
        raise AssertionError("the trigger saw a breach")
    decision = _decision(situation, Verdict.ROLLBACK, state.reason, summary(state))
    return _reject(situation, status, stage, decision)


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
    at = {"at": situation.now}
    return _reject(situation, status, stage, decision.model_copy(update=at))


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
    decision = _decision(situation, Verdict.ROLLBACK, Reason.PROGRESS_DEADLINE_EXCEEDED, message)
    return _reject(situation, status, stage, decision, situation.generation)


def _end_inconclusive(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    limit = _rollout(status).settings.max_seconds
    judgement = situation.judgement(status)
    known = f"Last: {judgement.message}" if judgement else ""
    holds = "; ".join(f"{item.member}: {item.reason}" for item in situation.problems)
    message = sentences(f"there was no verdict within {limit} s", known, holds)
    decision = _decision(situation, Verdict.ROLLBACK, Reason.INCONCLUSIVE, message)
    return _reject(situation, status, stage, decision)


def _reject(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    decision: DecisionRecord,
    generation: int | None = None,
) -> tuple[ModelDeploymentStatus, Event]:
    """Roll back a canary that lost: it is not tried again (with `generation`: not by this one)."""
    canary = _canary(status)
    rejected = RejectedRevision(
        revision=canary.revision,
        version=canary.version,
        reason=decision.reason,
        message=decision.message,
        at=situation.now,
        generation=generation,
        trials=_trials(status),
    )
    others = _without(status.rejected_revisions, canary)
    status = status.model_copy(
        update={
            "rejected_revisions": (rejected, *others),
            "rollout": _decided(status, stage, decision),
        }
    )
    text = sentences(
        f"{named(canary)} is rolled back, {named(status.stable)} serves", decision.message
    )
    return status, Event("Warning", Reason.ROLLED_BACK, clip(text))


def _trials(status: ModelDeploymentStatus) -> RejectedTrials | None:
    """Return what a retry goes on with."""
    rollout = _rollout(status)
    if not rollout.steps or status.stable is None:
        return None
    return RejectedTrials(
        rollouts=(*rollout.earlier, rollout.id),
        stable=status.stable.revision,
        started_at=rollout.evidence_since,
        steps=rollout.steps,
    )


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
    Trigger.LATCHED: _latch,
    Trigger.WAVE_STARTED: _start_wave,
    Trigger.WAVE_FAILED: _miss_deadline,
    Trigger.STEP_TAKEN: _take_step,
    Trigger.PROMOTE: _promote_winner,
    Trigger.ROLLBACK: _roll_back,
    Trigger.GUARD_BREACHED: _end_breached,
    Trigger.ROLLBACK_RECORDED: _roll_back_recorded,
    Trigger.REVERTED: _revert,
    Trigger.INCONCLUSIVE: _end_inconclusive,
    Trigger.SETTLED: _settle,
    Trigger.LAGGING: _settle,
    Trigger.PAUSED: _pause,
    Trigger.RESUMED: _resume,
    Trigger.APPROVED: _approve,
    Trigger.STEP_ORDERED: _order_step,
    Trigger.PROMOTED_BY_HAND: _promote_by_hand,
    Trigger.ABORTED: _abort,
    Trigger.RETRIED: _retry,
    Trigger.UNDONE: _undo,
    Trigger.RESTORED: _restore,
}


def _request(situation: Situation) -> Request:
    request = situation.observed.request
    assert isinstance(request, Request)  # a trigger saw it
    return request


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
    # Two rollouts that start within one second are kept apart by the generation, or by the rollout
    # before: a recorded rollback of the first must not end the second.
    stable = status.stable.revision if status.stable else ""
    before = status.rollout.id if status.rollout else ""
    when = f"{situation.now.isoformat()}/{situation.generation}/{before}"
    text = f"{situation.uid}/{stable}/{canary.revision}/{when}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _to_step(
    situation: Situation,
    status: ModelDeploymentStatus,
    stage: Stage,
    step: int,
    by: str | None = None,
) -> ModelDeploymentStatus:
    rollout = _rollout(status)
    weight = rollout.settings.canary.weights[step]
    taken = StepRecord(weight=weight, started_at=situation.now, by=by)
    update = {"stage": stage, "step": step, "steps": (*rollout.steps, taken)}
    return status.model_copy(update={"rollout": rollout.model_copy(update=update)})


def _step_message(status: ModelDeploymentStatus) -> str:
    rollout = _rollout(status)
    last, steps = rollout.steps[-1], rollout.settings.canary.steps
    waits = " until a person approves" if steps[rollout.step].pause else ""
    return (
        f"{named(status.canary)} gets {last.weight} % of the traffic from {moment(last.started_at)}"
        f"{waits} (step {rollout.step + 1} of {len(steps)}); {named(status.stable)} gets the rest"
    )


def _decision(
    situation: Situation, verdict: Verdict, reason: str, message: str, *, by_hand: bool = False
) -> DecisionRecord:
    request = _request(situation) if by_hand else None
    return DecisionRecord(
        verdict=verdict,
        reason=reason,
        message=clip(message),
        at=situation.now,
        by=request.by if request else None,
        request_reason=(request.reason or None) if request else None,
    )


def _decided(
    status: ModelDeploymentStatus, stage: Stage, decision: DecisionRecord
) -> RolloutStatus:
    update = {"stage": stage, "decision": decision, "paused": None}
    return _rollout(status).model_copy(update=update)


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
    )
    return status.model_copy(update={"history": (entry, *status.history)})


def _without(items: tuple[_Item, ...], ref: RevisionRef) -> tuple[_Item, ...]:
    return tuple(item for item in items if item.revision != ref.revision)


def _normal(reason: str, message: str) -> Event:
    return Event("Normal", str(reason), clip(message))
