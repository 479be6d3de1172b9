"""The evaluation as JSON that other programs rely on; `assay advise` reads it again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_workbench.calibration import Point
from assay_workbench.comparison import Difference
from assay_workbench.evaluation import (
    ArmEvaluation,
    ClassCurves,
    Evaluation,
    ThresholdTable,
)
from assay_workbench.figure import Figure
from assay_workbench.intervals import SOURCES, Interval
from assay_workbench.thresholds import Costs, Outcome

Floats = NDArray[np.float64]

FORMAT = "assay.dev/evaluation/v1"
"""Of the document; it changes when a field changes its meaning or goes."""

CURVE_POINTS = 200


@dataclass(frozen=True)
class Origin:
    """What was evaluated, for people.

    Attributes
    ----------
    model, baseline
        Paths of the artifacts.
    digest, baseline_digest
        Of the artifacts.
    data, label
        Path of the table, and its column of true classes.
    threshold
        Of the decision rule; `None` if the model decided itself.
    """

    model: str
    digest: str
    data: str
    label: str
    threshold: float | None = None
    baseline: str | None = None
    baseline_digest: str | None = None


def document(evaluation: Evaluation, origin: Origin) -> dict[str, Any]:
    """Return the evaluation as plain values; no number is NaN or infinite."""
    costs = evaluation.settings.costs
    found: dict[str, Any] = {
        "format": FORMAT,
        "model": {"path": origin.model, "digest": origin.digest, "threshold": origin.threshold},
        "data": {
            "path": origin.data,
            "label": origin.label,
            "rows": evaluation.total,
            "classes": [
                {"name": name, "rows": rows, "share": rows / evaluation.total}
                for name, rows in zip(evaluation.classes, evaluation.rows, strict=True)
            ],
        },
        "positive": evaluation.positive,
        "confidence": evaluation.settings.confidence,
        "costs": None
        if costs is None
        else {"falsePositive": costs.false_positive, "falseNegative": costs.false_negative},
        "exact": evaluation.exact,
        **_arm(evaluation.model, costs),
        "baseline": None,
        "comparison": None,
        "intervals": {kind.value: source for kind, source in SOURCES.items()},
    }
    if evaluation.baseline is not None and evaluation.comparison is not None:
        found["baseline"] = {
            "path": origin.baseline,
            "digest": origin.baseline_digest,
            **_arm(evaluation.baseline, costs),
        }
        test = evaluation.comparison.mcnemar
        found["comparison"] = {
            "differences": [_difference(each) for each in evaluation.comparison.differences],
            "mcnemar": {
                "onlyModelRight": test.only_model,
                "onlyBaselineRight": test.only_baseline,
                "p": test.p,
            },
        }
    return found


def _arm(arm: ArmEvaluation, costs: Costs | None) -> dict[str, Any]:
    return {
        "metrics": [_figure(each) for each in arm.figures],
        "confusion": arm.confusion.tolist(),
        "calibration": {
            name: [_point(each) for each in points] for name, points in arm.calibration.items()
        },
        "thresholds": [_thresholds(each, costs) for each in arm.thresholds],
        "curves": [_curves(each) for each in arm.curves],
        "notes": list(arm.notes),
    }


def _name(figure: Figure) -> dict[str, Any]:
    return {
        "metric": figure.metric,
        "average": figure.average,
        "class": figure.of,
        "multiClass": figure.multi_class,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        **_name(figure),
        "value": figure.value,
        **_interval(figure.interval),
        "hidden": figure.hidden,
        "why": figure.why,
    }


def _interval(interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {"lower": None, "upper": None, "interval": None}
    return {"lower": interval.lower, "upper": interval.upper, "interval": interval.kind}


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        **_name(difference.model),
        "model": difference.model.value,
        "baseline": difference.baseline.value,
        "difference": difference.value,
        "lower": difference.interval.lower,
        "upper": difference.interval.upper,
        "hidden": difference.hidden,
        "reading": difference.reading,
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "above": point.low,
        "upTo": point.high,
        "rows": point.rows,
        "predicted": point.predicted,
        "observed": point.observed,
        "lower": point.interval.lower,
        "upper": point.interval.upper,
    }


def _thresholds(table: ThresholdTable, costs: Costs | None) -> dict[str, Any]:
    return {
        "class": table.of,
        "listed": [_outcome(each, costs) for each in table.listed],
        "bestF1": _outcome(table.best_f1, costs),
        "cheapest": None if table.cheapest is None else _outcome(table.cheapest, costs),
        "calibratedThreshold": None if costs is None else costs.calibrated_threshold,
    }


def _outcome(outcome: Outcome, costs: Costs | None) -> dict[str, Any]:
    return {
        "threshold": outcome.threshold,
        "truePositives": outcome.true_positives,
        "falsePositives": outcome.false_positives,
        "falseNegatives": outcome.false_negatives,
        "trueNegatives": outcome.true_negatives,
        "precision": outcome.precision,
        "recall": outcome.recall,
        "f1": outcome.f1,
        "cost": None if costs is None else outcome.cost(costs),
    }


def _curves(curves: ClassCurves) -> dict[str, Any]:
    rates, hits = thinned(*curves.roc)
    recall, precision = thinned(*curves.precision_recall)
    found: dict[str, Any] = {
        "class": curves.of,
        "roc": {"falsePositiveRate": rates, "truePositiveRate": hits},
        "precisionRecall": {"recall": recall, "precision": precision},
        "cost": None,
    }
    if curves.cost is not None:
        threshold, cost = _finite(*curves.cost)
        threshold, cost = thinned(threshold, cost)
        found["cost"] = {"threshold": threshold, "cost": cost}
    return {
        name: {key: list(_rounded(each)) for key, each in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in found.items()
    }


def _finite(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Leave out the ends of the scale, which no score has."""
    inside = np.isfinite(x)
    return x[inside], y[inside]


def thinned(x: Floats, y: Floats, most: int = CURVE_POINTS) -> tuple[Floats, Floats]:
    """Return at most so many points of a curve, about equally far apart along it; both ends are."""
    if x.size <= most:
        return x, y
    spans = [max(float(np.ptp(each)), 1e-300) for each in (x, y)]
    steps = np.abs(np.diff(x)) / spans[0] + np.abs(np.diff(y)) / spans[1]
    along = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], most)))
    places = np.unique(np.concatenate([[0], np.minimum(places, x.size - 1), [x.size - 1]]))
    return x[places], y[places]


def _rounded(values: Sequence[float] | Floats) -> Iterator[float]:
    """Six digits are more than a plot shows."""
    for value in values:
        yield float(f"{value:.6g}")
