"""Which times a status is still asked for; all others stand still.

Read off `Situation`: trial_due, wave_due, soak_due, step_due and promotion_due say from which times a
deadline counts, and until when. A time whose deadlines are all over acts like any before it.
"""

import datetime
import math
from typing import Any

from assay.api.model_deployment import Rollout
from assay.rollout import waves

from .scope import Scope

NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)

LONG_AGO = "2026-11-01T00:00:00+00:00"
"""Stands for a time whose deadlines are over, or that is never read. In this form none gets older."""

AWAY_BEFORE = "2026-11-01T00:00:10+00:00"
FIRST_STEP = "2026-11-01T00:00:20+00:00"
AWAY_AFTER = "2026-11-01T00:00:30+00:00"
"""Whether a member went away before or after the first step is all that is asked of these.

One that goes away in the very second of the first step counts as after it; the operator, which knows
whole seconds, has it before.
"""


def age(time: str) -> float:
    """Return how many seconds ago a time is."""
    return (NOW - datetime.datetime.fromisoformat(time)).total_seconds()


def timed(body: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Return `body` with no other times than those that a deadline still counts from."""
    for item in body.get("retiredRevisions", ()):
        if age(item["until"]) >= 0:
            item["until"] = LONG_AGO
    rollout = body.get("rollout")
    if rollout is None:
        _forget_reach(body)
        return body
    settings = scope.spec(scope.revisions[0]).rollout
    open_ = rollout["stage"] in {"Starting", "Trial"} and "stable" in body
    starting = open_ and _unready(rollout)
    _trial(rollout, settings, scope, open_=open_)
    _waves(rollout, settings, starting=starting)
    _steps(rollout, settings)
    _restarts(body, rollout, settings, starting=starting)
    return body


def _unready(rollout: dict[str, Any]) -> bool:
    """Return whether the deadline of the present wave runs."""
    last = rollout["waves"][-1]
    stopped = "latched" in rollout and "servingSince" not in last
    return rollout["stage"] == "Starting" or "arrivedAt" not in last or stopped


def _trial(rollout: dict[str, Any], settings: Rollout, scope: Scope, *, open_: bool) -> None:
    """maxSeconds, as long as it runs. Which rollout is the newest is asked of whole records besides."""
    limit = settings.max_seconds + rollout["heldSeconds"]
    late = "heldSince" not in rollout and age(rollout["startedAt"]) >= limit
    if not scope.whole_records and (late or not open_ or "latched" in rollout):
        rollout["startedAt"] = LONG_AGO
    if rollout["stage"] != "Promoting" and "decision" in rollout:
        rollout["decision"]["at"] = LONG_AGO
    if not open_:
        rollout.pop("heldSince", None)
        rollout["heldSeconds"] = 0


def _waves(rollout: dict[str, Any], settings: Rollout, *, starting: bool) -> None:
    """progressDeadlineSeconds of the newest wave, soakSeconds, and maxSeconds after them once latched."""
    limit = settings.progress_deadline_seconds
    for item in rollout["waves"]:
        runs = starting and item is rollout["waves"][-1]
        if "arrivedAt" in item:
            item["arrivedAt"] = LONG_AGO
        if not runs or age(item["progressedAt"]) >= limit:
            item["progressedAt"] = LONG_AGO
        until: float = waves.planned(settings)[item["index"]].soak_seconds
        if "latched" in rollout and item is rollout["waves"][-1]:
            until += settings.max_seconds + rollout["heldSeconds"]
            until = math.inf if "heldSince" in rollout else until
        if "servingSince" in item and age(item["servingSince"]) >= until:
            item["servingSince"] = LONG_AGO


def _steps(rollout: dict[str, Any], settings: Rollout) -> None:
    """minSeconds of the present step."""
    wanted = settings.canary.steps[rollout["step"]].min_seconds
    for index, item in enumerate(rollout["steps"]):
        present = index == len(rollout["steps"]) - 1 and rollout["stage"] == "Trial"
        item["startedAt"] = FIRST_STEP
        if "shownAt" in item and (not present or age(item["shownAt"]) >= wanted):
            item["shownAt"] = FIRST_STEP


def _restarts(
    body: dict[str, Any], rollout: dict[str, Any], settings: Rollout, *, starting: bool
) -> None:
    """What starts the clock of a wave again, if it is later than the wave's own time."""
    since = min(settings.progress_deadline_seconds, age(rollout["waves"][-1]["progressedAt"]))
    if "reachable" in body and not (starting and age(body["reachable"][1]) < since):
        _forget_reach(body)
    if "releasedAt" in rollout and not (starting and age(rollout["releasedAt"]) < since):
        del rollout["releasedAt"]


def _forget_reach(body: dict[str, Any]) -> None:
    if "reachable" in body:
        body["reachable"] = [body["reachable"][0], LONG_AGO]
