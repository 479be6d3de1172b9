"""The members in status: what each should route where, and what it runs."""

from assay.api.deployment_status import (
    ClusterStatus,
    ModelDeploymentStatus,
    RolloutStatus,
    Stage,
)
from assay.api.model_deployment import ALL_TRAFFIC, Paused, TrafficMode

from .changes import with_rollout
from .observation import MemberView
from .scaling import can_replace, held
from .sharing import alone, percent, share, shared_weight, strata
from .situation import Situation, has_pods, is_ready, pods_of
from .sizing import wanted_pods
from .traffic import cluster_of, traffic_of
from .wording import clip


def clusters(situation: Situation, status: ModelDeploymentStatus) -> tuple[ClusterStatus, ...]:
    """Return the entry of every member for the `status` that was decided.

    The chosen ones come first, then those that are being left; each sorted by name.
    """
    seen = situation.observed
    members = [
        member
        for group in (seen.members, seen.leaving)
        for member in sorted(group, key=lambda item: item.name)
    ]
    came = situation.came(status)
    return tuple(_cluster(situation, status, member, came.get(member.name)) for member in members)


def progressed(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Return `status` with how far the present wave is."""
    rollout, canary = status.rollout, status.canary
    if rollout is None or canary is None or not rollout.waves or rollout.decision is not None:
        return status
    status = _with_step_shown(situation, status)
    last, came = rollout.waves[-1], situation.came(status)
    ready = sum(
        has_pods(member, status, canary.revision)
        for member in situation.trial_members(status)
        if came[member.name] == last.index
    )
    serves = situation.canary_ready(status) and (
        rollout.stage is Stage.STARTING or situation.step_shown(status)
    )
    stopped = last.serving_since is not None and not serves
    last = last.model_copy(
        update={
            "ready": max(ready, last.ready),
            "progressed_at": situation.now if ready > last.ready or stopped else last.progressed_at,
            "arrived_at": last.arrived_at or (situation.now if serves else None),
            "serving_since": (last.serving_since or situation.now) if serves else None,
        }
    )
    return with_rollout(status, waves=(*rollout.waves[:-1], last))


def _with_step_shown(situation: Situation, status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Return `status` with since when every member shows the present step."""
    rollout = status.rollout
    if rollout is None or rollout.stage is not Stage.TRIAL or rollout.steps[-1].shown_at:
        return status
    if not (situation.canary_ready(status) and situation.step_shown(status)):
        return status
    step = rollout.steps[-1].model_copy(update={"shown_at": situation.now})
    return with_rollout(status, steps=(*rollout.steps[:-1], step))


def _cluster(
    situation: Situation, status: ModelDeploymentStatus, member: MemberView, wave: int | None
) -> ClusterStatus:
    before = cluster_of(situation.before, member.name)
    serving = _serving(situation, status, member, before)
    weight = _weight(situation, status, member, before, serving, wave)
    same = _goes_on(situation, status)
    # What could not be seen is not taken for the number that is to be held.
    seen = weight if member.reachable else 0
    kept = held(status, member, before, seen, same_rollout=same)
    told = strata(situation, status, member, before if same else None, weight)
    if situation.spec.paused is Paused.ALL:  # nothing is written there: it stays as it was
        serving, weight = (before.revision, before.weight) if before else (None, 0)
        wave, kept = (before.wave, before.held_replicas) if before else (None, None)
        told = before.strata if before else None
    # Of this rollout only: it says that the member's counts were judged.
    known = before.ledger_store if before and same else None
    store = member.ledger_store or known
    leaving = member in situation.observed.leaving
    replicas = (before.replicas if before else None) if leaving else member.replicas or None
    if not member.reachable:
        since = before.unreachable_since if before else None
        return (before or ClusterStatus(name=member.name, reachable=False)).model_copy(
            update={
                "reachable": False,
                "weight": weight,
                "ledger_store": store,
                "replicas": replicas,
                "held_replicas": kept,
                "message": clip(member.error or member.reason),
                "unreachable_since": since or situation.now,
                "wave": wave,
                "share": None,
                "strata": told,
            }
        )
    pods = [pods_of(member, name) for name in _revisions(status)]
    return ClusterStatus(
        name=member.name,
        reachable=True,
        revision=serving,
        weight=weight,
        ready=sum(item.ready for item in pods),
        desired=sum(item.desired for item in pods),
        replicas=replicas,
        held_replicas=kept,
        message=clip(_message(situation, status, member)),
        ledger_store=store,
        wave=wave,
        share=percent(share(status, member)),
        strata=told,
        applied=member.applied or (before.applied if before else None),
    )


def _goes_on(situation: Situation, status: ModelDeploymentStatus) -> bool:
    """Return whether the rollout is the one that the last status speaks of."""
    past, present = situation.before.rollout, status.rollout
    return past is not None and present is not None and past.id in {present.id, *present.earlier}


def _revisions(status: ModelDeploymentStatus) -> list[str]:
    return [item.revision for item in (status.stable, status.canary) if item is not None]


def _serving(
    situation: Situation,
    status: ModelDeploymentStatus,
    member: MemberView,
    before: ClusterStatus | None,
) -> str | None:
    """Return the revision that serves as stable in the member.

    It becomes the stable one when that has all its pods here, and stays what it was until then: a member
    that is new or was away is never switched to pods that do not answer, not even if they did when
    that was decided and its route was not written yet. A member that is seen for the first time and
    has a route already serves what that says.
    """
    stable = status.stable.revision if status.stable else None
    had = before.revision if before else None
    whole = member.reachable and stable is not None and _takes_all(status, stable, member, before)
    if stable is not None and whole and can_replace(member, stable, had):
        return stable
    was = situation.before.canary
    if before and before.weight == ALL_TRAFFIC and was and was.revision == stable:
        return stable  # it has all traffic already: to become stable must not take that away
    shown = member.route.stable if member.reachable and member.route else None
    # A route that was switched shows the canary alone, and must come back whoever is ready.
    canary = status.canary.revision if status.canary else None
    if shown is not None and shown != canary and is_ready(member, shown):
        return shown
    if before is not None and before.revision is not None:
        return before.revision
    return member.route.stable if member.route else None


def _takes_all(
    status: ModelDeploymentStatus, stable: str, member: MemberView, before: ClusterStatus | None
) -> bool:
    """Return whether the stable revision has all its pods in a member.

    A winner had pods for its share of the traffic there; so it has in a member that is being left,
    where no more are made.
    """
    if member.floor is not None:
        return is_ready(member, stable)
    replicas = member.replicas or (before.replicas if before else None) or 0
    whole = wanted_pods(status, stable, replicas, member.name)
    return is_ready(member, stable) and pods_of(member, stable).ready >= whole


def _weight(
    situation: Situation,
    status: ModelDeploymentStatus,
    member: MemberView,
    before: ClusterStatus | None,
    serving: str | None,
    wave: int | None,
) -> int:
    """Return the percent of the requests for the canary in the member.

    None while the canary has no ready pod there or users are not kept as they should be, and none in
    a member that is being left. It gets the weight of a step when it has all pods for that. One that
    serves already keeps its share as long as one pod is ready: moving users to and fro at every
    restart would be worse. So does one that was promoted and has not all its pods yet.
    """
    rollout, stable, canary = status.rollout, status.stable, status.canary
    if rollout is None or stable is None or member in situation.observed.leaving:
        return 0
    had = before.weight if before and _goes_on(situation, status) else 0
    if canary is None:
        waits = serving != stable.revision
        # Where one Service has all pods that there are, no third revision may be among them.
        mode = traffic_of(situation.spec, status).mode
        apart = mode is TrafficMode.GATEWAY or alone(member, stable.revision, serving or "")
        return had if waits and apart and _keeps(member, stable.revision) else 0
    if rollout.stage is not Stage.TRIAL or serving != stable.revision or wave is None:
        return 0
    if rollout.by_pods and member.reachable:
        known = before if _goes_on(situation, status) else None
        return shared_weight(situation, status, member, known, had)
    return _routed_weight(situation, status, rollout, member, canary.revision, had)


def _routed_weight(
    situation: Situation,
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    member: MemberView,
    canary: str,
    had: int,
) -> int:
    """Return the weight of a canary on trial that a gateway gives it; `had` is the one so far."""
    if not member.reachable:
        return had
    kept = situation.user_trouble(member, status) is None
    if kept and has_pods(member, status, canary):
        weight = rollout.steps[-1].weight
        switches = weight == ALL_TRAFFIC > had
        stable = status.stable.revision if status.stable else None
        return had if switches and not can_replace(member, canary, stable) else weight
    return had if _keeps(member, canary) else 0


def _keeps(member: MemberView, revision: str) -> bool:
    """Return whether a revision may go on with the traffic that it has in a member."""
    return not member.reachable or pods_of(member, revision).ready > 0


def _message(situation: Situation, status: ModelDeploymentStatus, member: MemberView) -> str:
    if member in situation.observed.leaving:
        return "placement does not choose it any more"
    failures = (pods_of(member, name).failure for name in _revisions(status))
    words = [failure for failure in failures if failure is not None]
    if member.placed is not None and member.placed != member.replicas:
        words.append(
            f"placement gives it {member.placed} pods, it keeps {member.replicas} until the rollout"
            " is over"
        )
    if member.floor is not None:
        why = (pods_of(member, name).unscaled for name in _revisions(status))
        words += dict.fromkeys(text for text in why if text is not None)
    if not member.ledger_ready:
        words.append("the ledger is not ready")
    return "; ".join(words)
