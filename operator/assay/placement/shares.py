"""Shares without a solver: where greedy is provably best, or where the members are settled.

Proofs are short. `fill`: for separable convex costs with bounds, raising always the share whose next
replica costs least is best, and equal next costs are all of one kind. `cheapest`: the same for
linear costs. Tests compare all of it with the solver and with trying everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.api.autoscaling import Autoscaling

from .problem import Problem, Slot


@dataclass(frozen=True)
class Bounds:
    """A slot, and from how many replicas to how many it may get."""

    slot: Slot
    low: int
    high: int


def fill(total: int, items: Sequence[Bounds]) -> dict[str, int]:
    """Return the most even shares within the bounds that sum to `total`, or come nearest to it.

    Among those the ones with the fewest new pods, and then the first by name get the larger ones.
    """
    if not items:
        return {}

    def at(level: int) -> int:
        return sum(min(max(level, item.low), item.high) for item in items)

    low, high = 0, max(item.high for item in items)
    while low < high:  # the highest water level that is not above the total
        middle = (low + high + 1) // 2
        low, high = (middle, high) if at(middle) <= total else (low, middle - 1)
    shares = {item.slot.name: min(max(low, item.low), item.high) for item in items}
    rising = [item for item in items if item.low <= low < item.high]
    rising.sort(key=lambda item: (item.slot.held <= low, item.slot.name))
    for item in rising[: max(total - sum(shares.values()), 0)]:
        shares[item.slot.name] += 1
    return shares


def even(problem: Problem, members: Sequence[Slot]) -> dict[str, int]:
    """Return the shares when exactly these open slots serve, each at least one replica."""
    total = max(problem.rest, len(members))
    return problem.own | fill(total, [Bounds(slot, 1, slot.room) for slot in members])


def cheapest(problem: Problem) -> dict[str, int]:
    """Return the shares of least cost without regard to spread constraints."""
    shares = {slot.name: min(slot.held, slot.room) for slot in problem.open}
    missing = problem.rest - sum(shares.values())
    for slot in sorted(problem.open, key=lambda slot: (slot.cost, slot.name)):
        more = min(max(missing, 0), slot.room - shares[slot.name])
        shares[slot.name] += more
        missing -= more
    for slot in sorted(problem.open, key=lambda slot: (slot.cost, slot.name), reverse=True):
        less = min(max(-missing, 0), shares[slot.name])
        shares[slot.name] -= less
        missing += less
    return problem.own | shares


def settled(problem: Problem) -> dict[str, int]:
    """Return the shares during a trial: nothing moves that need not."""
    base = {slot.name: min(slot.held, slot.room) for slot in problem.open}
    held = [slot for slot in problem.open if base[slot.name] > 0]
    if sum(base.values()) >= problem.rest:
        total = max(problem.rest, len(held))
        return problem.own | fill(total, [Bounds(slot, 1, base[slot.name]) for slot in held])
    joining = sorted(
        (slot for slot in problem.open if base[slot.name] == 0),
        key=lambda slot: (-slot.room, slot.name),
    )
    members = list(held)
    while joining and sum(slot.room for slot in members) < problem.rest:
        members.append(joining.pop(0))
    bounds = [Bounds(slot, max(base[slot.name], 1), slot.room) for slot in members]
    return problem.own | fill(problem.rest, bounds)


def served(shares: Mapping[str, int]) -> dict[str, int]:
    """Return the shares of those that get something, sorted by name."""
    return {name: share for name, share in sorted(shares.items()) if share > 0}


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
