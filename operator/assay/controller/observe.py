"""Gathers what one reconcile needs to know: the members, and the evidence of a running trial."""

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec, TrafficMode
from assay.evidence import EvidenceError, EvidenceUnavailable, MemberEvidence, errors
from assay.judge import Judgement
from assay.members.member import Member
from assay.members.registry import Registry
from assay.placement import Holding, Plan, floors, plan
from assay.render.revision import revision_hash
from assay.rollout.judging import Question
from assay.rollout.observation import EvidenceProblem, MemberView, Observation
from assay.rollout.scaling import settled
from assay.rollout.traffic import traffic_of

from . import metrics
from .guards import wrong_query
from .history import History
from .hub import Deployment
from .memory import Memory
from .reading import Answers, Reading, judged, read
from .reservations import Reservations, held, in_use, lost

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """Evidence of one trial: what the judge says, what could not be read, whose ledger it is."""

    judgement: Judgement | None = None
    problems: tuple[EvidenceProblem, ...] = ()
    stores: tuple[tuple[str, str], ...] = ()


async def observe(
    members: Registry,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    now: datetime.datetime,
    reservations: Reservations,
    lead_seconds: int,
) -> Observation:
    """Return what is so now; members and their Prometheus are asked at the same time."""
    placed = _place(members, item, spec, memory, reservations, now)
    names = placed.shares
    chosen = tuple(member for name in names if (member := members.get(name)))
    leaving = tuple(_leaving(members, names, item))
    views, said = await asyncio.gather(
        asyncio.gather(*(_view(member, item, memory) for member in (*chosen, *leaving))),
        _said(item, spec, memory, chosen, leaving, now),
    )
    counted = said.counted
    left = {member.name for member in leaving}
    look = Look()
    if counted is not None:
        look = await _look(item, spec, counted, memory, views, left, said.answers, now)
    stores = dict(look.stores)
    labels = {candidate.name: candidate.labels for candidate in members.candidates()}
    least = floors(spec.serving.autoscaling, names)
    by_pods = traffic_of(spec, item.status).mode is TrafficMode.REPLICAS
    views = [
        settled(
            item.status,
            dataclasses.replace(
                view,
                route=view.entry if by_pods else view.route,
                ledger_store=stores.get(view.name),
                labels=labels.get(view.name, {}),
                replicas=names.get(view.name, 0),
                floor=least.get(view.name),
            ),
        )
        for view in views
    ]
    lacking = placed.fault is not None
    reservations.hold(item.key, in_use(views, held(item.status)), lacking=lacking)
    return Observation(
        revision=revision_hash(spec),
        members=tuple(view for view in views if view.name not in left),
        leaving=tuple(view for view in views if view.name in left),
        judgement=look.judgement,
        evidence_problems=look.problems,
        request=item.request,
        guards=said.guards,
        invalid=wrong_query(item, spec),
        plan=placed,
        lead_seconds=lead_seconds,
        signals=memory.signals,
    )


def _place(
    members: Registry,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    reservations: Reservations,
    now: datetime.datetime,
) -> Plan:
    """Plan, and hold what is planned beside what is there before anybody else plans."""
    has = {name: count for name, count in held(item.status).items() if members.get(name)}
    rollout = item.status.rollout
    on_trial = (
        item.status.stable is not None and rollout is not None and rollout.stage is not Stage.DONE
    )
    away = {member.name for member in members.all() if not member.state.reachable}
    candidates = members.candidates()
    # What others hold matters where room is limited; elsewhere it would make every plan anew.
    limited = {each.name for each in candidates if each.spec.capacity is not None}
    others = {
        name: count for name, count in reservations.of_others(item.key).items() if name in limited
    }
    holding = Holding(has, others, on_trial, lost(item.status, spec.placement, away, now))
    question = (candidates, spec.placement, spec.serving.places, holding)
    if memory.placed is None or memory.placed[0] != question:
        memory.placed = (question, plan(candidates, spec, item.namespace, holding))
    placed = memory.placed[1]
    both = {
        name: max(has.get(name, 0), placed.shares.get(name, 0)) for name in {*has, *placed.shares}
    }
    reservations.hold(item.key, both, lacking=placed.fault is not None)
    return placed


def _leaving(members: Registry, names: Collection[str], item: Deployment) -> list[Member]:
    """Return the members that placement does not choose any more and that are not clean yet.

    One that cannot be asked is not clean as long as status says that it served.
    """
    served = {cluster.name for cluster in item.status.clusters}
    return [
        member
        for member in members.all()
        if member.name not in names
        and (member.holds(*item.key) or (member.name in served and not member.state.reachable))
    ]


async def _said(
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    chosen: tuple[Member, ...],
    leaving: tuple[Member, ...],
    now: datetime.datetime,
) -> Reading:
    """Return what Prometheus says; it is not asked again if this look has asked it already."""
    said = memory.said
    if said is None or (said.chosen, said.leaving) != (chosen, leaving):
        if (rollout := judged(item, spec)) is None:
            metrics.forget(*item.key)
        said = await read(item, rollout, memory.history, chosen, leaving, now)
    memory.said = said
    return said


async def _view(member: Member, item: Deployment, memory: Memory) -> MemberView:
    view = await member.view(*item.key)
    failure = memory.failures.get(member.name)
    if view.reachable and failure:
        return dataclasses.replace(view, reason=Reason.APPLY_FAILED.value, error=failure)
    return view


async def _look(
    item: Deployment,
    spec: ModelDeploymentSpec,
    rollout: RolloutStatus,
    memory: Memory,
    views: Collection[MemberView],
    left: Collection[str],
    answers: Answers,
    now: datetime.datetime,
) -> Look:
    """Judge on what was read and, of members that cannot be asked now, on what they said last.

    Nothing is judged before a restarted operator has read all that it knew of earlier moments, so
    the verdict is the same as if it had never been away.

    Counts that were judged once in this rollout (status then knows the ledger) are not left out
    later: to judge on whoever happens to be there would break the bound on errors. So nothing is
    judged while they are not known, which only a restart of the operator can bring about. One whose
    ModelCluster is gone is not waited for: it cannot return, and status may keep it for long.
    """
    read = {name: item for name, item in answers.items() if isinstance(item, MemberEvidence)}
    known = memory.known(rollout.id, read)
    judged = {cluster.name for cluster in item.status.clusters if cluster.ledger_store}
    lost = {view.name for view in views if view.name in judged} - known.keys()
    problems = []
    for view in views:
        frozen = view.name in known and (view.name in left or not view.reachable)
        if view.name not in read and not frozen:
            problems.append(_problem(view, answers.get(view.name), lost))
    stores = tuple((name, answer.store) for name, answer in read.items())
    unread = {name: count for name in read if (count := memory.history.missing(name))}
    problems += [_unread(name, count, memory.history) for name, count in unread.items()]
    judgement = None
    if known and not lost and not unread:
        judgement = await _judge(item.key, item.status, rollout, spec, known, memory, now)
    return Look(judgement, tuple(problems), stores)


def _problem(
    view: MemberView, answer: MemberEvidence | EvidenceUnavailable | None, lost: Collection[str]
) -> EvidenceProblem:
    reason, message = Reason.MEMBERS_UNREACHABLE.value, view.error or "no answer"
    if isinstance(answer, EvidenceUnavailable):
        reason, message = answer.reason, answer.message
    if view.name in lost:
        message += "; what was judged of it before is not known, so nothing is judged without it"
    return EvidenceProblem(view.name, reason, message)


def _unread(name: str, missing: int, history: History) -> EvidenceProblem:
    wanted = len(history.moments)
    message = (
        f"{wanted - missing} of {wanted} earlier moments of the trial are read; nothing is judged "
        "before all are"
    )
    return EvidenceProblem(name, errors.HISTORY_INCOMPLETE, message)


async def _judge(
    key: tuple[str, str],
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    spec: ModelDeploymentSpec,
    known: Mapping[str, MemberEvidence],
    memory: Memory,
    now: datetime.datetime,
) -> Judgement | None:
    if (question := Question.of(spec, status)) is None:
        return None
    past, built = memory.history.known_of_all(known), memory.history.built
    elapsed = (now - rollout.evidence_since).total_seconds()
    try:
        # In a thread: fractions of a second with many strata, and the loop serves every rollout.
        found = await asyncio.to_thread(question.judgement, known, past, elapsed, built)
    except ValueError as error:
        # Wrong counts, or settings that another CRD admitted: no verdict, and time goes on.
        unexpected = not isinstance(error, EvidenceError)
        log.warning("evidence cannot be judged: %s", error, exc_info=unexpected)
        return None
    metrics.show(*key, found)
    return found
