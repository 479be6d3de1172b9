"""One look of the operator, with everything that may go wrong in it.

What decides is the operator's own code: `assay.rollout.decide` and `adopted`, `assay.render` for what
a member should hold, `assay.controller.memory` for a rollback that the hub does not know. What is
written here is the order of writes, as `controller.reconcile`, `controller.act` and `members.apply`
have it, because those are input and output.

A look is one edge although it is many writes. What users, members and time do between two writes of
it is no state of its own: nothing of that is seen before the next look, so it might as well have
happened after this one, or a write failed by it, which is an edge of its own. Writes to two members
touch nothing in common, so of each only how far it got is told apart.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.api.deployment_status import ModelDeploymentStatus
from assay.controller.hub import Deployment
from assay.controller.memory import Memory, rolled_back
from assay.render.member import running_revisions, staying_revisions
from assay.rollout import Order, RouteView, adopted, decision
from assay.rollout.situation import Situation
from assay.rollout.sizing import wanted_pods
from assay.rollout.traffic import wanted_route

from .clocks import NOW
from .observation import NOTHING, Evidence, counted, due, evidences, judged, observation
from .scope import MEMBERS, Scope
from .state import (
    GENERATION,
    UID,
    Member,
    Pods,
    Route,
    State,
    Written,
    read_status,
    ready_in,
    remembered,
    written,
)


@dataclass(frozen=True)
class Wanted:
    """What a decision wants of one member; of what runs, how many pods."""

    route: Route | None
    record: str
    running: dict[str, int]
    staying: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """A decision, and what it wants of hub and members.

    Attributes
    ----------
    due
        Seconds until the next deadline of the status before.
    """

    status: ModelDeploymentStatus
    written: Written
    wanted: tuple[Wanted, ...]
    order: Order
    wake: float | None
    due: int | None
    rolls_back: bool
    adopts: bool = False


class Outcome(NamedTuple):
    """What a look came to.

    Attributes
    ----------
    clean
        Nothing went wrong.
    """

    label: str
    state: State
    clean: bool


@dataclass
class Operator:
    """Decides, and remembers what it decided: the same question is asked many thousand times."""

    scope: Scope
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)
    asked: int = 0

    def status(self, state: State) -> ModelDeploymentStatus:
        """Return the status on the hub."""
        return read_status(state.hub, tuple(item.entry for item in state.members), self.scope)

    def known(self, state: State) -> ModelDeploymentStatus:
        """Return the status that a look begins with: a rollback that was acted on goes before the hub."""
        status = self.status(state)
        if not state.latched:
            return status
        latched = read_status(
            state.latched, tuple(item.latched for item in state.members), self.scope
        )
        item = _deployment(status)
        return Memory(last=item, latched=latched).take(item).status

    def evidences(self, state: State) -> tuple[Evidence, ...]:
        """Return what the judge may say now."""
        return evidences(state, self.known(state))

    def plan(self, state: State, evidence: Evidence) -> Plan:
        """Return what the operator decides."""
        key = (
            state.hub,
            state.latched,
            state.revision,
            state.request,
            evidence,
            *(
                (item.entry, item.latched, item.reachable, item.counted)
                + ((item.pods, item.route, item.record) if item.reachable else ())
                for item in state.members
            ),
        )
        found = self.plans.get(key)
        if found is None:
            found = self.plans[key] = self._plan(state, evidence)
            self.asked += 1
        return found

    def _plan(self, state: State, evidence: Evidence) -> Plan:
        status, spec = self.known(state), self.scope.spec(state.revision)
        seen = observation(state, status, evidence, self.scope)
        taken = adopted(status, GENERATION, seen.members)
        if taken is not None:
            return Plan(
                taken[0],
                written(taken[0], self.scope),
                (),
                Order.RECORD_THEN_ACT,
                0.0,
                None,
                rolls_back=False,
                adopts=True,
            )
        made = decision.decide(UID, GENERATION, spec, status, seen, NOW)
        new = made.status
        records = remembered(new, self.scope)
        wanted = tuple(
            Wanted(
                _route(wanted_route(new, name)),
                text,
                {
                    revision: wanted_pods(new, revision, self.scope.replicas, name)
                    for revision in running_revisions(new, name)
                },
                staying_revisions(new, name),
            )
            for name, text in zip(MEMBERS, records, strict=True)
        )
        deadline = due(Situation(UID, GENERATION, spec, status, seen, NOW))
        return Plan(
            new,
            written(new, self.scope),
            wanted,
            made.order,
            made.wake_after,
            deadline,
            rolled_back(new),
        )

    def outcomes(self, state: State, evidence: Evidence) -> Iterator[Outcome]:
        """Return what a look may come to; the one without a fault first."""
        plan = self.plan(state, evidence)
        state = self._having_read(state, evidence)
        said = f"look ({evidence})" if evidence != NOTHING else "look"
        if plan.adopts:
            yield Outcome(f"{said}: adopts", self._on_hub(state, plan), clean=True)
            if state.left.faults:
                yield Outcome(f"{said}: adopts, not written", _dies(_faulty(state)), clean=False)
            return
        urgent = plan.order is Order.ACT_THEN_RECORD or bool(state.latched)
        acting = state
        if urgent and plan.rolls_back:
            acting = _latched(state, plan)
        options = [
            _writes(member, wanted, urgent=urgent)
            for member, wanted in zip(acting.members, plan.wanted, strict=True)
        ]
        best = acting._replace(members=tuple(each[-1][1] for each in options))
        yield Outcome(f"{said}: all done", self._on_hub(best, plan), clean=True)
        if not state.left.faults:
            return
        state, acting = _faulty(state), _faulty(acting)
        if not urgent:
            yield Outcome(f"{said}: status not written", state, clean=False)
            yield Outcome(f"{said}: status not written, killed", _dies(state), clean=False)
            acting = self._on_hub(acting, plan)
        for chosen in itertools.product(*options):
            words = "; ".join(
                f"{name}: {word}" for name, (word, _) in zip(MEMBERS, chosen, strict=True)
            )
            some = acting._replace(members=_placed(acting, [member for _, member in chosen]))
            if urgent:
                yield Outcome(f"{said}: {words}; status not written", some, clean=False)
                yield Outcome(
                    f"{said}: {words}; status not written, killed", _dies(some), clean=False
                )
                some = self._on_hub(some, plan)
            yield Outcome(f"{said}: status written; {words}", some, clean=False)
            yield Outcome(f"{said}: status written; {words}; killed", _dies(some), clean=False)

    def _having_read(self, state: State, evidence: Evidence) -> State:
        if not judged(state, self.known(state)):
            return state
        known = counted(state, evidence)
        members = tuple(
            member._replace(counted=name in known)
            for name, member in zip(MEMBERS, state.members, strict=True)
        )
        return state._replace(members=members)

    def recorded(self, state: State, evidence: Evidence) -> State:
        """Return `state` with the decision on the hub and nothing done yet."""
        return self._on_hub(self._having_read(state, evidence), self.plan(state, evidence))

    def _on_hub(self, state: State, plan: Plan) -> State:
        """Return `state` in which the hub has the status, and the operator knows that it has."""
        new = _id(plan.status)
        same = new == _id(self.status(state))
        members = tuple(
            member._replace(entry=entry, latched="", counted=member.counted and same)
            for member, entry in zip(state.members, plan.written.entries, strict=True)
        )
        return state._replace(hub=plan.written.body, latched="", members=members)


def killed(state: State) -> State:
    """Return `state` after the operator died between two looks."""
    return _dies(_faulty(state))


def _faulty(state: State) -> State:
    return state._replace(left=state.left._replace(faults=max(0, state.left.faults - 1)))


def _dies(state: State) -> State:
    """Return `state` with an operator that remembers nothing."""
    members = tuple(item._replace(latched="", counted=False) for item in state.members)
    return state._replace(latched="", members=members)


def _latched(state: State, plan: Plan) -> State:
    members = tuple(
        member._replace(latched=entry)
        for member, entry in zip(state.members, plan.written.entries, strict=True)
    )
    return state._replace(latched=plan.written.body, members=members)


def _placed(state: State, chosen: list[Member]) -> tuple[Member, ...]:
    """Return `chosen` with what hub and operator have about them in `state`."""
    return tuple(
        now._replace(pods=made.pods, route=made.route, record=made.record)
        for now, made in zip(state.members, chosen, strict=True)
    )


def _writes(member: Member, wanted: Wanted, *, urgent: bool) -> list[tuple[str, Member]]:
    """Return how far the writes to a member may get, the whole of them last (`members.apply`).

    An answer that does not come is the same as the next write failing, or all being done.
    """
    if not member.reachable:
        return [("away", member)]
    grown = {item.revision: item for item in member.pods}
    for revision, count in wanted.running.items():
        grown[revision] = Pods(revision, count, min(count, ready_in(member, revision)))
    kept = [item for revision, item in grown.items() if revision in wanted.staying]
    route: dict[str, object] = {"route": wanted.route} if wanted.route is not None else {}
    steps: list[tuple[str, dict[str, object]]] = [
        ("record", {"record": wanted.record}),
        ("pods", {"pods": tuple(sorted(grown.values()))}),
        ("route", route),
        ("pruned", {"pods": tuple(sorted(kept))}),
    ]
    if urgent:
        steps = [steps[2], steps[0], steps[1], steps[3]]
    found = [("nothing", member)]
    if urgent and wanted.record != member.record:
        # The record is tried even if the route could not be written.
        found.append(("record alone", member._replace(record=wanted.record)))
    now = member
    for word, change in steps:
        after = now._replace(**change)  # type: ignore[arg-type]
        if after != now:
            found.append((f"up to {word}", after))
        now = after
    return found if found[-1][1] == now else [*found, ("all", now)]


def _route(view: RouteView | None) -> Route | None:
    return None if view is None else Route(view.stable, view.canary_slot, view.weight, view.stratum)


def _deployment(status: ModelDeploymentStatus) -> Deployment:
    return Deployment(
        "ml",
        "fraud",
        UID,
        GENERATION,
        "1",
        False,
        (),
        frozenset(),
        None,
        "",
        status,
    )


def _id(status: ModelDeploymentStatus) -> str | None:
    return status.rollout.id if status.rollout else None
