"""What a deployment costs now, and what a trial costs: the pods beside those that serve anyway.

Until the decision these are the canary's, in each member from when its wave started, as many as
its weight needs (`sizing`). After it they are those of the version that lost: all of the old one, or
what the canary had, until the rollout has settled and for scaleDownDelaySeconds more. Stable has all
its pods in any case.

Pods count from when they are wanted to when they need not be there any more, ready or not; where pods
make the shares, they come some time after their step is taken. The numbers of replicas are those of
now; when a rollout is over, the history takes down how long its pods ran by those of then.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    ModelDeploymentStatus,
    PodTime,
    RolloutStatus,
    Stage,
    StepRecord,
    Verdict,
    WaveRecord,
)
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate
from assay.placement.bill import HOUR, MONTH, Bill, bill, prices, rate

from . import waves
from .sizing import canary_pods

_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""When a trial that is only planned begins."""


@dataclass(frozen=True)
class Host:
    """A member of a trial: pods per revision, and the labels by which it is in a wave.

    Without labels, for a ModelCluster that is not known, it is taken to be in the first.
    """

    replicas: int
    labels: Mapping[str, str] | None


@dataclass(frozen=True)
class Cost:
    """What a deployment costs.

    Attributes
    ----------
    pods
        By member: those that should be there, stable and canary.
    hour, month
        What they cost for so long.
    trial
        What the last rollout cost so far beside what serves anyway; None if it was no trial.
    past
        The same of rollouts in the history, by id, of those whose pods are on record.
    """

    pods: Mapping[str, int]
    hour: Bill
    month: Bill
    trial: Bill | None = None
    past: Mapping[str, Bill] = field(default_factory=dict)


def cost(
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    candidates: Iterable[Candidate],
    now: datetime.datetime,
) -> Cost:
    """Return what a deployment costs at `now`, by the prices of the ModelClusters."""
    known = {item.name: item for item in candidates}
    each = prices(known.values(), spec.placement)
    pods = {item.name: item.desired for item in status.clusters if item.desired}
    trial = None
    rollout = status.rollout
    if rollout is not None and _tries(status, rollout):
        hosts = _hosts(status, {name: item.labels for name, item in known.items()})
        settled = _settled(status, rollout)
        whole = spec.serving.autoscaling is not None
        trial = bill(extra_time(rollout, hosts, now, settled, whole=whole), each)
    past = {
        entry.id: bill(
            {item.name: datetime.timedelta(seconds=item.seconds) for item in entry.trial_pods}, each
        )
        for entry in status.history
        if entry.trial_pods is not None
    }
    return Cost(pods, rate(pods, each, HOUR), rate(pods, each, MONTH), trial, past)


def trial_pods(
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    labels: Mapping[str, Mapping[str, str]],
    now: datetime.datetime,
) -> tuple[PodTime, ...] | None:
    """Return what the history keeps of the pods of a rollout that is over at `now`, by member.

    `labels` are those of the ModelClusters. None if it tried nothing.
    """
    rollout = status.rollout
    if rollout is None or not _tries(status, rollout):
        return None
    whole = spec.serving.autoscaling is not None
    until = now + _delay(rollout)
    extra = extra_time(rollout, _hosts(status, labels), until, now, whole=whole)
    return tuple(
        PodTime(name=name, seconds=int(time.total_seconds()))
        for name, time in sorted(extra.items())
        if time
    )


def _hosts(
    status: ModelDeploymentStatus, labels: Mapping[str, Mapping[str, str]]
) -> dict[str, Host]:
    return {
        item.name: Host(item.held_replicas or item.replicas or 0, labels.get(item.name))
        for item in status.clusters
    }


def planned(
    spec: ModelDeploymentSpec,
    hosts: Mapping[str, Host],
    candidates: Iterable[Candidate],
    starts: Sequence[tuple[int, float]],
    seconds: float,
    verdict: Verdict,
) -> Bill:
    """Return what a trial costs that ends as planned, without the time that pods take to start.

    Later waves follow a verdict Promote as soon as the ones before have soaked; those that a person
    has to approve, at once.

    Parameters
    ----------
    starts
        Weight of each step in percent, and when it begins, in seconds from the start.
    seconds
        From the start to the verdict of the first wave.
    """
    settings, ends = spec.rollout, _START + datetime.timedelta(seconds=seconds)
    records = []
    begins, follows = _START, ends
    for index in sorted({waves.wave_of(settings, host.labels or {}) for host in hosts.values()}):
        wave = waves.planned(settings)[index]
        records.append(
            WaveRecord(index=index, name=wave.name, started_at=begins, progressed_at=begins)
        )
        follows = max(follows, begins + datetime.timedelta(seconds=wave.soak_seconds))
        begins = follows
        if verdict is not Verdict.PROMOTE:
            break
    decided = follows if verdict is Verdict.PROMOTE else ends
    rollout = RolloutStatus(
        id="0" * 10,
        stage=Stage.DONE,
        started_at=_START,
        settings=settings,
        traffic=spec.traffic,
        steps=tuple(
            StepRecord(weight=weight, started_at=_START + datetime.timedelta(seconds=at))
            for weight, at in starts
            if at <= seconds
        ),
        waves=tuple(records),
        decision=DecisionRecord(verdict=verdict, reason="", at=decided),
    )
    until = decided + _delay(rollout)
    whole = spec.serving.autoscaling is not None
    extra = extra_time(rollout, hosts, until, decided, whole=whole)
    return bill(extra, prices(candidates, spec.placement))


def extra_time(
    rollout: RolloutStatus,
    hosts: Mapping[str, Host],
    until: datetime.datetime,
    settled: datetime.datetime | None = None,
    *,
    whole: bool = False,
) -> dict[str, datetime.timedelta]:
    """Return how long the pods of a trial ran beside those that serve anyway, all added up, by member.

    Parameters
    ----------
    until
        What is later does not count.
    settled
        When all that the decision asks for was done; None: not yet.
    whole
        The canary has as many pods as stable whatever its weight, as pods have that follow the load.
    """
    taken = [step for step in rollout.steps if step.started_at >= rollout.started_at]
    won = rollout.decision is not None and rollout.decision.verdict is Verdict.PROMOTE
    if settled is not None:
        until = min(until, settled + _delay(rollout))
    ended = min(until, (rollout.decision.at if rollout.decision and won else settled) or until)
    weights = [rollout.settings.steps[0].weight, *(step.weight for step in taken)]
    moments = [rollout.started_at, *(step.started_at for step in taken), ended]
    found = {}
    for name, host in hosts.items():
        came = _came(rollout, host)
        if came is None:
            if not won:
                continue
            came = ended  # a person promoted it before its wave
        sizes = [
            host.replicas if whole else canary_pods(rollout, weight, host.replicas)
            for weight in weights
        ]
        stays = host.replicas if won else sizes[-1]
        if not won and (not rollout.steps or rollout.by_pods):
            stays = 0  # what never had traffic, or has clients that only its end sends away
        found[name] = sum(
            (
                size * max(min(end, ended) - max(start, came), datetime.timedelta())
                for size, (start, end) in zip(sizes, pairwise(moments), strict=True)
            ),
            start=stays * (until - ended),
        )
    return found


def _tries(status: ModelDeploymentStatus, rollout: RolloutStatus) -> bool:
    """Return whether a rollout has a stable version beside its canary, or had one."""
    decision = rollout.decision
    first = decision is not None and decision.reason == Reason.FIRST_REVISION
    return status.stable is not None and not first


def _settled(status: ModelDeploymentStatus, rollout: RolloutStatus) -> datetime.datetime | None:
    """Return when a rollout had done all that its decision asks for; None: not yet."""
    if rollout.decision is None or rollout.stage is not Stage.DONE:
        return None
    entry = next((item for item in status.history if item.id == rollout.id), None)
    return rollout.decision.at if entry is None else entry.at


def _delay(rollout: RolloutStatus) -> datetime.timedelta:
    return datetime.timedelta(seconds=rollout.settings.scale_down_delay_seconds)


def _came(rollout: RolloutStatus, host: Host) -> datetime.datetime | None:
    """Return when the canary came to a member; None if it did not."""
    if not rollout.waves or host.labels is None:
        return rollout.started_at
    record = waves.record_of(rollout, waves.wave_of(rollout.settings, host.labels))
    return None if record is None else max(rollout.started_at, record.started_at)
