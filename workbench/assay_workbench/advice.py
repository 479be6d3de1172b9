"""The advice: which metric, which not, which margin, and the `analysis` block to paste."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
import yaml

from assay.api.analysis import Analysis
from assay.judge.planner import PlanError
from assay.judge.verdict import Average
from assay_workbench import rules
from assay_workbench.errors import WorkbenchError
from assay_workbench.margins import Known, Margin, assumed, supported
from assay_workbench.rules import Choice, Rule
from assay_workbench.situation import Situation


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes
    ----------
    rules
        Those whose condition holds, in the table's order.
    margins
        Of the metric that decides, then of those to watch; empty without a label rate.
    block
        ``spec.rollout.analysis``, valid by the API's types; `None` without margins.
    """

    situation: Situation
    rules: tuple[Rule, ...]
    choices: tuple[Choice, ...]
    margins: tuple[Margin, ...]
    block: Mapping[str, Any] | None


def advise(situation: Situation, known: Mapping[str, Known]) -> Advice:
    """Choose.

    Parameters
    ----------
    known
        How stable does, by `Choice.name`; what is left out is assumed.

    Raises
    ------
    WorkbenchError
        If there are rows of one class only, or a value cannot be planned with.
    """
    seen = [name for name, rows in situation.classes if rows]
    if len(seen) < 2:
        raise WorkbenchError(
            f"all {situation.rows} rows are of class {', '.join(map(repr, seen))}: rows of two "
            "classes are needed to choose a metric"
        )
    found = rules.that_hold(situation)
    choices = rules.chosen(found)
    if situation.label_rate is None:
        return Advice(situation, found, choices, (), None)
    margins = tuple(_margins(situation, choices, known))
    return Advice(situation, found, choices, margins, block(situation, margins))


def _margins(
    situation: Situation, choices: tuple[Choice, ...], known: Mapping[str, Known]
) -> list[Margin]:
    found = []
    for place, choice in enumerate(choices):
        given = known.get(choice.name)
        try:
            found.append(supported(choice, given or assumed(choice, situation), situation))
        except PlanError as error:
            if place:
                continue  # What is only watched need not be planned.
            raise WorkbenchError(
                f"{choice.name}: {error.field}: {error.problem}; give another value with --value "
                f"{choice.name}=VALUE"
            ) from None
    return found


def block(situation: Situation, margins: tuple[Margin, ...]) -> Mapping[str, Any]:
    """Return ``spec.rollout.analysis`` as plain values, checked against the API's types.

    Raises `WorkbenchError` for what the API cannot hold: a class of more than 63 letters, say.
    """
    document = {
        "confidence": "0.95",
        "promoteOn": "NotWorse",
        "rollbackOn": "Worse",
        "metrics": [
            _metric(situation, margin, decides=place == 0) for place, margin in enumerate(margins)
        ],
    }
    try:
        Analysis.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise WorkbenchError(
            f"a ModelDeployment cannot hold this: {path}: {first['msg']}; costs need a unit in which "
            "they are below 1000000000 with nine digits behind the point, classes up to 63 letters"
        ) from None
    return document


def _metric(situation: Situation, margin: Margin, *, decides: bool) -> dict[str, Any]:
    choice = margin.choice
    found: dict[str, Any] = {"name": choice.name, "type": choice.type}
    if not decides:
        found["mode"] = "DryRun"
    if choice.average is not Average.BINARY:
        found["average"] = choice.average.value
    elif choice.type != "Accuracy" and situation.judged is not None:
        found["class"] = situation.judged
    if choice.multi_class is not None:
        found["multiClass"] = choice.multi_class.value
    if choice.type == "Cost" and situation.costs is not None:
        found["costs"] = {
            "falsePositive": decimal(situation.costs.false_positive),
            "falseNegative": decimal(situation.costs.false_negative),
        }
    found["margin"] = decimal(margin.margin)
    return found


def decimal(number: float) -> str:
    """Write a number as the API takes it: no exponent, at most nine digits behind the point."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def manifest(advice: Advice) -> str:
    """Return the block as YAML, to paste under ``spec.rollout``."""
    return yaml.safe_dump({"analysis": dict(advice.block or {})}, sort_keys=False, width=100)
