"""What a rollout's settings ask of the judge. Whoever judges a trial asks this, and the same."""

from assay.api.fields import fraction
from assay.api.model_deployment import Analysis, ModelDeploymentSpec
from assay.judge import MetricSpec, Policy, RollbackOn


def metric_specs(spec: ModelDeploymentSpec, analysis: Analysis) -> tuple[MetricSpec, ...]:
    """Return the metrics of `analysis`, for the positive class that `spec` names."""
    decision = spec.model.decision
    return tuple(
        MetricSpec(
            name=metric.name,
            type=metric.type.value,
            margin=fraction(metric.margin),
            floor=None if metric.floor is None else fraction(metric.floor),
            positive_label=decision.positive_label if decision else None,
        )
        for metric in analysis.metrics
    )


def policy(analysis: Analysis) -> Policy:
    """Return how `analysis` wants the counts judged."""
    return Policy(
        confidence=fraction(analysis.confidence),
        rollback_on=RollbackOn(analysis.rollback_on.value),
        min_label_coverage=fraction(analysis.min_label_coverage),
    )
