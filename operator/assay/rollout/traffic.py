"""Which traffic each member should have, as the status that was decided says it."""

from dataclasses import dataclass, replace

from assay.api.deployment_status import (
    ClusterStatus,
    ModelDeploymentStatus,
    RolloutStatus,
    Stage,
)
from assay.api.model_deployment import ALL_TRAFFIC, ModelDeploymentSpec, StickyBy, Traffic

from .observation import Announced, RouteView

IDLE_STRATUM = "idle/0"
"""Value of the assay-stratum header outside of a trial; such requests are no evidence."""

_SPARE_WEIGHT = 1
"""Percent of the second slot while both point to one revision. A gateway may take the canary's
endpoints before the trial's weights, so this much of the traffic can meet it too early."""


@dataclass(frozen=True)
class PreviewView:
    """The route of the preview hosts of one member: to which revision, for which hosts, as what stratum."""

    revision: str
    hostnames: tuple[str, ...]
    stratum: str


def wanted_route(status: ModelDeploymentStatus, member: str) -> RouteView | None:
    """Return what the member's HTTPRoute or entry Service should do; None while nothing serves there.

    `ClusterStatus.revision` and `weight` are the record of it: decided, and written, before the
    route is.
    """
    cluster = cluster_of(status, member)
    if cluster is None or cluster.revision is None:
        return None
    rollout, canary = status.rollout, status.canary
    if canary is not None and rollout is not None and rollout.stage is Stage.TRIAL:
        view = trial_route(cluster.revision, canary.revision, rollout, cluster.weight)
        return _announcing(view, cluster) if rollout.by_pods else view
    stable = status.stable.revision if status.stable else cluster.revision
    if cluster.weight and stable != cluster.revision:
        # Promoted, with pods for its share only: it keeps that until all of them are there.
        return RouteView(cluster.revision, stable, cluster.weight, IDLE_STRATUM)
    return _one(cluster.revision)


def trial_route(stable: str, canary: str, rollout: RolloutStatus, weight: int) -> RouteView:
    """Return what a route does while the canary has `weight` percent of the traffic.

    With none or all of it both slots point to one revision: the route keeps its shape, and the
    switch of a blue-green rollout is one write, as the way back is. A member that has still the
    weight of an earlier step is in the stratum of that one: its requests are split by it.
    """
    if not weight:
        return _one(stable)
    user_by = rollout.sticky_by.key if rollout.sticky_by else None
    stratum = f"{rollout.id}/{_step_of(rollout, weight)}"
    if weight == ALL_TRAFFIC:
        return RouteView(canary, canary, _SPARE_WEIGHT, stratum, user_by)
    return RouteView(stable, canary, weight, stratum, user_by)


def _announcing(view: RouteView, cluster: ClusterStatus) -> RouteView:
    """Return an entry Service: its stratum is what servers were told last, not what its pods are for."""
    strata = announced(cluster)
    return replace(view, stratum=strata[-1].stratum if strata else IDLE_STRATUM, strata=strata)


def announced(cluster: ClusterStatus) -> tuple[Announced, ...]:
    """Return what servers in a member were told to count predictions under; empty: idle."""
    return tuple(Announced(item.stratum, item.since) for item in cluster.strata or ())


def _step_of(rollout: RolloutStatus, weight: int) -> int:
    """Return the index of the newest step with `weight`: within a trial they never decrease."""
    found = (index for index, step in enumerate(rollout.steps) if step.weight == weight)
    return max(found, default=len(rollout.steps) - 1)


def _one(revision: str) -> RouteView:
    return RouteView(revision, revision, _SPARE_WEIGHT, IDLE_STRATUM)


def wanted_preview(status: ModelDeploymentStatus, member: str) -> PreviewView | None:
    """Return what the member's preview route should do; None while there should be none.

    It is there during the trial only: a preview that answers with the old version would be a test
    of nothing. Its stratum is that of the first step, before and after the switch.
    """
    cluster, rollout, canary = cluster_of(status, member), status.rollout, status.canary
    if cluster is None or cluster.wave is None or canary is None or rollout is None:
        return None
    hostnames = rollout.settings.preview_hostnames
    if rollout.stage is not Stage.TRIAL or not hostnames:
        return None
    first = len(rollout.steps) - 1 - rollout.step
    if first < 0:
        return None  # it began behind the step that has a preview (fast_track)
    return PreviewView(canary.revision, hostnames, f"{rollout.id}/{first}")


def sticky_by(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> StickyBy | None:
    """Return what users are to be told apart by now; None if they are not kept.

    A rollout goes on with what it began with: another key would move users between the arms in
    the middle of the trial.
    """
    rollout = status.rollout
    if rollout is None or rollout.stage is Stage.DONE:
        return spec.traffic.sticky_by
    return rollout.sticky_by


def traffic_of(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Traffic:
    """Return what the traffic section says by now; another mode waits for the end of the rollout.

    The mode is kept with all that belongs to it: a route without its Gateways would reach nobody.
    """
    rollout = status.rollout
    began = rollout.traffic if rollout is not None and rollout.stage is not Stage.DONE else None
    return began if began is not None and began.mode is not spec.traffic.mode else spec.traffic


def cluster_of(status: ModelDeploymentStatus, member: str) -> ClusterStatus | None:
    """Return the entry of `member` in status."""
    return next((item for item in status.clusters if item.name == member), None)
