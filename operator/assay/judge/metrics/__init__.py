"""The metrics that can decide. A new one is a module with a `Metric` and an entry here."""

from assay.judge.metrics.f1 import F1
from assay.judge.metrics.metric import Guards, Metric, NoValue
from assay.judge.metrics.roc_auc import ROCAUC

METRICS: dict[str, Metric] = {"F1": F1(), "ROCAUC": ROCAUC()}
"""By type, as in the API."""

__all__ = ["METRICS", "Guards", "Metric", "NoValue"]
