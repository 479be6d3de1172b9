"""What users, people, clusters and time do between two looks."""

import json
from collections.abc import Iterator

from assay.api.deployment_status import ModelDeploymentStatus, Stage

from .look import Operator, killed
from .observation import NOTHING, REQUEST
from .scope import MEMBERS
from .state import Member, Pods, Request, State, new_generation, older, with_request

Step = tuple[str, State]


def happenings(operator: Operator, state: State) -> Iterator[Step]:
    """Return what may happen now, with its name."""
    status = operator.status(state)
    blank = status.rollout is None and any(item.record for item in state.members)
    yield from _users(operator, state)
    yield from _people(operator, state, status)
    for index, (name, member) in enumerate(zip(MEMBERS, state.members, strict=True)):
        yield from _member(state, index, name, member, blank=blank)
    due = operator.plan(state, NOTHING).due
    if due is not None:
        yield f"{due} s pass", older(state, due, operator.scope)
    remembers = state.latched or any(item.counted for item in state.members)
    if state.left.faults and remembers:
        yield "the operator is killed", killed(state)
    if state.left.rebuilt and not blank and all(it.reachable and it.record for it in state.members):
        # With a member away, or one that knows nothing, a new hub may know less: docs/limits.md.
        yield "the hub is lost, a new one has the manifests", _rebuilt(state)


def _users(operator: Operator, state: State) -> Iterator[Step]:
    if state.left.changes:
        left = state.left._replace(changes=state.left.changes - 1)
        for revision in operator.scope.revisions:
            if revision != state.revision:
                changed = new_generation(state)._replace(revision=revision, left=left)
                yield f"the spec names {revision[0]}", changed


def _people(operator: Operator, state: State, status: ModelDeploymentStatus) -> Iterator[Step]:
    waits = state.request is not None and not state.request.taken
    if not state.left.requests or status.rollout is None or waits:
        return
    if status.rollout.stage is Stage.DONE:
        return  # refused, whatever it is
    left = state.left._replace(requests=state.left.requests - 1)
    for verb in operator.scope.verbs:
        yield f"a person asks: {verb}", asked(state, verb, status.rollout.id)._replace(left=left)


def asked(state: State, verb: str, rollout: str) -> State:
    """Return `state` with a new request in the annotation."""
    return with_request(state, REQUEST)._replace(request=Request(verb, rollout))


def _member(state: State, index: int, name: str, member: Member, *, blank: bool) -> Iterator[Step]:
    if member.reachable and state.left.losses and not blank:
        left = state.left._replace(losses=state.left.losses - 1)
        away = _with(state, index, member._replace(reachable=False))
        yield f"{name} goes away", away._replace(left=left)
    if not member.reachable:
        yield f"{name} is back", _with(state, index, member._replace(reachable=True))
    for pods in member.pods:
        called = f"{name}: pods of {pods.revision[0]}"
        if pods.ready < pods.asked:
            yield f"{called} get ready", _moved(state, index, pods, pods.asked)
        elif state.left.breaks:
            left = state.left._replace(breaks=state.left.breaks - 1)
            yield f"{called} break", _moved(state, index, pods, 0)._replace(left=left)


def _moved(state: State, index: int, pods: Pods, ready: int) -> State:
    member = state.members[index]
    moved = tuple(it._replace(ready=ready) if it == pods else it for it in member.pods)
    return _with(state, index, member._replace(pods=moved))


def _with(state: State, index: int, member: Member) -> State:
    members = tuple(member if at == index else it for at, it in enumerate(state.members))
    return state._replace(members=members)


def _rebuilt(state: State) -> State:
    """Return `state` with a hub that has nothing but spec and annotation: generations begin anew.

    A promotion that no member was told of is lost with the hub. What serves until a winner has all
    its pods was promoted before it.
    """
    told = frozenset(
        str(json.loads(it.record)["stable"]) for it in state.members if '"stable"' in it.record
    )
    serves = {it.route.stable for it in state.members if it.route is not None}
    members = tuple(it._replace(entry="", latched="", counted=False) for it in state.members)
    left = state.left._replace(rebuilt=state.left.rebuilt - 1)
    return new_generation(state)._replace(
        hub="{}", latched="", members=members, left=left, promoted=told | (serves & state.promoted)
    )
