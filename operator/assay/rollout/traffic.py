"""Which traffic each member should have, as the status that was decided says it."""

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec, StickyBy

from .observation import RouteView

IDLE_STRATUM = "idle/0"
"""Value of the assay-stratum header outside of a trial; such requests are no evidence."""

_IDLE_WEIGHT = 50


def wanted_route(status: ModelDeploymentStatus, member: str) -> RouteView | None:
    """Return what the member's HTTPRoute should do; None while nothing serves there.

    `ClusterStatus.revision` and `weight` are the record of it: decided, and written, before the
    route is.
    """
    cluster = cluster_of(status, member)
    if cluster is None or cluster.revision is None:
        return None
    rollout, canary = status.rollout, status.canary
    if canary is None or rollout is None or rollout.stage is not Stage.TRIAL or not cluster.weight:
        return RouteView(cluster.revision, cluster.revision, _IDLE_WEIGHT, IDLE_STRATUM)
    user_by = rollout.sticky_by.key if rollout.sticky_by else None
    return RouteView(cluster.revision, canary.revision, cluster.weight, rollout.stratum, user_by)


def sticky_by(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> StickyBy | None:
    """Return what users are to be told apart by now; None if they are not kept.

    A rollout goes on with what it began with: another key would move users between the arms in
    the middle of the trial.
    """
    rollout = status.rollout
    if rollout is None or rollout.stage is Stage.DONE:
        return spec.traffic.sticky_by
    return rollout.sticky_by


def cluster_of(status: ModelDeploymentStatus, member: str) -> ClusterStatus | None:
    """Return the entry of `member` in status."""
    return next((item for item in status.clusters if item.name == member), None)
