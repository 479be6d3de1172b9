"""The metrics that can decide. A new one is a module with a `Metric` and an entry here.

`metric` says what a metric is; `tables` reads counts, `positive` says of which class. Ratios of the
confusion matrix are in `ratios` (their components in `binary_ratio` and `class_ratio`), means over
rows in `cost` and `losses`, rankings in `roc_auc` and `average_precision`.
"""

import functools
from collections.abc import Callable

from assay.judge.metrics.average_precision import AveragePrecision
from assay.judge.metrics.cost import Cost
from assay.judge.metrics.losses import Brier, LogLoss
from assay.judge.metrics.metric import Component, Guards, Metric, NoValue, Reading
from assay.judge.metrics.ratios import Accuracy, ratio
from assay.judge.metrics.roc_auc import ROCAUC
from assay.judge.verdict import MetricSpec

METRICS: dict[str, Callable[[MetricSpec], Metric]] = {
    "Accuracy": lambda _: Accuracy(),
    "Precision": lambda spec: ratio(spec, "precision", 0.0, 1.0),
    "Recall": lambda spec: ratio(spec, "recall", 1.0, 0.0),
    "F1": lambda spec: ratio(spec, "F1", 1.0, 1.0),
    "FBeta": lambda spec: ratio(spec, f"F{spec.beta:g}", spec.beta**2, 1.0),
    "ROCAUC": ROCAUC,
    "AveragePrecision": AveragePrecision,
    "LogLoss": LogLoss,
    "Brier": Brier,
    "Cost": Cost,
}
"""By type, as in the API."""


@functools.lru_cache(maxsize=256)
def metric_of(spec: MetricSpec) -> Metric:
    """Make the metric that `spec` asks for; metrics have no state, so it is made once.

    Raises
    ------
    ValueError
        When there is no such metric, or its settings exclude each other.
    """
    if spec.type not in METRICS:
        msg = f"type: {spec.type!r} is not one of {', '.join(METRICS)}"
        raise ValueError(msg)
    return METRICS[spec.type](spec)


__all__ = ["METRICS", "Component", "Guards", "Metric", "NoValue", "Reading", "metric_of"]
