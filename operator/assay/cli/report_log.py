"""What happened in a rollout, and when: from what status keeps of it. Pure."""

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

from .report_rollout import Subject


class Entry(NamedTuple):
    """One thing that happened."""

    at: datetime.datetime
    what: str
    details: str = ""

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        return {"at": stamp(self.at), "what": self.what, "details": self.details}


def stamp(time: datetime.datetime) -> str:
    """Return a point in time as RFC 3339 has it, in UTC."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log(subject: Subject) -> list[Entry]:
    """Return what happened in the rollout, oldest first."""
    found = [Entry(subject.started_at, "started", f"version {subject.version}")]
    found += _steps(subject)
    found += _waves(subject)
    found += _people(subject)
    if subject.decision is not None:
        decision = subject.decision
        by = f" by {decision.by}" if decision.by else ""
        what = f"{decision.verdict.value} ({decision.reason}){by}"
        found.append(Entry(decision.at, what, decision.message))
    return sorted(found, key=lambda each: each.at)


def _steps(subject: Subject) -> Iterator[Entry]:
    for index, step in enumerate(subject.kept.steps if subject.kept else ()):
        by = f" by {step.by}" if step.by else ""
        # A later step shows that the pause before it was ended.
        approved = f"; approved by {step.approved_by}" if step.approved_by else ""
        yield Entry(
            step.started_at, f"step {index + 1}: {step.weight} %{by}", approved.lstrip("; ")
        )
        if step.shown_at is not None:
            yield Entry(
                step.shown_at, f"step {index + 1} shown", "every member has its pods and its route"
            )


def _waves(subject: Subject) -> Iterator[Entry]:
    if subject.kept is None:
        return
    for wave in subject.kept.waves:
        yield Entry(wave.started_at, f"wave {wave.name} started")
        if wave.arrived_at is not None:
            yield Entry(wave.arrived_at, f"wave {wave.name} arrived", "all its members are ready")
    if (latched := subject.kept.latched) is not None:
        what = f"verdict {latched.verdict.value} ({latched.reason}): the later waves follow"
        yield Entry(latched.at, what, latched.message)


def _people(subject: Subject) -> Iterator[Entry]:
    if subject.kept is not None and (paused := subject.kept.paused) is not None:
        yield Entry(paused.at, f"paused by {paused.by}", paused.reason)
    asked = subject.status.last_request
    if asked is not None and asked.rollout_id == subject.id:
        by = f" by {asked.by}" if asked.by else ""
        what = f"request {asked.verb or 'unreadable'}{by}: {asked.result.value}"
        yield Entry(asked.at, what, asked.message)
