"""The placement of one ModelDeployment as numbers, and what makes one answer better than another.

Each slot is a member that may serve; its share is how many replicas it gets, of which there are
``replicas`` to place. Answers are compared lexicographically: a later level counts only between
answers that are equal in all earlier ones. All levels are whole numbers, so equal means equal.

Spread (the default), which first settles which members serve:

1. fewest replicas without a place;
2. fewest spread violations: groups that are missing to minGroups, and those beyond maxGroups;
3. fewest members that run something now and would run nothing;
4. most members;
5. most room in them;
6. least sum of their ranks by name;

and then, every one of them serving at least one replica (so there may be more than were asked for),

7. the most even shares: least sum of their squares;
8. fewest new pods;
9. the first by name get the larger shares.

Cheapest:

1. fewest replicas without a place;
2. fewest spread violations;
3. fewest new pods: nothing moves for its price alone;
4. least cost;
5. least sum of the ranks by name of where the replicas are.

Answers that are equal in all of this are as good as each other; which one is taken depends on the
problem alone, so the same problem has the same answer every time.

During a trial nothing moves that need not, whatever the objective:

1. fewest replicas without a place;
2. fewest members that run something now and would run nothing;
3. fewest members that run nothing now and would run something;
4. fewest new pods;
5. the most even shares, and the first by name get the larger ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A member that may serve.

    Attributes
    ----------
    room
        The most replicas that it may run, from 0 on.
    held
        Replicas that it runs now.
    fixed
        Its own number of replicas; None: a share of what is left by those that have one.
    cost
        Of one replica, in whole units that all slots share.
    groups
        Its group by each of the problem's spread constraints.
    """

    name: str
    room: int
    held: int = 0
    fixed: int | None = None
    cost: int = 0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spread:
    """Over how many groups replicas are spread; `most` None: over as many as there are."""

    field: str
    least: int = 1
    most: int | None = None


@dataclass(frozen=True)
class Problem:
    """What is to be placed where. The slots are sorted by name, each name once."""

    replicas: int
    slots: tuple[Slot, ...]
    spread: tuple[Spread, ...] = ()
    cheapest: bool = False
    on_trial: bool = False

    def __post_init__(self) -> None:
        """Sort the slots, so that no answer depends on the order in which they came."""
        ordered = tuple(sorted(self.slots, key=lambda slot: slot.name))
        object.__setattr__(self, "slots", ordered)

    @property
    def own(self) -> dict[str, int]:
        """Replicas of the slots that have a number of their own, as far as there is room."""
        return {
            slot.name: min(slot.fixed, slot.room) for slot in self.slots if slot.fixed is not None
        }

    @property
    def rest(self) -> int:
        """Replicas that are left for the others."""
        return max(self.replicas - sum(slot.fixed or 0 for slot in self.slots), 0)

    @property
    def open(self) -> tuple[Slot, ...]:
        """The slots that share the rest: those with room and without a number of their own."""
        return tuple(slot for slot in self.slots if slot.fixed is None and slot.room > 0)


def short(problem: Problem, shares: Mapping[str, int]) -> int:
    """Return how many replicas have no place: of those with a number of their own and of the rest."""
    own = sum(
        max(slot.fixed - shares.get(slot.name, 0), 0)
        for slot in problem.slots
        if slot.fixed is not None
    )
    placed = sum(shares.get(slot.name, 0) for slot in problem.slots if slot.fixed is None)
    return own + max(problem.rest - placed, 0)


def groups(problem: Problem, names: Iterable[str]) -> tuple[frozenset[str], ...]:
    """Return the groups in which members of these names are, by spread constraint."""
    known = set(names)
    slots = [slot for slot in problem.slots if slot.name in known]
    return tuple(
        frozenset(slot.groups[index] for slot in slots) for index in range(len(problem.spread))
    )


def violations(problem: Problem, shares: Mapping[str, int]) -> tuple[int, ...]:
    """Return by how many groups each spread constraint is missed: below 0 too few, above too many."""
    used = groups(problem, (name for name, share in shares.items() if share > 0))
    return tuple(
        _off(spread, len(found)) for spread, found in zip(problem.spread, used, strict=True)
    )


def _off(spread: Spread, count: int) -> int:
    if count < spread.least:
        return count - spread.least
    return max(count - spread.most, 0) if spread.most is not None else 0


def levels(problem: Problem, shares: Mapping[str, int]) -> tuple[int, ...]:
    """Return what answers are compared by, the smaller the better (see the top of this file)."""
    rank = {slot.name: index for index, slot in enumerate(problem.slots)}
    at = [(slot, shares.get(slot.name, 0)) for slot in problem.slots]
    missing = short(problem, shares)
    off = sum(map(abs, violations(problem, shares)))
    left = sum(slot.held > 0 and share == 0 for slot, share in at)
    joined = sum(slot.held == 0 and share > 0 for slot, share in at)
    new = sum(max(share - slot.held, 0) for slot, share in at)
    squares = sum(share**2 for _, share in at)
    used = [slot for slot, share in at if share > 0]
    if problem.on_trial:
        return missing, left, joined, new, squares
    if problem.cheapest:
        cost = sum(slot.cost * share for slot, share in at)
        return missing, off, new, cost, sum(rank[slot.name] * share for slot, share in at)
    room = sum(slot.room for slot in used)
    ranks = sum(rank[slot.name] for slot in used)
    return missing, off, left, -len(used), -room, ranks, squares, new


def scaled(costs: Sequence[int | None], digits: int = 6) -> list[int]:
    """Return costs as whole numbers of at most so many digits; None becomes dearer than any.

    So many digits of the largest one are kept: sums of them are exact in a float.
    """
    known = [cost for cost in costs if cost is not None]
    largest = max(known, default=0)
    factor = max(largest // 10**digits, 1)
    dearest = round(largest / factor)
    return [dearest + 1 if cost is None else round(cost / factor) for cost in costs]
