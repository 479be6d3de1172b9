"""Gathers what one reconcile needs to know: the members, and the evidence of a running trial."""

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Collection
from dataclasses import dataclass

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.fields import fraction
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import EvidenceError, EvidenceUnavailable, MemberEvidence, combine
from assay.judge import Judgement, MetricSpec, Policy, RollbackOn, judge
from assay.members.member import Member
from assay.members.registry import Registry
from assay.placement import choose
from assay.render.revision import revision_hash
from assay.rollout.observation import EvidenceProblem, MemberView, Observation

from . import metrics
from .hub import Deployment
from .memory import Memory

WINDOW_MARGIN_SECONDS = 60.0
"""Served rows are counted from a little before the trial began: clocks differ."""

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
) -> Observation:
    """Return what is so now; members and their Prometheus are asked at the same time."""
    names = choose(members.candidates(), spec, item.namespace).members
    chosen = [member for name in names if (member := members.get(name))]
    leaving = _leaving(members, names, item)
    views, look = await asyncio.gather(
        asyncio.gather(*(_view(member, item, memory) for member in (*chosen, *leaving))),
        _look(chosen, item, spec, now),
    )
    stores = dict(look.stores)
    views = [dataclasses.replace(view, ledger_store=stores.get(view.name)) for view in views]
    return Observation(
        revision=revision_hash(spec),
        members=tuple(views[: len(chosen)]),
        leaving=tuple(views[len(chosen) :]),
        judgement=look.judgement,
        evidence_problems=look.problems,
    )


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


async def _view(member: Member, item: Deployment, memory: Memory) -> MemberView:
    view = await member.view(*item.key)
    failure = memory.failures.get(member.name)
    if view.reachable and failure:
        return dataclasses.replace(view, reason=Reason.APPLY_FAILED.value, error=failure)
    return view


async def _look(
    members: list[Member], item: Deployment, spec: ModelDeploymentSpec, now: datetime.datetime
) -> Look:
    status = item.status
    rollout = status.rollout
    # A canary that the spec names no more is not judged by the new one's positive label.
    named = status.canary is not None and status.canary.revision == revision_hash(spec)
    if rollout is None or rollout.stage is not Stage.TRIAL or not (status.stable and named):
        metrics.forget(*item.key)
        return Look()
    window = (now - rollout.started_at).total_seconds() + WINDOW_MARGIN_SECONDS
    reachable = [member for member in members if member.state.reachable]
    answers = await asyncio.gather(
        *(member.evidence(*item.key, rollout.id, window) for member in reachable),
        return_exceptions=True,
    )
    read: dict[str, MemberEvidence] = {}
    problems = []
    for member, answer in zip(reachable, answers, strict=True):
        if isinstance(answer, EvidenceUnavailable):
            problems.append(EvidenceProblem(member.name, answer.reason, answer.message))
            metrics.EVIDENCE_PROBLEMS.labels(member.name, answer.reason).inc()
        elif isinstance(answer, BaseException):
            raise answer
        else:
            read[member.name] = answer
    stores = tuple((name, answer.store) for name, answer in read.items())
    judgement = await _judge(item.key, status, rollout, spec, read) if read else None
    return Look(judgement, tuple(problems), stores)


async def _judge(
    key: tuple[str, str],
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    spec: ModelDeploymentSpec,
    read: dict[str, MemberEvidence],
) -> Judgement | None:
    if status.stable is None or status.canary is None:
        return None
    weights = {index: step.weight / 100 for index, step in enumerate(rollout.steps)}
    try:
        evidence = combine(read, status.stable.revision, status.canary.revision, weights=weights)
        # In a thread: fractions of a second with many strata, and the loop serves every rollout.
        judgement = await asyncio.to_thread(
            judge, _metric_specs(rollout, spec), _policy(rollout), evidence
        )
    except EvidenceError as error:
        log.warning("evidence cannot be judged: %s", error)
        return None
    metrics.show(*key, judgement)
    return judgement


def _metric_specs(rollout: RolloutStatus, spec: ModelDeploymentSpec) -> list[MetricSpec]:
    decision = spec.model.decision
    return [
        MetricSpec(
            name=metric.name,
            type=metric.type.value,
            margin=fraction(metric.margin),
            floor=None if metric.floor is None else fraction(metric.floor),
            positive_label=decision.positive_label if decision else None,
        )
        for metric in rollout.settings.analysis.metrics
    ]


def _policy(rollout: RolloutStatus) -> Policy:
    analysis = rollout.settings.analysis
    return Policy(
        confidence=fraction(analysis.confidence),
        rollback_on=RollbackOn(analysis.rollback_on.value),
        min_label_coverage=fraction(analysis.min_label_coverage),
    )
