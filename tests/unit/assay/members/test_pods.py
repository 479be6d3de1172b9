"""Why pods cannot start, from what the kubelet and the scheduler write."""

from typing import Any

import pytest

from assay.members.pods import failure


def a_pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "fraud-1"}, "status": status}


def waiting(reason: str, message: str = "", **last: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "server", "ready": False, "state": state, "lastState": last}


def terminated(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


MISMATCH = "DigestMismatch: https://m has digest sha256:a, spec.model.digest is sha256:b"


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (a_pod(containerStatuses=[{"name": "server", "ready": True}]), None),
        (a_pod(containerStatuses=[waiting("PodInitializing")]), None),
        (
            a_pod(
                initContainerStatuses=[
                    waiting("CrashLoopBackOff", "back-off 10s", **terminated(1, f"{MISMATCH}\n"))
                ]
            ),
            MISMATCH,
        ),
        (
            a_pod(
                containerStatuses=[
                    waiting("CrashLoopBackOff", "b", **terminated(137, "", "OOMKilled"))
                ]
            ),
            "OOMKilled: server exited with code 137",
        ),
        (
            a_pod(containerStatuses=[waiting("ImagePullBackOff", 'Back-off pulling image "x"')]),
            'ImagePullBackOff: Back-off pulling image "x"',
        ),
        (
            a_pod(containerStatuses=[waiting("CreateContainerConfigError", "no secret")]),
            "CreateContainerConfigError: no secret",
        ),
        (
            a_pod(
                conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1"}]
            ),
            "Unschedulable: 0/1",
        ),
        (a_pod(phase="Pending"), None),
        (a_pod(phase="Succeeded", containerStatuses=[waiting("CrashLoopBackOff", "x")]), None),
    ],
)
def test_failure(pod: dict[str, Any], expected: str | None) -> None:
    assert failure([pod]) == expected


def test_the_artifact_is_named_before_the_scheduler() -> None:
    unschedulable = a_pod(
        conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1"}]
    )
    broken = a_pod(
        initContainerStatuses=[waiting("CrashLoopBackOff", "", **terminated(1, MISMATCH))]
    )
    assert failure([unschedulable, broken]) == MISMATCH


def test_a_pod_that_ends_says_nothing() -> None:
    pod = a_pod(containerStatuses=[waiting("ImagePullBackOff", "x")])
    pod["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert failure([pod]) is None
