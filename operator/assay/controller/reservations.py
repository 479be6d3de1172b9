"""What all ModelDeployments hold in the members together, so that no place is given twice.

Nothing here that the hub does not know: `fill` reads it from every status before the first plan is
made. One event loop makes all plans, and none yields between asking what others hold and holding
its own, so two that are made at the same time cannot take the same place.
"""

import datetime
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.placement import Placement
from assay.rollout.observation import MemberView

from .hub import Deployment, Key

Shares = Mapping[str, int]
"""Replicas by member."""


class Reservations:
    """Replicas by ModelDeployment and member.

    Parameters
    ----------
    wake
        Called with the key of each ModelDeployment that lacks room when some becomes free.
    """

    def __init__(self, wake: Callable[[str, str], None] = lambda *_: None) -> None:
        self._wake = wake
        self._held: dict[Key, Shares] = {}
        self._total: Counter[str] = Counter()
        self._waiting: set[Key] = set()

    def fill(self, items: Iterable[Deployment]) -> None:
        """Take what the hub knows of every ModelDeployment."""
        for item in items:
            self.hold(item.key, held(item.status))

    def of_others(self, key: Key) -> Shares:
        """Return what all other ModelDeployments hold."""
        mine = self._held.get(key, {})
        return {name: count - mine.get(name, 0) for name, count in self._total.items()}

    def hold(self, key: Key, shares: Shares, *, lacking: bool = False) -> None:
        """Hold these places and no others; `lacking`: it waits for more."""
        before = self._held.get(key, {})
        self._held[key] = shares
        self._total.subtract(before)
        self._total.update(shares)
        (self._waiting.add if lacking else self._waiting.discard)(key)
        if any(shares.get(name, 0) < count for name, count in before.items()):
            for other in self._waiting - {key}:
                self._wake(*other)

    def release(self, key: Key) -> None:
        """Hold nothing for a ModelDeployment that is gone."""
        self.hold(key, {})
        del self._held[key]


def held(status: ModelDeploymentStatus) -> dict[str, int]:
    """Return the replicas that a ModelDeployment has in each member, as its status says.

    A status from before placement wrote `replicas` counts pods of stable and canary.
    """
    arms = 2 if status.canary is not None and status.stable is not None else 1
    return {
        cluster.name: -(-cluster.desired // arms) or int(cluster.revision is not None)
        if cluster.replicas is None
        else cluster.replicas
        for cluster in status.clusters
    }


def lost(
    status: ModelDeploymentStatus,
    placement: Placement,
    away: Collection[str],
    now: datetime.datetime,
) -> frozenset[str]:
    """Return the members `away` for longer than is tolerated, as status remembers it."""
    if placement.toleration_seconds is None:
        return frozenset()
    limit = now - datetime.timedelta(seconds=placement.toleration_seconds)
    return frozenset(
        cluster.name
        for cluster in status.clusters
        if cluster.unreachable_since is not None
        and cluster.unreachable_since <= limit
        and cluster.name in away
    )


def in_use(views: Iterable[MemberView], known: Shares) -> dict[str, int]:
    """Return the replicas in each member: what is planned, or what is still there if that is more."""
    return {
        view.name: max(
            (
                view.replicas,
                *(pods.desired for pods in view.revisions.values()),
                0 if view.reachable else known.get(view.name, 0),
            )
        )
        for view in views
    }
