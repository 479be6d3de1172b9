"""Which evidence a trial is judged on; members and their Prometheus are objects of this file."""

import asyncio
import dataclasses
import datetime
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.api.deployment_status import Trials
from assay.api.model_cluster import ModelClusterSpec
from assay.controller.hub import Deployment, deployment
from assay.controller.memory import Memory
from assay.controller.observe import observe
from assay.controller.reservations import Reservations
from assay.evidence import Evidence, EvidenceUnavailable, MemberEvidence, RevisionCounts
from assay.judge import Judgement
from assay.judge import Verdict as JudgeVerdict
from assay.placement import Candidate
from assay.rollout import MemberView, Observation, judging

from ..members.test_member import SPEC  # noqa: TID252
from .test_reconcile import STABLE, a_trial

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
CANARY = str(a_trial()["status"]["canary"]["revision"])


def counts(served: int = 100) -> MemberEvidence:
    """What a member says of step 0."""
    arm = RevisionCounts(served=served)
    return MemberEvidence({(STABLE["revision"], 0): arm, (CANARY, 0): arm}, "store-1", 1.0)


@dataclass
class Member:
    """As much of a member as a look needs."""

    name: str
    reachable: bool = True
    answer: MemberEvidence | EvidenceUnavailable = field(default_factory=counts)
    past: EvidenceUnavailable | None = None
    there: bool = True
    spec: ModelClusterSpec = SPEC
    windows: list[float] = field(default_factory=list)

    @property
    def state(self) -> Any:
        return types.SimpleNamespace(reachable=self.reachable)

    async def view(self, *_: str) -> MemberView:
        return MemberView(self.name, reachable=self.reachable, error="connection refused")

    async def evidence(self, _trial: object, window: float, at: float | None = None) -> Any:
        if at is None:
            self.windows.append(window)
        if at is not None and self.past is not None:
            raise self.past
        if isinstance(self.answer, EvidenceUnavailable):
            raise self.answer
        return self.answer

    def holds(self, *_: str) -> bool:
        return self.there


class Members:
    """As much of a registry; those in `chosen` carry the label that the spec asks for."""

    def __init__(self, *members: Member, chosen: Iterable[str] = ("east", "west")) -> None:
        self.members = {member.name: member for member in members}
        self.chosen = tuple(chosen)

    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(name, {"tier": "serving"} if name in self.chosen else {}, member.spec)
            for name, member in self.members.items()
        )

    def get(self, name: str) -> Member | None:
        return self.members.get(name)

    def all(self) -> tuple[Member, ...]:
        return tuple(self.members.values())


def an_item(*, read: Iterable[str] = ()) -> Deployment:
    """A trial whose canary serves in both members; `read`: whose evidence was read before."""
    document = a_trial()
    document["spec"]["placement"] = {"clusterSelector": {"matchLabels": {"tier": "serving"}}}
    [east] = document["status"]["clusters"]
    document["status"]["clusters"] = [
        {**east, "name": name, **({"ledgerStore": "store-1"} if name in read else {})}
        for name in ("east", "west")
    ]
    return deployment(document)


@pytest.fixture(name="judged")
def _judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return the strata of every judgement."""
    strata: list[tuple[str, ...]] = []

    def judge(_: object, __: object, evidence: Evidence) -> Judgement:
        strata.append(tuple(item.name for item in evidence.strata))
        return Judgement(JudgeVerdict.ROLLBACK, "Worse", "F1 is worse", ())

    monkeypatch.setattr(judging, "judge", judge)
    return strata


def look(members: Any, item: Deployment, memory: Memory) -> Observation:
    assert item.spec is not None
    memory.said = None  # as each look begins
    return asyncio.run(observe(members, item, item.spec, memory, NOW, Reservations(), 120))


@pytest.mark.parametrize(
    ("away", "members", "leaving"),
    [
        pytest.param(9, ["east", "west"], [], id="not yet"),
        pytest.param(10, ["east"], ["west"], id="long enough"),
    ],
)
def test_a_member_that_is_away_for_long_is_lost(
    away: int, members: list[str], leaving: list[str]
) -> None:
    item = an_item()
    assert item.spec is not None
    placement = item.spec.placement.model_copy(update={"toleration_seconds": 10})
    east, west = item.status.clusters
    west = west.model_copy(update={"unreachable_since": NOW - datetime.timedelta(seconds=away)})
    item = dataclasses.replace(
        item,
        spec=item.spec.model_copy(update={"placement": placement}),
        status=item.status.model_copy(update={"clusters": (east, west)}),
    )
    seen = look(Members(Member("east"), Member("west", reachable=False)), item, Memory())

    assert [view.name for view in seen.members] == members
    assert [view.name for view in seen.leaving] == leaving


def test_all_members_are_judged_together(judged: list[tuple[str, ...]]) -> None:
    seen = look(Members(Member("east"), Member("west")), an_item(), Memory())

    assert judged == [("east/0", "west/0")]
    assert seen.judgement is not None
    assert seen.evidence_problems == ()
    assert [view.ledger_store for view in seen.members] == ["store-1", "store-1"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"decision": {"positiveLabel": "0"}}, id="another positive label"),
        pytest.param({"digest": "sha256:" + "9" * 64}, id="another model"),
    ],
)
def test_a_canary_that_the_spec_names_no_more_is_not_judged(
    judged: list[tuple[str, ...]], change: dict[str, Any]
) -> None:
    document = a_trial()
    document["spec"]["model"] |= change

    members = Members(Member("east"))
    seen = look(members, deployment(document), Memory())

    assert judged == []
    assert seen.judgement is None


BOTH = ("east/0", "west/0")
SILENT = EvidenceUnavailable("PrometheusUnreachable", "no answer")


def problems(seen: Observation) -> list[tuple[str, str]]:
    return [(item.member, item.reason) for item in seen.evidence_problems]


def test_a_member_that_is_lost_is_judged_on_what_it_said_last(
    judged: list[tuple[str, ...]],
) -> None:
    east, west, memory = Member("east"), Member("west"), Memory()
    look(Members(east, west), an_item(), memory)

    west.reachable = False
    seen = look(Members(east, west), an_item(read=("east", "west")), memory)

    assert judged == [BOTH, BOTH]
    assert seen.judgement is not None
    assert problems(seen) == []


def test_a_prometheus_that_is_silent_is_a_problem_but_no_reason_to_forget(
    judged: list[tuple[str, ...]],
) -> None:
    east, west, memory = Member("east"), Member("west"), Memory()
    look(Members(east, west), an_item(), memory)

    west.answer = SILENT
    seen = look(Members(east, west), an_item(read=("east", "west")), memory)

    assert judged == [BOTH, BOTH]
    assert problems(seen) == [("west", "PrometheusUnreachable")]


def test_what_was_said_of_another_rollout_counts_no_more(judged: list[tuple[str, ...]]) -> None:
    memory = Memory()
    memory.known("f" * 10, {"west": counts()})

    seen = look(Members(Member("east"), Member("west", reachable=False)), an_item(), memory)

    assert judged == [("east/0",)]
    assert problems(seen) == [("west", "MembersUnreachable")]


@pytest.mark.parametrize(
    ("west", "reason"),
    [
        pytest.param(Member("west", reachable=False), "MembersUnreachable", id="away"),
        pytest.param(Member("west", answer=SILENT), "PrometheusUnreachable", id="silent"),
    ],
)
def test_nothing_is_judged_without_counts_that_were_judged_before_a_restart(
    judged: list[tuple[str, ...]], west: Member, reason: str
) -> None:
    item = an_item(read=("east", "west"))

    seen = look(Members(Member("east"), west), item, Memory())

    assert judged == []
    assert seen.judgement is None
    assert problems(seen) == [("west", reason)]
    assert "nothing is judged without it" in seen.evidence_problems[0].message


def test_after_a_restart_all_that_can_be_read_is_read_again(judged: list[tuple[str, ...]]) -> None:
    seen = look(Members(Member("east"), Member("west")), an_item(read=("east", "west")), Memory())

    assert judged == [BOTH]
    assert problems(seen) == []


def test_a_member_that_could_never_be_read_takes_nobody_elses_rollback_away(
    judged: list[tuple[str, ...]],
) -> None:
    seen = look(Members(Member("east"), Member("west", answer=SILENT)), an_item(), Memory())

    assert judged == [("east/0",)]
    assert seen.judgement is not None
    assert problems(seen) == [("west", "PrometheusUnreachable")]


def test_the_counts_of_a_member_that_placement_drops_stay(judged: list[tuple[str, ...]]) -> None:
    east, west, memory = Member("east"), Member("west"), Memory()
    seen = look(Members(east, west, chosen=["east"]), an_item(), memory)
    assert [view.name for view in seen.leaving] == ["west"]

    west.there, west.answer = False, SILENT
    seen = look(Members(east, west, chosen=["east"]), an_item(), memory)

    assert judged == [BOTH, BOTH]
    assert seen.leaving == ()
    assert problems(seen) == []


def test_a_member_that_is_away_is_not_clean_as_long_as_status_knows_it() -> None:
    west = Member("west", reachable=False, there=False)

    seen = look(Members(Member("east"), west, chosen=["east"]), an_item(), Memory())

    assert [view.name for view in seen.leaving] == ["west"]


def two_intervals_old(item: Deployment) -> Deployment:
    """A trial with two earlier moments."""
    assert item.status.rollout is not None
    settings = item.status.rollout.settings.analysis
    began = NOW - datetime.timedelta(seconds=2 * settings.interval_seconds + 16)
    rollout = item.status.rollout.model_copy(update={"started_at": began})
    return dataclasses.replace(item, status=item.status.model_copy(update={"rollout": rollout}))


def test_the_past_is_judged_with_the_present(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Evidence] = []

    def judge(_: object, __: object, evidence: Evidence) -> Judgement:
        found.append(evidence)
        return Judgement(JudgeVerdict.HOLD, "Undecided", "", ())

    monkeypatch.setattr(judging, "judge", judge)
    item, memory = two_intervals_old(an_item()), Memory()

    look(Members(Member("east"), Member("west")), item, memory)

    [evidence] = found
    assert item.status.rollout is not None
    seconds = item.status.rollout.settings.analysis.interval_seconds
    assert [moment.seconds for moment in evidence.history] == [seconds, 2 * seconds]
    assert [each.name for each in evidence.history[0].strata] == ["east/0", "west/0"]


def test_a_retry_counts_what_pods_of_the_earlier_trial_served() -> None:
    item, east = an_item(), Member("east")
    assert item.status.rollout is not None
    began = NOW - datetime.timedelta(days=1)
    earlier = Trials(rollouts=("e" * 10,), stable=STABLE["revision"], started_at=began)
    rollout = item.status.rollout.model_copy(update={"continues": earlier})
    status = item.status.model_copy(update={"rollout": rollout})

    look(Members(east), dataclasses.replace(item, status=status), Memory())

    assert east.windows == [86_400 + 60]


def test_settings_that_no_judge_understands_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: object) -> Judgement:
        raise ValueError("average: Median is not known")

    monkeypatch.setattr(judging, "judge", judge)
    assert look(Members(Member("east"), Member("west")), an_item(), Memory()).judgement is None


def test_nobody_waits_for_the_counts_of_a_member_that_cannot_return(
    judged: list[tuple[str, ...]],
) -> None:
    look(Members(Member("east")), an_item(read=("east", "west")), Memory())

    assert judged == [("east/0",)]


def test_a_restarted_operator_judges_nothing_before_it_knows_the_past_again(
    judged: list[tuple[str, ...]],
) -> None:
    east, west, memory = Member("east"), Member("west"), Memory()
    item = two_intervals_old(an_item(read=("east", "west")))
    west.past = EvidenceUnavailable("WarningsInReply", "partial")

    seen = look(Members(east, west), item, memory)

    assert judged == []
    assert seen.judgement is None
    assert problems(seen) == [("west", "HistoryIncomplete")]
    assert "0 of 2 earlier moments" in seen.evidence_problems[0].message

    west.past = None
    seen = look(Members(east, west), item, memory)

    assert judged == [BOTH]
    assert problems(seen) == []
