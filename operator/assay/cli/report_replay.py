"""What the judge would have said at earlier moments of a trial, from what was counted then. Pure.

At each moment the question is the operator's (`assay.rollout.judging`): the counts of that moment, and
as history the moments that a look wanted then. So the last answer is that of the last look.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from assay.evidence import MemberEvidence, moments
from assay.judge import Judgement
from assay.rollout.judging import Question

Said = Mapping[str, MemberEvidence | None]
"""What each member said at one moment; `None` where its Prometheus has nothing."""


@dataclass(frozen=True)
class Look:
    """What was known at one moment.

    Attributes
    ----------
    seconds
        Since the evidence began.
    judgement
        `None` when there was nothing to judge; `why` says why.
    silent
        Members that said nothing then. Those that had spoken before count with what they said last,
        as they do for the operator.
    """

    seconds: float
    judgement: Judgement | None
    silent: tuple[str, ...] = ()
    why: str = ""


def looks(elapsed_seconds: float, interval_seconds: int) -> tuple[int, ...]:
    """Return the moments that are judged again, in seconds, ascending: fewer than 64."""
    return moments.wanted(elapsed_seconds, interval_seconds)


def needed(elapsed_seconds: float, interval_seconds: int) -> tuple[int, ...]:
    """Return all moments that `looks`, and one of now, read: their own, and their history.

    Early looks wanted moments that lie closer together than late ones do: 32 more for every doubling
    of the time beyond 64 intervals.
    """
    own = looks(elapsed_seconds, interval_seconds)
    found = set(own)
    for seconds in (*own, elapsed_seconds):
        found.update(_history(seconds, interval_seconds))
    return tuple(sorted(found))


def replay(
    question: Question,
    said: Iterable[tuple[int, Said]],
    judged: Collection[int],
    last: tuple[float, Said],
) -> Iterator[Look]:
    """Yield what the judge says at each moment of `judged`, and at the last one.

    Parameters
    ----------
    said
        Ascending seconds since the evidence began, before the last moment, and what was said then.
        Read only as far as needed, so it may be read from Prometheus meanwhile.
    last
        The same of the last moment.
    """
    interval = question.settings.analysis.interval_seconds
    seen: list[int] = []
    past: dict[str, dict[int, MemberEvidence | None]] = {}
    present: dict[str, MemberEvidence] = {}
    built: moments.Built = {}
    for seconds, members in said:
        if seconds >= last[0]:
            break
        present = _present(present, members)
        if seconds in judged:
            yield _look(question, seconds, interval, members, present, seen, past, built)
        seen.append(seconds)
        for name, counts in members.items():
            past.setdefault(name, {})[seconds] = counts and counts.coarser(moments.COARSENING)
    present = _present(present, last[1])
    yield _look(question, last[0], interval, last[1], present, seen, past, built)


def _present(before: dict[str, MemberEvidence], said: Said) -> dict[str, MemberEvidence]:
    return before | {name: counts for name, counts in said.items() if counts is not None}


def _history(seconds: float, interval: int) -> tuple[int, ...]:
    return moments.wanted(seconds - moments.SETTLED_SECONDS, interval)


def _look(
    question: Question,
    seconds: float,
    interval: int,
    said: Said,
    present: Mapping[str, MemberEvidence],
    seen: Collection[int],
    past: Mapping[str, Mapping[int, MemberEvidence | None]],
    built: moments.Built,
) -> Look:
    silent = tuple(name for name, counts in said.items() if counts is None)
    if not present:
        return Look(seconds, None, silent, "no member's ledger said anything yet")
    known = set(seen)
    wanted = [moment for moment in _history(seconds, interval) if moment in known]
    then = moments.known_of_all(wanted, past, present)
    try:
        found = question.judgement(present, then, seconds, built)
    except ValueError as error:
        return Look(seconds, None, silent, f"the counts cannot be judged: {error}")
    return Look(seconds, found, silent)
