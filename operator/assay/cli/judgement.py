"""A judgement as the JSON that other programs rely on."""

from typing import Any

from assay.judge import Judgement, MetricJudgement


def report(judgement: Judgement) -> dict[str, Any]:
    """Shape a judgement of one metric as the JSON that other programs rely on."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        **_numbers(judgement.metrics[0]),
    }


def report_several(judgement: Judgement) -> dict[str, Any]:
    """Shape a judgement of several metrics: the verdict, then what each metric says."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "message": judgement.message,
        "metrics": [
            {
                "name": metric.name,
                "verdict": metric.verdict.value,
                "reason": metric.reason,
                "message": metric.message,
                **_numbers(metric),
            }
            for metric in judgement.metrics
        ],
    }


def _numbers(metric: MetricJudgement) -> dict[str, Any]:
    return {
        "stable": metric.stable,
        "canary": metric.canary,
        "difference": metric.difference,
        "lower": metric.lower,
        "upper": metric.upper,
        "logEPromote": metric.log_e_promote,
        "logERollback": metric.log_e_rollback,
        "otherTests": [
            {
                "test": test.name,
                **({"of": test.of} if test.of else {}),
                "logE": test.log_e,
                "limit": test.limit,
            }
            for test in metric.others
        ],
        "halfWidth": metric.half_width,
        "labels": {"stable": metric.labels_stable, "canary": metric.labels_canary},
    }
