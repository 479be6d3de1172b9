"""Judging a trial again, from what was counted at each moment: as the operator judged it."""

import asyncio
import datetime
import types
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.deployment_status import RolloutStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec
from assay.cli.report_replay import Look, Said, looks, needed, replay
from assay.controller.history import History
from assay.evidence import EvidenceUnavailable, MemberEvidence, RevisionCounts, errors
from assay.evidence.moments import SETTLED_SECONDS, wanted
from assay.judge import judge
from assay.rollout.judging import Question
from assay.rollout.settings import metric_specs, policy

START = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
STABLE, CANARY = "7" * 10, "8" * 10
INTERVAL = 10
SPEC = ModelDeploymentSpec.model_validate(
    {
        "model": {
            "uri": "https://models.example.com/fraud-8.skops",
            "version": "8",
            "digest": "sha256:" + "8" * 64,
            "decision": {"positiveLabel": "1"},
        },
        "traffic": {"parentRefs": [{"name": "models"}]},
        "rollout": {
            "maxSeconds": 7200,
            "analysis": {
                "intervalSeconds": INTERVAL,
                "metrics": [{"name": "f1", "type": "F1", "margin": "0.02"}],
            },
        },
    }
)
QUESTION = Question(SPEC, SPEC.rollout, STABLE, CANARY, 2, {0: 0.2}, by_user=False)


def arm(rows: int, right: float) -> RevisionCounts:
    """Rows of which so many of each class are right."""
    outcomes = {}
    for truth, part in (("1", 0.4), ("0", 0.6)):
        own = int(rows * part)
        good = int(own * right)
        other = "0" if truth == "1" else "1"
        outcomes |= {(truth, truth): good, (truth, other): own - good}
    total = sum(outcomes.values())
    return RevisionCounts(outcomes, served=total, labelled=total, requests=total)


def counted(seconds: float, right: float = 0.9, store: str = "s") -> MemberEvidence:
    """What a member has counted: 40 rows of stable and 10 of the canary each second."""
    rows = {STABLE: arm(int(40 * seconds), 0.9), CANARY: arm(int(10 * seconds), right)}
    return MemberEvidence({(name, 0): counts for name, counts in rows.items()}, store, 1.0, "1")


def replayed(elapsed: float, said: Any) -> list[Look]:
    moments = [(at, said(at)) for at in needed(elapsed, INTERVAL) if at < elapsed]
    return list(replay(QUESTION, moments, set(looks(elapsed, INTERVAL)), (elapsed, said(elapsed))))


@given(st.floats(0.0, 7776000.0), st.integers(1, 3600))
def test_everything_that_a_look_wants_is_read(elapsed: float, interval: int) -> None:
    every = set(needed(elapsed, interval))
    for seconds in (*looks(elapsed, interval), elapsed):
        assert set(wanted(seconds - SETTLED_SECONDS, interval)) <= every
    doublings = max(0, int(elapsed // interval).bit_length() - 6)
    assert len(every) <= 64 + 33 * doublings


@settings(max_examples=6, deadline=None)
@given(
    elapsed=st.integers(1, 600),
    right=st.floats(0.7, 0.95),
    silent=st.sets(st.sampled_from(range(INTERVAL, 600, INTERVAL)), max_size=5),
    first=st.integers(0, 200),
)
def test_the_last_look_is_the_judge_on_the_whole(
    elapsed: int, right: float, silent: set[int], first: int
) -> None:
    def said(at: float) -> Said:
        west = None if at < first or at in silent - {elapsed} else counted(at - first, right)
        return {"east": counted(at, right), "west": west}

    last = replayed(elapsed, said)[-1]

    now = {name: each for name, each in said(elapsed).items() if each is not None}
    history = History(rollout="")
    history.moments = wanted(elapsed - SETTLED_SECONDS, INTERVAL)
    history.members = {
        name: {at: each and each.coarser(4) for at in history.moments for each in [said(at)[name]]}
        for name in ("east", "west")
    }
    # West counts with what it said last when it is silent now: there is nothing it said before.
    evidence = QUESTION.evidence(now, history.known_of_all(now))
    analysis = SPEC.rollout.analysis
    growth = 7200 / elapsed if elapsed > 60 else None
    how = policy(analysis, members=2, growth=growth)
    assert last.seconds == elapsed
    assert last.judgement == judge(metric_specs(SPEC, analysis, evidence), how, evidence)


def test_every_look_says_what_the_operator_said_then() -> None:
    """The operator's own history, look by look, with a member that comes late and one with holes."""
    holes = {130, 140, 400}

    def said(at: float) -> Said:
        east = None if int(at) in holes else counted(at, 0.85)
        return {"east": east, "west": None if at < 205 else counted(at - 205, 0.93)}

    class Member:
        state = types.SimpleNamespace(reachable=True)

        def __init__(self, name: str) -> None:
            self.name = name

        async def evidence(self, _trial: object, _window: object, at: float) -> MemberEvidence:
            found = said(round(at - START.timestamp()))[self.name]
            if found is None:
                raise EvidenceUnavailable(errors.DATA_STALE, "nothing")
            return found

    rollout = RolloutStatus(id="a" * 10, stage=Stage.TRIAL, started_at=START, settings=SPEC.rollout)
    members: Any = [Member("east"), Member("west")]
    history = History()
    known: dict[str, MemberEvidence] = {}
    told = {}
    for seconds in range(INTERVAL, 801, INTERVAL):
        now = START + datetime.timedelta(seconds=seconds)
        asyncio.run(history.read(("ml", "fraud"), rollout, members, now))
        known |= {name: each for name, each in said(seconds).items() if each is not None}
        if seconds % (2 * INTERVAL):
            continue  # the operator judged then, too; that costs time here and is not compared
        past = history.known_of_all(known)
        told[seconds] = QUESTION.judgement(known, past, seconds, history.built)

    found = replayed(800, said)

    assert len(found) == 40
    assert [each.judgement for each in found] == [told[int(each.seconds)] for each in found]
    assert [each.seconds for each in found if each.silent] == [*range(20, 201, 20), 400]
    assert len({each.judgement.reason for each in found if each.judgement}) > 1


def test_before_anybody_spoke_there_is_nothing_to_judge() -> None:
    found = replayed(60, lambda at: {"east": None if at < 45 else counted(at)})
    assert [each.judgement is None for each in found] == [True] * 4 + [False] * 2
    assert found[0].why == "no member's ledger said anything yet"


def test_settings_that_no_judge_understands_are_told() -> None:
    analysis = SPEC.rollout.analysis.model_copy(update={"metrics": ()})
    settings_ = SPEC.rollout.model_copy(update={"analysis": analysis})
    question = Question(SPEC, settings_, STABLE, CANARY, 1, None, by_user=False)
    [look] = replay(question, [], set(), (5.0, {"east": counted(5)}))
    assert look.judgement is None
    assert look.why.startswith("the counts cannot be judged: metrics:")
