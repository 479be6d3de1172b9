"""What is the case: the questions that the state machine asks of spec, status and observation."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from assay.api.conditions import ConditionStatus, ConditionType, Reason
from assay.api.deployment_status import (
    ModelDeploymentStatus,
    RejectedRevision,
    RolloutStatus,
    Stage,
    Verdict,
)
from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge import Judgement

from .observation import EvidenceProblem, MemberView, Observation, PodsView
from .traffic import cluster_of, sticky_by


def seconds(number: float) -> datetime.timedelta:
    """Return a span of `number` seconds."""
    return datetime.timedelta(seconds=number)


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

    @property
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
        """The members that do not answer."""
        return tuple(member for member in self.observed.members if not member.reachable)

    def ready_everywhere(self, revision: str) -> bool:
        """Return whether `revision` is ready in every reachable member, of which there is one."""
        members = self.reachable
        return bool(members) and all(is_ready(member, revision) for member in members)

    def failures(self, revision: str) -> tuple[str, ...]:
        """Return why pods of `revision` cannot start, ``member: in their own words`` each."""
        found = []
        for member in self.reachable:
            pods = pods_of(member, revision)
            if pods.failure is not None and pods.ready < max(pods.desired, 1):
                found.append(f"{member.name}: {pods.failure}")
        return tuple(found)

    @property
    def problems(self) -> tuple[EvidenceProblem, ...]:
        """What evidence is missing of members that can be asked or took part in the trial.

        Any other that is away has none to give and freezes nobody.
        """
        names = {member.name for member in self.reachable}
        unread = tuple(
            item
            for item in self.observed.evidence_problems
            if item.member in names or self._took_part(item.member)
        )
        return (*unread, *self.users_not_kept(self.before))

    def users_not_kept(self, status: ModelDeploymentStatus) -> tuple[EvidenceProblem, ...]:
        """Return the reachable members in which a user may be in both arms; none if that is no matter.

        Such a user is no unit of the trial: nothing begins, climbs or is promoted until they are kept.
        """
        wanted = sticky_by(self.spec, status)
        if wanted is None:
            return ()
        found = []
        for member in self.reachable:
            sticky = member.sticky
            if sticky.problem is None and sticky.by is not None and sticky.by.key == wanted.key:
                continue
            why = sticky.problem or (
                f"no gateway there has taken the BackendTrafficPolicy for {wanted.key} yet"
            )
            found.append(EvidenceProblem(member.name, Reason.USERS_NOT_KEPT.value, why))
        return tuple(found)

    def _took_part(self, name: str) -> bool:
        """Return whether the canary may have had traffic in the member in this rollout.

        Not if it never served anything, and not if it was away since before the first step.
        """
        cluster, rollout = cluster_of(self.before, name), self.before.rollout
        if cluster is None or cluster.revision is None or rollout is None or not rollout.steps:
            return False
        since = cluster.unreachable_since
        return cluster.weight > 0 or since is None or since > rollout.steps[0].started_at

    def judgement(self, status: ModelDeploymentStatus) -> Judgement | None:
        """Return the judgement if it speaks of the trial in `status`, not of one before it.

        None too when the spec names another revision: its metrics are read by another positive
        label, maybe, than the canary's.
        """
        judged, present = self.before.rollout, status.rollout
        if judged is None or present is None or judged.id != present.id:
            return None
        if status.canary is None or status.canary.revision != self.observed.revision:
            return None
        on_trial = judged.stage is Stage.TRIAL and present.stage is Stage.TRIAL
        return self.observed.judgement if on_trial else None

    def verdict(self, status: ModelDeploymentStatus) -> Verdict:
        """Return the verdict on the trial in `status`; without a judgement it is Hold."""
        judgement = self.judgement(status)
        return Verdict.HOLD if judgement is None else Verdict(judgement.verdict.value)

    def evidence_holds(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the evidence is complete and every rollback test is in force."""
        judgement = self.judgement(status)
        if judgement is None or self.problems or not judgement.metrics:
            return False
        return all(metric.past_burn_in for metric in judgement.metrics)

    def step_shown(self, status: ModelDeploymentStatus) -> bool:
        """Return whether the present step is what every reachable member's route does."""
        rollout, stable, canary = status.rollout, status.stable, status.canary
        if rollout is None or stable is None or canary is None or not self.reachable:
            return False
        weight = rollout.steps[-1].weight
        stratum = f"{rollout.id}/{rollout.step}"
        return all(
            member.route is not None
            and member.route.stable == stable.revision
            and member.route.canary_slot == canary.revision
            and member.route.weight == weight
            and member.route.stratum == stratum
            for member in self.reachable
        )

    def step_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return when the present step has lasted its minSeconds."""
        wanted = rollout.settings.canary.steps[rollout.step].min_seconds
        return rollout.steps[-1].started_at + seconds(wanted)

    def start_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return by when the canary must be ready.

        The clock starts again when a member goes or comes back: what it missed meanwhile is no
        fault of the canary.
        """
        since = max(rollout.started_at, self._reachability_since())
        return since + seconds(rollout.settings.progress_deadline_seconds)

    def _reachability_since(self) -> datetime.datetime:
        whole = bool(self.observed.members) and not self.unreachable
        for item in self.before.conditions:
            if item.type == ConditionType.MEMBERS_REACHABLE:
                known = item.status is ConditionStatus.TRUE
                return item.last_transition_time if known == whole else self.now
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)

    def trial_due(self, rollout: RolloutStatus) -> datetime.datetime:
        """Return by when there must be a verdict."""
        return rollout.started_at + seconds(rollout.settings.max_seconds)

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


def pods_of(member: MemberView, revision: str) -> PodsView:
    """Return the pods of `revision` in `member`; none are no pods."""
    return member.revisions.get(revision, PodsView(0, 0))


def is_ready(member: MemberView, revision: str) -> bool:
    """Return whether every pod of `revision` in `member` is ready, and there is one."""
    return pods_of(member, revision).is_ready


def shows_only(member: MemberView, revision: str) -> bool:
    """Return whether the member's route sends everything to `revision`."""
    route = member.route
    return route is not None and route.stable == revision and route.canary_slot == revision


def touches(member: MemberView, revision: str) -> bool:
    """Return whether the member's route sends anything to `revision`."""
    route = member.route
    return route is not None and revision in {route.stable, route.canary_slot}
