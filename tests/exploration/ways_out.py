"""From every state: when no more goes wrong and nobody asks for more, all comes to rest, and stays so.

One more look, then the pods, then the next deadline, and so on: what follows is one path, and all
states of it that were walked before lead to rest too. It is walked under two kinds of luck.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from assay.api.deployment_status import Stage

from .environment import asked
from .look import Operator
from .observation import NOTHING, REQUEST, Evidence
from .properties import require
from .scope import Budget
from .state import Member, State, canonical, names_of, older

_LONGEST = 200
_NO_BUDGET = Budget()


@dataclass
class WaysOut:
    """Checks both, and remembers which states are known to lead to rest."""

    operator: Operator
    known: dict[str, set[State]] = field(
        default_factory=lambda: {"with_luck": set(), "without_luck": set(), "with_promote": set()}
    )

    def of(self, state: State) -> Iterator[tuple[str, Callable[[], None]]]:
        """Return the checks of `state`, with their names."""
        for name in self.known:
            yield f"way_out_{name}", lambda name=name: self._walk(name, state)  # type: ignore[misc]

    def _walk(self, luck: str, state: State) -> None:
        known = self.known[luck]
        now = canonical(self._settled(state, luck), self.operator.scope)
        path: list[State] = []
        while now not in known:
            require(now not in path, f"{luck}: it goes round for ever, or never comes to rest")
            require(len(path) < _LONGEST, f"{luck}: no rest within {_LONGEST} moves")
            path.append(now)
            following = canonical(self._next(now, luck), self.operator.scope)
            if following == now:
                self._at_rest(now, luck)
                break
            now = following
        known.update(path)

    def _settled(self, state: State, luck: str) -> State:
        """Take away what the rest of the way does not depend on; with luck all members are back."""
        state = state._replace(left=_NO_BUDGET, promoted=frozenset(), doomed=())
        if luck != "without_luck" or not any(item.reachable for item in state.members):
            members = tuple(item._replace(reachable=True) for item in state.members)
            state = state._replace(members=members)
        return state

    def _next(self, state: State, luck: str) -> State:
        """Return what follows: a look, else pods, else a person who lets go, else time."""
        evidence = NOTHING
        if luck == "with_promote":
            possible = self.operator.evidences(state)
            evidence = Evidence("Promote") if Evidence("Promote") in possible else NOTHING
        looked = next(self.operator.outcomes(state, evidence)).state
        request = state.request
        status = self.operator.status(looked)
        if request is not None and status.last_request and status.last_request.id == REQUEST:
            looked = looked._replace(request=None)
        if looked != state:
            return looked
        ready = self._ready(state, luck)
        if ready != state:
            return ready
        status = self.operator.status(state)
        rollout = status.rollout
        if rollout is not None and rollout.paused is not None:
            return asked(state, "resume", rollout.id)
        due = self.operator.plan(state, evidence).due
        return state if due is None else older(state, due, self.operator.scope)

    def _ready(self, state: State, luck: str) -> State:
        """Let pods get ready; without luck those of a canary never do."""
        status = self.operator.status(state)
        broken = ""
        if luck == "without_luck" and status.stable and status.canary:
            broken = status.canary.revision

        def moved(member: Member) -> Member:
            pods = tuple(
                item if item.revision == broken else item._replace(ready=item.asked)
                for item in member.pods
            )
            return member._replace(pods=pods)

        return state._replace(members=tuple(moved(item) for item in state.members))

    def _at_rest(self, state: State, luck: str) -> None:
        status = self.operator.status(state)
        rollout, stable = status.rollout, status.stable
        require(rollout is not None, f"{luck}: nothing begins")
        assert rollout is not None
        require(rollout.stage is Stage.DONE, f"{luck}: stuck in {rollout.stage.value}")
        assert stable is not None
        for member in state.members:
            if member.reachable:
                shows = member.route and set(member.route[:2]) == {stable.revision}
                require(shows, f"{luck}: a member does not serve stable alone")
                only = names_of(member.pods) == {stable.revision}
                require(only, f"{luck}: pods are left that nobody needs")
