"""The judgement as status shows it."""

from assay.api.analysis import Mode
from assay.api.deployment_status import AnalysisStatus, ModelDeploymentStatus, Verdict
from assay.judge import Judgement, MetricJudgement

from .wording import clip, decimal


def analysis(judgement: Judgement) -> tuple[AnalysisStatus, ...]:
    """Return one entry per metric: four decimals for values, two for logarithms of e-values."""
    return tuple(_entry(metric) for metric in judgement.metrics)


def _entry(metric: MetricJudgement) -> AnalysisStatus:
    return AnalysisStatus(
        metric=metric.name,
        mode=None if metric.decides else Mode.DRY_RUN,
        stable=decimal(metric.stable),
        canary=decimal(metric.canary),
        difference=decimal(metric.difference),
        lower=decimal(metric.lower),
        upper=decimal(metric.upper),
        log_e_promote=decimal(metric.log_e_promote, 2),
        log_e_rollback=decimal(metric.log_e_rollback, 2),
        labels_stable=metric.labels_stable,
        labels_canary=metric.labels_canary,
        verdict=Verdict(metric.verdict.value),
        reason=metric.reason,
        message=clip(metric.message),
    )


def only_numbers_differ(old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> bool:
    """Return whether `new` says nothing but other numbers than `old`.

    Such a status may wait (design 3: at most every 30 s); any other is written at once.
    """
    return _without_numbers(old) == _without_numbers(new)


_OBSERVED: dict[str, object] = {
    "reachable": True,
    "ready": 0,
    "desired": 0,
    "replicas": None,
    "message": "",
    "unreachable_since": None,
    "applied": None,
    "share": None,
}


def decided(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """Return `status` without what it says of how things are: evidence, conditions, pods, placement.

    What should be in a member is a function of this, of the spec and of the pods that placement gives
    it (`assay.render.member`).
    """
    return status.model_copy(
        update={
            "observed_generation": 0,
            "analysis": (),
            "guards": (),
            "conditions": (),
            "share": None,
            "clusters": tuple(each.model_copy(update=_OBSERVED) for each in status.clusters),
        }
    )


def _without_numbers(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    return status.model_copy(
        update={
            "analysis": tuple((item.metric, item.verdict) for item in status.analysis),
            "guards": tuple(
                (item.name, item.member, item.reason, item.since) for item in status.guards
            ),
            "conditions": tuple(
                item.model_copy(update={"message": ""}) for item in status.conditions
            ),
            # It saves writes after a restart, and is worth none of its own.
            "clusters": tuple(
                item.model_copy(update={"applied": None}) for item in status.clusters
            ),
        }
    )
