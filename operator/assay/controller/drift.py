"""Asks the members' Prometheus whether what stable is given, or worth, has changed; calmly.

Theory of operation
-------------------
Looks are not made for it, and no look waits for it. One task goes through all ModelDeployments at a
pace of its own (a 288th of `spec.drift.periodSeconds`: five minutes of a day), one after the other, on
a connection to each member that nothing else uses. First every member is asked, in one question and
once a minute at most, which revisions it watches and how many rows they have served. Only those, and
only if rows have come since, are asked about. So a thousand ModelDeployments whose servers watch
nothing cost one small question a minute and member.

What is decided (`assay.drift`) is put beside what is remembered of the ModelDeployment. If a condition
is to turn because of it the worker is woken, and its next look records it as it records anything else.
After a restart conditions stay as they are until the first answer. What is lost then is which features
had drifted, so one that is just above half of its limit counts as ended.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay import drift
from assay.api.conditions import ConditionType
from assay.api.fields import fraction
from assay.drift import decay, questions
from assay.drift.questions import Answer, Reference, Revision
from assay.evidence import EvidenceUnavailable
from assay.members.member import Member
from assay.members.registry import Registry
from assay.rollout.drifting import SIGNALS
from assay.rollout.observation import Signal, Signals

from . import logs, metrics
from .hub import Deployment, Key
from .memory import Memory

LOOKS = 288
"""In a period: every five minutes of a day."""

LEAST_PACE_SECONDS = 5.0
LISTED_SECONDS = 60.0
"""For so long the list of what a member watches is good, or for one pace if that is shorter."""

NEW_ROWS = 200
"""With fewer of them since the last question the answer would be the same."""

PATIENCE_LOOKS = 12
"""Looks after which a question is asked although no rows have come: windows move on."""

ABSENT_LOOKS = 3
"""Looks in a row that find a revision watched nowhere, until that is believed: pods may all be new."""

log = logging.getLogger(__name__)

Lists = Mapping[str, Mapping[Revision, float]]
"""Rows looked at of every watched revision, by member that answered."""


@dataclass
class _Watch:
    """What is remembered of one revision that is stable.

    Attributes
    ----------
    due
        When to look at it next (`time.monotonic`).
    span
        Length of the present that is looked at, seconds.
    rows
        How many there were when it was asked about last; None: never.
    skipped
        Looks since then at which no question was worth it.
    absent
        Looks in a row that found it watched nowhere.
    features, decayed
        Those that had drifted, and why quality had, at the last look.
    """

    revision: Revision
    uid: str
    due: float
    span: int
    reference: Reference | None = None
    rows: float | None = None
    skipped: int = 0
    absent: int = 0
    features: frozenset[str] = frozenset()
    decayed: str = ""

    def is_worth_it(self, rows: float) -> bool:
        """Return whether to ask, now that so many rows were served."""
        if self.rows is None or abs(rows - self.rows) >= NEW_ROWS or self.skipped >= PATIENCE_LOOKS:
            return True
        self.skipped += 1
        return False


@dataclass(frozen=True)
class _Found:
    """What was decided, and the span to look at next."""

    drift: drift.Decision
    quality: decay.Decision | None
    span: int
    numbers: Mapping[str, object] = field(default_factory=dict)


class Drifts:
    """The task.

    Parameters
    ----------
    members
        Who is asked.
    memories
        Returns what is remembered of every ModelDeployment.
    wake
        Called with the key of one of which a condition is to turn.
    """

    def __init__(
        self,
        members: Registry,
        memories: Callable[[], Iterable[tuple[Key, Memory]]],
        wake: Callable[[str, str], None],
    ) -> None:
        self._members = members
        self._memories = memories
        self._wake = wake
        self._watches: dict[Key, _Watch] = {}
        self._lists: Lists = {}
        self._listed = -LISTED_SECONDS

    async def run(self) -> None:
        """Look at whatever is due, for ever."""
        while True:
            await asyncio.sleep(LEAST_PACE_SECONDS)
            try:
                await self.round()
            except Exception:  # nothing of this may end the operator
                log.exception("drift was not looked at")

    async def round(self) -> None:
        """Look at all that is due now."""
        now = time.monotonic()
        due = [each for each in self._standing(now) if self._watches[each[0].key].due <= now]
        if not due:
            return
        await self._list(now, min(_pace(item) for item, _ in due))
        for item, memory in due:
            logs.deployment.set("/".join(item.key))
            watch = self._watches[item.key]
            watch.due = now + _pace(item)
            await self._look(item, memory, watch)
        logs.deployment.set(None)

    def _standing(self, now: float) -> list[tuple[Deployment, Memory]]:
        """Return every ModelDeployment that has a stable revision; forget the others."""
        found = []
        for key, memory in self._memories():
            item = memory.last
            if item is None or item.deleting or item.spec is None or item.status.stable is None:
                continue
            found.append((item, memory))
            revision = Revision(*key, item.status.stable.revision)
            watch = self._watches.get(key)
            if watch is None or (watch.revision, watch.uid) != (revision, item.uid):
                # Evenly, so that not all are asked about at once after a restart.
                due = now + random.uniform(0.0, _pace(item))  # noqa: S311
                span = drift.spans(item.spec.drift.period_seconds)[0]
                self._watches[key] = _Watch(revision, item.uid, due, span)
                metrics.forget_drift(*key)
        for key in self._watches.keys() - {item.key for item, _ in found}:
            del self._watches[key]
            metrics.forget_drift(*key)
        return found

    async def _list(self, now: float, pace: float) -> None:
        """Ask every member what it watches, unless that is known."""
        if now - self._listed < min(LISTED_SECONDS, pace):
            return
        self._listed = now
        members = [member for member in self._members.all() if member.state.reachable]
        answers = await asyncio.gather(
            *(_ask(member, ("watched",), questions.WATCHED) for member in members)
        )
        self._lists = {
            member.name: questions.watched(answer)
            for member, answer in zip(members, answers, strict=True)
            if answer is not None
        }

    async def _look(self, item: Deployment, memory: Memory, watch: _Watch) -> None:
        """Ask about one ModelDeployment where it is watched, and say what is found."""
        rows = {
            name: watched[watch.revision]
            for name, watched in self._lists.items()
            if watch.revision in watched
        }
        if not rows:
            if self._lists and self._lists.keys() >= {each.name for each in self._members.all()}:
                self._absent(item, memory, watch)
            return
        watch.absent = 0
        if not watch.is_worth_it(total := sum(rows.values())):
            return
        members = [member for name in rows if (member := self._members.get(name)) is not None]
        if watch.reference is None:
            watch.reference = await self._reference(members, watch.revision)
        if watch.reference is None or item.spec is None:
            return
        period, margin = item.spec.drift.period_seconds, fraction(item.spec.drift.margin)
        if watch.span not in (spans := drift.spans(period)):
            watch.span = spans[0]  # the period was changed
        starts = _starts(time.time(), period) if watch.reference.f1 is not None else ()
        text = questions.text(watch.revision, watch.span, period, starts)
        answers = await asyncio.gather(*(_ask(each, watch.revision, text) for each in members))
        known = {
            member.name: answer
            for member, answer in zip(members, answers, strict=True)
            if answer is not None
        }
        if not known:
            return
        # In a thread: thousands of series, and the loop serves every rollout.
        found = await asyncio.to_thread(
            _decided, watch, watch.reference, known, period, margin, starts
        )
        watch.rows, watch.skipped, watch.span = total, 0, found.span
        watch.features = found.drift.features
        watch.decayed = found.quality.reason if found.quality and found.quality.detected else ""
        metrics.show_drift(*item.key, found.drift, found.quality)
        self._say(item, memory, _signals(watch.revision.revision, found))

    def _absent(self, item: Deployment, memory: Memory, watch: _Watch) -> None:
        """Say nothing of a revision any more that no member watches."""
        watch.absent += 1
        if watch.absent >= ABSENT_LOOKS:
            metrics.forget_drift(*item.key)
            self._say(item, memory, Signals(watch.revision.revision))

    async def _reference(self, members: Sequence[Member], revision: Revision) -> Reference | None:
        for member in members:
            rows = await _ask(member, revision, questions.reference_text(revision))
            if rows is not None and (found := questions.reference(rows)) is not None:
                return found
        return None

    def _say(self, item: Deployment, memory: Memory, new: Signals) -> None:
        """Remember what is to be said; numbers alone are worth no look."""
        before, memory.signals = memory.signals, new
        shown = any(each.type in SIGNALS for each in item.status.conditions)
        if before is None and not shown and not new.said:
            return  # nothing was watched, and nothing says otherwise
        if before is None or _gist(before) != _gist(new):
            self._wake(*item.key)


def _pace(item: Deployment) -> float:
    """Return the seconds between two looks."""
    period = item.spec.drift.period_seconds if item.spec else drift.DAY_SECONDS
    return max(period / LOOKS, LEAST_PACE_SECONDS)


def _starts(now: float, period: int) -> tuple[int, ...]:
    """Return how many seconds ago the last periods began, which do so at the same times for all."""
    ages = (now % period + past * period for past in range(decay.STARTS))
    return tuple(round(age) for age in ages if age >= 1.0)


async def _ask(member: Member, key: tuple[str, ...], promql: str) -> Sequence[Any] | None:
    """Return what a member answers; None if it does not."""
    metrics.DRIFT_QUESTIONS.labels(member.name).inc()
    try:
        return await member.vector(key, promql, questions.MOST_SERIES)
    except EvidenceUnavailable as error:
        metrics.EVIDENCE_PROBLEMS.labels(member.name, error.reason).inc()
        log.info("member %s was asked about drift: %s", member.name, error)
        return None


def _decided(
    watch: _Watch,
    reference: Reference,
    rows: Mapping[str, Sequence[Any]],
    period: int,
    margin: float,
    starts: Sequence[int],
) -> _Found:
    """Decide on what every member answered."""
    answers = {name: questions.answer(each, watch.span, period) for name, each in rows.items()}
    sights = {name: each.sight for name, each in answers.items()}
    found = drift.decide(reference.window, sights, watch.span, before=watch.features, period=period)
    present = [sight.present.rows for sight in sights.values() if sight.present is not None]
    span = drift.fitting_span(sum(present), watch.span, period) if present else watch.span
    if reference.f1 is None:
        return _Found(found, None, span)
    said = list[Answer](answers.values())
    quality = decay.decide(
        reference.f1,
        margin,
        questions.labelled(said, reference, starts),
        questions.estimated(said, starts),
        before=watch.decayed,
        period=period,
    )
    return _Found(found, quality, span, {"reference": reference.f1, "margin": margin})


def _signals(revision: str, found: _Found) -> Signals:
    features = [
        {
            "feature": each.feature,
            "against": each.against.value,
            "psi": round(each.value, 4),
            "limit": round(each.limit, 4),
            "rows": round(each.rows),
            "seconds": each.seconds,
        }
        for each in found.drift.findings
    ]
    said = {
        ConditionType.DRIFT_DETECTED: Signal(
            found.drift.detected, found.drift.reason, found.drift.message, {"features": features}
        )
    }
    if (quality := found.quality) is not None:
        sources = {
            name: {
                "f1": round(each.value, 4),
                "standardError": round(each.error, 4),
                "rows": round(each.rows),
                "seconds": each.seconds,
                "logE": round(each.log_e, 2),
                "limit": round(decay.LIMIT, 2),
            }
            for name, each in (("labels", quality.labels), ("estimate", quality.estimate))
            if each is not None
        }
        said[ConditionType.QUALITY_DECAYED] = Signal(
            quality.detected, quality.reason, quality.message, {**found.numbers, **sources}
        )
    return Signals(revision, said)


def _gist(seen: Signals) -> object:
    """Return what is worth a look when it changes."""
    said = {kind: (each.detected, each.reason) for kind, each in seen.said.items()}
    return seen.revision, said
