"""What the guards of a trial say: from readings and what was known before to a state per member.

Theory of operation
-------------------
A guard is a threshold, not a test: it has no bound on false alarms (docs/guards.md). In a member it
is *kept* while its value is within the limit, *pending* from the first look that finds it beyond,
and *breached* when every look for `forSeconds` found it so and the canary took `minRequests`
there. One look within the limit ends that.

No data is neither good nor bad: the clock stands still. `since` is moved on by the time in which
there was no value, so silence neither clears a guard that is pending nor brings its breach nearer.

Everything that is remembered is in status, so a restart forgets nothing.
"""

import datetime
from collections.abc import Collection, Iterable, Iterator

from assay.api.analysis import Guard, Mode
from assay.api.deployment_status import GUARDS, GuardStatus
from assay.api.fields import fraction

from .observation import GuardReading
from .wording import clip, moment

KEPT = "GuardKept"
PENDING = "GuardPending"
BREACHED = "GuardBreached"
TOO_FEW_REQUESTS = "GuardTooFewRequests"
NO_DATA = "GuardNoData"

Key = tuple[str, str]


def evaluate(
    guards: Iterable[Guard],
    before: Iterable[GuardStatus],
    readings: Iterable[GuardReading],
    members: Collection[str],
    now: datetime.datetime,
) -> tuple[GuardStatus, ...]:
    """Return what each guard says of each member, by guard and member.

    Parameters
    ----------
    before
        What was said at the last look.
    readings
        What was read since; a guard and member without one has no data.
    members
        Those that are asked. Of others only what is pending is remembered.
    now
        Not before the last look.
    """
    known = {(item.name, item.member): item for item in before}
    read = {(item.guard, item.member): item for item in readings}
    return tuple(
        _state(guard, member, known.get((guard.name, member)), read.get((guard.name, member)), now)
        for guard in guards
        for member in _asked(guard, members, known)
    )


def deciding(states: Iterable[GuardStatus], members: Collection[str]) -> Iterator[GuardStatus]:
    """Yield the states that have a say: not of a dry run, and of `members`."""
    return (item for item in states if item.mode is None and item.member in members)


def worst(states: tuple[GuardStatus, ...]) -> tuple[GuardStatus, ...]:
    """Return as many as status admits: those that decide and are beyond their limit first, the oldest of them first."""

    def rank(item: GuardStatus) -> tuple[bool, bool, bool, float]:
        since = item.since.timestamp() if item.since else 0.0
        return item.mode is not None, item.since is None, item.reason == KEPT, since

    kept = {(item.name, item.member) for item in sorted(states, key=rank)[:GUARDS]}
    return tuple(item for item in states if (item.name, item.member) in kept)


def due(guards: Iterable[Guard], states: Iterable[GuardStatus]) -> Iterator[datetime.datetime]:
    """Yield when time alone makes a breach of what is pending; in silence its clock stands still."""
    spans = {item.name: datetime.timedelta(seconds=item.for_seconds) for item in guards}
    for item in states:
        if item.since is not None and item.silent_since is None and item.name in spans:
            yield item.since + spans[item.name]


def summary(state: GuardStatus) -> str:
    """Return a state in one clause, for conditions and events."""
    return f"guard {state.name} in {state.member}: {state.message}"


def _asked(guard: Guard, members: Collection[str], known: dict[Key, GuardStatus]) -> Iterator[str]:
    yield from members
    for (name, member), item in known.items():
        if name == guard.name and member not in members and item.since is not None:
            yield member


def _state(
    guard: Guard,
    member: str,
    before: GuardStatus | None,
    reading: GuardReading | None,
    now: datetime.datetime,
) -> GuardStatus:
    since = before.since if before else None
    silent = before.silent_since if before else None
    value = reading.value if reading else None
    requests = reading.requests if reading else before.requests if before else 0
    if reading is None or value is None:
        reason = reading.reason if reading and reading.reason else NO_DATA
        said = (reading.message if reading else "") or "the query gave no value"
        silent = silent or now if since else None
        return _status(guard, member, reason, said, requests, since=since, silent_since=silent)
    if not _is_beyond(guard, value):
        since = None
    elif since is None:
        since = now
    elif silent is not None:
        since += now - silent
    reason, said = _judged(guard, value, requests, since, now)
    return _status(guard, member, reason, said, requests, value=_text(value), since=since)


def _judged(
    guard: Guard,
    value: float,
    requests: int,
    since: datetime.datetime | None,
    now: datetime.datetime,
) -> tuple[str, str]:
    """Return reason and message for a value that was read."""
    seen = f"{_text(value)}, must be {limit(guard)}"
    if since is not None:
        seen += f", beyond it since {moment(since)}"
    if requests < guard.min_requests:
        return TOO_FEW_REQUESTS, (
            f"{seen}; the canary took {requests} of the {guard.min_requests} requests (minRequests)"
            " from which on it counts"
        )
    if since is None:
        return KEPT, seen
    seen += f" ({requests} requests)"
    if now - since >= datetime.timedelta(seconds=guard.for_seconds):
        return BREACHED, f"{seen}, for at least {guard.for_seconds} s"
    return PENDING, f"{seen}; after {guard.for_seconds} s of that it is breached"


def _is_beyond(guard: Guard, value: float) -> bool:
    above = guard.max_ is not None and value > fraction(guard.max_)
    below = guard.min_ is not None and value < fraction(guard.min_)
    return above or below


def limit(guard: Guard) -> str:
    """Return what the value must keep to."""
    return f"<= {guard.max_}" if guard.max_ is not None else f">= {guard.min_}"


def _text(value: float) -> str:
    return f"{value:.6g}"


def _status(
    guard: Guard,
    member: str,
    reason: str,
    message: str,
    requests: int,
    *,
    value: str | None = None,
    since: datetime.datetime | None = None,
    silent_since: datetime.datetime | None = None,
) -> GuardStatus:
    return GuardStatus(
        name=guard.name,
        member=member,
        mode=Mode.DRY_RUN if guard.mode is Mode.DRY_RUN else None,
        value=value,
        limit=limit(guard),
        requests=requests,
        reason=reason,
        since=since,
        silent_since=silent_since,
        message=clip(message),
    )
