"""What one look sees: members and requests as the operator's own types, and what the judge may say."""

from typing import NamedTuple

from typing_extensions import override

from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.api.request import Request as Asked
from assay.api.request import Verb
from assay.judge import Judgement, MetricJudgement, Verdict
from assay.rollout import EvidenceProblem, MemberView, Observation, PodsView, RouteView
from assay.rollout.situation import Situation

from .clocks import NOW
from .scope import MEMBERS, Scope
from .state import Member, State, record_view

REQUEST = "request"
"""Id of the annotation; one that was answered is followed by a newer one under the same id."""


class Evidence(NamedTuple):
    """What the judge says in a look, and of which member nothing can be read."""

    verdict: str = ""
    unread: str = ""

    @override
    def __str__(self) -> str:
        said = self.verdict or "no verdict"
        return f"{said}, {self.unread} cannot be read" if self.unread else said


NOTHING = Evidence()
EVIDENCES = (
    NOTHING,
    Evidence("Hold"),
    Evidence("Promote"),
    Evidence("Rollback"),
    *(Evidence("Promote", name) for name in MEMBERS),
)


def evidences(state: State, status: ModelDeploymentStatus) -> tuple[Evidence, ...]:
    """Return what the judge may say of the trial in `status` now (`controller.observe`).

    Nothing is judged while counts are missing that were judged once, nor without any.
    """
    if not judged(state, status):
        return (NOTHING,)
    return tuple(item for item in EVIDENCES if _possible(state, status, item))


def judged(state: State, status: ModelDeploymentStatus) -> bool:
    """Return whether there is a trial of what the spec names."""
    rollout, canary = status.rollout, status.canary
    on_trial = rollout is not None and rollout.stage is Stage.TRIAL
    return on_trial and canary is not None and canary.revision == state.revision


def _possible(state: State, status: ModelDeploymentStatus, item: Evidence) -> bool:
    if item == NOTHING:
        return True
    known = counted(state, item)
    before = {cluster.name for cluster in status.clusters if cluster.ledger_store}
    away = {name for name, it in zip(MEMBERS, state.members, strict=True) if not it.reachable}
    return item.unread not in away and bool(known) and before <= known


def counted(state: State, item: Evidence) -> frozenset[str]:
    """Return the members whose counts the operator has after it has read what it can."""
    return frozenset(
        name
        for name, member in zip(MEMBERS, state.members, strict=True)
        if member.counted or (member.reachable and item.unread != name)
    )


def observation(
    state: State, status: ModelDeploymentStatus, evidence: Evidence, scope: Scope
) -> Observation:
    """Return what the operator sees when it begins with `status`."""
    known = counted(state, evidence)
    rollout = status.rollout
    on_trial = rollout is not None and rollout.stage is Stage.TRIAL
    views, problems = [], []
    for name, member in zip(MEMBERS, state.members, strict=True):
        read = on_trial and member.reachable and evidence.unread != name
        views.append(_view(scope, name, member, read=read))
        if on_trial and not read and not (name in known and not member.reachable):
            reason = "PrometheusUnreachable" if member.reachable else "MembersUnreachable"
            problems.append(EvidenceProblem(name, reason, "no answer"))
    return Observation(
        state.revision,
        tuple(views),
        judgement=_judgement(evidence.verdict) if on_trial else None,
        evidence_problems=tuple(problems),
        request=_asked(state),
        guards=() if on_trial else None,
    )


def due(situation: Situation) -> int | None:
    """Return the seconds until the next time at which time alone may change something."""
    status = situation.before
    rollout = status.rollout
    times = [item.until for item in status.retired_revisions]
    if rollout is not None and rollout.stage in {Stage.STARTING, Stage.TRIAL}:
        held = rollout.held_since is not None
        if not held:
            times += [situation.wave_due(rollout, rollout.waves[-1]), situation.trial_due(rollout)]
        soaked = situation.soak_due(rollout)
        times += [] if soaked is None else [soaked]
    if rollout is not None and rollout.stage is Stage.TRIAL:
        times.append(situation.step_due(rollout))
    if rollout is not None and rollout.stage is Stage.PROMOTING:
        times.append(situation.promotion_due(rollout))
    left = [int((time - NOW).total_seconds()) for time in times]
    return min((each for each in left if each > 0), default=None)


def _view(scope: Scope, name: str, member: Member, *, read: bool) -> MemberView:
    labels = {"name": name}
    if not member.reachable:
        return MemberView(name, reachable=False, error="connection refused", labels=labels)
    return MemberView(
        name,
        reachable=True,
        revisions={item.revision: PodsView(item.asked, item.ready) for item in member.pods},
        route=RouteView(*member.route) if member.route else None,
        ledger_ready=True,
        ledger_store="store" if read else None,
        labels=labels,
        record=record_view(member.record, name, scope),
        replicas=scope.replicas,
    )


def _asked(state: State) -> Asked | None:
    request = state.request
    if request is None:
        return None
    full = request.verb == "full"
    return Asked(
        id=REQUEST,
        verb=Verb.PROMOTE if full else Verb(request.verb),
        rollout_id=request.rollout,
        by="alice@example.com",
        full=full,
    )


_REASONS = {"Promote": "NotWorse", "Rollback": "Worse", "Hold": "Undecided"}


def _judgement(verdict: str) -> Judgement | None:
    if not verdict:
        return None
    metric = MetricJudgement(
        "f1",
        Verdict(verdict),
        _REASONS[verdict],
        "f1 0.81 vs 0.82",
        labels_stable=900,
        labels_canary=100,
        stable=0.82,
        canary=0.81,
        difference=-0.01,
        past_burn_in=True,
    )
    return Judgement(Verdict(verdict), _REASONS[verdict], metric.message, (metric,))
