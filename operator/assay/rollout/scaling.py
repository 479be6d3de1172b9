"""How many pods each revision keeps in a member, above all while their number follows the load.

A HorizontalPodAutoscaler knows the load of one revision and nothing of rollouts. Two things have to
be told to it by its minimum:

- **Stable is held.** From when the canary takes traffic in a member until the rollout is over,
  stable keeps the pods that it had then, although fewer would do for what is left to it: a rollback
  gives it everything back at once. The number is in status (`ClusterStatus.held_replicas`).
- **A newcomer is as large as what serves.** A revision that may take all traffic of a member has at
  least as many pods as the one that has it now, so that a promotion waits for no pod.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, Stage, Verdict

from .observation import MemberView
from .situation import Situation, is_ready, pods_of
from .traffic import cluster_of


def held(
    status: ModelDeploymentStatus,
    member: MemberView,
    before: ClusterStatus | None,
    weight: int,
    *,
    same_rollout: bool,
) -> int | None:
    """Return how many pods stable keeps in `member` from now on; None: it is not held.

    It begins when the canary gets its first traffic there, is never lowered, and ends with the
    rollout, after the route has moved.

    Parameters
    ----------
    before
        The member's entry in the status before.
    weight
        Percent of the requests for the canary as it was decided just now.
    same_rollout
        Whether that entry speaks of the rollout in `status`.
    """
    rollout, stable = status.rollout, status.stable
    if rollout is None or rollout.stage is Stage.DONE:
        return None
    if before is not None and before.held_replicas is not None and same_rollout:
        return before.held_replicas
    if rollout.stage is not Stage.TRIAL or not weight or stable is None:
        return None
    if member.floor is None:
        # Pods that make the shares stand still until the rollout is over.
        return member.replicas if rollout.by_pods else None
    return max(pods_of(member, stable.revision).desired, member.floor)


def floors(
    status: ModelDeploymentStatus,
    name: str,
    floor: int,
    desired: Mapping[str, int],
    revisions: Iterable[str],
) -> dict[str, int]:
    """Return the least pods of each of `revisions` in the member `name`.

    Parameters
    ----------
    floor
        What placement gives the member at least.
    desired
        Pods asked for there now, by revision.
    """
    cluster = cluster_of(status, name)
    serving = cluster.revision if cluster is not None else None
    kept = max(floor, (cluster.held_replicas or 0) if cluster is not None else 0)
    newcomer = max(kept, desired.get(serving, 0) if serving is not None else 0)
    return {item: kept if item == serving else newcomer for item in sorted(revisions)}


def can_replace(member: MemberView, newcomer: str, serving: str | None) -> bool:
    """Return whether `newcomer` has as many ready pods as `serving` is asked to have.

    Of revisions whose number is fixed that is no question: they all have the same.
    """
    new = pods_of(member, newcomer)
    if new.least is None or serving is None or serving == newcomer:
        return True
    return new.ready >= pods_of(member, serving).desired


def too_small(situation: Situation, status: ModelDeploymentStatus) -> tuple[MemberView, ...]:
    """Return the members in which the canary is ready for its share and not for all traffic."""
    if status.canary is None or status.stable is None:
        return ()
    canary, stable = status.canary.revision, status.stable.revision
    return tuple(
        member
        for member in situation.trial_members(status)
        if is_ready(member, canary) and not can_replace(member, canary, stable)
    )


def awaited(situation: Situation, status: ModelDeploymentStatus) -> str:
    """Say where a canary that has won still lacks pods; nothing if that is not what it waits for."""
    if status.canary is None or status.stable is None:
        return ""
    canary, stable = status.canary.revision, status.stable.revision
    words = [
        f"{item.name}: {pods_of(item, canary).ready} of {pods_of(item, stable).desired}"
        for item in too_small(situation, status)
    ]
    if not words or situation.verdict(status) is not Verdict.PROMOTE:
        return ""
    return f"It takes all traffic with as many pods as stable has; {', '.join(words)}"


def settled(status: ModelDeploymentStatus, member: MemberView) -> MemberView:
    """Return `member` as a trial sees it: no pods are waited for that came after it began there.

    Where pods make the shares it keeps those that it had when the canary came there. A canary is made larger when stable grows, but it has to stand its share only: before it takes
    all traffic it is asked whether it can (`can_replace`). Without this a load that grows would
    stop soaking waves again and again.
    """
    cluster = cluster_of(status, member.name)
    held = cluster.held_replicas if cluster is not None else None
    if held is None:
        return member
    if member.floor is None and member.replicas:
        by_pods = status.rollout is not None and status.rollout.by_pods
        return replace(member, replicas=held, placed=member.replicas) if by_pods else member
    revisions = {
        name: pods if pods.least is None else replace(pods, least=min(pods.least, held))
        for name, pods in member.revisions.items()
    }
    return replace(member, revisions=revisions)
