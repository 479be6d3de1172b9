"""What `assay advise` reads: a table with labels, or the JSON of `assay evaluate`."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from assay_server.models.classes import class_name
from assay_workbench import intervals
from assay_workbench.confusion import pair_of_costs
from assay_workbench.dataset import Dataset
from assay_workbench.document import FORMAT
from assay_workbench.errors import WorkbenchError
from assay_workbench.intervals import Kind
from assay_workbench.margins import Known
from assay_workbench.rules import RULES, Choice
from assay_workbench.situation import Situation, Use
from assay_workbench.thresholds import Costs

_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Read:
    """What a file says.

    Attributes
    ----------
    known
        Stable's values by `Choice.name`.
    cheapest
        The threshold that the report found to be cheapest, and the costs that it is of; `None`
        without one.
    """

    situation: Situation
    known: Mapping[str, Known]
    cheapest: tuple[float, Costs] | None = None


def of_table(dataset: Dataset) -> Situation:
    """Count the classes of a table. Raises `WorkbenchError`."""
    counts: Counter[str] = Counter()
    for batch in dataset.batches([dataset.label]):
        for value, rows in Counter(batch.columns.column(dataset.label).to_pylist()).items():
            if value is None or value != value:  # noqa: PLR0124 - NaN
                raise WorkbenchError(
                    f"{dataset.path}: column {dataset.label!r} is empty in {rows} of the rows from "
                    f"{batch.first} on: every row needs its true class"
                )
            counts[class_name(value)] += rows
        if len(counts) > _MOST_CLASSES:
            raise WorkbenchError(
                f"{dataset.path}: column {dataset.label!r} has more than {_MOST_CLASSES} values: is "
                "it the class? Name the column with --label"
            )
    if not counts:
        raise WorkbenchError(f"{dataset.path}: has no rows")
    return Situation(tuple(sorted(counts.items())))


def of_report(path: Path, costs: Costs | None, positive: str | None) -> Read:
    """Read the JSON of `assay evaluate`: its baseline is stable if it has one, else its model.

    Raises `WorkbenchError`.
    """
    report = _load(path)
    try:
        classes = tuple((each["name"], int(each["rows"])) for each in report["data"]["classes"])
        stated = report["costs"]
        if costs is None and stated is not None:
            costs = Costs(float(stated["falsePositive"]), float(stated["falseNegative"]))
        asked = report["positive"] if positive is None else positive
        situation = Situation(classes, asked, costs=costs)
        arm = report if report["baseline"] is None else report["baseline"]
        known = _known(arm, situation, float(report["confidence"]))
        cheapest = _cheapest(report, situation.judged)
    except (KeyError, TypeError, ValueError) as error:
        raise WorkbenchError(f"{path}: is no whole report of assay evaluate: {error}") from None
    return Read(situation, known, cheapest)


def asked(
    read: Read,
    *,
    use: Use,
    positive: str | None,
    costs: Costs | None,
    label_rate: float | None,
    values: Mapping[str, float],
) -> Read:
    """Add what the options say. Raises `WorkbenchError`."""
    situation = read.situation
    names = [name for name, _ in situation.classes]
    if positive is not None and positive not in names:
        raise WorkbenchError(f"--positive: {positive!r} is not one of {', '.join(names)}")
    situation = replace(
        situation,
        use=use,
        positive=situation.positive if positive is None else positive,
        costs=situation.costs if costs is None else costs,
        label_rate=label_rate,
    )
    if situation.costs is not None and situation.judged is None:
        raise WorkbenchError(
            f"--cost-fp and --cost-fn are about one class: name it with --positive, one of "
            f"{', '.join(names)}"
        )
    known = dict(read.known)
    possible = {rule.use.name for rule in RULES if rule.use is not None}
    for name, value in values.items():
        if name not in possible:
            raise WorkbenchError(f"--value: {name!r} is not one of {', '.join(sorted(possible))}")
        known[name] = Known(value)
    return Read(situation, known, read.cheapest)


def _load(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise WorkbenchError(f"{path}: is not JSON: {error}") from None
    found = report.get("format") if isinstance(report, dict) else None
    if found != FORMAT:
        raise WorkbenchError(
            f"{path}: is no report of this version of assay evaluate: its format is {found!r}, not "
            f"{FORMAT!r}; make it with assay evaluate -o json"
        )
    return dict(report)


def _cheapest(report: Mapping[str, Any], judged: str | None) -> tuple[float, Costs] | None:
    stated = report["costs"]
    for each in report["thresholds"]:
        if stated is not None and each["class"] == judged and each["cheapest"] is not None:
            costs = Costs(float(stated["falsePositive"]), float(stated["falseNegative"]))
            return float(each["cheapest"]["threshold"]), costs
    return None


def _known(arm: Any, situation: Situation, confidence: float) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for rule in RULES:
        choice = rule.use
        if choice is None:
            continue
        if choice.type == "Cost":
            cost = _cost(arm, situation)
            if cost is not None:
                found[choice.name] = cost
            continue
        figure = _figure(arm, choice, situation.judged)
        if figure is None or figure["value"] is None:
            continue
        recall = _figure(arm, Choice("Recall"), situation.judged)
        found[choice.name] = Known(
            float(figure["value"]),
            recall["value"] if choice == Choice("F1") and recall is not None else None,
            _variance(figure, situation.rows, confidence),
        )
    return found


def _figure(arm: Any, choice: Choice, judged: str | None) -> dict[str, Any] | None:
    """Return a figure of the report: a binary one is that of the judged class."""
    of_rows = choice.type in {"Accuracy", "Brier", "LogLoss"}
    average = None if of_rows or choice.average.value == "Binary" else choice.average.value
    of = None if of_rows or average is not None else judged
    for each in arm["metrics"]:
        same = (each["metric"], each["class"]) == (choice.type, of)
        if same and each["multiClass"] == choice.multi_class and average in {None, each["average"]}:
            return dict(each)
    return None


def _variance(figure: Mapping[str, Any], rows: int, confidence: float) -> float | None:
    """Return the variance of one row that an interval stands for, where it stands for one."""
    value, upper = float(figure["value"]), figure["upper"]
    z = intervals.quantile(confidence)
    if figure["interval"] == Kind.NORMAL:
        error = (float(upper) - value) / z
    elif figure["interval"] == Kind.LOGIT and 0.0 < value < 1.0 and float(upper) < 1.0:
        error = float(logit(upper) - logit(value)) / z * value * (1.0 - value)
    else:
        return None
    return error * error * rows if error > 0.0 and math.isfinite(error) else None


def _cost(arm: Any, situation: Situation) -> Known | None:
    """Reckon the mean cost anew: the costs may be others than those of the report."""
    if situation.costs is None or situation.judged is None:
        return None
    matrix = np.array(arm["confusion"], dtype=np.float64)
    place = [name for name, _ in situation.classes].index(situation.judged)
    costs = pair_of_costs(
        len(matrix), place, situation.costs.false_positive, situation.costs.false_negative
    )
    shares = matrix / matrix.sum()
    mean = float((shares * costs).sum())
    variance = float((shares * costs**2).sum()) - mean * mean
    return Known(mean, None, variance) if mean > 0.0 else None
