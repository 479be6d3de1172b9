"""Reads a trial's counts from the members' Prometheus, moment by moment, all members at the same time.

Each member has a thread that is a few answers ahead at most, so memory does not grow with the number
of moments. The threads are daemons: an interrupted command waits for no answer.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from assay.evidence import EvidenceUnavailable, MemberEvidence, errors
from assay.evidence.moments import WINDOW_MARGIN_SECONDS
from assay.evidence.prometheus import Trial, read

from .report_sources import Source

AHEAD = 4
"""Answers that a member's thread may be ahead."""

PATIENCE = 3
"""Moments in a row that a Prometheus may leave unanswered before it is asked no more."""

_TRY_AGAIN = {errors.PROMETHEUS_UNREACHABLE, errors.WARNINGS_IN_REPLY}
"""Everything else that Prometheus says of the past it will always say."""

Answer = MemberEvidence | EvidenceUnavailable


@dataclass(frozen=True)
class Moment:
    """When counts are asked for.

    Attributes
    ----------
    seconds
        Since the evidence began, which is how far back serving pods may have died.
    at
        Unix seconds; `None` for now, by Prometheus's own clock.
    """

    seconds: float
    at: float | None


@dataclass
class Reading:
    """What came of asking one member.

    Attributes
    ----------
    member
        Its name.
    last
        What it said at the last moment; `None` if it said nothing.
    problem
        Why not, for a person.
    asked, read
        Earlier moments, and how many of them it told.
    holes
        Reasons why it did not tell others, and how often.
    """

    member: str
    last: MemberEvidence | None = None
    problem: str = ""
    asked: int = 0
    read: int = 0
    holes: dict[str, int] = field(default_factory=dict)


def read_last(
    sources: Sequence[Source], trial: Trial, moment: Moment, over: str
) -> dict[str, Reading]:
    """Return what each member says at the last moment.

    Parameters
    ----------
    over
        When that was, if it is past: then no answer may mean that Prometheus has forgotten it.
    """
    found = {}
    for name, answers in _asked(sources, trial, (moment,)).items():
        answer = _next(answers)
        if isinstance(answer, MemberEvidence):
            found[name] = Reading(name, answer)
            continue
        problem = f"{answer.message} ({answer.reason})"
        if over and answer.reason == errors.DATA_STALE:
            problem = (
                f"has no counts of {over} ({answer.reason}): its Prometheus keeps samples for a "
                "shorter time, or no ledger was scraped there then"
            )
        elif answer.reason == errors.DATA_STALE:
            problem += "; is its ledger there, and scraped?"
        found[name] = Reading(name, problem=problem)
    unreached = {each.member: each.problem for each in sources if each.connection is None}
    return found | {name: Reading(name, problem=why) for name, why in unreached.items()}


def read_moments(
    sources: Sequence[Source],
    trial: Trial,
    moments: Sequence[Moment],
    readings: Mapping[str, Reading],
    step: Callable[[], object],
) -> Iterator[tuple[int, dict[str, MemberEvidence | None]]]:
    """Yield whole seconds and what each member said then, in the order of `moments`.

    Only members are asked that said something at the last moment; `readings` notes what came of it,
    and `step` is called for each answer.
    """
    told = [each for each in sources if readings[each.member].last is not None]
    answers = _asked(told, trial, moments)
    for moment in moments:
        said: dict[str, MemberEvidence | None] = {}
        for name, each in answers.items():
            answer, reading = _next(each), readings[name]
            reading.asked += 1
            if isinstance(answer, MemberEvidence):
                reading.read += 1
                said[name] = answer
            else:
                reading.holes[answer.reason] = reading.holes.get(answer.reason, 0) + 1
                said[name] = None
            step()
        yield int(moment.seconds), said


_Queue = queue.Queue[Answer | BaseException]


def _asked(sources: Sequence[Source], trial: Trial, moments: Sequence[Moment]) -> dict[str, _Queue]:
    found = {}
    for source in sources:
        if source.connection is None:
            continue
        answers: _Queue = queue.Queue(AHEAD)
        threading.Thread(
            target=_ask, args=(source, trial, moments, answers), name=source.member, daemon=True
        ).start()
        found[source.member] = answers
    return found


def _next(answers: _Queue) -> Answer:
    answer = answers.get()
    if isinstance(answer, BaseException) and not isinstance(answer, EvidenceUnavailable):
        raise answer
    return answer


def _ask(source: Source, trial: Trial, moments: Sequence[Moment], answers: _Queue) -> None:
    """Put an answer for each moment; one that Prometheus may still give is asked for twice."""
    away = 0
    answer: Answer | None = None
    try:
        for moment in moments:
            if away < PATIENCE:
                answer = _one(source, trial, moment)
                if isinstance(answer, EvidenceUnavailable) and answer.reason in _TRY_AGAIN:
                    answer = _one(source, trial, moment)
                lost = getattr(answer, "reason", "") == errors.PROMETHEUS_UNREACHABLE
                away = away + 1 if lost else 0
            assert answer is not None
            answers.put(answer)
    except BaseException as error:  # noqa: BLE001  (whoever waits for the answer gets it)
        answers.put(error)


def _one(source: Source, trial: Trial, moment: Moment) -> Answer:
    assert source.connection is not None
    try:
        return read(
            source.connection,
            trial,
            scrape_interval_seconds=source.scrape_interval_seconds,
            window_seconds=moment.seconds + WINDOW_MARGIN_SECONDS,
            at=moment.at,
        )
    except EvidenceUnavailable as error:
        return error
