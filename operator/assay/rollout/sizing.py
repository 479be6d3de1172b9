"""How many pods a revision has in a member: one rule for what is made, waited for, compared and shown.

Stable has all the pods that placement gives it, during a trial too: a rollback finds them. A canary
has as many as its share of the traffic needs, and all of them before it takes all of the traffic.
"""

from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_deployment import ALL_TRAFFIC, CanaryScale, RolloutType

from .traffic import cluster_of


def wanted_pods(status: ModelDeploymentStatus, revision: str, replicas: int, member: str) -> int:
    """Return how many pods `revision` should have in a member that runs it.

    Parameters
    ----------
    status
        As it was decided.
    replicas
        Pods per revision that placement gives the member; 0 or more.
    member
        Its name. Where pods make the shares they change with the member's weight, not before it.

    Returns
    -------
    int
        At least 1, or 0 if `replicas` is.
    """
    rollout, canary = status.rollout, status.canary
    if status.stable is None or rollout is None or canary is None or canary.revision != revision:
        return replicas
    cluster = cluster_of(status, member) if rollout.by_pods else None
    weight = cluster.weight if cluster is not None else 0
    return canary_pods(rollout, weight or present_weight(rollout), replicas)


def canary_pods(rollout: RolloutStatus, weight: int, replicas: int) -> int:
    """Return how many pods the canary needs in a member for `weight` percent of the traffic there.

    The share of the pods that a whole revision has, rounded up. At least one: a preview has no
    weight and answers all the same. Where pods make the share: as many as give it beside all of
    stable's, as near as whole pods come.
    """
    if not by_weight(rollout) or weight == ALL_TRAFFIC:
        return replicas
    if rollout.by_pods:
        rest = ALL_TRAFFIC - weight
        return min(replicas, max(1, (2 * replicas * weight + rest) // (2 * rest)))
    return min(replicas, max(1, -(-replicas * weight // 100)))


def by_weight(rollout: RolloutStatus) -> bool:
    """Return whether the canary's pods follow its weight.

    A switch, a person's undo too, goes from no traffic to all of it: there is no share between.
    """
    settings = rollout.settings
    switched = settings.type is RolloutType.BLUE_GREEN or rollout.undo is not None
    return not switched and settings.canary.scale is CanaryScale.WEIGHT


def present_weight(rollout: RolloutStatus) -> int:
    """Return the percent of the traffic that the canary has, or begins with, by the steps on record."""
    if rollout.stage is Stage.STARTING or not rollout.steps:
        return rollout.settings.steps[0].weight
    return rollout.steps[-1].weight
