"""Why the pods of a revision cannot start, in the words of whoever knows."""

from collections.abc import Iterable, Iterator
from typing import Any

STUCK_PULLING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
STUCK = STUCK_PULLING | {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}

_LIMIT = 600


def failure(pods: Iterable[dict[str, Any]]) -> str | None:
    """Return why a pod cannot start; None while nothing is wrong with any.

    An init container's own last words come first: they say what is wrong with the artifact
    (``DigestMismatch: ...``). Then what the kubelet and the scheduler say.
    """
    found = sorted(item for pod in pods for item in _failures(pod))
    return found[0][1][:_LIMIT] if found else None


def _failures(pod: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield (rank, message); the lowest rank tells most."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") == "Succeeded":
        return
    for rank, group in ((0, "initContainerStatuses"), (1, "containerStatuses")):
        for container in status.get(group) or ():
            if message := _container(container):
                yield rank, message
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield 2, f"Unschedulable: {condition.get('message', '')}".strip()


def _container(container: dict[str, Any]) -> str | None:
    if container.get("ready"):
        return None
    waiting = (container.get("state") or {}).get("waiting") or {}
    ended = _last_end(container)
    if waiting.get("reason") in STUCK_PULLING or (waiting.get("reason") in STUCK and not ended):
        return f"{waiting['reason']}: {waiting.get('message', '')}".strip(": ")
    if ended is None:
        return None
    if message := (ended.get("message") or "").strip():
        return message.splitlines()[-1]
    name, code = container.get("name", "container"), ended.get("exitCode")
    return f"{ended.get('reason') or 'Error'}: {name} exited with code {code}"


def _last_end(container: dict[str, Any]) -> dict[str, Any] | None:
    """Return how the container last ended, if that was in failure."""
    for state in ("state", "lastState"):
        ended = (container.get(state) or {}).get("terminated")
        if ended and ended.get("exitCode"):
            result: dict[str, Any] = ended
            return result
    return None
