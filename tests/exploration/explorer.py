"""Breadth first through everything that can happen; the first violation comes with its shortest path."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from typing_extensions import override

from .environment import happenings
from .look import Operator, Outcome
from .observation import NOTHING, REQUEST, Evidence
from .properties import EDGE_PROPERTIES, STATE_PROPERTIES, require
from .scope import MEMBERS, Scope
from .state import State, canonical, empty, older
from .ways_out import WaysOut


@dataclass
class Counts:
    """How much was explored.

    Attributes
    ----------
    checks
        How often each property was looked at.
    """

    states: int = 0
    edges: int = 0
    depth: int = 0
    decisions: int = 0
    seconds: float = 0.0
    complete: bool = True
    checks: dict[str, int] = field(default_factory=dict)

    def checked(self, name: str) -> None:
        """Count one look at a property."""
        self.checks[name] = self.checks.get(name, 0) + 1


@dataclass
class Found:
    """A violation and how to get there."""

    message: str
    path: list[str]
    state: State

    @override
    def __str__(self) -> str:
        steps = "\n".join(f"  {index + 1:2} {step}" for index, step in enumerate(self.path))
        return f"{self.message}\n{steps}\nthen:\n{describe(self.state)}"


@dataclass
class Explorer:
    """Explores one scope."""

    scope: Scope
    limit: int | None = None
    say: Callable[[str], None] = lambda _: None
    counts: Counts = field(default_factory=Counts)
    operator: Operator = field(init=False)
    parents: dict[State, tuple[State, str] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operator = Operator(self.scope)

    def run(self) -> Found | None:
        """Explore; return the first violation, None if all holds."""
        began = time.monotonic()
        try:
            return self._run()
        finally:
            self.counts.seconds = time.monotonic() - began
            self.counts.decisions = self.operator.asked

    def _run(self) -> Found | None:
        start = canonical(empty(self.scope), self.scope)
        self.parents[start] = None
        ways_out = WaysOut(self.operator)
        frontier = deque([(start, 0)])
        while frontier:
            state, depth = frontier.popleft()
            self.counts.depth = depth
            self.counts.states += 1
            if self.counts.states % 5000 == 0:
                self.say(f"{self.counts.states} states, {len(frontier)} to go, depth {depth}")
            if self.limit is not None and self.counts.states > self.limit:
                self.counts.complete = False
                return None
            label = ""
            try:
                self._check_state(state)
                for name, check in ways_out.of(state):
                    self.counts.checked(name)
                    check()
                for label, following in self._edges(state):
                    self.counts.edges += 1
                    if following not in self.parents:
                        self.parents[following] = (state, label)
                        frontier.append((following, depth + 1))
            except AssertionError as error:
                last = getattr(error, "label", "")
                return Found(str(error), [*self._path(state), *([last] if last else [])], state)
        return None

    def _check_state(self, state: State) -> None:
        for check in STATE_PROPERTIES:
            self.counts.checked(check.__name__)
            check(self.operator, state)

    def _edges(self, state: State) -> Iterator[tuple[str, State]]:
        for label, following in happenings(self.operator, state):
            yield label, canonical(following, self.scope)
        for evidence in self.operator.evidences(state):
            self._check_again(state, evidence)
            seen = set()
            for outcome in self.operator.outcomes(state, evidence):
                if outcome.state in seen:
                    continue
                seen.add(outcome.state)
                self._check_edge(state, evidence, outcome)
                yield outcome.label, canonical(after(self.operator, outcome.state), self.scope)
        self._check_wake(state)

    def _check_edge(self, state: State, evidence: Evidence, outcome: Outcome) -> None:
        for check in EDGE_PROPERTIES:
            self.counts.checked(check.__name__)
            try:
                check(self.operator, state, evidence, outcome)
            except AssertionError as error:
                error.label = outcome.label  # type: ignore[attr-defined]
                raise

    def _check_again(self, state: State, evidence: Evidence) -> None:
        """What is on record is not decided again, whatever was not done yet."""
        recorded = self.operator.recorded(state, evidence)
        if self.operator.plan(state, evidence).adopts or recorded[:2] == state[:2]:
            return
        old, new = self.operator.status(state).rollout, self.operator.status(recorded).rollout
        if old is None or new is None or old.id != new.id:
            return  # a rollout that just began is looked at afresh, with what belongs to it
        self.counts.checked("nothing_done_again")
        same = self.operator.recorded(recorded, evidence)
        require(
            same.hub == recorded.hub,
            f"what is on record is decided again ({evidence}):\n{recorded.hub}\n{same.hub}",
        )

    def _check_wake(self, state: State) -> None:
        """Time changes something: then the operator has asked to look again by then."""
        plan = self.operator.plan(state, NOTHING)
        rest = next(self.operator.outcomes(state, NOTHING)).state
        if plan.due is None or after(self.operator, rest)[:5] != state[:5]:
            return
        self.counts.checked("woken_in_time")
        later = canonical(older(state, plan.due, self.scope), self.scope)
        acted = next(self.operator.outcomes(later, NOTHING)).state
        if canonical(after(self.operator, acted), self.scope) != later:
            woken = plan.wake is not None and plan.wake <= plan.due
            require(woken, f"nothing wakes the operator in {plan.due} s, when it has to act")

    def _path(self, state: State) -> list[str]:
        path = []
        step = self.parents[state]
        while step is not None:
            state, label = step
            path.append(label)
            step = self.parents[state]
        return path[::-1]


def after(operator: Operator, state: State) -> State:
    """Return `state` with what is on record in it now remembered."""
    status = operator.status(state)
    promoted = state.promoted
    if status.stable is not None and status.rollout is not None:
        promoted |= {status.stable.revision}
    doomed = set(state.doomed)
    for text in (state.hub, *(member.record for member in state.members)):
        rollout = json.loads(text).get("rollout") if text else None
        if rollout and rollout.get("decision", {}).get("verdict") == "Rollback":
            doomed.add(rollout["id"])
    request = state.request
    if request is not None and status.last_request and status.last_request.id == REQUEST:
        request = request._replace(taken=True)
    return state._replace(promoted=promoted, doomed=tuple(sorted(doomed)), request=request)


def describe(state: State) -> str:
    """Return a state as people read it."""
    lines = [f"  spec names {state.revision[0]}; request {state.request}", f"  hub {state.hub}"]
    if state.latched:
        lines.append(f"  the operator alone knows {state.latched}")
    lines += [
        f"  {name} {'' if member.reachable else '(away) '}pods {[tuple(item) for item in member.pods]}"
        f" route {tuple(member.route) if member.route else None}\n"
        f"       record {member.record}\n       in status {member.entry}"
        for name, member in zip(MEMBERS, state.members, strict=True)
    ]
    return "\n".join(lines)
