"""What the operator would decide for a manifest, as far as the hub alone can tell. Pure.

The state machine itself is asked, with members that are as status last saw them. Time, evidence and
requests by hand are left out: what is shown follows from the manifest.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from assay.api.conditions import ConditionStatus, ConditionType
from assay.api.deployment_status import (
    ClusterStatus,
    ModelDeploymentStatus,
    RolloutStatus,
    Stage,
)
from assay.api.model_deployment import (
    Approval,
    ModelDeploymentSpec,
    Paused,
    Rollout,
    RolloutType,
)
from assay.controller.reservations import held, lost
from assay.placement import Candidate, Holding, Plan, floors, plan
from assay.render.member import staying_revisions
from assay.render.revision import revision_hash
from assay.rollout import MemberView, Observation, PodsView, decide, waves
from assay.rollout.scaling import settled
from assay.rollout.sizing import wanted_pods
from assay.rollout.traffic import cluster_of, traffic_of, wanted_route
from assay.rollout.wording import moment, named

_LOOKS = 4
"""A rollout that ends and one that begins are two decisions; more never follow from one manifest."""

_TOLD = (
    (ConditionType.PLACED, ConditionStatus.FALSE),
    (ConditionType.PAUSED, ConditionStatus.TRUE),
    (ConditionType.STALLED, ConditionStatus.TRUE),
    (ConditionType.UNSAFE_MODEL, ConditionStatus.TRUE),
)


@dataclass(frozen=True)
class Fleet:
    """What the hub knows of its members.

    Attributes
    ----------
    candidates
        The ModelClusters; None: they may not be read, and status alone tells who serves.
    away
        Those that cannot be reached.
    taken
        Replicas of other ModelDeployments, by member.
    """

    candidates: tuple[Candidate, ...] | None = None
    away: frozenset[str] = frozenset()
    taken: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outlook:
    """What would be decided.

    Attributes
    ----------
    status
        The next status: what members should hold follows from it (`assay.render`).
    shares
        Replicas by member.
    floors
        The least of them by member if their number follows the load.
    lines
        For people: (what it is about, what is said).
    """

    status: ModelDeploymentStatus
    shares: Mapping[str, int]
    floors: Mapping[str, int]
    lines: tuple[tuple[str, str], ...]


def outlook(
    namespace: str,
    uid: str,
    generation: int,
    spec: ModelDeploymentSpec,
    before: ModelDeploymentStatus,
    fleet: Fleet,
    now: datetime.datetime,
) -> Outlook:
    """Return what follows if `spec` is what the hub holds, as `generation`, at `now`."""
    revision = revision_hash(spec)
    placed = _placed(namespace, spec, before, fleet, now)
    least = floors(spec.serving.autoscaling, placed.shares)
    observed = _observation(revision, before, fleet, placed, least)
    status = before
    for _ in range(_LOOKS):
        decision = decide(uid, generation, spec, status, observed, now)
        again = decision.status.rollout != status.rollout
        status = decision.status
        if not again:
            break
    lines = (
        *_revision(spec, revision, before, status),
        *_trial(spec, before, status, observed.members),
        *_members(placed, before),
        *_conditions(status),
    )
    return Outlook(status, placed.shares, least, lines)


def _placed(
    namespace: str,
    spec: ModelDeploymentSpec,
    before: ModelDeploymentStatus,
    fleet: Fleet,
    now: datetime.datetime,
) -> Plan:
    holds = held(before)
    if fleet.candidates is None:
        return Plan({name: count for name, count in holds.items() if count})
    known = {candidate.name for candidate in fleet.candidates}
    holding = Holding(
        {name: count for name, count in holds.items() if name in known},
        fleet.taken,
        before.stable is not None and _open(before.rollout),
        lost(before, spec.placement, fleet.away, now),
    )
    return plan(fleet.candidates, spec, namespace, holding)


def _observation(
    revision: str,
    before: ModelDeploymentStatus,
    fleet: Fleet,
    placed: Plan,
    least: Mapping[str, int],
) -> Observation:
    labels = {item.name: item.labels for item in fleet.candidates or ()}
    served = {item.name for item in before.clusters}

    def view(name: str) -> MemberView:
        share, floor = placed.shares.get(name, 0), least.get(name)
        seen = _view(before, name, labels.get(name, {}), fleet.away, floor)
        return settled(before, replace(seen, replicas=share, floor=floor))

    return Observation(
        revision=revision,
        members=tuple(map(view, placed.shares)),
        leaving=tuple(map(view, sorted(served - placed.shares.keys()))),
        plan=placed,
    )


def _view(
    before: ModelDeploymentStatus,
    name: str,
    labels: Mapping[str, str],
    away: frozenset[str],
    floor: int | None,
) -> MemberView:
    if name in away:
        return MemberView(name, reachable=False, error="no answer", labels=labels)
    cluster = cluster_of(before, name)
    return MemberView(
        name,
        reachable=True,
        revisions={} if cluster is None else _pods(before, cluster, floor),
        route=wanted_route(before, name),
        ledger_ready=True,
        labels=labels,
    )


def _pods(
    before: ModelDeploymentStatus, cluster: ClusterStatus, floor: int | None
) -> dict[str, PodsView]:
    """Return the pods by revision, of which status has the sum only.

    While some are not ready it is presumed that one is of each revision that has traffic. Where
    their number follows the load both arms are presumed to have the same.
    """
    staying = staying_revisions(before, cluster.name)
    if floor is not None:
        arms = 2 if before.stable is not None and before.canary is not None else 1
        count = max(-(-cluster.desired // arms), floor)
        ready = count if cluster.ready >= cluster.desired else 0
        return {item: PodsView(count, ready) for item in staying}
    replicas = held(before).get(cluster.name, 0)
    whole = {item: wanted_pods(before, item, replicas, cluster.name) for item in staying}
    used = {item.revision for item in (before.stable, before.canary) if item is not None}
    if cluster.ready >= sum(count for item, count in whole.items() if item in used):
        return {item: PodsView(count, count) for item, count in whole.items()}
    view = wanted_route(before, cluster.name)
    shown = set() if view is None else {view.stable, view.canary_slot}
    return {item: PodsView(count, min(count, item in shown)) for item, count in whole.items()}


def _open(rollout: RolloutStatus | None) -> bool:
    return rollout is not None and rollout.stage is not Stage.DONE


def _revision(
    spec: ModelDeploymentSpec,
    revision: str,
    before: ModelDeploymentStatus,
    after: ModelDeploymentStatus,
) -> Iterator[tuple[str, str]]:
    name = f"version {spec.model.version} ({revision})"
    yield "revision", f"{name} {_what_becomes(spec, revision, before, after)}"
    known = next(
        (ref for ref in (before.stable, before.canary) if ref and ref.revision == revision), None
    )
    if known is not None and known.version != spec.model.version:
        yield "note", f"model.version is only a name: {named(known)} keeps its own"


def _what_becomes(
    spec: ModelDeploymentSpec,
    revision: str,
    before: ModelDeploymentStatus,
    after: ModelDeploymentStatus,
) -> str:
    """Return what the revision that the spec names comes to."""
    was, now = before.rollout, after.rollout
    tried = now if after.canary and after.canary.revision == revision else None
    if tried is not None and (was is None or was.id != tried.id):
        return _begins(revision, before, after)
    if after.stable is not None and after.stable.revision == revision:
        if _open(was) and before.canary is not None:
            return f"serves already: the trial of {named(before.canary)} ends at once"
        return "serves already: no new revision, no trial"
    if tried is not None and _open(tried):
        return f"is on trial already: rollout {tried.id} goes on"
    return _waits(spec, revision, before)


def _begins(revision: str, before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> str:
    if after.stable is None:
        return "is the first of all: no trial, it serves when its pods are ready"
    if _open(before.rollout) and before.canary and before.canary.revision != revision:
        return (
            f"is new: it takes the place of {named(before.canary)}, whose trial ends without a "
            f"verdict; {named(after.stable)} serves"
        )
    if after.rollout is not None and after.rollout.latched is not None:
        return (
            "was stable not long ago: it takes all traffic without a trial when its pods are ready;"
            f" {named(after.stable)} serves"
        )
    return f"is new: its trial begins when its pods are ready; {named(after.stable)} serves"


def _waits(spec: ModelDeploymentSpec, revision: str, before: ModelDeploymentStatus) -> str:
    """Return why nothing begins."""
    rejected = next((item for item in before.rejected_revisions if item.revision == revision), None)
    if rejected is not None:
        return (
            f"was rejected at {moment(rejected.at)} ({rejected.reason}): it is not tried again "
            "before its hash changes or kubectl assay retry asks for it"
        )
    if spec.paused is Paused.ALL:
        return "is new; nothing happens before spec.paused lets it"
    if _open(before.rollout):
        return "is new; it starts when the present rollout is done"
    return "is new; it starts when a member may serve and answers"


def _trial(
    spec: ModelDeploymentSpec,
    before: ModelDeploymentStatus,
    after: ModelDeploymentStatus,
    members: Iterable[MemberView],
) -> Iterator[tuple[str, str]]:
    was, now = before.rollout, after.rollout
    if now is not None and now.decision is None and _open(now):
        settings = now.settings
        if now.latched is not None and now.stage is Stage.STARTING:
            yield "verdict", f"{now.latched.verdict.value} already: {now.latched.message}"
        elif after.stable is not None:
            yield "trial", _steps(settings)
            yield "verdict", _verdict(settings)
        if settings.waves:
            yield from _waves(settings, members)
    if was is not None and now is not None and was.id == now.id and _open(now):
        if now.settings != spec.rollout:
            yield "note", "spec.rollout: edits count from the next rollout"
        if now.sticky_by != spec.traffic.sticky_by:
            yield "note", "spec.traffic.stickyBy: edits count from the next rollout"
        if traffic_of(spec, after).mode is not spec.traffic.mode:
            yield "note", "spec.traffic.mode: the edit counts when the rollout is over"


def _steps(settings: Rollout) -> str:
    if settings.type is RolloutType.BLUE_GREEN:
        preview, switched = settings.steps
        approved = ", when somebody approves" if preview.pause else ""
        return (
            f"blue-green: a second full set, then all traffic at once{approved}; the old set stays"
            f" for at least {switched.min_seconds} s; {settings.max_seconds} s at most"
        )
    steps = settings.canary.steps
    words = []
    for step in steps:
        if step.weight is None:
            words.append("a pause until somebody approves")
        else:
            least = f" for at least {step.min_seconds} s" if step.min_seconds else ""
            words.append(f"{step.weight} %{least}")
    count = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return f"{count}: {', '.join(words)}; {settings.max_seconds} s at most"


def _verdict(settings: Rollout) -> str:
    analysis = settings.analysis
    metrics = [
        f"{item.name} ({item.type}{f', margin {item.margin}' if item.margin else ''})"
        for item in analysis.metrics
    ]
    guards = [f"guard {item.name}" for item in analysis.guards]
    if not metrics:
        return f"by health and {', '.join(guards)}"
    return f"{analysis.promote_on} by {', '.join([*metrics, *guards])}"


def _waves(settings: Rollout, members: Iterable[MemberView]) -> Iterator[tuple[str, str]]:
    by_wave: dict[int, list[str]] = {}
    for member in members:
        by_wave.setdefault(waves.wave_of(settings, member.labels), []).append(member.name)
    for index, wave in enumerate(waves.planned(settings)):
        names = sorted(by_wave.get(index, ()))
        if not names:
            continue
        words = [f"members {', '.join(names)}"]
        if wave.max_concurrency < len(names):
            words.append(f"{wave.max_concurrency} at a time")
        if wave.soak_seconds:
            words.append(f"serves {wave.soak_seconds} s before the next one")
        if wave.approval is Approval.MANUAL:
            words.append("waits for kubectl assay approve")
        yield f"wave {wave.name}", "; ".join(words)


def _members(placed: Plan, before: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    now = {name: count for name, count in held(before).items() if count}
    text = placed.summary
    if now and now != dict(placed.shares):
        text += f" (now {'; '.join(f'{name} {count}' for name, count in sorted(now.items()))})"
    yield "replicas", text
    gone = {item.name for item in before.clusters} - placed.shares.keys() - placed.lost
    for name in sorted(gone):
        yield "note", f"member {name} is left when all others serve"


def _conditions(status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    for item in status.conditions:
        if (item.type, item.status) in _TOLD:
            yield item.type, f"{item.status}, {item.reason}: {item.message}"
