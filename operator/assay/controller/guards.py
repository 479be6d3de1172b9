"""Asks the members' Prometheus what the guards of a trial ask: one query per guard and member."""

import asyncio
import datetime
from collections.abc import Sequence

from assay.api.analysis import Guard
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import EvidenceUnavailable, errors
from assay.evidence.prometheus import Trial, requests_text
from assay.evidence.promql import QueryError, confined, filled
from assay.members.member import Member
from assay.rollout.observation import GuardReading

from . import metrics
from .history import trial_window
from .hub import Deployment

SCRAPES = 4
"""In ``{{window}}``: a rate needs two, and some may be late."""

LEAST_WINDOW_SECONDS = 60

Key = tuple[str, str]


def wrong_query(item: Deployment, spec: ModelDeploymentSpec) -> str:
    """Return what is wrong with the first guard whose query cannot be asked; empty if none is."""
    nobody = "0" * 10
    for guard in spec.rollout.analysis.guards:
        try:
            query(guard, item.key, nobody, nobody, nobody, LEAST_WINDOW_SECONDS)
        except QueryError as error:
            return f"spec.rollout.analysis.guards[{guard.name}].query: {error}"
    return ""


async def read_guards(
    item: Deployment,
    rollout: RolloutStatus | None,
    members: Sequence[Member],
    now: datetime.datetime,
) -> tuple[GuardReading, ...] | None:
    """Return what every guard reads in every member that can be asked, all at the same time.

    None without a trial.
    """
    if rollout is None:
        return None
    guards = rollout.settings.analysis.guards
    if not guards:
        return ()
    asked = [member for member in members if member.state.reachable]
    found = await asyncio.gather(
        *(_of_member(member, guards, item.key, item.status, rollout, now) for member in asked)
    )
    readings = tuple(reading for each in found for reading in each)
    metrics.show_guards(*item.key, guards, readings)
    return readings


async def _of_member(
    member: Member,
    guards: Sequence[Guard],
    key: Key,
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    now: datetime.datetime,
) -> list[GuardReading]:
    stable = status.stable.revision if status.stable else ""
    canary = status.canary.revision if status.canary else ""
    window = max(LEAST_WINDOW_SECONDS, SCRAPES * member.spec.prometheus.scrape_interval_seconds)
    served = requests_text(Trial(*key, rollout.id), canary, trial_window(rollout, now))
    queries: dict[str, str | EvidenceUnavailable] = {}
    for guard in guards:
        try:
            queries[guard.name] = query(guard, key, canary, stable, rollout.id, window)
        except QueryError as error:
            # The rollout began with it, so an earlier operator understood it.
            queries[guard.name] = EvidenceUnavailable(errors.GUARD_NO_DATA, f"the query {error}")
    answers = dict(
        zip(
            ("", *queries),
            await asyncio.gather(
                _number(member, (*key, ""), served),
                *(_number(member, (*key, name), each) for name, each in queries.items()),
            ),
            strict=True,
        )
    )
    requests = answers.pop("")
    return [_reading(name, member.name, answer, requests) for name, answer in answers.items()]


Answer = float | EvidenceUnavailable | None


async def _number(member: Member, key: tuple[str, ...], asked: str | EvidenceUnavailable) -> Answer:
    if isinstance(asked, EvidenceUnavailable):
        return asked
    try:
        return await member.number(key, asked)
    except EvidenceUnavailable as error:
        metrics.EVIDENCE_PROBLEMS.labels(member.name, error.reason).inc()
        return error


def _reading(guard: str, member: str, answer: Answer, requests: Answer) -> GuardReading:
    """Return a reading; a value is one only if it is known how many requests it rests on."""
    for each in (answer, requests):
        if isinstance(each, EvidenceUnavailable):
            own = each.reason in {errors.GUARD_AMBIGUOUS, errors.GUARD_NO_DATA}
            reason = each.reason if own else errors.GUARD_NO_DATA
            message = each.message if own else str(each)
            return GuardReading(guard, member, None, reason=reason, message=message)
    assert not isinstance(answer, EvidenceUnavailable)
    assert not isinstance(requests, EvidenceUnavailable)
    return GuardReading(guard, member, answer, int(requests or 0))


def query(guard: Guard, key: Key, canary: str, stable: str, rollout: str, window: float) -> str:
    """Return the PromQL to send. Raises `QueryError`."""
    namespace, deployment = key
    values = {
        "namespace": namespace,
        "deployment": deployment,
        "revision": canary,
        "stableRevision": stable,
        "rollout": rollout,
        "window": f"{window:.0f}s",
    }
    return confined(filled(guard.query, values), namespace)
