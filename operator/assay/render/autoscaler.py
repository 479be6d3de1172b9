"""The HorizontalPodAutoscaler of one revision in a member."""

from dataclasses import dataclass
from typing import Any

from .naming import Manifest


@dataclass(frozen=True)
class Range:
    """From how many to how many pods, and the percent of the requested CPU that they should use."""

    least: int
    most: int
    cpu_percent: int


def autoscaler(metadata: dict[str, Any], scaling: Range) -> Manifest:
    """Return the HorizontalPodAutoscaler of the Deployment that has the same name."""
    target = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": metadata["name"],
            },
            "minReplicas": scaling.least,
            "maxReplicas": max(scaling.most, scaling.least),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
