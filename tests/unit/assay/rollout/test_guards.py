"""When a guard is kept, pending, breached or unknown, and what a trial makes of it."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.analysis import Guard
from assay.api.deployment_status import GUARDS, GuardStatus, Stage, Verdict
from assay.rollout import GuardReading
from assay.rollout.guards import evaluate, worst

from .world import EIGHT, MONDAY, NINE, PROMOTE, SEVEN, World, judged, on_trial, serving

P99 = {"name": "p99", "query": "x", "max": "0.2", "forSeconds": 30, "minRequests": 200}


def a_guard(**fields: Any) -> Guard:
    return Guard.model_validate({**P99, **fields})


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


def looks(guard: Guard, *values: float | None, every: int = 10, requests: int = 1000) -> list[str]:
    """Reasons of one member, look by look."""
    return [item.reason for item in states(guard, *values, every=every, requests=requests)]


def states(
    guard: Guard, *values: float | None, every: int = 10, requests: int = 1000
) -> list[GuardStatus]:
    before: tuple[GuardStatus, ...] = ()
    found = []
    for place, value in enumerate(values):
        reading = GuardReading(guard.name, "east", value, requests)
        now = MONDAY + seconds(place * every)
        before = evaluate([guard], before, [reading], ["east"], now)
        found.append(before[0])
    return found


def test_it_is_breached_when_every_look_for_so_long_was_beyond() -> None:
    found = states(a_guard(), 0.1, 0.3, 0.4, 0.3, 0.5)

    pending = ["GuardPending"] * 3
    assert [item.reason for item in found] == ["GuardKept", *pending, "GuardBreached"]
    assert found[-1].since == MONDAY + seconds(10)
    assert found[-1].message == (
        "0.5, must be <= 0.2, beyond it since 2026-11-23 12:00:10 UTC (1000 requests), for at least 30 s"
    )


def test_one_look_within_the_limit_ends_it() -> None:
    assert looks(a_guard(), 0.3, 0.3, 0.3, 0.2, 0.3, 0.3, 0.3)[3:] == [
        "GuardKept",
        *["GuardPending"] * 3,
    ]


def test_the_limit_itself_is_kept() -> None:
    assert looks(a_guard(forSeconds=0), 0.2, 0.2000001) == ["GuardKept", "GuardBreached"]
    lower = a_guard(max=None, min="-1", forSeconds=0)
    assert looks(lower, -1.0, -1.01) == ["GuardKept", "GuardBreached"]


def test_too_few_requests_neither_pass_nor_roll_back() -> None:
    assert set(looks(a_guard(), *[0.3] * 9, requests=199)) == {"GuardTooFewRequests"}
    assert looks(a_guard(), 0.1, requests=199) == ["GuardTooFewRequests"]
    assert looks(a_guard(minRequests=0), 0.1, requests=0) == ["GuardKept"]


def test_the_clock_stands_still_while_there_is_no_data() -> None:
    """Beyond for 20 s, then silent for 50 s, beyond again: 10 s to go."""
    found = states(a_guard(), 0.3, 0.3, *[None] * 5, 0.3, 0.3)

    silent = ["GuardNoData"] * 5
    assert [item.reason for item in found[2:]] == [*silent, "GuardPending", "GuardBreached"]
    assert (found[5].since, found[5].silent_since) == (MONDAY, MONDAY + seconds(20))
    assert (found[7].since, found[7].silent_since) == (MONDAY + seconds(50), None)


@given(
    values=st.lists(st.sampled_from((0.1, 0.3, None)), min_size=1, max_size=40),
    for_seconds=st.sampled_from((0, 10, 25, 60)),
)
def test_it_is_breached_exactly_when_the_looks_with_data_say_so(
    values: list[float | None], for_seconds: int
) -> None:
    """Against the rule in plain words: the time beyond, without that in which nothing was known."""
    found = looks(a_guard(forSeconds=for_seconds), *values)

    beyond: float | None = None
    for value, reason in zip(values, found, strict=True):
        if value is None:
            assert reason == "GuardNoData"
            continue
        if value == 0.1:
            beyond = None
        elif beyond is None:
            beyond = 0.0
        else:
            # What lies between the last look with data and the first without one still counts.
            beyond += 10.0
        assert (reason == "GuardBreached") == (beyond is not None and beyond >= for_seconds)


@given(values=st.lists(st.sampled_from((0.3, None)), max_size=30))
def test_a_value_that_comes_back_within_the_limit_in_time_is_never_breached(
    values: list[float | None],
) -> None:
    """Every other look with data is within the limit; silence in between changes nothing."""
    data = iter([0.1, 0.3] * len(values))
    flapping = [None if value is None else next(data) for value in values]
    assert "GuardBreached" not in looks(a_guard(forSeconds=1), *flapping)


def test_what_is_pending_in_a_member_that_is_away_is_remembered() -> None:
    guard = a_guard()
    read = [GuardReading("p99", "east", 0.3, 1000)]
    before = evaluate([guard], (), read, ["east"], MONDAY)

    away = evaluate([guard], before, (), [], MONDAY + seconds(10))
    assert [(item.member, item.reason) for item in away] == [("east", "GuardNoData")]

    back = evaluate([guard], away, read, ["east"], MONDAY + seconds(3600))
    assert back[0].since == MONDAY + seconds(3590)
    gone = evaluate([guard], evaluate([guard], (), (), ["east"], MONDAY), (), [], MONDAY)
    assert gone == ()


def test_status_keeps_the_worst_of_many_members() -> None:
    """And a dry run, however bad, takes no place from what decides."""
    names = [f"m{number:03}" for number in range(GUARDS + 50)]
    dry, deciding = a_guard(name="dry", mode="DryRun", forSeconds=0), a_guard()
    values = {"m120": 0.3, "m149": None}
    read = [GuardReading("dry", name, 0.9, 1000) for name in names]
    read += [GuardReading("p99", name, values.get(name, 0.1), 1000) for name in names]

    found = evaluate([dry, deciding], (), read, names, MONDAY)
    kept = worst(found)

    assert (len(found), len(kept)) == (2 * len(names), GUARDS)
    assert {item.name for item in kept} == {"p99"}
    assert {"m120", "m149"} <= {item.member for item in kept}
    assert worst(found[:GUARDS]) == found[:GUARDS]


# What a trial makes of it.


def guarded(*guards: dict[str, Any], members: tuple[str, ...] = ("east", "west")) -> World:
    return on_trial(members=members, analysis={"guards": [*guards] or [P99]})


def test_a_breach_in_one_member_rolls_all_back() -> None:
    world = guarded().with_judgement(judged()).reads(0.3, 1000, "west")
    world.look()
    assert world.stage is Stage.TRIAL
    assert world.says("EvidenceSufficient") == ("False", "GuardPending")

    world.later(30).run()

    [entry] = world.status.history[:1]
    assert (entry.verdict, entry.reason) == (Verdict.ROLLBACK, "GuardBreached")
    assert entry.message.startswith("guard p99 in west: 0.3, must be <= 0.2, beyond it since")
    assert "1000 requests" in entry.message
    assert world.says("Stalled") == ("True", "RolledBack")
    assert world.canary is None
    assert world.status.rejected_revisions[0].revision == EIGHT
    assert world.status.guards[1].reason == "GuardBreached"


def test_it_waits_for_no_labels_and_for_nobody_else() -> None:
    """West is away, the Prometheus of the ledgers is silent, nothing was judged."""
    world = guarded()
    world.with_judgement(None).with_problems("east", "west").reads(0.3).look()
    world.loses("west").later(30).look()

    assert world.rollout.decision is not None
    assert world.rollout.decision.reason == "GuardBreached"


def test_steps_and_promotion_wait_until_every_guard_is_kept() -> None:
    world = guarded().with_judgement(PROMOTE)
    for value, requests, reason in (
        (None, 1000, "GuardNoData"),
        (0.1, 10, "GuardTooFewRequests"),
        (0.3, 1000, "GuardPending"),
    ):
        world.reads(0.1).reads(value, requests, "west").later(1).look()
        assert world.says("EvidenceSufficient") == ("False", reason)
        assert world.rollout.step == 0

    world.reads(0.1).run()
    assert world.rollout.step == 1
    assert world.reads(None).later(60).run().rollout.step == 1
    world.reads(0.1).look()
    assert world.rollout.step == 2
    assert world.reads(None).run().stage is Stage.TRIAL
    assert world.reads(0.1).run().stable == EIGHT


def test_a_member_that_is_away_holds_nobody_up() -> None:
    world = guarded().with_judgement(PROMOTE).loses("west")

    world.run().later(60).run().later(60).run()

    assert world.stable == EIGHT


def test_a_dry_run_is_shown_and_decides_nothing() -> None:
    world = guarded({**P99, "mode": "DryRun"}).with_judgement(PROMOTE).reads(0.9, 1000, "east")
    world.reads(None, 0, "west")

    world.look()
    world.later(60).run()
    assert [item.reason for item in world.status.guards] == ["GuardBreached", "GuardNoData"]
    assert [item.mode for item in world.status.guards] == ["DryRun", "DryRun"]
    world.later(60).run()

    assert world.stable == EIGHT


def test_a_trial_begins_without_what_was_said_of_the_one_before() -> None:
    world = guarded().reads(0.3)
    world.look()
    assert world.status.guards

    world.asks_for(NINE, analysis={"guards": [P99]}).look()

    assert world.status.guards == ()


def test_silence_ends_as_inconclusive_and_says_which_guard() -> None:
    world = guarded().with_judgement(judged()).reads(None)
    world.look()
    condition = world.condition("EvidenceSufficient")
    assert condition is not None
    assert condition.message.startswith("guard p99 in east: the query gave no value")

    world.later(86400).run()

    assert world.status.history[0].reason == "Inconclusive"


WRONG = "spec.rollout.analysis.guards[p99].query: is not PromQL: unclosed left parenthesis"


def test_no_rollout_begins_with_a_guard_that_cannot_be_asked() -> None:
    world = serving().asks_for(EIGHT)
    world.invalid = WRONG
    world.run()

    assert (world.stable, world.canary) == (SEVEN, None)
    assert world.says("Stalled") == ("True", "InvalidSpec")
    condition = world.condition("Stalled")
    assert condition is not None
    assert condition.message.startswith(WRONG)

    world.invalid = ""
    world.look()
    assert world.stage is Stage.STARTING


def test_not_even_the_first() -> None:
    world = World()
    world.invalid = WRONG
    assert world.run().stage is None
    assert world.says("Stalled") == ("True", "InvalidSpec")

    world.invalid = ""
    assert world.run().stable == SEVEN


@pytest.mark.parametrize("revision", [EIGHT, NINE])
def test_a_trial_goes_on_with_its_own_guards_or_ends_with_its_revision(revision: str) -> None:
    """The wrong guard comes while 8 is on trial: alone, or with another revision."""
    world = guarded().with_judgement(judged(burnt_in=False)).asks_for(revision)
    world.invalid = WRONG
    world.run()

    if revision == EIGHT:
        assert world.stage is Stage.TRIAL
    else:
        assert world.status.history[0].reason == "Reverted"
        assert world.says("Stalled") == ("True", "InvalidSpec")
        assert world.stable == SEVEN
