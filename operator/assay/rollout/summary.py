"""The conditions: one place that says what is the case (kstatus), with numbers, for 3 a.m.

Ready, Reconciling and Stalled come from one `Headline`, so that they cannot contradict each other:
Reconciling exists while work is under way, Stalled when somebody is needed, never both.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from assay.api.conditions import (
    Condition,
    ConditionType,
    Reason,
    StalledReason,
    condition,
    update,
)
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_deployment import ModelFormat, TrafficMode
from assay.judge import Verdict as JudgeVerdict
from assay.judge import reasons
from assay.placement import Constraint

from . import sharing
from .drifting import signals
from .guards import summary
from .observation import MemberView
from .scaling import awaited
from .situation import Situation, has_pods, is_ready, pods_of, shows_only, wanted_in
from .traffic import cluster_of, sticky_by, wanted_route
from .wording import members, moment, named, sentences, users_mixed

_PLACEMENT_REASONS: Mapping[Constraint, StalledReason] = {
    Constraint.SELECTOR: Reason.NO_MEMBERS,
    Constraint.NAMESPACE: Reason.NO_MEMBERS,
    Constraint.RESIDENCY: Reason.OUTSIDE_RESIDENCY,
    Constraint.TAINTS: Reason.TAINTS_NOT_TOLERATED,
    Constraint.REACH: Reason.MEMBERS_LOST,
    Constraint.CAPACITY: Reason.CAPACITY_EXCEEDED,
    Constraint.OVERRIDES: Reason.OVERRIDES_IN_THE_WAY,
    Constraint.SPREAD: Reason.SPREAD_NOT_MET,
}


class Progress(enum.Enum):
    """Whether the spec is carried out."""

    READY = "ready"
    RECONCILING = "reconciling"
    STALLED = "stalled"


@dataclass(frozen=True)
class Headline:
    """The one thing to know about the deployment."""

    progress: Progress
    reason: str
    message: str


def _stalled(reason: StalledReason, message: str) -> Headline:
    """Say that somebody is needed: with these reasons only, because for each there is a runbook."""
    return Headline(Progress.STALLED, reason, message)


def conditions(situation: Situation, status: ModelDeploymentStatus) -> tuple[Condition, ...]:
    """Return every condition for the `status` that was decided (its clusters included)."""
    line = headline(situation, status)
    ready = condition(
        ConditionType.READY, line.progress is Progress.READY, line.reason, line.message
    )
    if line.progress is Progress.READY and not situation.reachable:
        message = f"no member can be reached to ask whether {named(status.stable)} serves"
        ready = condition(ConditionType.READY, None, Reason.MEMBERS_UNREACHABLE, message)
    new = [
        ready,
        condition(
            ConditionType.RECONCILING,
            line.progress is Progress.RECONCILING,
            line.reason,
            line.message,
        ),
        condition(
            ConditionType.STALLED, line.progress is Progress.STALLED, line.reason, line.message
        ),
        _available(situation, status),
        _promoted(situation, status, line),
        _evidence(situation, status),
        *_placed(situation),
        _reachable(situation),
        _unsafe(status),
        _paused(situation, status),
        *_users_kept(situation, status),
        *signals(situation.observed.signals, situation.before, status),
    ]
    return update(situation.before.conditions, new, situation.generation, situation.now)


def headline(situation: Situation, status: ModelDeploymentStatus) -> Headline:
    """Return what is most worth knowing, worst first."""
    if not situation.observed.members:
        fault = _fault(situation)
        if fault is not None and fault.reason != Reason.NO_MEMBERS:
            return fault
        labels = situation.spec.placement.cluster_selector.match_labels
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "any label"
        return _stalled(
            Reason.NO_MEMBERS,
            f"no ModelCluster with {wanted} (spec.placement.clusterSelector) allows this namespace",
        )
    if (failed := _failure(situation, status)) is not None:
        return failed
    rollout = status.rollout
    if rollout is not None and rollout.stage is not Stage.DONE:
        return _under_way(situation, status, rollout)
    return _at_rest(situation, status)


def _failure(situation: Situation, status: ModelDeploymentStatus) -> Headline | None:
    """Pods that cannot start, of the revision that the spec asks for."""
    ref = next(
        (
            item
            for item in (status.canary, status.stable)
            if item is not None and item.revision == situation.observed.revision
        ),
        None,
    )
    if ref is None or (status.rollout and status.rollout.stage is Stage.ROLLING_BACK):
        return None
    why = situation.failures(ref.revision)
    if not why:
        return None
    serves = f"{named(status.stable)} serves" if status.stable and ref is status.canary else ""
    return _stalled(
        Reason.ARTIFACT_REJECTED,
        sentences(f"{named(ref)} cannot start: {'; '.join(why)}", serves),
    )


def _under_way(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus
) -> Headline:
    match rollout.stage:
        case Stage.STARTING:
            return _starting(situation, status, rollout)
        case Stage.TRIAL:
            return _on_trial(situation, status, rollout)
        case Stage.PROMOTING:
            why = rollout.decision.message if rollout.decision else ""
            taking = f"{named(status.stable)} takes all traffic"
            message = sentences(taking, why, _switching(situation, status))
            return Headline(Progress.RECONCILING, Reason.PROMOTING, message)
        case _:
            why = rollout.decision.message if rollout.decision else ""
            message = sentences(f"{named(status.canary)} gives its traffic back", why)
            return Headline(Progress.RECONCILING, Reason.ROLLING_BACK, message)


def _starting(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus
) -> Headline:
    revision = status.canary.revision if status.canary else ""
    pods = _pods(situation, status, revision)
    due = situation.wave_due(rollout, rollout.waves[-1]) if rollout.waves else situation.now
    if status.stable is None:
        limit = rollout.settings.progress_deadline_seconds
        message = f"{named(status.canary)} is the first revision; {pods}"
        if situation.now >= due and situation.reachable:
            late = f"This took longer than {limit} s; it serves as soon as the pods are ready"
            return _stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, sentences(message, late))
        return Headline(Progress.RECONCILING, Reason.STARTING, sentences(message))
    hold = situation.hold(status)
    message = sentences(
        f"{named(status.canary)} is starting; {pods}",
        users_mixed(situation.users_not_kept(status)),
        f"{named(status.stable)} serves",
        hold.message if hold else f"Unless ready by {moment(due)} it is given up",
    )
    return Headline(Progress.RECONCILING, hold.reason if hold else Reason.STARTING, message)


def _wave(situation: Situation, rollout: RolloutStatus) -> str:
    """Say which wave of members it is, and what it waits for."""
    if not rollout.settings.waves:
        return ""
    present = rollout.waves[-1]
    where = f"Wave {present.name}, the first"
    if rollout.latched is not None:
        where = f"The verdict is {rollout.latched.verdict.value}; wave {present.name} follows"
    due = situation.soak_due(rollout)
    if due is None:
        until = moment(situation.wave_due(rollout, present))
        return f"{where}, gets ready until {until}" if present.arrived_at is None else where
    return f"{where}, has soaked by {moment(due)}"


def _switching(situation: Situation, status: ModelDeploymentStatus) -> str:
    """Say which members wait with a switch until all pods of the new revision are there."""
    stable = status.stable.revision if status.stable else ""
    late = [item for item in situation.reachable if not has_pods(item, status, stable)]
    return f"First its pods get ready: {_pods(situation, status, stable, late)}" if late else ""


def _climbing(situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus) -> str:
    """Say which members have still the weight of an earlier step, and what they wait for."""
    canary = status.canary.revision if status.canary else ""
    late = [
        (item, cluster.weight)
        for item in situation.trial_members(status)
        if (cluster := cluster_of(status, item.name)) is not None
        and 0 < cluster.weight < rollout.steps[-1].weight
        and not has_pods(item, status, canary)
    ]
    if not late:
        return ""
    kept = ", ".join(f"{item.name} {weight} %" for item, weight in late)
    pods = _pods(situation, status, canary, [item for item, _ in late])
    return f"Until its pods for that are ready it keeps in {kept}; {pods}"


def _on_trial(
    situation: Situation, status: ModelDeploymentStatus, rollout: RolloutStatus
) -> Headline:
    step = rollout.steps[-1]
    judgement = situation.judgement(status)
    guard = situation.guard_hold(status)
    hold = situation.hold(status)
    lacks = "a verdict"
    if rollout.latched is not None:
        lacks = "every guard kept" if guard else ""
    due = f"Without {lacks} by {moment(situation.trial_due(rollout))} it is rolled back"
    changed = [
        field
        for field, asked, frozen in (
            ("spec.rollout", situation.spec.rollout, rollout.settings),
            ("spec.traffic.stickyBy", situation.spec.traffic.sticky_by, rollout.sticky_by),
            ("spec.traffic.mode", situation.spec.traffic.mode, _mode(rollout)),
        )
        if asked != frozen
    ]
    message = sentences(
        f"{named(status.canary)} is on trial against {named(status.stable)} with {step.weight} % of"
        f" the traffic, step {rollout.step + 1} of {len(rollout.settings.steps)},"
        f" since {moment(step.started_at)}",
        _climbing(situation, status, rollout),
        sharing.told(situation, status),
        _wave(situation, rollout),
        rollout.latched.message
        if rollout.latched is not None and rollout.latched.reason == Reason.FAST_TRACK
        else "",
        hold.message if hold else "",
        judgement.message if judgement else "",
        summary(guard) if guard else "",
        awaited(situation, status),
        "" if hold or not lacks else due,
        f"{' and '.join(changed)} was changed since; that counts from the next rollout"
        if changed
        else "",
        situation.observed.invalid,
    )
    return Headline(Progress.RECONCILING, hold.reason if hold else Reason.TRIAL_RUNNING, message)


def _mode(rollout: RolloutStatus) -> TrafficMode:
    return rollout.traffic.mode if rollout.traffic is not None else TrafficMode.GATEWAY


def _waiting(situation: Situation, status: ModelDeploymentStatus) -> Headline:
    """Say why the revision that the spec names has not been started."""
    wanted = situation.observed.revision
    serves = f"{named(status.stable)} serves" if status.stable else ""
    if (hold := situation.hold(status)) is not None:
        message = sentences(f"revision {wanted} waits", hold.message, serves)
        return Headline(Progress.RECONCILING, hold.reason, message)
    for_what = (
        "the Lease of another hub in a member ends, and the member tells what serves there"
        if situation.awaits_other_hub
        else "a member can be reached"
    )
    message = sentences(f"revision {wanted} waits until {for_what}", serves)
    return Headline(Progress.RECONCILING, Reason.MEMBERS_UNREACHABLE, message)


def _at_rest(situation: Situation, status: ModelDeploymentStatus) -> Headline:
    if situation.observed.invalid:
        serves = f"{named(status.stable)} serves" if status.stable else ""
        message = sentences(situation.observed.invalid, "No rollout begins with it", serves)
        return _stalled(Reason.INVALID_SPEC, message)
    wanted = situation.observed.revision
    rejected = situation.rejection(status.rejected_revisions, wanted)
    if status.stable is None or status.stable.revision != wanted:
        if rejected is None:
            return _waiting(situation, status)
        deadline = rejected.reason == Reason.PROGRESS_DEADLINE_EXCEEDED
        message = sentences(
            f"version {rejected.version} ({wanted}) was rolled back at {moment(rejected.at)},"
            f" {named(status.stable)} serves",
            f"{rejected.reason}: {rejected.message}",
            "Another generation of the spec may try it again"
            if deadline
            else "It is not tried again until the spec names another revision, or by kubectl assay"
            " retry",
        )
        reason: StalledReason = (
            Reason.PROGRESS_DEADLINE_EXCEEDED if deadline else Reason.ROLLED_BACK
        )
        return _stalled(reason, message)
    behind = [item for item in situation.reachable if not _serves(item, wanted)]
    if behind:
        message = f"{named(status.stable)} is stable; {_pods(situation, status, wanted, behind)}"
        return Headline(Progress.RECONCILING, Reason.STARTING, sentences(message))
    count = members(len(situation.reachable))
    serves = f"{named(status.stable)} serves in {count}"
    if (fault := _fault(situation)) is not None:
        return replace(fault, message=sentences(serves, fault.message))
    return Headline(Progress.READY, Reason.SERVING, serves)


def _fault(situation: Situation) -> Headline | None:
    """Return what is wrong with the placement: waiting alone does not end it."""
    plan = situation.observed.plan
    if plan is None or plan.fault is None:
        return None
    reason = _PLACEMENT_REASONS[plan.fault.constraint]
    return _stalled(reason, plan.fault.message)


def _placed(situation: Situation) -> list[Condition]:
    plan = situation.observed.plan
    if plan is None:
        return []
    if (fault := _fault(situation)) is not None:
        return [condition(ConditionType.PLACED, False, fault.reason, fault.message)]
    return [condition(ConditionType.PLACED, True, Reason.REPLICAS_PLACED, plan.summary)]


def _serves(member: MemberView, revision: str) -> bool:
    enough = pods_of(member, revision).ready >= member.wanted
    return is_ready(member, revision) and enough and shows_only(member, revision)


def _pods(
    situation: Situation,
    status: ModelDeploymentStatus,
    revision: str,
    only: list[MemberView] | None = None,
) -> str:
    """Say how far the pods are, member by member."""
    words = []
    for member in situation.reachable if only is None else only:
        pods = pods_of(member, revision)
        wanted = max(pods.needed, wanted_in(member, status, revision))
        ready = pods.is_ready and pods.ready >= wanted
        route = "" if not ready or only is None else ", its route does not show it yet"
        words.append(f"{member.name}: {min(pods.ready, wanted)} of {wanted} pods ready{route}")
    return "; ".join(words) or "no member can be reached"


def _available(situation: Situation, status: ModelDeploymentStatus) -> Condition:
    kind = ConditionType.AVAILABLE
    if status.stable is None or not situation.observed.members:
        return condition(kind, False, Reason.NOT_AVAILABLE, "no revision serves yet")
    if not situation.reachable:
        return condition(kind, None, Reason.MEMBERS_UNREACHABLE, "no member can be reached")
    missing, switched = [], []
    for member in situation.reachable:
        wanted = wanted_route(status, member.name)
        if wanted is None or member.route is None or not pods_of(member, wanted.stable).ready:
            missing.append(member.name)
        elif status.canary is not None and wanted.stable == status.canary.revision:
            switched.append(member.name)
    if missing:
        message = f"no ready pod behind the route in {', '.join(missing)}"
        return condition(kind, False, Reason.NOT_AVAILABLE, message)
    count = members(len(situation.reachable))
    by = f", in {', '.join(switched)} {named(status.canary)}" if switched else ""
    return condition(kind, True, Reason.SERVING, f"{named(status.stable)} answers in {count}{by}")


def _promoted(situation: Situation, status: ModelDeploymentStatus, line: Headline) -> Condition:
    kind = ConditionType.PROMOTED
    stable = status.stable
    if stable is not None and stable.revision == situation.observed.revision:
        return condition(kind, True, Reason.SERVING, f"{named(stable)} is the stable revision")
    serves = f"{named(stable)} is" if stable else "there is none yet"
    message = f"revision {situation.observed.revision} is not the stable one; {serves}"
    return condition(kind, False, line.reason, message)


def _evidence(situation: Situation, status: ModelDeploymentStatus) -> Condition:
    kind = ConditionType.EVIDENCE_SUFFICIENT
    if status.rollout is None or status.rollout.stage is not Stage.TRIAL:
        return condition(kind, None, Reason.NO_TRIAL, "nothing is on trial")
    if situation.by_guards(status):
        return _by_guards(situation, status)
    if problems := situation.problems(status):
        message = "; ".join(f"{item.member}: {item.reason}: {item.message}" for item in problems)
        return condition(kind, False, problems[0].reason, message)
    judgement = situation.judgement(status)
    if judgement is None:
        return condition(kind, None, Reason.NOT_READ, "the evidence has not been read yet")
    undecided = judgement.reason == reasons.UNDECIDED
    enough = judgement.verdict is not JudgeVerdict.HOLD or undecided
    guard = situation.guard_hold(status)
    if guard is None:
        return condition(kind, enough, judgement.reason, judgement.message)
    reason = guard.reason if enough else judgement.reason
    message = sentences(summary(guard), judgement.message)
    return condition(kind, False, reason, message)


def _by_guards(situation: Situation, status: ModelDeploymentStatus) -> Condition:
    """Say what the guards of a trial without metrics say."""
    kind = ConditionType.EVIDENCE_SUFFICIENT
    if (guard := situation.guard_hold(status)) is not None:
        return condition(kind, False, guard.reason, summary(guard))
    if not situation.guards_kept(status):
        return condition(kind, None, Reason.NOT_READ, "the guards have not been asked yet")
    message = "every guard is kept" if situation.guards(status) else "no request comes to it yet"
    return condition(kind, True, Reason.GUARDS_KEPT, message)


def _reachable(situation: Situation) -> Condition:
    kind = ConditionType.MEMBERS_REACHABLE
    lost = situation.unreachable
    count = len(situation.observed.members) + len(situation.lost)
    if not count:
        return condition(kind, False, Reason.NO_MEMBERS, "no ModelCluster matches the placement")
    if not lost:
        return condition(kind, True, Reason.ALL_REACHABLE, f"{members(count)} in reach")
    names = "; ".join(f"{item.name}: {item.error or item.reason or 'no answer'}" for item in lost)
    message = f"{len(lost)} of {members(count)} cannot be reached: {names}"
    return condition(kind, False, Reason.MEMBERS_UNREACHABLE, message)


def _paused(situation: Situation, status: ModelDeploymentStatus) -> Condition:
    hold = situation.hold(status)
    if hold is None:
        return condition(ConditionType.PAUSED, False, Reason.SERVING)
    return condition(ConditionType.PAUSED, True, hold.reason, hold.message)


def _users_kept(situation: Situation, status: ModelDeploymentStatus) -> tuple[Condition, ...]:
    """Say whether users are kept if they are to be, also while nothing is on trial: it comes too late then."""
    wanted = sticky_by(situation.spec, status)
    if wanted is None:
        return ()
    kind = ConditionType.USERS_KEPT
    if mixed := situation.users_not_kept(status):
        # Policies that are on their way are no trouble yet.
        refused = any(member.sticky.problem for member in situation.reachable)
        return (
            condition(kind, False if refused else None, Reason.USERS_NOT_KEPT, users_mixed(mixed)),
        )
    if not situation.reachable:
        return (condition(kind, None, Reason.MEMBERS_UNREACHABLE, "no member can be reached"),)
    message = f"every user stays in one arm, told apart by {wanted.key}; requests without it are no evidence"
    return (condition(kind, True, Reason.USERS_KEPT, message),)


def _unsafe(status: ModelDeploymentStatus) -> Condition:
    """Say it for as long as such a revision is in use, whatever the spec names by now."""
    used = (status.stable, status.canary)
    names = dict.fromkeys(
        named(item) for item in used if item is not None and item.format is ModelFormat.JOBLIB
    )
    message = (
        f"{' and '.join(names)}: loading a Joblib artifact runs code from it in the serving pods"
    )
    return condition(ConditionType.UNSAFE_MODEL, bool(names), Reason.CODE_ON_LOAD, message)
