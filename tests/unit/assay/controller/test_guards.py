"""What the members are asked for a guard, and what an answer becomes."""

import asyncio
import dataclasses
import datetime
import types
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.controller.guards import read_guards, wrong_query
from assay.controller.hub import Deployment, deployment
from assay.evidence import EvidenceUnavailable
from assay.rollout import GuardReading

from ..members.test_member import SPEC  # noqa: TID252
from .test_reconcile import a_trial

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
ERRORS = {
    "name": "errors",
    "query": 'rate(e{r="{{revision}}",s="{{stableRevision}}",t="{{rollout}}"}[{{window}}])',
    "max": "1",
}


def an_item(*guards: dict[str, Any]) -> Deployment:
    document = a_trial()
    analysis = {"guards": list(guards)}
    document["spec"]["rollout"] = {"analysis": analysis}
    document["status"]["rollout"]["settings"] = {"analysis": analysis}
    return deployment(document)


@dataclass
class Member:
    """A member whose Prometheus knows the requests of the canary and one answer to all else."""

    name: str = "east"
    answer: float | EvidenceUnavailable | None = 0.5
    requests: float | EvidenceUnavailable | None = 300.0
    spec: Any = SPEC
    state: Any = field(default_factory=lambda: types.SimpleNamespace(reachable=True))
    asked: list[str] = field(default_factory=list)

    async def number(self, key: tuple[str, ...], promql: str) -> float | None:
        self.asked.append(promql)
        answer = self.answer if key[-1] else self.requests
        if isinstance(answer, EvidenceUnavailable):
            raise answer
        return answer


def read(item: Deployment, *members: Any) -> tuple[GuardReading, ...] | None:
    return asyncio.run(read_guards(item, item.status.rollout, members, NOW))


def test_a_query_is_filled_confined_and_asked_once_in_every_member() -> None:
    item, east, west = an_item(ERRORS), Member("east"), Member("west")

    assert read(item, east, west) == (
        GuardReading("errors", "east", 0.5, 300),
        GuardReading("errors", "west", 0.5, 300),
    )
    status = item.status
    assert status.canary is not None
    assert status.stable is not None
    assert status.rollout is not None
    [requests, query] = east.asked
    assert f'revision="{status.canary.revision}",rollout="{status.rollout.id}"' in requests
    assert query == (
        f'rate({{__name__="e",r="{status.canary.revision}",s="{status.stable.revision}",'
        f't="{status.rollout.id}",namespace="{item.namespace}"}}[60000ms])'
    )


def test_the_window_holds_four_scrapes() -> None:
    prometheus = SPEC.prometheus.model_copy(update={"scrape_interval_seconds": 60})
    slow = Member(spec=SPEC.model_copy(update={"prometheus": prometheus}))
    read(an_item(ERRORS), slow)
    assert slow.asked[1].endswith("[240000ms])")


UNREACHABLE = EvidenceUnavailable("PrometheusUnreachable", "no answer")
AMBIGUOUS = EvidenceUnavailable("GuardAmbiguous", "the query gave 3 series")


@pytest.mark.parametrize(
    ("member", "reason", "message"),
    [
        (Member(answer=None), "", ""),
        (Member(answer=AMBIGUOUS), "GuardAmbiguous", "the query gave 3 series"),
        (Member(answer=UNREACHABLE), "GuardNoData", "PrometheusUnreachable: no answer"),
        (Member(requests=UNREACHABLE), "GuardNoData", "PrometheusUnreachable: no answer"),
    ],
    ids=["nothing", "several series", "silent", "unknown requests"],
)
def test_what_is_no_number_has_a_reason(member: Member, reason: str, message: str) -> None:
    [reading] = read(an_item(ERRORS), member) or ()
    assert (reading.value, reading.reason, reading.message) == (None, reason, message)


def test_a_canary_that_was_asked_nothing_has_answered_nothing() -> None:
    [reading] = read(an_item(ERRORS), Member(requests=None)) or ()
    assert (reading.value, reading.requests) == (0.5, 0)


def test_only_members_that_answer_are_asked_and_only_in_a_trial() -> None:
    away = Member(state=types.SimpleNamespace(reachable=False))
    item = an_item(ERRORS)
    assert read(item, away) == ()
    idle = dataclasses.replace(item, status=item.status.model_copy(update={"rollout": None}))
    assert read(idle, Member()) is None
    unguarded = Member()
    assert read(an_item(), unguarded) == ()
    assert (away.asked, unguarded.asked) == ([], [])


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sum(up", "is not PromQL: unclosed left parenthesis"),
        ('up{namespace="other"}', 'namespace="other" asks for other namespaces'),
        ("up[{{windows}}]", "{{windows}} is no placeholder"),
    ],
)
def test_a_query_that_cannot_be_asked_is_named(query: str, why: str) -> None:
    item = an_item(ERRORS, {"name": "bad", "query": query, "max": "1"})
    assert item.spec is not None
    found = wrong_query(item, item.spec)
    assert found.startswith("spec.rollout.analysis.guards[bad].query: ")
    assert why in found
    # A trial that began with it, under an operator that understood it, holds.
    [good, bad] = read(item, Member()) or ()
    assert good.value == 0.5
    assert (bad.value, bad.reason) == (None, "GuardNoData")
    assert why in bad.message


def test_queries_that_can_be_asked_are_in_order() -> None:
    item = an_item(ERRORS)
    assert item.spec is not None
    assert wrong_query(item, item.spec) == ""
