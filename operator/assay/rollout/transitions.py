"""The state machine of a rollout: one table, and nothing else decides what may follow what.

Rules
-----

Rule 1. Everything happens by a `Trigger`. A trigger that is not in the row of the present stage is
an illegal transition: `next_stage` raises, and a test walks through every pair.

Rule 2. No data is neither good nor bad. No trigger exists for missing evidence; a trial that gets
none ends by `INCONCLUSIVE`, and that leads back to stable.

Rule 3. Promotion is decided once: `PROMOTE`, or a person, leads out of the trial, and no trigger
leads from Promoting to anything but Done. What was stable before needs no trial (`RESTORED`).

Rule 4. Rollback is absorbing: from RollingBack only Done follows, whatever the evidence says later
and whatever the spec names. A next rollout has another id.

Rule 5. Every stage has a way out that needs nobody: Starting by its deadline, Trial by maxSeconds,
Promoting by its deadline, RollingBack as soon as the routes that can be reached are back. There are two
exceptions. The first start of all has no stable to go back to: it waits, and says so. While a
person holds a rollout, or is waited for, the deadlines of Starting and Trial stand still; a verdict
Rollback still leads out.

Rule 6. A person is one more source of triggers (requests.py) and asks for nothing that the table
does not have. What cannot be done at once is refused.

Theory of operation
-------------------

`decide` (decision.py) is called with the status as it was written last and with what was seen just
now. It looks which triggers hold (triggers.py), applies the first of them (effects.py), looks again,
and stops when none holds. Nothing is remembered outside of status, so a restart changes nothing.

A stage says what is *intended*; what the members should look like follows from it (assay.render).
Whether they look like it is seen at the next call: no step, no promotion and no end of a rollout is
taken before the routes of all reachable members show the one before. That also keeps one call from
running through several steps. Status is written before the members change, except in RollingBack,
where traffic leaves the canary first.

Paused and stalled are conditions beside the stage, not stages. With ``spec.paused: All`` no trigger
is looked at.
"""

import enum
from collections.abc import Mapping

from assay.api.deployment_status import Stage


class Trigger(enum.Enum):
    """What moves a rollout; the value is how the diagram and the log say it."""

    NEW_REVISION = "the spec names a new revision"
    SUPERSEDED = "the spec names yet another revision"
    FIRST_READY = "ready everywhere, nothing to compare with"
    CANARY_READY = "ready in every reachable member"
    DEADLINE_EXCEEDED = "not ready in time"
    LATCHED = "last step and verdict Promote, members are left"
    WAVE_STARTED = "the waves before have served long enough"
    WAVE_FAILED = "a later wave is not ready in time"
    STEP_TAKEN = "time and burn-in are over"
    PROMOTE = "last step and verdict Promote"
    ROLLBACK = "verdict Rollback"
    GUARD_BREACHED = "a guard is breached"
    ROLLBACK_RECORDED = "a member records a rollback"
    REVERTED = "the spec names the canary no more"
    INCONCLUSIVE = "no verdict in time"
    SETTLED = "every reachable route shows it"
    LAGGING = "a member is late, the deadline is over"
    PAUSED = "a person pauses"
    RESUMED = "a person resumes"
    APPROVED = "a person approves"
    STEP_ORDERED = "a person goes on to the next step"
    PROMOTED_BY_HAND = "a person takes the canary"
    ABORTED = "a person aborts"
    RETRIED = "a person tries again what was rejected"
    UNDONE = "a person goes back to an earlier revision"
    RESTORED = "ready everywhere, and stable before"


BY_HAND = frozenset(
    {
        Trigger.PAUSED,
        Trigger.RESUMED,
        Trigger.APPROVED,
        Trigger.STEP_ORDERED,
        Trigger.PROMOTED_BY_HAND,
        Trigger.ABORTED,
        Trigger.RETRIED,
        Trigger.UNDONE,
    }
)
"""Those that answer a request."""


TRANSITIONS: Mapping[Stage | None, Mapping[Trigger, Stage]] = {
    None: {
        Trigger.NEW_REVISION: Stage.STARTING,
    },
    Stage.STARTING: {
        Trigger.ABORTED: Stage.ROLLING_BACK,
        Trigger.ROLLBACK_RECORDED: Stage.ROLLING_BACK,
        Trigger.REVERTED: Stage.ROLLING_BACK,
        Trigger.SUPERSEDED: Stage.STARTING,
        Trigger.PAUSED: Stage.STARTING,
        Trigger.RESUMED: Stage.STARTING,
        Trigger.WAVE_STARTED: Stage.STARTING,
        Trigger.FIRST_READY: Stage.PROMOTING,
        Trigger.RESTORED: Stage.PROMOTING,
        Trigger.CANARY_READY: Stage.TRIAL,
        Trigger.DEADLINE_EXCEEDED: Stage.ROLLING_BACK,
        Trigger.INCONCLUSIVE: Stage.ROLLING_BACK,
    },
    Stage.TRIAL: {
        Trigger.ABORTED: Stage.ROLLING_BACK,
        Trigger.ROLLBACK: Stage.ROLLING_BACK,
        Trigger.GUARD_BREACHED: Stage.ROLLING_BACK,
        Trigger.ROLLBACK_RECORDED: Stage.ROLLING_BACK,
        Trigger.REVERTED: Stage.ROLLING_BACK,
        Trigger.SUPERSEDED: Stage.STARTING,
        Trigger.PAUSED: Stage.TRIAL,
        Trigger.RESUMED: Stage.TRIAL,
        Trigger.APPROVED: Stage.TRIAL,
        Trigger.PROMOTED_BY_HAND: Stage.PROMOTING,
        Trigger.WAVE_FAILED: Stage.ROLLING_BACK,
        Trigger.LATCHED: Stage.TRIAL,
        Trigger.WAVE_STARTED: Stage.TRIAL,
        Trigger.PROMOTE: Stage.PROMOTING,
        Trigger.INCONCLUSIVE: Stage.ROLLING_BACK,
        Trigger.STEP_ORDERED: Stage.TRIAL,
        Trigger.STEP_TAKEN: Stage.TRIAL,
    },
    Stage.PROMOTING: {
        Trigger.SETTLED: Stage.DONE,
        Trigger.LAGGING: Stage.DONE,
    },
    Stage.ROLLING_BACK: {
        Trigger.SETTLED: Stage.DONE,
    },
    Stage.DONE: {
        Trigger.NEW_REVISION: Stage.STARTING,
        Trigger.RETRIED: Stage.STARTING,
        Trigger.UNDONE: Stage.STARTING,
    },
}
"""From each stage (None: there was no rollout yet), the triggers in the order in which they are tried."""


class IllegalTransitionError(Exception):
    """A trigger that the present stage does not know: a bug, never a state of the world."""


def next_stage(stage: Stage | None, trigger: Trigger) -> Stage:
    """Return the stage that follows `stage` on `trigger`.

    Raises
    ------
    IllegalTransitionError
        If the table has no such entry.
    """
    try:
        return TRANSITIONS[stage][trigger]
    except KeyError:
        msg = f"{trigger.name} cannot happen in stage {stage}"
        raise IllegalTransitionError(msg) from None


def mermaid() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for stage, row in TRANSITIONS.items():
        for trigger, following in row.items():
            start = "[*]" if stage is None else stage.value
            lines.append(f"    {start} --> {following.value}: {trigger.value}")
    return "\n".join(lines) + "\n"
