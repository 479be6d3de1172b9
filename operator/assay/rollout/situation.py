"""What is the case: the questions that the state machine asks of spec, status and observation."""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from assay.api.conditions import ConditionStatus, ConditionType, Reason
from assay.api.deployment_status import (
    GuardStatus,
    ModelDeploymentStatus,
    RejectedRevision,
    RolloutStatus,
    Stage,
    Verdict,
    WaveRecord,
)
from assay.api.model_deployment import Approval, ModelDeploymentSpec, Paused
from assay.judge import Judgement

from . import waves
from .guards import BREACHED, KEPT, deciding, evaluate
from .observation import EvidenceProblem, MemberView, Observation, PodsView
from .sizing import canary_pods, wanted_pods
from .traffic import cluster_of, sticky_by, trial_route
from .wording import moment, sentences

_ADOPTION_SECONDS = 120.0
"""Four times the duration of a Lease."""


def seconds(number: float) -> datetime.timedelta:
    """Return a span of `number` seconds."""
    return datetime.timedelta(seconds=number)


@dataclass(frozen=True)
class Hold:
    """Why nothing goes forward until a person says so, and who can do what."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Situation:
    """Everything that does not change while one decision is taken.

    Attributes
    ----------
    before
        The status as it was written last.
    now
        Whole seconds, as the timestamps in status are.
    """

    uid: str
    generation: int
    spec: ModelDeploymentSpec
    before: ModelDeploymentStatus
    observed: Observation
    now: datetime.datetime
    _came: dict[tuple[str, int, str], Mapping[str, int]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @cached_property
    def reachable(self) -> tuple[MemberView, ...]:
        """The members that answer; only these are waited for."""
        return tuple(member for member in self.observed.members if member.reachable)

    @property
    def holders(self) -> tuple[MemberView, ...]:
        """The members that answer and may have a route, chosen or not."""
        leaving = (member for member in self.observed.leaving if member.reachable)
        return (*self.reachable, *leaving)

    @property
    def unreachable(self) -> tuple[MemberView, ...]:
        """The members that do not answer, the lost ones included."""
        chosen = (member for member in self.observed.members if not member.reachable)
        return (*chosen, *self.lost)

    @property
    def lost(self) -> tuple[MemberView, ...]:
        """The members whose replicas are placed elsewhere because they do not answer."""
        plan = self.observed.plan
        names = plan.lost if plan is not None else frozenset[str]()
        return tuple(member for member in self.observed.leaving if member.name in names)

    @property
    def awaits_other_hub(self) -> bool:
        """Whether a member may yet tell what serves: its Lease is another hub's, maybe a lost one's.

        Such a Lease ends within seconds. One that is renewed for longer belongs to a hub that
        lives, and its member is not waited for.
        """
        if all(item.reason != Reason.HELD_BY_OTHER_HUB for item in self.unreachable):
            return False
        return self.now < self.adoption_due

    @property
    def adoption_due(self) -> datetime.datetime:
        """Until when a first start waits for members whose Lease another hub holds."""
        return self._reachability_since() + seconds(_ADOPTION_SECONDS)

    def came(self, status: ModelDeploymentStatus) -> Mapping[str, int]:
        """Return with which wave the canary of `status` comes to each member, of those to which it does.

        At most maxConcurrency members of a wave get ready at a time. One that is away holds up nobody.
        """
        rollout, canary = status.rollout, status.canary
        if rollout is None or canary is None:
            return {}
        # Some fifteen questions of one decision ask for it, of at most a few stages of a rollout.
        key = (rollout.id, waves.present(rollout), canary.revision)
        if key not in self._came:
            self._came[key] = self._came_to(rollout, canary.revision)
        return self._came[key]

    def _came_to(self, rollout: RolloutStatus, canary: str) -> Mapping[str, int]:
        came: dict[str, int] = {}
        if self.before.rollout is not None and self.before.rollout.id == rollout.id:
            came = {item.name: item.wave for item in self.before.clusters if item.wave is not None}
        starting = Counter(
            came[member.name]
            for member in self.reachable
            if member.name in came and not is_ready(member, canary)
        )
        for member in sorted(self.observed.members, key=lambda item: item.name):
            index = waves.wave_of(rollout.settings, member.labels)
            wave = waves.planned(rollout.settings)[index]
            if member.name in came or index > waves.present(rollout):
                continue
            if starting[index] < wave.max_concurrency:
                came[member.name] = index
                starting[index] += member.reachable
        return came

    def trial_members(self, status: ModelDeploymentStatus) -> tuple[MemberView, ...]:
        """Return the reachable members to which the canary in `status` has come, wave by wave."""
        came = self.came(status)
        return tuple(item for item in self.reachable if item.name in came)

    def canary_ready(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the canary has its pods in every member of the waves so far.

        When the deadline of a wave is over it may fail in as many members as the wave allows.
        """
        rollout, canary, came = status.rollout, status.canary, self.came(status)
        members = [item for item in self.reachable if item.name in came]
        if (
            rollout is None
            or canary is None
            or not any(has_pods(m, status, canary.revision) for m in members)
        ):
            return False
        if len(members) < len(self._due_members(rollout)):
            return False
        late = Counter(came[m.name] for m in members if not has_pods(m, status, canary.revision))
        return all(number <= self._allowance(rollout, index) for index, number in late.items())

    def waves_away(self, rollout: RolloutStatus) -> bool:
        """Return whether no member of the waves so far answers."""
        return not self._due_members(rollout)

    def _due_members(self, rollout: RolloutStatus) -> tuple[MemberView, ...]:
        until = waves.present(rollout)
        return tuple(
            item for item in self.reachable if waves.wave_of(rollout.settings, item.labels) <= until
        )

    def _allowance(self, rollout: RolloutStatus, index: int) -> int:
        record = waves.record_of(rollout, index)
        over = record is not None and self.now >= self.wave_due(rollout, record)
        return waves.planned(rollout.settings)[index].max_failures if over else 0

    def wave_late(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the present wave is not ready and has had its time for that.

        A wave that was ready once has it for the second time when its verdict is latched: then no
        other clock ends a trial whose canary has failed, or whose members are gone.
        """
        rollout = status.rollout
        if rollout is None or not rollout.waves or not self.reachable:
            return False
        late = self.unready(rollout) and self.now >= self.wave_due(rollout, rollout.waves[-1])
        return late and not self.canary_ready(status)

    def unready(self, rollout: RolloutStatus) -> bool:
        """Return whether the deadline of the present wave runs, as far as is on record."""
        last = rollout.waves[-1]
        stopped = rollout.latched is not None and last.serving_since is None
        return last.arrived_at is None or rollout.stage is Stage.STARTING or stopped

    def soaked(self, rollout: RolloutStatus) -> bool:
        """Return whether the present wave has served for its soakSeconds."""
        if not rollout.waves:
            return True  # begun by an operator that knew no waves
        due = self.soak_due(rollout)
        return due is not None and self.now >= due

    def soak_due(self, rollout: RolloutStatus) -> datetime.datetime | None:
        """Return when the present wave will have soaked; None while it does not serve."""
        since = rollout.waves[-1].serving_since if rollout.waves else None
        if since is None:
            return None
        wave = waves.planned(rollout.settings)[waves.present(rollout)]
        return since + seconds(wave.soak_seconds)

    def failures(self, revision: str) -> tuple[str, ...]:
        """Return why pods of `revision` cannot start, ``member: in their own words`` each."""
        found = []
        for member in self.reachable:
            pods = pods_of(member, revision)
            if pods.failure is not None and pods.ready < max(pods.desired, 1):
                found.append(f"{member.name}: {pods.failure}")
        return tuple(found)

    def problems(self, status: ModelDeploymentStatus) -> tuple[EvidenceProblem, ...]:
        """Return what evidence is missing of members that can be asked or took part in the trial.

        Any other that is away has none to give and freezes nobody.
        """
        names = {member.name for member in self.trial_members(status)}
        unread = tuple(
            item
            for item in self.observed.evidence_problems
            if item.member in names or self._took_part(item.member)
        )
        return (*unread, *self.users_not_kept(status))

    def users_not_kept(self, status: ModelDeploymentStatus) -> tuple[EvidenceProblem, ...]:
        """Return the reachable members in which a user may be in both arms; none if that is no matter.

        Such a user is no unit of the trial: nothing begins, climbs or is promoted until they are kept.
        """
        found = ((member.name, self.user_trouble(member, status)) for member in self.reachable)
        reason = Reason.USERS_NOT_KEPT.value
        return tuple(EvidenceProblem(name, reason, why) for name, why in found if why is not None)

    def user_trouble(self, member: MemberView, status: ModelDeploymentStatus) -> str | None:
        """Return why users are not kept in a member although they should be."""
        wanted, sticky = sticky_by(self.spec, status), member.sticky
        if wanted is None or (
            sticky.problem is None and sticky.by is not None and sticky.by.key == wanted.key
        ):
            return None
        return sticky.problem or (
            f"no gateway there has taken the BackendTrafficPolicy for {wanted.key} yet"
        )

    def _took_part(self, name: str) -> bool:
        """Return whether the canary may have had traffic in the member in this rollout.

        Not if it never served anything, and not if it was away since before the first step.
        """
        cluster, rollout = cluster_of(self.before, name), self.before.rollout
        if cluster is None or cluster.revision is None or cluster.wave is None:
            return False
        if rollout is None or not rollout.steps:
            return False
        since = cluster.unreachable_since or self.now
        return cluster.weight > 0 or since > rollout.steps[0].started_at

    def judgement(self, status: ModelDeploymentStatus) -> Judgement | None:
        """Return the judgement if it speaks of the trial in `status`, not of one before it.

        None too when the spec names another revision: its metrics are read by another positive
        label, maybe, than the canary's.
        """
        return self.observed.judgement if self._is_judged(status) else None

    def _is_judged(self, status: ModelDeploymentStatus) -> bool:
        judged, present = self.before.rollout, status.rollout
        if judged is None or present is None or judged.id != present.id:
            return False
        if status.canary is None or status.canary.revision != self.observed.revision:
            return False
        return judged.stage is Stage.TRIAL and present.stage is Stage.TRIAL

    def verdict(self, status: ModelDeploymentStatus) -> Verdict:
        """Return the verdict on the trial in `status`; without a judgement it is Hold.

        A trial without metrics has won as soon as its last step is over: guards and time are asked
        with every step, and nothing else is.
        """
        if self.by_guards(status):
            return Verdict.PROMOTE
        judgement = self.judgement(status)
        return Verdict.HOLD if judgement is None else Verdict(judgement.verdict.value)

    def by_guards(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the trial in `status` is on health and guards only."""
        return status.rollout is not None and not status.rollout.settings.analysis.metrics

    def guards(self, status: ModelDeploymentStatus) -> tuple[GuardStatus, ...]:
        """Return what the guards say now of the trial in `status`; nothing when it just began."""
        rollout = status.rollout
        if rollout is None or self.observed.guards is None or not self._is_judged(status):
            return ()
        return evaluate(
            rollout.settings.analysis.guards,
            self.before.guards,
            self.observed.guards,
            [member.name for member in self.trial_members(status)],
            self.now,
        )

    def _deciding(self, status: ModelDeploymentStatus) -> tuple[GuardStatus, ...]:
        names = {member.name for member in self.trial_members(status)}
        return tuple(deciding(self.guards(status), names))

    def breach(self, status: ModelDeploymentStatus) -> GuardStatus | None:
        """Return the first guard that is breached in a member that answers."""
        states = self._deciding(status)
        return next((item for item in states if item.reason == BREACHED), None)

    def guard_hold(self, status: ModelDeploymentStatus) -> GuardStatus | None:
        """Return the first guard that is not kept, or not known to be, where the canary is ready.

        None while no request can come to the canary: a guard could only say that there are none.
        """
        if status.rollout is None or not _may_get_requests(status.rollout):
            return None
        names = {item.name for item in self.trial_members(status) if self._takes(item, status)}
        states = deciding(self.guards(status), names)
        return next((item for item in states if item.reason != KEPT), None)

    def _takes(self, member: MemberView, status: ModelDeploymentStatus) -> bool:
        """Return whether the canary has the pods for what it has of the traffic in a member."""
        rollout, canary = status.rollout, status.canary
        if rollout is None or canary is None:
            return False
        before = cluster_of(self.before, member.name)
        if before is None or not before.weight or member.floor is not None:
            return has_pods(member, status, canary.revision)
        needed = canary_pods(rollout, before.weight, member.replicas)
        return pods_of(member, canary.revision).ready >= max(1, needed)

    def guards_kept(self, status: ModelDeploymentStatus) -> bool:
        """Return whether every guard was asked and is kept in every member that answers."""
        rollout = status.rollout
        if rollout is None or not rollout.settings.analysis.guards:
            return True
        asked = self.observed.guards is not None and self._is_judged(status)
        return (asked or not _may_get_requests(rollout)) and self.guard_hold(status) is None

    def evidence_holds(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the evidence is complete and every rollback test is in force."""
        if self.by_guards(status):
            return True
        judgement = self.judgement(status)
        return judgement is not None and not self.problems(status) and judgement.past_burn_in

    def step_shown(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the present step is what the route does wherever the canary has its pods."""
        rollout, stable, canary = status.rollout, status.stable, status.canary
        if rollout is None or stable is None or canary is None or not rollout.steps:
            return False
        members = [m for m in self.trial_members(status) if has_pods(m, status, canary.revision)]
        wanted = trial_route(stable.revision, canary.revision, rollout, rollout.steps[-1].weight)
        return bool(members) and all(
            member.route is not None
            and replace(member.route, user_by=wanted.user_by, strata=()) == wanted
            # Servers were told of it, and its time has come.
            and all(item.since <= self.now for item in member.route.strata)
            for member in members
        )

    def step_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return when the present step has lasted its minSeconds, at the earliest if it is not shown yet."""
        wanted = rollout.settings.steps[rollout.step].min_seconds
        return (rollout.steps[-1].shown_at or self.now) + seconds(wanted)

    def wave_due(self, rollout: RolloutStatus, record: WaveRecord) -> datetime.datetime:
        """Return by when one more member of a wave must be ready.

        The clock starts again when a member goes or comes back: what it missed meanwhile is no
        fault of the canary. So it does when nobody holds the rollout any more.
        """
        since = max(record.progressed_at, self._reachability_since())
        if rollout.released_at is not None:
            since = max(since, rollout.released_at)
        if rollout.held_since is not None:
            since = self.now
        return since + seconds(rollout.settings.progress_deadline_seconds)

    def _reachability_since(self) -> datetime.datetime:
        whole = bool(self.observed.members) and not self.unreachable
        for item in self.before.conditions:
            if item.type == ConditionType.MEMBERS_REACHABLE:
                known = item.status is ConditionStatus.TRUE
                return item.last_transition_time if known == whole else self.now
        return self.now

    def trial_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return by when there must be a verdict; the clock stands while a person is waited for.

        Of a latched one: by when each wave that has soaked must let the next follow. It may be held
        up by guards without data or by users that are not kept, which no other clock ends.
        """
        limit = seconds(rollout.settings.max_seconds + rollout.held_seconds)
        held = self.now - rollout.held_since if rollout.held_since else seconds(0)
        since = rollout.started_at
        if rollout.latched is not None:
            since = self.soak_due(rollout) or self.now
        return since + limit + held

    def hold(self, status: ModelDeploymentStatus) -> Hold | None:
        """Return what holds the rollout in `status`, or any change at all; the strongest first."""
        if self.spec.paused is Paused.ALL:
            return Hold(
                Reason.PAUSED_IN_SPEC,
                "spec.paused is All: nothing is changed in the members, not even by a rollback,"
                " until the spec says otherwise",
            )
        rollout = status.rollout
        # What has nothing to go back to, or is decided, is not held.
        if (
            rollout is None
            or status.stable is None
            or rollout.stage not in {Stage.STARTING, Stage.TRIAL}
        ):
            return None
        armed = "A rollback goes on and no deadline ends the trial meanwhile"
        if self.spec.paused is Paused.PROMOTION:
            what = (
                "spec.paused is Promotion: no step and no promotion until the spec says otherwise"
            )
            return Hold(Reason.PAUSED_IN_SPEC, sentences(what, armed))
        if (held := rollout.paused) is not None:
            why = f": {held.reason}" if held.reason else ""
            what = f"paused by {held.by} at {moment(held.at)}{why}"
            ends = "kubectl assay resume ends it"
            return Hold(Reason.PAUSED_BY_HAND, sentences(what, ends, armed))
        awaited = None
        if self.waits_for_approval(status):
            awaited = f"step {rollout.step + 1} waits for a person: kubectl assay approve goes on"
        elif self.next_wave_waits(status):
            awaited = "the next wave waits for a person: kubectl assay approve starts it"
        if awaited is None:
            return None
        what = f"{awaited}, kubectl assay abort rolls back"
        return Hold(Reason.WAITING_FOR_APPROVAL, sentences(what, armed))

    def next_wave_waits(self, status: ModelDeploymentStatus) -> bool:
        """Return whether only a person's approval keeps the next wave from starting."""
        rollout = status.rollout
        if rollout is None or rollout.latched is None or rollout.stage is not Stage.TRIAL:
            return False
        found = waves.following(rollout.settings, waves.present(rollout), self.reachable)
        if found is None or found[1].approval is Approval.NONE:
            return False
        if rollout.waves[-1].next_approved_by is not None:
            return False
        return self.canary_ready(status) and self.soaked(rollout)

    def waits_for_approval(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the trial is in a manual pause that nobody has ended."""
        rollout = status.rollout
        if rollout is None or rollout.stage is not Stage.TRIAL:
            return False
        step = rollout.settings.steps[rollout.step]
        return step.pause and rollout.steps[-1].approved_by is None

    def promotion_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return until when a promotion waits for members that lag behind."""
        since = rollout.decision.at if rollout.decision else rollout.started_at
        return since + seconds(rollout.settings.progress_deadline_seconds)

    def rejection(
        self, rejected: Sequence[RejectedRevision], revision: str
    ) -> RejectedRevision | None:
        """Return why `revision` must not be tried; one that never got ready may be, in a new generation."""
        for item in rejected:
            if item.revision == revision and item.generation in {None, self.generation}:
                return item
        return None


def _may_get_requests(rollout: RolloutStatus) -> bool:
    """Return whether any request can come to the canary in the present step."""
    return bool(rollout.steps) and (
        rollout.steps[-1].weight > 0 or bool(rollout.settings.preview_hostnames)
    )


def pods_of(member: MemberView, revision: str) -> PodsView:
    """Return the pods of `revision` in `member`; none are no pods."""
    return member.revisions.get(revision, PodsView(0, 0))


def is_ready(member: MemberView, revision: str) -> bool:
    """Return whether every pod of `revision` in `member` is ready, and there is one."""
    return pods_of(member, revision).is_ready


def has_pods(member: MemberView, status: ModelDeploymentStatus, revision: str) -> bool:
    """Return whether all pods are ready that `revision` should have in `member` by `status`.

    What was asked for last may be fewer: a step that was just taken needs more than are there.
    """
    wanted = wanted_in(member, status, revision)
    return is_ready(member, revision) and pods_of(member, revision).ready >= wanted


def wanted_in(member: MemberView, status: ModelDeploymentStatus, revision: str) -> int:
    """Return how many pods `revision` should have in `member`; the least where they follow the load."""
    if member.floor is not None:
        return member.floor
    return wanted_pods(status, revision, member.replicas, member.name)


def shows_only(member: MemberView, revision: str) -> bool:
    """Return whether the member's route sends everything to `revision`."""
    route = member.route
    return route is not None and route.stable == revision and route.canary_slot == revision


def touches(member: MemberView, revision: str) -> bool:
    """Return whether the member's route sends anything to `revision`."""
    route = member.route
    return route is not None and revision in {route.stable, route.canary_slot}
