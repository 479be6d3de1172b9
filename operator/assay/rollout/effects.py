"""What each trigger changes in status. Only here is the stage, and what goes with it, written."""

from collections.abc import Callable, Mapping

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    ModelDeploymentStatus,
    RolloutStatus,
    Stage,
    Verdict,
)

from . import changes, fast_track, hands, requests, waves
from .guards import summary
from .observation import Event
from .situation import Situation
from .transitions import BY_HAND, Trigger, next_stage
from .wording import moment, named, sentences, users_mixed

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
    if since is None:
        return changes.with_rollout(status, held_since=situation.now)
    return changes.with_rollout(status, **_gone_on(rollout, situation))


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
    canary = changes.reference(situation)
    latched = fast_track.verdict(situation, status, canary)
    status = changes.started(situation, status, stage, canary, situation.spec.rollout)
    serves = f"{named(status.stable)} serves" if status.stable else ""
    starts = f"{named(canary)} is starting"
    if latched is None:
        return status, changes.normal("RolloutStarted", sentences(starts, serves))
    status = changes.with_rollout(status, latched=latched)
    return status, changes.normal(latched.reason, sentences(starts, latched.message, serves))


def _supersede(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    message = f"{named(status.canary)} gave way to {named(changes.reference(situation))}"
    decision = changes.decision_now(situation, Verdict.HOLD, Reason.SUPERSEDED, message)
    status = changes.remember(situation, status, status.canary, decision)
    status, _ = _start(situation, changes.retire_canary(situation, status), stage)
    return status, changes.normal(Reason.SUPERSEDED, message)


def _begin_trial(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    step = fast_track.first_step(changes.rollout_of(status))
    status = changes.to_step(situation, status, stage, step)
    return status, changes.normal("TrialStarted", changes.step_message(status))


def _latch(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    latched = _won(situation, status)
    status = changes.with_rollout(status, stage=stage, latched=latched)
    text = f"{named(status.canary)} has won in the first wave, the others follow"
    return status, changes.normal("VerdictLatched", sentences(text, latched.message))


def _won(situation: Situation, status: ModelDeploymentStatus) -> DecisionRecord:
    """Return the verdict Promote: the judge's, or that of guards and time."""
    if situation.by_guards(status):
        step = changes.rollout_of(status).steps[-1]
        message = (
            f"every guard is kept; {named(status.canary)} has had {step.weight} % of the traffic"
            f" since {moment(step.started_at)}"
        )
        return changes.decision_now(situation, Verdict.PROMOTE, Reason.GUARDS_KEPT, message)
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    return changes.decision_now(situation, Verdict.PROMOTE, judgement.reason, judgement.message)


def _start_wave(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout = changes.rollout_of(status)
    wave = changes.wave_after(situation, rollout.settings, waves.present(rollout))
    status = changes.with_rollout(status, stage=stage, waves=(*rollout.waves, wave))
    return status, changes.normal(
        "WaveStarted", f"wave {wave.name}: {named(status.canary)} comes there"
    )


def _take_step(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    status = changes.to_step(situation, status, stage, changes.rollout_of(status).step + 1)
    return status, changes.normal("StepTaken", changes.step_message(status))


def _promote_first(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    message = f"{named(status.canary)} is ready in every reachable member and the first of all"
    return changes.promote(situation, status, stage, Reason.FIRST_REVISION, message)


def _promote_winner(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    verdict = changes.rollout_of(status).latched or _won(situation, status)
    return changes.promote(situation, status, stage, verdict.reason, verdict.message)


def _roll_back(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    judgement = situation.judgement(status)
    if judgement is None:
        raise AssertionError("the trigger saw a judgement")
    decision = changes.decision_now(
        situation, Verdict.ROLLBACK, judgement.reason, judgement.message
    )
    return changes.reject(situation, status, stage, decision)


def _end_breached(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    state = situation.breach(status)
    if state is None:
        raise AssertionError("the trigger saw a breach")
    decision = changes.decision_now(situation, Verdict.ROLLBACK, state.reason, summary(state))
    return changes.reject(situation, status, stage, decision)


def _roll_back_recorded(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    records = (member.record for member in situation.holders if member.record)
    rollout = changes.rollout_of(status)
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
    return changes.reject(situation, status, stage, decision.model_copy(update=at))


def _miss_deadline(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    canary = changes.canary_of(status)
    limit = changes.rollout_of(status).settings.progress_deadline_seconds
    why = situation.failures(canary.revision)
    mixed = situation.users_not_kept(status)
    message = sentences(
        f"{named(canary)} was not ready within {limit} s", "; ".join(why), users_mixed(mixed)
    )
    decision = changes.decision_now(
        situation, Verdict.ROLLBACK, Reason.PROGRESS_DEADLINE_EXCEEDED, message
    )
    return changes.reject(situation, status, stage, decision, situation.generation)


def _end_inconclusive(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout = changes.rollout_of(status)
    limit = rollout.settings.max_seconds
    what = f"there was no verdict within {limit} s"
    if rollout.latched is not None:
        wave = rollout.waves[-1].name
        what = f"nothing could follow wave {wave} within {limit} s after it had soaked"
    judgement = situation.judgement(status)
    known = f"Last: {judgement.message}" if judgement else ""
    guard = situation.guard_hold(status)
    guarded = summary(guard) if guard else ""
    holds = "; ".join(f"{item.member}: {item.reason}" for item in situation.problems(status))
    message = sentences(what, known, guarded, holds)
    decision = changes.decision_now(situation, Verdict.ROLLBACK, Reason.INCONCLUSIVE, message)
    return changes.reject(situation, status, stage, decision)


def _revert(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    """End the trial of a canary that nobody asks for any more; it has lost nothing."""
    message = f"the spec names {named(status.canary)} no more; {named(status.stable)} serves"
    decision = changes.decision_now(situation, Verdict.ROLLBACK, Reason.REVERTED, message)
    status = status.model_copy(update={"rollout": changes.decided(status, stage, decision)})
    return status, changes.normal(Reason.REVERTED, message)


def _settle(
    situation: Situation, status: ModelDeploymentStatus, stage: Stage
) -> tuple[ModelDeploymentStatus, Event]:
    rollout = changes.rollout_of(status)
    if rollout.decision is None:
        raise AssertionError("a rollout ends after it was decided")
    back = rollout.stage is Stage.ROLLING_BACK
    tried = status.canary if back else status.stable
    status = changes.remember(situation, status, tried, rollout.decision)
    if back:
        status = changes.retire_canary(situation, status)
    else:
        status = changes.stay_from_now(situation, status)
    status = changes.with_rollout(status, stage=stage)
    return status, changes.normal("RolloutDone", f"{named(status.stable)} serves")


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
    Trigger.PAUSED: hands.pause,
    Trigger.RESUMED: hands.resume,
    Trigger.APPROVED: hands.approve,
    Trigger.STEP_ORDERED: hands.order_step,
    Trigger.PROMOTED_BY_HAND: hands.promote_by_hand,
    Trigger.ABORTED: hands.abort,
    Trigger.RETRIED: hands.retry,
    Trigger.UNDONE: hands.undo,
    Trigger.RESTORED: hands.restore,
}
