"""Deletion: every member is cleaned before the object may go."""

import asyncio
import dataclasses
import logging

from assay.api import FINALIZER
from assay.api.conditions import Condition, ConditionType, Reason, condition, update
from assay.api.deployment_status import ClusterStatus
from assay.members.errors import ApiError, MemberError
from assay.rollout.observation import Decision, Event, Observation

from .act import Hands
from .hub import ABANDON, Deployment
from .memory import Memory
from .moment import now

RETRY_SECONDS = 5.0
MEMBER_SECONDS = 15.0

log = logging.getLogger(__name__)


async def clean(hands: Hands, item: Deployment, memory: Memory) -> float | None:
    """Remove everything from every member; return when to try again, None when all is done.

    A member that cannot be reached is waited for, by name, until the annotation
    ``assay.dev/abandon`` lets go of it: then a tombstone remembers it.
    """
    concerned = {cluster.name for cluster in item.status.clusters} | {
        member.name for member in hands.members.all()
    }
    names = sorted(concerned - item.abandoned)
    answers = await asyncio.gather(*(_clean_member(hands, item, name) for name in names))
    left = {name: why for name, why in zip(names, answers, strict=True) if why}
    if not left:
        if FINALIZER in item.finalizers:
            await hands.tombstones.write(item, sorted(item.abandoned))
            await hands.hub.release(item)
        log.info("deleted")
        return None
    text = "; ".join(f"{name}: {why}" for name, why in sorted(left.items()))
    message = (
        f"waiting for members to be cleaned: {text}. "
        "The annotation assay.dev/abandon: <member> lets go of one that is lost."
    )
    if left.keys() != memory.failures.keys():
        memory.failures = left
        await hands.hub.emit(item, Event("Warning", Reason.DELETING.value, message))
        log.warning("%s", message)
    await _tell(hands, item, memory, message)
    return RETRY_SECONDS


async def _clean_member(hands: Hands, item: Deployment, name: str) -> str | None:
    """Return None when the member is clean, else why it is not."""
    served = name in {cluster.name for cluster in item.status.clusters}
    member = hands.members.get(name)
    if member is None:
        return "there is no such ModelCluster"
    if not served and not member.holds(*item.key):
        return None
    try:
        async with asyncio.timeout(MEMBER_SECONDS):
            await member.remove(*item.key)
    except (MemberError, ApiError) as error:
        return error.message
    except TimeoutError:
        return f"no answer within {MEMBER_SECONDS:g} s"
    return None


async def _tell(hands: Hands, item: Deployment, memory: Memory, message: str) -> None:
    conditions = replaced(
        item.status.conditions,
        condition(ConditionType.READY, False, Reason.DELETING.value, message),
    )
    status = item.status.model_copy(
        update={"conditions": update(item.status.conditions, conditions, item.generation, now())}
    )
    if memory.worth_writing(item.status, status):
        memory.wrote(await hands.hub.write_status(item, status), status)


def kept(hands: Hands, item: Deployment, observed: Observation, decision: Decision) -> Decision:
    """Return the decision with the entries of members that still have to be cleaned.

    A member stays in status when its ModelCluster is gone: what runs there serves on, and only
    status remembers it. The annotation ``assay.dev/abandon`` takes one out that is not chosen.
    """
    chosen = {view.name for view in observed.members}
    decided = tuple(
        cluster
        for cluster in decision.status.clusters
        if cluster.name in chosen or cluster.name not in item.abandoned
    )
    out = {cluster.name for cluster in decided} | item.abandoned
    lost = tuple(
        _lost(cluster)
        for cluster in item.status.clusters
        if cluster.name not in out and hands.members.get(cluster.name) is None
    )
    events = tuple(
        Event("Warning", Reason.MEMBERS_UNREACHABLE.value, f"{cluster.name}: {cluster.message}")
        for cluster in lost
        if cluster not in item.status.clusters
    )
    status = decision.status.model_copy(update={"clusters": (*decided, *lost)})
    return dataclasses.replace(decision, status=status, events=(*decision.events, *events))


def _lost(cluster: ClusterStatus) -> ClusterStatus:
    message = (
        "its ModelCluster is gone, so what serves there cannot be removed; "
        f"the annotation {ABANDON}: {cluster.name} lets go of it"
    )
    since = cluster.unreachable_since or now()
    return cluster.model_copy(
        update={"reachable": False, "message": message, "unreachable_since": since}
    )


def replaced(old: tuple[Condition, ...], *new: Condition) -> tuple[Condition, ...]:
    """Return `old` with those of the same types replaced by `new`."""
    types = {item.type for item in new}
    return (*(item for item in old if item.type not in types), *new)
