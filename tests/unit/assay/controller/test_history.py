"""Earlier moments are read a few at a time, and are the same after a restart."""

import asyncio
import datetime
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.api.deployment_status import RolloutStatus, Stage
from assay.api.model_deployment import Rollout
from assay.controller import history as module
from assay.controller.history import CATCH_UP_LOOKS, History
from assay.evidence import EvidenceUnavailable, MemberEvidence, RevisionCounts, errors
from assay.evidence.moments import SETTLED_SECONDS
from assay.evidence.prometheus import Trial

START = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
KEY = ("ml", "fraud")


def a_rollout(name: str = "0" * 10, seconds: int = 10) -> RolloutStatus:
    settings = Rollout.model_validate({"analysis": {"intervalSeconds": seconds}})
    return RolloutStatus(id=name, stage=Stage.TRIAL, started_at=START, settings=settings)


def said(rows: int, store: str = "s") -> MemberEvidence:
    counts = RevisionCounts(scores={("1", "1", 7): rows}, served=rows)
    return MemberEvidence({("new", 0): counts}, store, 0.5, "1")


@dataclass
class Fake:
    """A member whose ledger counts a row a second from its `first` one on."""

    name: str = "east"
    reachable: bool = True
    first: int = 0
    wrong: Mapping[int, str] = field(default_factory=dict)
    stores: Mapping[int, str] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    windows: list[float] = field(default_factory=list)

    @property
    def state(self) -> Any:
        return types.SimpleNamespace(reachable=self.reachable)

    async def evidence(self, trial: Trial, window: float, at: float) -> MemberEvidence:
        assert (trial.namespace, trial.deployment) == KEY
        moment = round(at - START.timestamp())
        self.asked.append(moment)
        self.windows.append(window)
        if moment in self.wrong:
            raise EvidenceUnavailable(self.wrong[moment], "wrong")
        if moment < self.first:
            raise EvidenceUnavailable(errors.DATA_STALE, "no ledger")
        return said(moment - self.first, self.stores.get(moment, "s"))


def look(history: History, seconds: float, *members: Fake, rollout: Any = None) -> None:
    now = START + datetime.timedelta(seconds=seconds + SETTLED_SECONDS)
    known: Any = members
    asyncio.run(history.read(KEY, rollout or a_rollout(), known, now))


PRESENT = {"east": said(10**6)}


def test_a_restarted_operator_catches_up_newest_first() -> None:
    history, east = History(), Fake()
    look(history, 305, east)
    assert east.asked == list(range(300, 0, -10))
    assert east.windows[0] == 360
    assert sorted(history.known_of_all(PRESENT)) == list(range(10, 301, 10))
    assert history.missing("east") == 0


def test_what_a_restarted_operator_has_not_read_yet_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)

    class Tiring(Fake):
        async def evidence(self, trial: Trial, window: float, at: float) -> MemberEvidence:
            await asyncio.sleep(30 if len(self.asked) % 5 == 4 else 0)
            return await super().evidence(trial, window, at)

    history, east = History(), Tiring()
    left = []
    while not left or left[-1]:
        look(history, 120, east)
        east.asked.append(0)
        left.append(history.missing("east"))
    assert left == [8, 4, 0]
    look(history, 130, Fake(wrong={130: errors.PROMETHEUS_UNREACHABLE}))
    assert history.missing("east") == 0  # a gap that anybody may have


@pytest.mark.parametrize("looks", [CATCH_UP_LOOKS - 1, CATCH_UP_LOOKS])
def test_a_moment_that_can_never_be_read_does_not_hold_up_the_trial_for_ever(
    looks: int, caplog: pytest.LogCaptureFixture
) -> None:
    history, east = History(), Fake(wrong={30: errors.WARNINGS_IN_REPLY})
    for _ in range(looks):
        look(history, 40, east)
    assert history.missing("east") == (3 if looks < CATCH_UP_LOOKS else 0)
    told = [record.levelname for record in caplog.records]
    assert told == ([] if looks < CATCH_UP_LOOKS else ["WARNING"])
    assert "earlier moments cannot be read" in caplog.text or not told


def test_who_looked_all_along_and_who_restarted_know_the_same() -> None:
    steady, late, east = History(), History(), Fake()
    for seconds in range(0, 1300, 10):
        look(steady, seconds, east)
    look(late, 1290, east)
    assert steady.known_of_all(PRESENT) == late.known_of_all(PRESENT)
    assert sorted(steady.known_of_all(PRESENT)) == list(range(40, 1290, 40))
    assert steady.members["east"].keys() == late.members["east"].keys()


def test_scores_are_kept_on_the_coarse_grid() -> None:
    history, east = History(), Fake()
    look(history, 10, east)
    [then] = history.known_of_all(PRESENT).values()
    assert then["east"].counts["new", 0].scores == {("1", "1", 1): 10}


def test_another_rollout_knows_nothing_of_this_one() -> None:
    history, east = History(), Fake()
    look(history, 40, east)
    look(history, 5, east, rollout=a_rollout("1" * 10))
    assert history.known_of_all(PRESENT) == {}
    assert history.members["east"] == {}


def test_without_a_trial_everything_is_forgotten() -> None:
    history, east = History(), Fake()
    look(history, 40, east)
    members: Any = (east,)
    asyncio.run(history.read(KEY, None, members, START))
    assert history.members == {}
    look(history, 40, east)
    assert east.asked.count(40) == 2


@pytest.mark.parametrize("reason", [errors.PROMETHEUS_UNREACHABLE, errors.WARNINGS_IN_REPLY])
def test_what_may_be_answered_yet_is_asked_again(reason: str) -> None:
    history, east = History(), Fake(wrong={40: reason})
    look(history, 40, east)
    assert east.asked == [40]
    assert history.known_of_all(PRESENT) == {}
    east.wrong = {}
    look(history, 40, east)
    assert sorted(history.known_of_all(PRESENT)) == [10, 20, 30, 40]


@pytest.mark.parametrize(
    "reason", [errors.DATA_STALE, errors.LEDGER_AMBIGUOUS, errors.MALFORMED_REPLY]
)
def test_a_hole_is_remembered_and_is_no_zero(reason: str) -> None:
    history, east = History(), Fake(wrong={30: reason})
    look(history, 40, east)
    look(history, 40, east)
    assert east.asked == [40, 30, 20, 10]
    assert sorted(history.known_of_all(PRESENT)) == [10, 20, 40]


def test_a_moment_counts_only_when_every_member_that_is_known_has_it() -> None:
    history, east, west = History(), Fake(), Fake("west", reachable=False)
    look(history, 40, east, west)
    present = {**PRESENT, "west": said(10**6)}
    assert history.known_of_all(present) == {}
    west.reachable = True
    look(history, 40, east, west)
    assert {at: sorted(then) for at, then in history.known_of_all(present).items()} == {
        moment: ["east", "west"] for moment in (10, 20, 30, 40)
    }


def test_a_member_that_joined_later_is_simply_not_there_before() -> None:
    history, east, west = History(), Fake(), Fake("west", first=125)
    look(history, 250, east, west)
    present = {**PRESENT, "west": said(10**6)}
    found = history.known_of_all(present)
    assert {at: sorted(then) for at, then in found.items()} == {
        **{moment: ["east"] for moment in range(10, 121, 10)},
        **{moment: ["east", "west"] for moment in range(130, 251, 10)},
    }


def test_what_was_counted_before_a_ledger_lost_its_store_is_not_used() -> None:
    history, east = History(), Fake(stores={10: "lost", 20: "lost"})
    look(history, 40, east)
    assert sorted(history.known_of_all(PRESENT)) == [30, 40]


def test_a_look_does_not_wait_for_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)

    class Slow(Fake):
        async def evidence(self, *_: Any, **__: Any) -> MemberEvidence:
            await asyncio.sleep(30)
            raise AssertionError

    history = History()
    look(history, 40, Slow())
    assert history.known_of_all(PRESENT) == {}
