"""What a person may ask of a rollout when, and what is said to a request that cannot be carried out.

A request is taken once: `status.lastRequest` bears its id from the status on that its effect stands
in. What cannot be done at once is refused and never done later.
"""

from collections.abc import Callable, Mapping

from assay.api.deployment_status import (
    HistoryEntry,
    ModelDeploymentStatus,
    RequestRecord,
    RequestResult,
    RolloutStatus,
    Stage,
    Verdict,
)
from assay.api.model_deployment import Paused
from assay.api.request import Request, Unreadable, Verb

from .observation import Event
from .situation import Situation
from .wording import clip, moment

MOST_TRIALS = 16
MOST_STEPS = 64
"""What status admits of trials that a retry goes on with, and of their steps."""


def asked(situation: Situation, status: ModelDeploymentStatus, verb: Verb) -> Request | None:
    """Return the request if it asks for `verb` and that can be done now."""
    request = _new(situation, status)
    if not isinstance(request, Request) or request.verb is not verb:
        return None
    return request if _refusal(situation, status, request) is None else None


def done(
    situation: Situation, status: ModelDeploymentStatus, message: str
) -> ModelDeploymentStatus:
    """Return `status` with the request as carried out."""
    request = _new(situation, status)
    assert isinstance(request, Request)  # a trigger took it
    return _answered(situation, status, request, RequestResult.DONE, message)


def refused(
    situation: Situation, status: ModelDeploymentStatus
) -> tuple[ModelDeploymentStatus, tuple[Event, ...]]:
    """Refuse a request that nothing took; without one `status` is as it was."""
    request = _new(situation, status)
    if request is None:
        return status, ()
    if isinstance(request, Unreadable):
        words, message = "A request", request.message
    else:
        words = f"{request.verb.value} by {request.by}"
        message = _refusal(situation, status, request) or "it can be asked again"
    status = _answered(situation, status, request, RequestResult.REFUSED, message)
    return status, (Event("Warning", "RequestRefused", clip(f"{words} is refused: {message}")),)


def _new(situation: Situation, status: ModelDeploymentStatus) -> Request | Unreadable | None:
    request, last = situation.observed.request, status.last_request
    return None if request is None or (last is not None and last.id == request.id) else request


def _answered(
    situation: Situation,
    status: ModelDeploymentStatus,
    request: Request | Unreadable,
    result: RequestResult,
    message: str,
) -> ModelDeploymentStatus:
    record = RequestRecord(id=request.id, at=situation.now, result=result, message=clip(message))
    if isinstance(request, Request):
        update = {
            "verb": request.verb.value,
            "rollout_id": request.rollout_id,
            "by": request.by,
            "reason": request.reason,
        }
        record = record.model_copy(update=update)
    return status.model_copy(update={"last_request": record})


def _refusal(situation: Situation, status: ModelDeploymentStatus, request: Request) -> str | None:
    """Return why `request` cannot be carried out now, and what helps; None if it can."""
    rollout = status.rollout
    if rollout is None:
        return "there has been no rollout yet"
    if request.rollout_id != rollout.id:
        return f"it is for rollout {request.rollout_id}, the present one is {rollout.id}"
    if request.step is not None and request.step != rollout.step:
        return f"it is for step {request.step + 1}, the present one is {rollout.step + 1}"
    if situation.spec.paused is Paused.ALL:
        return "spec.paused is All, so nothing may change: change the spec first"
    return _RULES[request.verb](situation, status, rollout, request)


def _pause(
    _situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, _: Request
) -> str | None:
    if (why := _under_way(status, rollout)) is not None:
        return why
    held = rollout.paused
    return None if held is None else f"it is paused already, by {held.by} at {moment(held.at)}"


def _resume(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, _: Request
) -> str | None:
    if (why := _under_way(status, rollout)) is not None or rollout.paused is not None:
        return why
    if situation.spec.paused is not Paused.NONE:
        return f"spec.paused: {situation.spec.paused.value} holds it: change the spec"
    if situation.waits_for_approval(status) or situation.next_wave_waits(status):
        return "it is not paused by hand but waits for approval: use approve"
    return "it is not paused"


def _approve(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, _: Request
) -> str | None:
    if situation.waits_for_approval(status) or situation.next_wave_waits(status):
        return None
    return f"nothing waits for approval: the rollout is in stage {rollout.stage.value}" + (
        f", step {rollout.step + 1}" if rollout.stage is Stage.TRIAL else ""
    )


def _promote(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, request: Request
) -> str | None:
    # Of the trial that is on record: one that begins in this very look has shown nothing yet.
    known = situation.before.rollout
    begun = known is not None and known.stage is Stage.TRIAL
    if rollout.stage is not Stage.TRIAL or status.canary is None or not begun:
        stage = known.stage if known and rollout.stage is Stage.TRIAL else rollout.stage
        return f"there is no trial: the rollout is in stage {stage.value}"
    if situation.spec.paused is not Paused.NONE:
        return f"spec.paused: {situation.spec.paused.value} holds it: change the spec first"
    if not situation.canary_ready(status):
        return "the canary is not ready in every reachable member of its waves: see status.clusters"
    if not request.full:
        return _next_step(situation, status, rollout)
    lost = situation.verdict(status) is Verdict.ROLLBACK
    return "the verdict is Rollback" if lost else None


def _next_step(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus
) -> str | None:
    if rollout.step >= len(rollout.settings.steps) - 1:
        return "this is the last step, which waits for the verdict; --full takes the canary without"
    if not situation.step_shown(status):
        return "the routes do not all show the present step yet: ask again in a moment"
    return None


def _abort(
    _situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, _: Request
) -> str | None:
    if rollout.stage is Stage.ROLLING_BACK:
        return "it is being rolled back already"
    return _under_way(status, rollout)


def _retry(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, _: Request
) -> str | None:
    if rollout.stage is not Stage.DONE:
        return f"a rollout is under way, in stage {rollout.stage.value}"
    wanted = situation.observed.revision
    rejected = situation.rejection(status.rejected_revisions, wanted)
    if rejected is None:
        return f"the spec names revision {wanted}, which was not rejected"
    if not situation.reachable:
        return "no member can be reached"
    steps = len(situation.spec.rollout.steps)
    if rejected.trials is not None and (
        len(rejected.trials.rollouts) >= MOST_TRIALS
        or len(rejected.trials.steps) + steps > MOST_STEPS
    ):
        return f"revision {wanted} was tried {len(rejected.trials.rollouts)} times already"
    return None


def _undo(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus, request: Request
) -> str | None:
    if rollout.stage is not Stage.DONE:
        return f"a rollout is under way, in stage {rollout.stage.value}: abort it first"
    if status.stable is not None and status.stable.revision == request.to_revision:
        return f"revision {request.to_revision} serves already"
    if situation.spec.paused is not Paused.NONE:
        return f"spec.paused: {situation.spec.paused.value} holds it: change the spec first"
    if earlier(status, request.to_revision) is None:
        known = [item.revision for item in status.history if earlier(status, item.revision)]
        names = ", ".join(dict.fromkeys(known)) or "none"
        return f"history has no revision {request.to_revision} that was stable; it has {names}"
    return None if situation.reachable else "no member can be reached"


def earlier(status: ModelDeploymentStatus, revision: str | None) -> HistoryEntry | None:
    """Return the newest entry that made `revision` stable, if it says all that is needed to go back."""
    found = (
        item
        for item in status.history
        if item.revision == revision and item.verdict is Verdict.PROMOTE and item.digest is not None
    )
    return next(found, None)


def _under_way(status: ModelDeploymentStatus, rollout: RolloutStatus) -> str | None:
    """Return why a rollout can neither be held nor ended; None if it can."""
    match rollout.stage:
        case Stage.DONE:
            return "the rollout is over"
        case Stage.PROMOTING:
            return "it is too late: the canary was promoted"
        case Stage.ROLLING_BACK:
            return "it is being rolled back"
        case Stage.STARTING | Stage.TRIAL:
            first = "it is the first start, and nothing serves that could go on: change the spec"
            return first if status.stable is None else None


_Rule = Callable[[Situation, ModelDeploymentStatus, RolloutStatus, Request], str | None]

_RULES: Mapping[Verb, _Rule] = {
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.APPROVE: _approve,
    Verb.PROMOTE: _promote,
    Verb.ABORT: _abort,
    Verb.RETRY: _retry,
    Verb.UNDO: _undo,
}
