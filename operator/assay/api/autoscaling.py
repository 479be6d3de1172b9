"""``ModelDeployment.spec.serving.autoscaling``: how many pods there may be, and what their number follows."""

import pydantic

from .fields import Model, int32


class Autoscaling(Model):
    """From how many to how many pods, and how busy each should be.

    Both numbers are totals per revision over all members. Placement divides the most of them as it
    divides ``replicas``; each member's least follows from its share (`assay.placement.floors`).
    """

    min_replicas: int = int32(
        1,
        "At least so many pods per revision over all members. Divided as maxReplicas is, rounded up: every member that serves keeps one at least.",
        ge=1,
        le=1000,
    )
    max_replicas: int = int32(
        ...,
        "At most so many pods per revision over all members, divided by placement as serving.replicas is. Room is kept for all of them.",
        ge=1,
        le=1000,
    )
    target_cpu_utilization_percentage: int = pydantic.Field(
        80,
        alias="targetCPUUtilizationPercentage",
        description="Percent of the CPU that a pod requests (serving.resources) which the pods use on average; more pods come above it, some go below it.",
        ge=1,
        le=1000,
        json_schema_extra={"format": "int32"},
    )


def requests_cpu(resources: str) -> str:
    """Return the CEL expression for whether `resources` ask for CPU; a limit alone asks for as much."""
    return (
        f"!has({resources}.requests) || has({resources}.requests.cpu)"
        f" || (has({resources}.limits) && has({resources}.limits.cpu))"
    )


AUTOSCALING_RULES = (
    (
        "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        "serving.autoscaling.minReplicas must not be larger than maxReplicas",
    ),
)

SERVING_RULES = (
    (
        # A replicas of 1 is what the API server fills in.
        "!has(self.autoscaling) || !has(self.replicas) || self.replicas == 1",
        "serving.replicas is a fixed number and does not go with serving.autoscaling: take it away, and set autoscaling.minReplicas",
    ),
    (
        f"!has(self.autoscaling) || !has(self.resources) || {requests_cpu('self.resources')}",
        "serving.autoscaling needs serving.resources.requests.cpu: the load is measured in percent of it",
    ),
)
"""CEL rules of ``spec.serving``."""
