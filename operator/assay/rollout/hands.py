"""What the requests of people change in status."""

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    ModelDeploymentStatus,
    Pausing,
    RejectedRevision,
    RevisionRef,
    Stage,
    Trials,
    Undo,
    Verdict,
)

from . import changes, requests
from .guards import summary
from .observation import Event
from .situation import Situation
from .wording import named, sentences


def retry(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Try a rejected revision again, with the evidence that it had against the same stable one."""
    rejected = situation.rejection(status.rejected_revisions, situation.observed.revision)
    if rejected is None:
        raise AssertionError("the trigger saw a rejection")
    trials = rejected.trials
    canary = changes.reference(situation)
    status = changes.started(situation, status, stage, canary, situation.spec.rollout)
    stable = status.stable.revision if status.stable else ""
    on = "from the beginning"
    if trials is not None and trials.stable == stable:
        continues = Trials(rollouts=trials.rollouts, stable=stable, started_at=trials.started_at)
        status = changes.with_rollout(status, continues=continues, steps=trials.steps)
        on = "with the evidence that it had"
    text = (
        f"{named(status.canary)} is tried again {on}, asked by {changes.request_of(situation).by}"
    )
    return status, changes.normal("Retried", sentences(text, f"It was rejected: {rejected.reason}"))


def undo(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Start the pods of a revision that was stable before; the spec still names the present one."""
    request = changes.request_of(situation)
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
    status = changes.started(situation, status, stage, canary, settings)
    status = changes.with_rollout(status, undo=undo)
    text = f"{named(canary)} takes the place of {named(status.stable)} when its pods are ready"
    return status, changes.normal("Undoing", f"{text}; asked by {request.by}")


def restore(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Serve the earlier revision; the one before is not tried again although the spec names it."""
    undo, undone = changes.rollout_of(status).undo, status.stable
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
    others = changes.without(status.rejected_revisions, undone)
    status = status.model_copy(update={"rejected_revisions": (rejected, *others)})
    decision = changes.decision_now(situation, Verdict.PROMOTE, Reason.UNDONE_BY_HAND, message)
    by = {"by": undo.by, "request_reason": undo.reason or None}
    return changes.take(situation, status, stage, decision.model_copy(update=by))


def pause(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Hold the rollout."""
    request = changes.request_of(situation)
    paused = Pausing(by=request.by, reason=request.reason, at=situation.now)
    status = changes.with_rollout(status, stage=stage, paused=paused)
    return status, changes.normal("Paused", f"{named(status.canary)} is held by {request.by}")


def resume(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Let a held rollout go on."""
    status = changes.with_rollout(status, stage=stage, paused=None)
    text = f"{named(status.canary)} goes on, released by {changes.request_of(situation).by}"
    hold = situation.hold(status)
    return status, changes.normal(
        "Resumed", sentences(text, f"Still: {hold.message}" if hold else "")
    )


def approve(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """End a manual pause, or let the next wave start."""
    rollout, by = changes.rollout_of(status), changes.request_of(situation).by
    if situation.next_wave_waits(status):
        wave = rollout.waves[-1].model_copy(update={"next_approved_by": by})
        status = changes.with_rollout(status, stage=stage, waves=(*rollout.waves[:-1], wave))
        return status, changes.normal("Approved", f"the wave after {wave.name} is approved by {by}")
    step = rollout.steps[-1].model_copy(update={"approved_by": by})
    status = changes.with_rollout(status, stage=stage, steps=(*rollout.steps[:-1], step))
    last = rollout.step == len(rollout.settings.steps) - 1
    then = "the verdict decides" if last else "the next step is taken when the evidence allows it"
    return status, changes.normal(
        "Approved", f"step {rollout.step + 1} is approved by {by}; {then}"
    )


def order_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Take the next step at once."""
    by = changes.request_of(situation).by
    status = changes.to_step(situation, status, stage, changes.rollout_of(status).step + 1, by)
    return status, changes.normal("StepTaken", f"{changes.step_message(status)}; asked by {by}")


def promote_by_hand(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Take the canary without a verdict."""
    return changes.promote(
        situation, status, stage, Reason.PROMOTED_BY_HAND, _by_hand(situation, status), by_hand=True
    )


def abort(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """Roll back without a verdict."""
    decision = changes.decision_now(
        situation,
        Verdict.ROLLBACK,
        Reason.ABORTED_BY_HAND,
        _by_hand(situation, status),
        by_hand=True,
    )
    return changes.reject(situation, status, stage, decision)


def _by_hand(situation: Situation, status: ModelDeploymentStatus) -> str:
    """Say who decided, why, and what the evidence said then."""
    request, judgement = changes.request_of(situation), situation.judgement(status)
    known = f"The evidence then: {judgement.message}" if judgement else "There was no evidence yet"
    if situation.by_guards(status):
        guard = situation.guard_hold(status)
        known = summary(guard) if guard else "No guard spoke against it"
    return sentences(f"{request.by}: {request.reason or 'no reason given'}", known)
