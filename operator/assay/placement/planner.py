"""The plan of one ModelDeployment: which members serve, how many replicas each, and what is in the way."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from assay.api.model_deployment import ModelDeploymentSpec
from assay.api.placement import Objective, Placement, SpreadField

from .bill import price
from .choice import Candidate, Choice, Constraint, Refusal, choose
from .problem import Problem, Slot, Spread, scaled, short, violations
from .solver import solve
from .wording import message, summary

PODS_PER_REPLICA = 2
"""Places that a replica takes in a member's capacity: its own, and one that is kept for the canary
of its next trial, which has as many pods as stable. So no trial ever waits for room, and a trial
that starts changes nothing that others count with."""

_COST_DIGITS = 9
"""Decimal places of a cost (`assay.api.fields.Amount`)."""

_GROUPS = {
    SpreadField.PROVIDER: lambda candidate: candidate.spec.provider,
    SpreadField.REGION: lambda candidate: candidate.spec.region,
    SpreadField.ZONE: lambda candidate: candidate.spec.zone,
    SpreadField.CLUSTER: lambda candidate: candidate.name,
}

_BLAMED = (
    Constraint.REACH,
    Constraint.CAPACITY,
    Constraint.TAINTS,
    Constraint.RESIDENCY,
    Constraint.OVERRIDES,
    Constraint.NAMESPACE,
    Constraint.SELECTOR,
)
"""In this order constraints are left out to find the ones to blame."""


@dataclass(frozen=True)
class Fault:
    """Why not everything that was asked for could be placed.

    Attributes
    ----------
    constraint
        The first to blame: without it, or without it and others that the message names, all
        would be placed.
    """

    constraint: Constraint
    message: str


@dataclass(frozen=True)
class Plan:
    """Where the replicas of one ModelDeployment are to be.

    Attributes
    ----------
    shares
        Replicas (pods per revision) of every member that serves, sorted by name; none has 0.
    refused
        The ModelClusters that may not serve, sorted by name.
    fault
        None when every replica has a place and every spread constraint is met.
    forbidden
        Members outside of the residency: what runs there leaves as soon as another one serves.
    lost
        Members whose replicas are placed elsewhere because they cannot be reached.
    """

    shares: Mapping[str, int]
    refused: tuple[Refusal, ...] = ()
    fault: Fault | None = None
    forbidden: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    @property
    def summary(self) -> str:
        """Where the replicas are, for people."""
        return summary(self.shares)


@dataclass(frozen=True)
class Holding:
    """What is in the members now, in replicas.

    Attributes
    ----------
    held
        Of this ModelDeployment, by member.
    taken
        Of all others together, by member.
    on_trial
        A trial runs: nothing moves that need not.
    lost
        Members that cannot be reached for longer than is tolerated.
    """

    held: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    on_trial: bool = False
    lost: frozenset[str] = frozenset()


def plan(
    clusters: Iterable[Candidate],
    spec: ModelDeploymentSpec,
    namespace: str,
    holding: Holding = Holding(),
) -> Plan:
    """Return where the replicas are to be.

    Selector, namespaces, residency, taints, capacity and overrides are kept in any case; when not
    all replicas find a place, as many as possible do, spread constraints are met as far as
    possible, nothing that runs in a member that may serve is taken away, and `Plan.fault` says
    what is to blame. What is best among the answers that are allowed: see `problem`.
    """
    clusters = tuple(clusters)
    choice = _choose(clusters, spec, namespace, holding)
    problem = _problem(choice, spec, holding)
    shares = solve(problem)
    fault = None
    # What a trial puts off is not in the way: it moves when the trial is over.
    settled = replace(problem, on_trial=False)
    if not _fits(problem, shares) and not (problem.on_trial and _fits(settled, solve(settled))):
        fault = _fault(clusters, spec, namespace, holding, choice, problem, shares)
        if short(problem, shares):
            # What is there already stays, although there is no room for it.
            shares = solve(_with_room_for_held(problem))
    forbidden = frozenset(
        item.name for item in choice.refused if item.constraint is Constraint.RESIDENCY
    )
    lost = frozenset(item.name for item in choice.refused if item.constraint is Constraint.REACH)
    return Plan(shares, choice.refused, fault, forbidden, lost)


def _choose(
    clusters: Collection[Candidate],
    spec: ModelDeploymentSpec,
    namespace: str,
    holding: Holding,
    without: Collection[Constraint] = (),
) -> Choice:
    held = {name for name, count in holding.held.items() if count > 0}
    return choose(clusters, spec, namespace, held, without, holding.lost)


def _problem(
    choice: Choice,
    spec: ModelDeploymentSpec,
    holding: Holding,
    without: Collection[Constraint] = (),
) -> Problem:
    placement, replicas = spec.placement, spec.serving.places
    fixed = {}
    if Constraint.OVERRIDES not in without:
        fixed = {
            item.cluster_name: item.replicas
            for item in placement.overrides
            if item.replicas is not None
        }
    costs = scaled([_cost(candidate, placement) for candidate in choice.members])
    slots = []
    for candidate, cost in zip(choice.members, costs, strict=True):
        name = candidate.name
        held = holding.held.get(name, 0)
        limit = None if Constraint.CAPACITY in without else _places(candidate)
        room = replicas
        if limit is not None:
            room = min(replicas, max(limit - holding.taken.get(name, 0), 0))
        if name in choice.closed:
            room = min(room, held)
        by = tuple(
            _GROUPS[item.spread_by_field](candidate) for item in placement.spread_constraints
        )
        slots.append(
            Slot(name, room, held, fixed.get(name), cost, tuple(group or "" for group in by))
        )
    return Problem(
        replicas,
        tuple(slots),
        tuple(
            Spread(item.spread_by_field.value, item.min_groups, item.max_groups)
            for item in placement.spread_constraints
        ),
        cheapest=placement.objective is Objective.CHEAPEST,
        on_trial=holding.on_trial,
    )


def _cost(candidate: Candidate, placement: Placement) -> int | None:
    known = price(candidate, placement)
    return None if known is None else int(known.scaleb(_COST_DIGITS))


def _places(candidate: Candidate) -> int | None:
    """Return how many replicas a member has room for; None: no limit."""
    capacity = candidate.spec.capacity
    return None if capacity is None else capacity.replicas // PODS_PER_REPLICA


def _with_room_for_held(problem: Problem) -> Problem:
    slots = tuple(
        replace(slot, room=max(slot.room, min(slot.held, problem.replicas)))
        for slot in problem.slots
    )
    return replace(problem, slots=slots)


def _fits(problem: Problem, shares: Mapping[str, int]) -> bool:
    return not short(problem, shares) and not any(violations(problem, shares))


def _fault(
    clusters: Collection[Candidate],
    spec: ModelDeploymentSpec,
    namespace: str,
    holding: Holding,
    choice: Choice,
    problem: Problem,
    shares: Mapping[str, int],
) -> Fault:
    """Return what is to blame: a smallest set of constraints without which everything fits."""

    def fits(*without: Constraint) -> bool:
        allowed = _choose(clusters, spec, namespace, holding, without)
        relaxed = replace(_problem(allowed, spec, holding, without), on_trial=False)
        return _fits(relaxed, solve(relaxed))

    alone = [constraint for constraint in _BLAMED if fits(constraint)]
    together: list[Constraint] = []
    if not alone and fits(*_BLAMED):
        together = list(_BLAMED)
        for constraint in reversed(_BLAMED):
            fewer = [item for item in together if item is not constraint]
            if fits(*fewer):
                together = fewer
    return Fault(
        _first(alone, together, problem, shares),
        message(problem, shares, choice, holding.taken, alone, together),
    )


def _first(
    alone: Collection[Constraint],
    together: Collection[Constraint],
    problem: Problem,
    shares: Mapping[str, int],
) -> Constraint:
    if any(violations(problem, shares)) and not short(problem, shares):
        return Constraint.SPREAD
    # Without any ModelCluster there is nothing else to leave out.
    return next(iter((*alone, *together)), Constraint.SELECTOR)
