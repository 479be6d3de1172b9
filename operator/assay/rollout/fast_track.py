"""Back to a revision that was stable not long ago: no steps and no verdict, but waves and guards.

It goes the way of the later waves of a rollout: its verdict is latched from the start. So it gets the
last step's weight where it is ready, every guard has to be kept, a wave waits for those before, and
a rollback takes it back at any time.
"""

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    HistoryEntry,
    ModelDeploymentStatus,
    RevisionRef,
    RolloutStatus,
    Verdict,
)

from . import changes
from .situation import Situation
from .wording import moment, named


def verdict(
    situation: Situation, status: ModelDeploymentStatus, canary: RevisionRef
) -> DecisionRecord | None:
    """Return the verdict with which `canary` begins; None: it has to be tried.

    Parameters
    ----------
    status
        As it was before the rollout of `canary`.
    """
    count = situation.spec.rollout.fast_track_revisions
    entry = next(
        (item for item in _recent(status, count) if item.revision == canary.revision), None
    )
    rejected = any(item.revision == canary.revision for item in status.rejected_revisions)
    if entry is None or rejected:
        return None
    message = (
        f"{named(canary)} was promoted at {moment(entry.at)} and is one of the last"
        f" {count} that were stable (spec.rollout.fastTrackRevisions): no trial"
    )
    return changes.decision_now(situation, Verdict.PROMOTE, Reason.FAST_TRACK, message)


def first_step(rollout: RolloutStatus) -> int:
    """Return the index of the step with which a trial begins: of a latched one the last with a weight."""
    if rollout.latched is None:
        return 0
    steps = rollout.settings.steps
    return max(index for index, step in enumerate(steps) if not step.pause)


def _recent(status: ModelDeploymentStatus, count: int) -> tuple[HistoryEntry, ...]:
    """Return the newest entry of each of the last revisions that were stable before the present one."""
    found: dict[str, HistoryEntry] = {}
    present = status.stable.revision if status.stable is not None else None
    for item in status.history:
        if item.verdict is Verdict.PROMOTE and item.revision != present:
            found.setdefault(item.revision, item)
    return tuple(found.values())[:count]
