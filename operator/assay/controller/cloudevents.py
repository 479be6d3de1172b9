"""What happened to a ModelDeployment as a CloudEvent, for programs that act on it.

Structured mode, JSON format (CloudEvents 1.0.2): one object, which a log collector can hand on as it is.
"""

import datetime

from assay.api import API_VERSION
from assay.rollout.drifting import TOPICS
from assay.rollout.observation import Event, Signals

from .hub import Deployment


def cloud_event(
    item: Deployment, event: Event, seen: Signals | None, now: datetime.datetime
) -> dict[str, object]:
    """Return the CloudEvent of an event that has a topic, told at `now`.

    Events are told after status is written, so none is told twice; one that is lost with the operator
    can still be seen in the condition.
    """
    kinds = {topic: kind for (kind, _), topic in TOPICS.items()}
    kind, stable = kinds[event.topic], item.status.stable
    said = seen.said.get(kind) if seen is not None else None
    return {
        "specversion": "1.0",
        "id": f"{item.uid}/{kind.value}/{event.reason}/{now:%Y-%m-%dT%H:%M:%SZ}",
        "source": f"/apis/{API_VERSION}/namespaces/{item.namespace}/modeldeployments/{item.name}",
        "type": event.topic,
        "subject": stable.revision if stable else "",
        "time": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        "datacontenttype": "application/json",
        "data": {
            "namespace": item.namespace,
            "name": item.name,
            "version": stable.version if stable else "",
            "digest": stable.digest if stable else "",
            "condition": kind.value,
            "reason": event.reason,
            "message": event.message,
            **(said.data if said is not None else {}),
        },
    }
