"""What kstatus says of an object without rules of its own: the documented algorithm, in its order.

Source: "The kstatus library", sigs.k8s.io/cli-utils/pkg/kstatus. `make flux` has the real one.
"""

from typing import Any


def compute(document: dict[str, Any]) -> str:
    """Return Terminating, InProgress, Failed or Current."""
    metadata, status = document["metadata"], document.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions", ())
    for item in conditions:
        if (item["type"], item["status"]) == ("Reconciling", "True"):
            return "InProgress"
        if (item["type"], item["status"]) == ("Stalled", "True"):
            return "Failed"
    ready = next((item["status"] for item in conditions if item["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"
