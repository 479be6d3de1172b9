"""The least number of pods in each member while their number follows the load."""

from collections.abc import Mapping

from assay.api.autoscaling import Autoscaling


def floors(autoscaling: Autoscaling | None, shares: Mapping[str, int]) -> dict[str, int]:
    """Return the least pods per revision of every member that serves; empty without autoscaling.

    Placement divides ``maxReplicas``; ``minReplicas`` is divided in the same proportion and rounded
    up, so together it is never less, and each member has one at least. Where there is no room for
    all of maxReplicas it is divided over what has a place, as far as that goes.

    Parameters
    ----------
    shares
        Places for pods per revision, by member, each at least 1.
    """
    if autoscaling is None:
        return {}
    placed = sum(shares.values())
    least = min(autoscaling.min_replicas, placed)
    return {name: -(-least * share // placed) for name, share in shares.items() if share > 0}
