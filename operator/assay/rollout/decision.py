"""One decision: which triggers hold, what follows from them, what to say, when to look again."""

import datetime
from collections.abc import Iterator

from assay.api.conditions import ConditionType
from assay.api.deployment_status import (
    ModelDeploymentStatus,
    RejectedRevision,
    RolloutStatus,
    Stage,
)
from assay.api.model_deployment import ModelDeploymentSpec, Paused

from .analysis import analysis, decided
from .clusters import clusters, progressed
from .drifting import turned
from .effects import apply, with_clock
from .guards import due as guards_due
from .guards import worst
from .observation import Decision, Event, Observation, Order
from .requests import refused
from .sharing import strata_due, waits_for_others, whole_share
from .situation import Situation, seconds, touches
from .summary import conditions
from .transitions import Trigger
from .triggers import trigger

_BAD_WHEN_FALSE = (ConditionType.MEMBERS_REACHABLE, ConditionType.PLACED, ConditionType.USERS_KEPT)
_REPORTED = (ConditionType.STALLED, ConditionType.UNSAFE_MODEL, *_BAD_WHEN_FALSE)
_JUDGED = (Stage.TRIAL, Stage.PROMOTING, Stage.ROLLING_BACK)
_LIMIT = 100
"""What status admits of rejected revisions."""


def decide(
    uid: str,
    generation: int,
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    observed: Observation,
    now: datetime.datetime,
) -> Decision:
    """Return the next status of a ModelDeployment, and how to make it true.

    Pure and level-triggered: what should exist in the members is a function of spec and the
    returned status (assay.render). Called again with that status and the same observation it
    returns the same status.

    Parameters
    ----------
    uid, generation
        From the metadata.
    status
        As it was written last, read afresh.
    observed
        What was seen after that; a judgement in it speaks of the trial in `status`.
    now
        Aware point in time.
    """
    situation = Situation(uid, generation, spec, status, observed, now.replace(microsecond=0))
    # 1. What moves the rollout.
    new, events = _advance(situation, progressed(situation, status))
    new = progressed(situation, new)
    # 2. What the members should do now, and what can be forgotten.
    if spec.paused is not Paused.ALL:
        new = _tidied(situation, new)
    new = new.model_copy(update={"clusters": clusters(situation, new)})
    new = new.model_copy(update={"share": whole_share(situation, new)})
    # 3. What there is to say.
    judgement = situation.judgement(status)
    if judgement is not None and _same_rollout(status, new):
        new = new.model_copy(update={"analysis": analysis(judgement)})
    if _same_rollout(status, new) and (states := situation.guards(new) or situation.guards(status)):
        new = new.model_copy(update={"guards": worst(states)})
    new = new.model_copy(
        update={"conditions": conditions(situation, new), "observed_generation": generation}
    )
    said = turned(status.conditions, new.conditions)
    events = (*events, *_observed_events(status, new), *said)
    # 4. What comes first, and when to look again: at a rollout that just began, at once.
    holds = _holds_for(situation, new, now) if _same_rollout(status, new) else 0.0
    return Decision(new, _order(status, new), events, _pace(new), holds)


def _advance(
    situation: Situation, status: ModelDeploymentStatus
) -> tuple[ModelDeploymentStatus, tuple[Event, ...]]:
    """Apply triggers until none holds or another rollout begins; that one is looked at afresh."""
    events: list[Event] = []
    status = with_clock(situation, status)
    while (item := _next(situation, status)) is not None:
        before = status
        status, event = apply(situation, status, item)
        events.append(event)
        if not _same_rollout(before, status):
            break
    status, refusal = refused(situation, status)
    return with_clock(situation, status), (*events, *refusal)


def _next(situation: Situation, status: ModelDeploymentStatus) -> Trigger | None:
    return None if situation.spec.paused is Paused.ALL else trigger(situation, status)


def _same_rollout(old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> bool:
    return (old.rollout.id if old.rollout else None) == (new.rollout.id if new.rollout else None)


def _tidied(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Forget what is over: retired pods past their time, rejections and history past the limit."""
    in_use = {item.revision for item in (status.stable, status.canary) if item is not None}
    # An entry Service of both versions would have these pods too: a trial waits until they are gone.
    stays = not waits_for_others(status)
    limit = situation.spec.revision_history_limit
    return status.model_copy(
        update={
            "retired_revisions": tuple(
                item
                for item in status.retired_revisions
                if item.revision not in in_use
                # A route that could not be written yet still needs the pods behind it.
                and (
                    (stays and item.until > situation.now)
                    or any(touches(member, item.revision) for member in situation.holders)
                )
            ),
            "rejected_revisions": _rejected(
                status.rejected_revisions, limit, situation.observed.revision
            ),
            "history": status.history[:limit],
        }
    )


def _rejected(
    items: tuple[RejectedRevision, ...], limit: int, wanted: str
) -> tuple[RejectedRevision, ...]:
    """Return the newest rejections, and the one of the revision that the spec names in any case."""
    kept = items[:limit]
    named = [item for item in items[limit:] if item.revision == wanted]
    return (*kept[: _LIMIT - len(named)], *named)


def _observed_events(old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> tuple[Event, ...]:
    """Return an event for each condition that an administrator waits for and that turned."""
    before = {item.type: (item.status, item.reason) for item in old.conditions}
    events = []
    for item in new.conditions:
        turned = before.get(item.type) != (item.status, item.reason)
        first = item.type not in before and item.type in _BAD_WHEN_FALSE
        if item.type not in _REPORTED or not turned or (first and item.status == "True"):
            continue
        if item.status == "Unknown":
            continue
        good = item.type in _BAD_WHEN_FALSE and item.status == "True"
        events.append(Event("Normal" if good else "Warning", item.reason, item.message))
    return tuple(events)


def _order(old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> Order:
    """Traffic leaves a canary first and is recorded after; everything else is written ahead."""
    stages = {item.rollout.stage for item in (old, new) if item.rollout}
    began_back = (
        new.rollout is not None
        and new.rollout.decision is not None
        and new.rollout.decision.verdict == "Rollback"
        and (old.rollout is None or old.rollout.stage is not Stage.DONE)
    )
    back = Stage.ROLLING_BACK in stages or began_back
    if back:
        return Order.ACT_THEN_RECORD
    return Order.ANY if decided(old) == decided(new) else Order.RECORD_THEN_ACT


def _holds_for(
    situation: Situation, status: ModelDeploymentStatus, now: datetime.datetime
) -> float | None:
    """Return the seconds until time alone may change something; None when only news can."""
    due = [item.until for item in status.retired_revisions]
    rollout = status.rollout
    if status.stable is None and situation.awaits_other_hub:
        due.append(situation.adoption_due)
    if rollout is not None:
        if rollout.stage in {Stage.STARTING, Stage.TRIAL} and rollout.waves:
            due += _wave_due(situation, rollout)
        if rollout.stage is Stage.TRIAL:
            due += [situation.step_due(rollout), situation.trial_due(rollout)]
            due += strata_due(situation, status)
            due += guards_due(rollout.settings.analysis.guards, status.guards)
        if rollout.stage is Stage.PROMOTING:
            due.append(situation.promotion_due(rollout))
        if rollout.stage is Stage.STARTING and status.stable is not None:
            due.append(situation.trial_due(rollout))
    if (tolerated := situation.spec.placement.toleration_seconds) is not None:
        gone = (item.unreachable_since for item in status.clusters)
        due += [since + seconds(tolerated) for since in gone if since is not None]
    left = [(time - now).total_seconds() for time in due]
    return min((span for span in left if span > 0), default=None)


def _pace(status: ModelDeploymentStatus) -> float | None:
    """Return the interval at which evidence is asked for; None when nothing is judged."""
    rollout = status.rollout
    if rollout is None or rollout.stage not in _JUDGED:
        return None
    return float(rollout.settings.analysis.interval_seconds)


def _wave_due(situation: Situation, rollout: RolloutStatus) -> Iterator[datetime.datetime]:
    record, soaked = rollout.waves[-1], situation.soak_due(rollout)
    if situation.unready(rollout) and situation.reachable:
        yield situation.wave_due(rollout, record)
    if soaked is not None:
        yield soaked
