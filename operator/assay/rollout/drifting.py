"""What is said of the version that serves, beside all that is decided: drift and decay.

Nothing else here reads it: no trigger, no hold, no verdict. It is only shown.
"""

from collections.abc import Iterable

from assay.api.conditions import Condition, ConditionStatus, ConditionType, condition
from assay.api.deployment_status import ModelDeploymentStatus

from .observation import Event, Signals

SIGNALS = (ConditionType.DRIFT_DETECTED, ConditionType.QUALITY_DECAYED)

TOPICS = {
    (ConditionType.DRIFT_DETECTED, True): "dev.assay.drift.detected",
    (ConditionType.DRIFT_DETECTED, False): "dev.assay.drift.ended",
    (ConditionType.QUALITY_DECAYED, True): "dev.assay.quality.decayed",
    (ConditionType.QUALITY_DECAYED, False): "dev.assay.quality.recovered",
}
"""Types of the CloudEvents that tell the same to other programs."""


def signals(
    seen: Signals | None, before: ModelDeploymentStatus, status: ModelDeploymentStatus
) -> Iterable[Condition]:
    """Return the conditions of the version that is stable in `status`.

    What was said last stays while nothing newer is known of the same version: after a restart of the
    operator, for one.
    """
    stable = status.stable
    if stable is None:
        return []
    if seen is not None and seen.revision == stable.revision:
        return [
            condition(kind, said.detected, said.reason, said.message)
            for kind, said in seen.said.items()
        ]
    if before.stable is None or before.stable.revision != stable.revision:
        return []
    return [item for item in before.conditions if item.type in SIGNALS]


def turned(old: Iterable[Condition], new: Iterable[Condition]) -> Iterable[Event]:
    """Yield an event for each signal that began or ended, or that has another reason now."""
    before = {item.type: item for item in old}
    for item in new:
        if item.type not in SIGNALS or item.status is ConditionStatus.UNKNOWN:
            continue
        earlier = before.get(item.type)
        was = earlier is not None and earlier.status is ConditionStatus.TRUE
        now = item.status is ConditionStatus.TRUE
        same = was and earlier is not None and earlier.reason == item.reason
        if (now and not same) or (was and not now):
            topic = TOPICS[ConditionType(item.type), now]
            yield Event("Warning" if now else "Normal", item.reason, item.message, topic)
