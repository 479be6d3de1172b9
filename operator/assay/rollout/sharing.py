"""Shares that numbers of pods make (``traffic.mode: Replicas``): when they change, and what counts.

One Service selects the pods of both versions, so a request goes to either in proportion to their
pods, and nobody can tell the servers with each request which step it belongs to. They are told ahead
instead (`Announced`): every pod knows a stratum before its time comes. Three rules make evidence of
one stratum one of one mix of pods:

- the mix changes only while the idle stratum is in force, which is no evidence;
- the stratum of a step is announced when all its pods are ready behind the Service, and no others;
- safety waits for nobody: a canary without pods, or rolled back, is behind no Service at once.

What was announced is in status before any member is told, so an operator that starts again goes on.
"""

import datetime
from collections.abc import Iterator, Sequence

from assay.api.deployment_status import (
    ClusterStatus,
    ModelDeploymentStatus,
    RolloutStatus,
    Stage,
    StratumRecord,
)

from .observation import Announced, MemberView
from .situation import Situation, has_pods, pods_of, seconds, wanted_in
from .sizing import canary_pods
from .traffic import IDLE_STRATUM, announced, cluster_of, trial_route
from .wording import moment

_PROMPTLY = 0.75
"""A member shows what is announced while so much of the lead is left, or it is announced anew."""


def waits_for_others(status: ModelDeploymentStatus) -> bool:
    """Return whether no pods of a third revision may stay, for they would get traffic."""
    rollout = status.rollout
    open_ = rollout is not None and rollout.stage in {Stage.STARTING, Stage.TRIAL}
    return open_ and rollout is not None and rollout.by_pods and status.stable is not None


def alone(member: MemberView, *revisions: str) -> bool:
    """Return whether a member has pods of no other revision, not even any that are ending."""
    return member.revisions.keys() <= set(revisions)


def shared_weight(
    situation: Situation,
    status: ModelDeploymentStatus,
    member: MemberView,
    before: ClusterStatus | None,
    had: int,
) -> int:
    """Return for which weight the canary has its pods in a member on trial; 0: it is not behind the Service.

    Parameters
    ----------
    before
        The member's entry in the last status, of this rollout.
    had
        The weight so far.
    """
    rollout, stable, canary = status.rollout, status.stable, status.canary
    assert rollout is not None
    assert stable is not None
    assert canary is not None
    wanted = rollout.steps[-1].weight
    if not had:
        ready = has_pods(member, status, canary.revision)
        first = ready and alone(member, stable.revision, canary.revision)
        return wanted if first and _quiet(situation, member, before) else 0
    if not pods_of(member, canary.revision).ready:
        return 0
    same = _mix(rollout, had, member) == _mix(rollout, wanted, member)
    return wanted if same or _quiet(situation, member, before) else had


def strata(
    situation: Situation,
    status: ModelDeploymentStatus,
    member: MemberView,
    before: ClusterStatus | None,
    weight: int,
) -> tuple[StratumRecord, ...] | None:
    """Return what servers in a member should be told by now; None: idle, at once.

    Parameters
    ----------
    before
        The member's entry in the last status, of this rollout.
    weight
        The weight that was decided for it just now.
    """
    rollout = status.rollout
    if rollout is None or not rollout.by_pods or rollout.stage is not Stage.TRIAL:
        return None
    kept = announced(before) if before is not None else ()
    if member.reachable:
        wanted = _wanted(status, rollout, member, kept, weight)
        lead = situation.observed.lead_seconds
        kept = schedule(kept, _shown(member), wanted, situation.now, lead)
    return tuple(StratumRecord(stratum=it.stratum, since=it.since) for it in kept) or None


def schedule(
    kept: Sequence[Announced],
    shown: Sequence[Announced],
    wanted: str,
    now: datetime.datetime,
    lead_seconds: int,
) -> tuple[Announced, ...]:
    """Return what to announce so that the stratum `wanted` comes into force.

    Parameters
    ----------
    kept
        What is announced on record, the newest last.
    shown
        What the member shows of it.
    lead_seconds
        How long before its time servers are told; above 0.
    """
    last = kept[-1] if kept else None
    if wanted == (last.stratum if last else IDLE_STRATUM):
        left = (last.since - now).total_seconds() if last else 0.0
        if last is None or last in shown or left > _PROMPTLY * lead_seconds:
            return tuple(kept)
        kept = kept[:-1]  # the member was told too late, or not at all
    in_force = [item for item in kept if item.since <= now][-1:]
    return (*in_force, Announced(wanted, now + seconds(lead_seconds)))


def strata_due(situation: Situation, status: ModelDeploymentStatus) -> Iterator[datetime.datetime]:
    """Yield when what is announced comes into force, and when it is announced anew if not shown."""
    spare = seconds(round(_PROMPTLY * situation.observed.lead_seconds))
    for cluster in status.clusters:
        for item in cluster.strata or ():
            yield item.since - spare
            yield item.since


def _wanted(
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    member: MemberView,
    kept: Sequence[Announced],
    weight: int,
) -> str:
    """Return the stratum that a member is on its way to."""
    present = rollout.steps[-1].weight
    if not weight or _mix(rollout, weight, member) != _mix(rollout, present, member):
        return IDLE_STRATUM
    if weight == present and _stands(status, rollout, member):
        return rollout.stratum
    return kept[-1].stratum if kept else IDLE_STRATUM


def _stands(status: ModelDeploymentStatus, rollout: RolloutStatus, member: MemberView) -> bool:
    """Return whether exactly the pods of the present step are ready behind the member's Service."""
    stable, canary, route = status.stable, status.canary, member.route
    if stable is None or canary is None or route is None:
        return False
    wanted = trial_route(stable.revision, canary.revision, rollout, rollout.steps[-1].weight)
    both = (wanted.stable, wanted.canary_slot, wanted.weight)
    if (route.stable, route.canary_slot, route.weight) != both:
        return False
    return all(
        pods.desired == pods.ready == wanted_in(member, status, revision)
        for revision in {stable.revision, canary.revision}
        for pods in (pods_of(member, revision),)
    )


def _mix(rollout: RolloutStatus, weight: int, member: MemberView) -> int:
    """Return the canary's pods at a weight; stable has the same all the time."""
    return canary_pods(rollout, weight, member.replicas)


def _quiet(situation: Situation, member: MemberView, before: ClusterStatus | None) -> bool:
    """Return whether nothing that is served in a member now is evidence, as far as it was told."""
    kept = announced(before) if before is not None else ()
    if not kept:
        return True
    last = kept[-1]
    told = last in _shown(member) and last.since <= situation.now
    return told and last.stratum == IDLE_STRATUM


def _shown(member: MemberView) -> tuple[Announced, ...]:
    return member.route.strata if member.route is not None else ()


def share(status: ModelDeploymentStatus, member: MemberView) -> tuple[int, int] | None:
    """Return the ready pods of the canary and of both behind the member's Service.

    A winner that has not all its pods yet counts as the canary. None where pods make no shares.
    """
    rollout = status.rollout
    if rollout is None or not rollout.by_pods or rollout.stage is Stage.DONE:
        return None
    newcomer = status.canary or status.stable
    if not member.reachable or member.route is None or newcomer is None:
        return None
    behind = {member.route.stable, member.route.canary_slot}
    ready = {revision: pods_of(member, revision).ready for revision in behind}
    return ready.get(newcomer.revision, 0), sum(ready.values())


def percent(pods: tuple[int, int] | None) -> int | None:
    """Return a share as a percentage; 0 of no pods."""
    return None if pods is None else round(100 * pods[0] / max(1, pods[1]))


def whole_share(situation: Situation, status: ModelDeploymentStatus) -> int | None:
    """Return the percent of the requests that the canary gets over all members that answer."""
    found = [pods for item in situation.holders if (pods := share(status, item)) is not None]
    if not found:
        return None
    return percent((sum(canary for canary, _ in found), sum(both for _, both in found)))


def told(situation: Situation, status: ModelDeploymentStatus) -> str:
    """Say what share the pods really make, and what each member waits for."""
    rollout = status.rollout
    if status.share is None or rollout is None:
        return ""
    words = []
    for member in situation.trial_members(status):
        cluster = cluster_of(status, member.name)
        if cluster is not None and cluster.share is not None:
            waits = _awaited(situation, status, rollout, member, cluster)
            words.append(f"{member.name} {cluster.share} %{waits and f' ({waits})'}")
    return (
        f"By its ready pods the canary gets {status.share} %: {', '.join(words)}" if words else ""
    )


def _awaited(
    situation: Situation,
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    member: MemberView,
    cluster: ClusterStatus,
) -> str:
    names = {item.revision for item in (status.stable, status.canary) if item is not None}
    last = cluster.strata[-1] if cluster.strata else None
    coming = moment(last.since) if last is not None and last.since > situation.now else ""
    if not cluster.weight and not alone(member, *names):
        return "first the pods of other versions end"
    if last is None or last.stratum == IDLE_STRATUM:
        changes = cluster.weight != rollout.steps[-1].weight
        return f"its pods change from {coming}" if coming and changes else "no evidence yet"
    return f"evidence from {coming}" if coming else ""
