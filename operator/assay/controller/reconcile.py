"""One look at one ModelDeployment: observe, decide, record and act in the decided order, report.

Level triggered: nothing depends on which event came, only on what is so now. Errors of the API
servers end the look; whoever called tries again (`worker`).
"""

import dataclasses
import datetime
import logging

from assay.api.conditions import ConditionType, Reason, condition, update
from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec, Paused
from assay.members import receipts
from assay.members.errors import ApiError, MemberError
from assay.rollout import adopted, decide
from assay.rollout.observation import Decision, Event, Observation, Order

from . import logs
from .act import Hands, act, leave, recall, record
from .clean import clean, kept, replaced
from .cloudevents import cloud_event
from .hub import Deployment, Key, deployment, version_of
from .memory import NUMBERS_SECONDS, Memory, rolled_back
from .moment import now
from .observe import observe
from .rest import Rest, sooner

RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Next:
    """When to look again: after so many seconds, or on a change only; gone: never."""

    seconds: float | None = None
    gone: bool = False


async def reconcile(hands: Hands, key: Key, memory: Memory) -> Next:
    """Look once. Raises `MemberError` and `ApiError` when it has to be tried again."""
    memory.said = None
    found = await _read(hands, key, memory)
    if found is None:
        hands.reservations.release(key)
        return Next(gone=True)
    item, moment = memory.take(found), now()
    if memory.rest is not None and await _rests(memory.rest, found, memory, moment):
        return Next(memory.rest.seconds)
    memory.rest = None
    if item.deleting:
        return Next(await clean(hands, item, memory))
    if item.spec is None:
        return await _stall(hands, item, memory)
    return await _look(hands, found, item, item.spec, memory, moment)


async def _look(
    hands: Hands,
    found: Deployment,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    moment: datetime.datetime,
) -> Next:
    """Observe, decide, record and act; `found` is what the hub holds, `item` what we know better."""
    memory.held_back = False
    item = memory.with_guards(memory.held(await hands.hub.hold(item)))
    if memory.templates is None:
        memory.templates = await hands.hub.templates(item)
    observed = await observe(
        hands.members, item, spec, memory, moment, hands.reservations, hands.lead_seconds
    )
    taken = adopted(item.status, item.generation, (*observed.members, *observed.leaving))
    if taken is not None:
        return await _adopt(hands, item, spec, memory, observed, *taken)
    decision = decide(item.uid, item.generation, spec, item.status, observed, moment)
    decision = kept(hands, item, observed, decision)
    status = decision.status
    memory.decided(status)
    busy = rolling_back = decision.order is Order.ACT_THEN_RECORD or memory.latched is not None
    if spec.paused is Paused.ALL:
        await _record(hands, item, memory, decision)
    elif rolling_back:
        memory.latched = status if rolled_back(status) else memory.latched
        await act(hands, item, spec, memory, observed, status, moment, urgent=True)
        await _record(hands, item, memory, decision)
    else:
        first = decision.order is Order.RECORD_THEN_ACT
        if first:
            await _record(hands, item, memory, decision)
        try:
            busy = await act(hands, item, spec, memory, observed, status, moment, urgent=False)
            busy |= await leave(hands, item, observed, status)
        finally:
            if not first:
                await _record(hands, item, memory, decision)
    await _report(hands, item, memory)
    numbers = NUMBERS_SECONDS if memory.held_back else None
    holds_for = sooner(decision.holds_for, _rotation(spec, memory, moment), numbers)
    if _hurries(hands, observed, memory):
        return Next(sooner(holds_for, decision.pace, RETRY_SECONDS))
    if not busy and memory.last is found and memory.said is not None:
        members = (*memory.said.chosen, *memory.said.leaving)
        checks = [member.checks_in(*item.key) for member in members]
        memory.rest = Rest.from_now(found, memory.said, decision.pace, holds_for, checks)
    return Next(sooner(holds_for, decision.pace))


async def _rests(rest: Rest, found: Deployment, memory: Memory, moment: datetime.datetime) -> bool:
    """Return whether nothing is to be done, as when the last look ended."""
    if found is not rest.item or rest.over:
        return False
    memory.said = await rest.asked(memory.history, moment)
    return memory.said.says_the_same(rest.said)


async def _adopt(
    hands: Hands,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    observed: Observation,
    status: ModelDeploymentStatus,
    event: Event,
) -> Next:
    """Write down what the members remember and how its pods look; then look again, knowing it."""
    await recall(hands, item, spec, memory, observed, status)
    memory.wrote(await hands.hub.write_status(item, status), status)
    memory.unsaid.append(event)
    await _report(hands, item, memory)
    return Next(0.0)


async def _record(hands: Hands, item: Deployment, memory: Memory, decision: Decision) -> None:
    """Record the decision; its events may be posted from then on.

    Until it is written it is decided again, with the same events: only a latched one is not.
    """
    latched = memory.latched is not None
    if latched:
        memory.unsaid += decision.events
    await record(hands, item, memory, decision.status)
    if not latched:
        memory.unsaid += decision.events


def _hurries(hands: Hands, observed: Observation, memory: Memory) -> bool:
    """Return whether to look again soon: while something failed or pods start.

    A pod that cannot start changes nothing in its Deployment, so no watch tells. Nor does anything
    tell when a member that is there, but was too busy to answer this look, would answer the next.
    """
    starting = any(
        not pods.is_ready or pods.rolling
        for view in observed.members
        for pods in view.revisions.values()
    )
    busy = any(
        not view.reachable and (member := hands.members.get(view.name)) and member.state.reachable
        for view in (*observed.members, *observed.leaving)
    )
    return starting or busy or bool(memory.failures)


def _rotation(spec: ModelDeploymentSpec, memory: Memory, moment: datetime.datetime) -> float | None:
    """Return when the receipt keys change next."""
    if memory.keys is None:
        return None
    window = spec.feedback.label_window_seconds
    return receipts.seconds_to_rotation(memory.keys, moment.timestamp(), window)


async def _read(hands: Hands, key: Key, memory: Memory) -> Deployment | None:
    """Read the object; while the hub is away a trial is judged on by what was read last.

    What the watch has just shown is as good: if that is old by now, no write of ours succeeds.
    """
    last, news = memory.last, memory.news
    memory.news = None
    if news is not None and (last is None or version_of(news) > int(last.version)):
        return deployment(news)
    if last is not None and memory.unchanged and not last.deleting:
        return last
    urgent = last is not None and on_trial(last.status)
    try:
        return await hands.hub.read(key, urgent=urgent, known=last if memory.rest else None)
    except (MemberError, ApiError) as error:
        away = isinstance(error, MemberError) or error.unavailable
        if last is None or not away:
            raise
        log.warning("the hub does not answer, going on with what was read last: %s", error)
        return last


def on_trial(status: ModelDeploymentStatus) -> bool:
    """Return whether a rollout is under way that may have to be taken back."""
    return status.rollout is not None and status.rollout.stage is not Stage.DONE


async def _stall(hands: Hands, item: Deployment, memory: Memory) -> Next:
    """Say what is wrong with the spec. What runs goes on."""
    log.warning("invalid: %s", item.invalid)
    if item.invalid.startswith("status."):
        # Written by a newer operator, or by hand: to write our own over it would lose it.
        await _say_once(hands, item, memory, item.invalid)
        return Next()
    conditions = replaced(
        item.status.conditions,
        condition(ConditionType.READY, False, Reason.INVALID_SPEC.value, item.invalid),
        condition(ConditionType.STALLED, True, Reason.INVALID_SPEC.value, item.invalid),
        condition(ConditionType.RECONCILING, False, Reason.INVALID_SPEC.value),
    )
    status = item.status.model_copy(
        update={
            "conditions": update(item.status.conditions, conditions, item.generation, now()),
            "observed_generation": item.generation,
        }
    )
    if status != item.status:
        memory.wrote(await hands.hub.write_status(item, status), status)
        await _say_once(hands, item, memory, item.invalid)
    return Next()


async def _say_once(hands: Hands, item: Deployment, memory: Memory, message: str) -> None:
    if memory.failures.get("") != message:
        memory.failures = {"": message}
        await hands.hub.emit(item, Event("Warning", Reason.INVALID_SPEC.value, message))


async def _report(hands: Hands, item: Deployment, memory: Memory) -> None:
    """Post the events of transitions that are now written."""
    events, memory.unsaid = memory.unsaid, []
    for event in events:
        log.info("%s: %s", event.reason, event.message)
        await hands.hub.emit(item, event)
        if event.topic:
            line = cloud_event(item, event, memory.signals, now())
            log.info("%s", event.topic, extra={logs.CLOUDEVENT: line})
