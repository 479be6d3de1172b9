"""What a rollout's settings ask of the judge. Whoever judges a trial asks this, and the same."""

from collections.abc import Iterable

from assay.api.analysis import Analysis, Costs, Metric, Mode
from assay.api.fields import fraction
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import Evidence
from assay.judge import MetricSpec, Policy, PromoteOn, RollbackOn
from assay.judge.metrics.positive import only_class
from assay.judge.verdict import Average, MultiClass

UNSEEN = ""
"""Stands for every class that was not seen yet; no label is empty."""


def metric_specs(
    spec: ModelDeploymentSpec, analysis: Analysis, evidence: Evidence | None = None
) -> tuple[MetricSpec, ...]:
    """Return the metrics of `analysis`, for the positive class that `spec` names.

    `evidence` tells what the classes are called, which costs by two numbers need: its labels, and
    which of them is positive if neither the metric nor `spec` says so.

    Raises
    ------
    ValueError
        For settings that exclude each other; the CRD's rules refuse such at admission.
    """
    decision = spec.model.decision
    positive = decision.positive_label if decision else None
    return tuple(_metric_spec(metric, positive, evidence) for metric in analysis.metrics)


def by_labels(spec: ModelDeploymentSpec) -> ModelDeploymentSpec:
    """Return `spec` with nothing but what decides by labels: for plans and simulations.

    Raises
    ------
    ValueError
        If nothing does: the trial is on health and guards only.
    """
    analysis = spec.rollout.analysis
    deciding = tuple(metric for metric in analysis.metrics if metric.mode is Mode.DECIDE)
    if not deciding:
        raise ValueError("no metric decides: a trial on health and guards only needs no labels")
    analysis = analysis.model_copy(update={"metrics": deciding, "guards": ()})
    rollout = spec.rollout.model_copy(update={"analysis": analysis})
    return spec.model_copy(update={"rollout": rollout})


def policy(
    analysis: Analysis,
    *,
    members: int = 1,
    growth: float | None = None,
    by_user: bool = False,
) -> Policy:
    """Return how `analysis` wants the counts judged.

    Parameters
    ----------
    members
        Member clusters of the trial; with several a loss in one of them is looked for too.
    growth
        How many times as many labels there will be at the end of the trial, >= 1, if that is known.
    by_user
        Whether routes draw lots for users, not for requests.
    """
    return Policy(
        confidence=fraction(analysis.confidence),
        rollback_on=RollbackOn(analysis.rollback_on.value),
        min_label_coverage=fraction(analysis.min_label_coverage),
        promote_on=PromoteOn(analysis.promote_on.value),
        by_member=members > 1,
        since_moments=True,
        growth=None if growth is None else max(1.0, growth),
        by_user=by_user,
    )


def _metric_spec(metric: Metric, positive: str | None, evidence: Evidence | None) -> MetricSpec:
    judged = metric.class_ or positive
    multi_class = metric.multi_class or MultiClass.ONE_VS_REST
    return MetricSpec(
        name=metric.name,
        type=metric.type.value,
        margin=fraction(metric.margin),
        floor=None if metric.floor is None else fraction(metric.floor),
        positive_label=judged,
        average=Average(metric.average.value),
        multi_class=MultiClass(multi_class.value),
        beta=1.0 if metric.beta is None else fraction(metric.beta),
        costs=() if metric.costs is None else _costs(metric.costs, judged, evidence),
        decides=metric.mode is Mode.DECIDE,
    )


def _costs(
    costs: Costs, positive: str | None, evidence: Evidence | None
) -> tuple[tuple[str, str, float], ...]:
    if costs.matrix is not None:
        return tuple((each.label, each.predicted, fraction(each.cost)) for each in costs.matrix)
    labels: tuple[str, ...] = ()
    if evidence is not None and evidence.strata:
        arms = [arm for each in evidence.strata for arm in (each.stable, each.canary)]
        labels = arms[0].labels
        positive = only_class(arms) if positive is None else positive
    return pair_costs(
        UNSEEN if positive is None else positive,
        labels,
        fraction(costs.false_positive or "0"),
        fraction(costs.false_negative or "0"),
    )


def pair_costs(
    positive: str, labels: Iterable[str], false_positive: float, false_negative: float
) -> tuple[tuple[str, str, float], ...]:
    """Return what the mistakes of `positive` against every other class cost.

    A stand-in for classes that were not seen yet makes the costs complete: what is compared does
    not depend on which labels came first.
    """
    others = [*sorted(set(labels) - {positive}), UNSEEN]
    return (
        *((other, positive, false_positive) for other in others),
        *((positive, other, false_negative) for other in others),
    )
