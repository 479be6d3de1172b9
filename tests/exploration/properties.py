"""What must hold in every state and on every edge."""

import math
from collections.abc import Callable

from assay.api.deployment_status import ModelDeploymentStatus, Stage, Verdict
from assay.render.route import http_route, read_route
from assay.rollout import RouteView, waves

from .look import Operator, Outcome
from .observation import REQUEST, Evidence
from .scope import MEMBERS
from .state import IDENTITY, Route, State, names_of, ready_in, record_view, rollout_ids

STAGES = (Stage.STARTING, Stage.TRIAL, Stage.PROMOTING, Stage.ROLLING_BACK, Stage.DONE)


class Violation(AssertionError):  # noqa: N818
    """A property that does not hold."""


def require(holds: object, text: str) -> None:
    """Raise `Violation` unless it holds."""
    if not holds:
        raise Violation(text)


# In every state


def one_stable(operator: Operator, state: State) -> None:
    """Never two stables."""
    status = operator.status(state)
    if status.stable and status.canary:
        require(status.stable.revision != status.canary.revision, "stable is the canary too")
    retired = {item.revision for item in status.retired_revisions}
    used = {item.revision for item in (status.stable, status.canary) if item}
    require(not retired & used, "a revision in use is retired")
    for member in state.members:
        if member.route and member.route.stable != member.route.slot:
            split = {item for item in member.route[:2] if item in state.promoted}
            canary = status.canary.revision if status.canary else ""
            first = member.route.stable in state.promoted
            require(first, "the first slot of a route is no stable revision")
            require(
                len(split) == 1 or canary in member.route[:2] or _was_canary(operator, state),
                "a route is split between two stables",
            )


def _was_canary(operator: Operator, state: State) -> bool:
    """Return whether the canary has just become stable: routes follow the record.

    A hub that is new has not read yet what the members remember of it.
    """
    rollout = operator.status(state).rollout
    return rollout is None or rollout.decision is not None


def routes_in_shape(operator: Operator, state: State) -> None:
    """Two backends with positive weights that sum to 100, read back as written, pods behind both."""
    traffic = operator.scope.spec(state.revision).traffic
    for name, member in zip(MEMBERS, state.members, strict=True):
        if member.route is None:
            continue
        view = RouteView(*member.route)
        document = http_route(IDENTITY, traffic, view, None)
        weights = [item["weight"] for item in document["spec"]["rules"][0]["backendRefs"]]
        require(len(weights) == 2, f"{name}: a route with {len(weights)} backends")
        require(sum(weights) == 100, f"{name}: weights {weights}")
        require(min(weights) > 0, f"{name}: weights {weights}")
        require(read_route(document) == view, f"{name}: the route reads otherwise than written")
        behind = set(member.route[:2]) <= names_of(member.pods)
        require(behind, f"{name}: a route to a revision without pods")


def serves_what_was_promoted(operator: Operator, state: State) -> None:
    """Promotion is on record before any member shows it; a canary gets a share at most."""
    stable = operator.status(state).stable
    require(
        stable is None or stable.revision in state.promoted,
        "a revision is stable that nothing promoted",
    )
    for name, member in zip(MEMBERS, state.members, strict=True):
        if member.route is not None:
            found = member.route.stable in state.promoted
            require(
                found, f"{name} serves {member.route.stable[0]} as stable before it is on record"
            )


def rollback_absorbs(operator: Operator, state: State) -> None:
    """What was rolled back on any record is in that rollout never promoted."""
    rollout = operator.status(state).rollout
    if rollout is not None and rollout.id in state.doomed and rollout.decision is not None:
        back = rollout.decision.verdict is Verdict.ROLLBACK
        require(back, "a rollout is promoted of which a rollback was recorded")


def decided_stage(operator: Operator, state: State) -> None:
    """A decision is there from the stage on that carries it out."""
    rollout = operator.status(state).rollout
    if rollout is not None:
        undecided = rollout.stage in {Stage.STARTING, Stage.TRIAL}
        require(undecided == (rollout.decision is None), "stage and decision do not fit")
        require(undecided or rollout.paused is None, "what is decided is paused")


def waves_not_ahead(operator: Operator, state: State) -> None:
    """No member has pods of, or traffic to, a canary whose wave has not come on record."""
    status = operator.status(state)
    rollout, canary = status.rollout, status.canary
    if rollout is None or canary is None or rollout.decision is not None:
        return
    present = waves.present(rollout)
    for cluster in status.clusters:
        require(cluster.wave is None or cluster.wave <= present, "a wave is ahead in status")
        require(cluster.wave is not None or not cluster.weight, "traffic without a wave")
    retired = {item.revision for item in status.retired_revisions}
    if canary.revision in retired | state.promoted:
        return
    for name, member in zip(MEMBERS, state.members, strict=True):
        view = record_view(member.record, name, operator.scope)
        if view is None or view.rollout != rollout.id:
            continue  # what is left of an earlier rollout of the same revision
        if waves.wave_of(rollout.settings, {"name": name}) > present:
            ahead = canary.revision in names_of(member.pods)
            require(not ahead, f"{name} has the canary before its wave")


STATE_PROPERTIES: tuple[Callable[[Operator, State], None], ...] = (
    one_stable,
    routes_in_shape,
    serves_what_was_promoted,
    rollback_absorbs,
    decided_stage,
    waves_not_ahead,
)


# On every edge of a look


def promoted_with_evidence(
    operator: Operator, before: State, evidence: Evidence, outcome: Outcome
) -> None:
    """A successor becomes stable by the verdict Promote on all that can be read, or by a person."""
    old, new = operator.known(before), operator.status(outcome.state)
    if old.rollout is None or new.rollout is None or old.rollout.id != new.rollout.id:
        return
    joined = {item.name for item in old.clusters if item.wave is not None}
    clean = evidence.verdict == "Promote" and evidence.unread not in joined
    last = old.rollout.step == len(old.rollout.settings.canary.steps) - 1
    if new.rollout.latched is not None and old.rollout.latched is None:
        require(clean and last, "a verdict is latched that nobody gave")
    if old.stable is None or new.stable is None or old.stable == new.stable:
        return
    by_hand = before.request is not None and before.request.verb == "full"
    if new.rollout.decision is not None and new.rollout.decision.reason == "PromotedByHand":
        require(by_hand and evidence.verdict != "Rollback", "a promotion that no person asked for")
        return
    require(old.rollout.stage is Stage.TRIAL, "a promotion outside of a trial")
    require(last, "a promotion before the last step")
    require(evidence.verdict != "Rollback", "a promotion against the verdict")
    latched = old.rollout.latched is not None
    require(clean or latched, "a promotion without the verdict Promote")
    shown = all(
        member.route is not None
        and member.route.weight == old.rollout.steps[-1].weight
        and member.route.slot == new.stable.revision
        for member in before.members
        if member.reachable and ready_in(member, new.stable.revision)
    )
    require(shown, "a promotion before the last step was shown")


def rolled_back_at_once(
    operator: Operator, before: State, evidence: Evidence, outcome: Outcome
) -> None:
    """Whoever is away: when a rollback is decided, one look takes the traffic of all that answer."""
    old, new = operator.known(before), operator.status(outcome.state)
    if evidence.verdict == "Rollback":
        same = old.rollout and new.rollout and old.rollout.id == new.rollout.id
        back = new.rollout and new.rollout.decision
        if outcome.clean:
            require(
                same and back and back.verdict is Verdict.ROLLBACK, "a rollback is not acted on"
            )
    if not outcome.clean or new.rollout is None or new.rollout.decision is None:
        return
    if old.rollout is None:
        return  # a new hub has adopted it, and acts in its next look
    if new.rollout.decision.verdict is not Verdict.ROLLBACK or new.canary is None:
        return
    for name, member in zip(MEMBERS, outcome.state.members, strict=True):
        if member.reachable and member.route is not None:
            require(
                new.canary.revision not in member.route[:2],
                f"{name} still sends requests to what is rolled back",
            )


def switched_to_ready_pods(
    operator: Operator, before: State, _: Evidence, outcome: Outcome
) -> None:
    """No route gives a revision more than the pods can carry that were ready when it was decided.

    What served as stable before takes its traffic back whoever is ready: a rollback waits for nobody.
    """
    for name, old, new in zip(MEMBERS, before.members, outcome.state.members, strict=True):
        if new.route is None or old.route is None or new.route == old.route:
            continue  # a first route takes nothing from anybody
        for revision in set(new.route[:2]) - {old.route.stable}:
            share = _share(new.route, revision)
            if share <= _share(old.route, revision):
                continue
            needed = max(1, math.ceil(operator.scope.replicas * share / 100))
            ready = ready_in(old, revision)
            require(
                ready >= needed,
                f"{name} is switched to pods that are not ready: {share} % to {ready} of {needed}",
            )


def _share(route: Route, revision: str) -> int:
    """Return the percent of the traffic that a route sends to `revision`."""
    of_stable = 100 - route.weight if route.stable == revision else 0
    return of_stable + (route.weight if route.slot == revision else 0)


def forward_only(operator: Operator, before: State, _: Evidence, outcome: Outcome) -> None:
    """Within a rollout nothing that is on record is done again or taken back."""
    old, new = operator.status(before), operator.status(outcome.state)
    if old.rollout is None or new.rollout is None:
        return
    if old.rollout.id != new.rollout.id:
        seen = new.rollout.id in rollout_ids(before)
        require(not seen, "a rollout begins that was there before")
        return
    require(_rank(new) >= _rank(old), "a rollout goes back to an earlier stage")
    taken = [item.weight for item in old.rollout.steps]
    now = [item.weight for item in new.rollout.steps]
    require(now[: len(taken)] == taken, "a step is taken back")
    require(len(now) - len(taken) in {0, 1}, "two steps at once")
    waves_ = len(new.rollout.waves) - len(old.rollout.waves)
    require(waves_ in {0, 1}, "two waves at once, or one less")
    if old.rollout.decision is not None:
        kept = new.rollout.decision
        same = kept and (kept.verdict, kept.reason) == (
            old.rollout.decision.verdict,
            old.rollout.decision.reason,
        )
        require(same, "a decision is changed")
    if old.rollout.latched is not None:
        require(old.rollout.latched == new.rollout.latched, "a latched verdict is changed")


def asked_once(operator: Operator, before: State, _: Evidence, outcome: Outcome) -> None:
    """What a person asks is carried out once, and answered by the first look that is recorded."""
    request = before.request
    if request is None:
        return
    old, new = operator.status(before), operator.status(outcome.state)
    if old.rollout is None or new.rollout is None or old.rollout.id != new.rollout.id:
        return
    if request.taken:
        require(_by_hand(new) <= _by_hand(old), "a request is carried out twice")
    if outcome.clean:
        answered = new.last_request is not None and new.last_request.id == REQUEST
        require(answered, "a request is not answered")


def _by_hand(status: ModelDeploymentStatus) -> set[str]:
    """Return what people have done in the rollout."""
    rollout = status.rollout
    if rollout is None:
        return set()
    done = {f"step {index}" for index, step in enumerate(rollout.steps) if step.by is not None}
    if rollout.paused is not None:
        done.add("paused")
    if rollout.decision is not None and rollout.decision.reason.endswith("ByHand"):
        done.add(rollout.decision.reason)
    return done


EDGE_PROPERTIES = (
    promoted_with_evidence,
    rolled_back_at_once,
    switched_to_ready_pods,
    forward_only,
    asked_once,
)


def _rank(status: ModelDeploymentStatus) -> int:
    return STAGES.index(status.rollout.stage) if status.rollout else -1
