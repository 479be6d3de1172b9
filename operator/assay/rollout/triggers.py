"""Which triggers hold: one small question each, in the words of the table."""

from collections.abc import Callable, Mapping

from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage, Verdict
from assay.api.request import Verb

from . import requests, waves
from .changes import canary_of, rollout_of
from .scaling import too_small
from .situation import Situation, is_ready, shows_only, touches
from .transitions import TRANSITIONS, Trigger


def trigger(situation: Situation, status: ModelDeploymentStatus) -> Trigger | None:
    """Return the first trigger of the present stage that holds, in the order of the table."""
    stage = status.rollout.stage if status.rollout else None
    for item in TRANSITIONS[stage]:
        if _QUESTIONS[item](situation, status):
            return item
    return None


def _canary(status: ModelDeploymentStatus) -> str:
    return canary_of(status).revision


def _new_revision(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # Something to try, and somebody to try it.
    wanted = situation.observed.revision
    stable = status.stable.revision if status.stable else None
    rejected = situation.rejection(status.rejected_revisions, wanted)
    if situation.observed.invalid or (stable is None and situation.awaits_other_hub):
        return False
    return wanted != stable and rejected is None and bool(situation.reachable)


def _reverted(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The spec names a revision that is not to be tried: stable, one that was rejected, or one with
    # settings by which nobody can be judged.
    wanted = situation.observed.revision
    if status.stable is None or wanted == _canary(status):
        return False
    if rollout_of(status).undo is not None and wanted == status.stable.revision:
        return False  # the spec names what is undone
    rejected = situation.rejection(status.rejected_revisions, wanted)
    invalid = bool(situation.observed.invalid)
    return invalid or wanted == status.stable.revision or rejected is not None


def _superseded(situation: Situation, status: ModelDeploymentStatus) -> bool:
    wanted, undo = situation.observed.revision, rollout_of(status).undo
    return wanted != _canary(status) and (undo is None or wanted != undo.revision)


def _has_followers(situation: Situation, rollout: RolloutStatus) -> bool:
    after = waves.present(rollout)
    return waves.following(rollout.settings, after, situation.reachable) is not None


def _wave_over(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return situation.canary_ready(status) and situation.soaked(rollout_of(status))


def _first_ready(situation: Situation, status: ModelDeploymentStatus) -> bool:
    last = not _has_followers(situation, rollout_of(status))
    return status.stable is None and last and _wave_over(situation, status)


def _canary_ready(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The canary gets its first traffic: nobody holds it back, and users are kept if they are to be.
    kept = not situation.users_not_kept(status)
    return kept and rollout_of(status).undo is None and _may_take_traffic(situation, status)


def _restored(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return rollout_of(status).undo is not None and _may_take_traffic(situation, status)


def _may_take_traffic(situation: Situation, status: ModelDeploymentStatus) -> bool:
    ready = status.stable is not None and situation.canary_ready(status)
    return ready and situation.hold(status) is None


def _latched(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The verdict is there while members are left; it is one for all of them.
    rollout = rollout_of(status)
    won = rollout.latched is None and _won(situation, status)
    return won and _has_followers(situation, rollout)


def _wave_started(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The first revision of all has nothing to be compared with: it goes on by health alone, and does
    # not wait for waves of which nobody answers.
    rollout = rollout_of(status)
    if not _has_followers(situation, rollout):
        return False
    if status.stable is None and situation.waves_away(rollout):
        return True
    follows = status.stable is None or (rollout.latched is not None and _won(situation, status))
    return follows and _wave_over(situation, status)


def _wave_failed(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return situation.wave_late(status)


def _deadline_exceeded(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # Some member that answers has been given its time. The first start of all goes on waiting.
    rollout = rollout_of(status)
    due = situation.wave_due(rollout, rollout.waves[-1]) if rollout.waves else situation.now
    return status.stable is not None and bool(situation.reachable) and situation.now >= due


def _inconclusive(situation: Situation, status: ModelDeploymentStatus) -> bool:
    late = situation.now >= situation.trial_due(rollout_of(status))
    return status.stable is not None and late


def _rollback(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # What can be read is enough to roll back, even if something else cannot be read.
    return situation.verdict(status) is Verdict.ROLLBACK


def _guard_breached(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # In one member is enough, whatever the labels say and whoever cannot be read.
    return situation.breach(status) is not None


def _rollback_recorded(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The rollback was carried out while the hub could not be written.
    return status.stable is not None and any(
        member.record is not None
        and member.record.rollout == rollout_of(status).id
        and member.record.decision is not None
        and member.record.decision.verdict is Verdict.ROLLBACK
        for member in situation.holders
    )


def _step_over(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The present step was shown long enough, to pods that are ready, with evidence in force and
    # every guard kept, and nobody holds it.
    rollout = rollout_of(status)
    return (
        situation.hold(status) is None
        and situation.step_shown(status)
        and situation.now >= situation.step_due(rollout)
        and situation.canary_ready(status)
        and situation.evidence_holds(status)
        and situation.guards_kept(status)
    )


def _is_last(rollout: RolloutStatus) -> bool:
    return rollout.step >= len(rollout.settings.steps) - 1


def _step_taken(situation: Situation, status: ModelDeploymentStatus) -> bool:
    rollout = rollout_of(status)
    # One whose verdict is there takes no more steps.
    undecided = rollout.latched is None and not _is_last(rollout)
    return undecided and _step_over(situation, status)


def _won(situation: Situation, status: ModelDeploymentStatus) -> bool:
    # The verdict stands, all steps were taken, and nothing hides evidence; later waves follow it.
    if rollout_of(status).latched is not None:
        kept = situation.step_shown(status) and situation.guards_kept(status)
        return kept and situation.hold(status) is None
    return (
        situation.verdict(status) is Verdict.PROMOTE
        and _is_last(rollout_of(status))
        and _step_over(situation, status)
    )


def _promote(situation: Situation, status: ModelDeploymentStatus) -> bool:
    won = _won(situation, status) and _wave_over(situation, status)
    followed = _has_followers(situation, rollout_of(status))
    return won and not followed and not too_small(situation, status)


def _settled(situation: Situation, status: ModelDeploymentStatus) -> bool:
    if rollout_of(status).stage is Stage.ROLLING_BACK:
        canary = _canary(status)
        return not any(touches(member, canary) for member in situation.holders)
    stable = status.stable.revision if status.stable else ""
    return bool(situation.reachable) and all(
        shows_only(member, stable) and is_ready(member, stable) for member in situation.reachable
    )


def _lagging(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return situation.now >= situation.promotion_due(rollout_of(status))


def _paused(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.PAUSE) is not None


def _resumed(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.RESUME) is not None


def _approved(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.APPROVE) is not None


def _step_ordered(situation: Situation, status: ModelDeploymentStatus) -> bool:
    request = requests.asked(situation, status, Verb.PROMOTE)
    return request is not None and not request.full


def _promoted_by_hand(situation: Situation, status: ModelDeploymentStatus) -> bool:
    request = requests.asked(situation, status, Verb.PROMOTE)
    return request is not None and request.full


def _aborted(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.ABORT) is not None


def _retried(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.RETRY) is not None


def _undone(situation: Situation, status: ModelDeploymentStatus) -> bool:
    return requests.asked(situation, status, Verb.UNDO) is not None


_QUESTIONS: Mapping[Trigger, Callable[[Situation, ModelDeploymentStatus], bool]] = {
    Trigger.NEW_REVISION: _new_revision,
    Trigger.SUPERSEDED: _superseded,
    Trigger.FIRST_READY: _first_ready,
    Trigger.CANARY_READY: _canary_ready,
    Trigger.DEADLINE_EXCEEDED: _deadline_exceeded,
    Trigger.LATCHED: _latched,
    Trigger.WAVE_STARTED: _wave_started,
    Trigger.WAVE_FAILED: _wave_failed,
    Trigger.STEP_TAKEN: _step_taken,
    Trigger.PROMOTE: _promote,
    Trigger.ROLLBACK: _rollback,
    Trigger.GUARD_BREACHED: _guard_breached,
    Trigger.ROLLBACK_RECORDED: _rollback_recorded,
    Trigger.REVERTED: _reverted,
    Trigger.INCONCLUSIVE: _inconclusive,
    Trigger.SETTLED: _settled,
    Trigger.LAGGING: _lagging,
    Trigger.PAUSED: _paused,
    Trigger.RESUMED: _resumed,
    Trigger.APPROVED: _approved,
    Trigger.STEP_ORDERED: _step_ordered,
    Trigger.PROMOTED_BY_HAND: _promoted_by_hand,
    Trigger.ABORTED: _aborted,
    Trigger.RETRIED: _retried,
    Trigger.UNDONE: _undone,
    Trigger.RESTORED: _restored,
}
