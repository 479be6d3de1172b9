"""Advice: margins by the planner, and a block that the API takes."""

import pytest
import yaml

from assay.api.analysis import Analysis
from assay.judge.planner import plan
from assay.judge.verdict import Average, MultiClass
from assay_workbench import margins
from assay_workbench.advice import advise, decimal, manifest
from assay_workbench.errors import WorkbenchError
from assay_workbench.margins import Known, rounded_up, supported
from assay_workbench.rules import RULES, Choice
from assay_workbench.situation import SECONDS_PER_DAY, Situation, Use
from assay_workbench.thresholds import Costs

RARE = (("no", 970), ("yes", 30))
ALIKE = (("a", 300), ("b", 350), ("c", 350))


@pytest.mark.parametrize(
    "costs", [None, Costs(1, 40), Costs(0.001, 0.5), Costs(1e7, 1e8), Costs(0, 1e-5)]
)
@pytest.mark.parametrize("use", Use)
@pytest.mark.parametrize("classes", [RARE, ALIKE], ids=["rare", "alike"])
@pytest.mark.parametrize("rate", [0.001, 1.0, 1000.0])
def test_the_block_is_valid(classes, use, costs, rate):
    positive = classes[-1][0] if costs else None
    advice = advise(Situation(classes, positive, use, costs, rate), {})
    pasted = yaml.safe_load(manifest(advice))["analysis"]
    analysis = Analysis.model_validate(pasted)
    deciding = [metric for metric in analysis.metrics if metric.mode == "Decide"]
    assert [metric.name for metric in deciding] == [advice.choices[0].name]
    for metric in analysis.metrics:
        # The rules of the CRD, which pydantic does not know.
        pair = metric.costs
        largest = max(float(pair.false_positive), float(pair.false_negative)) if pair else 1.0
        assert 0.0 < float(metric.margin) < max(1.0, largest)
        assert (metric.costs is not None) == (metric.type == "Cost")
        assert metric.class_ is None or (metric.average == "Binary" and metric.type != "Accuracy")
        assert metric.multi_class is None or metric.average != "Binary"


CHOICES = [
    Choice("F1"), Choice("ROCAUC"), Choice("AveragePrecision"), Choice("Accuracy"), Choice("Brier"),
    Choice("Cost"),
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.type)
def test_the_margin_is_the_smallest_that_a_days_labels_support(choice):
    situation = Situation(RARE, "yes", costs=Costs(1, 10), label_rate=2.0)
    known = margins.assumed(choice, situation)
    found = supported(choice, known, situation)
    assert found.in_a_day
    assert found.seconds <= SECONDS_PER_DAY
    # One unit of the last digit less, and it would take longer.
    spec = margins.spec_of(choice, situation, found.margin * 0.9)
    baseline = margins._baseline(choice, known, situation)
    slower = plan(margins._question(spec, baseline, 2.0))
    assert slower.promote[0.8].seconds > SECONDS_PER_DAY


def test_labels_that_are_too_few_are_said_to_be():
    situation = Situation(RARE, "yes", label_rate=0.0005)
    found = supported(Choice("F1"), Known(0.8), situation)
    assert not found.in_a_day
    assert found.seconds > SECONDS_PER_DAY


def test_more_labels_support_a_smaller_margin():
    each = [
        supported(Choice("F1"), Known(0.8), Situation(RARE, "yes", label_rate=rate)).margin
        for rate in (1.0, 10.0, 100.0)
    ]
    assert each == sorted(each, reverse=True)


def test_without_a_label_rate_there_is_no_margin():
    advice = advise(Situation(RARE), {})
    assert (advice.margins, advice.block) == ((), None)


def test_one_class_only():
    with pytest.raises(WorkbenchError, match="all 5 rows are of class 'a'"):
        advise(Situation((("a", 5), ("b", 0))), {})


def test_a_value_that_cannot_be():
    with pytest.raises(WorkbenchError, match=r"f1: .*--value f1=VALUE"):
        advise(Situation(RARE, label_rate=1.0), {"f1": Known(-0.5)})


@pytest.mark.parametrize(
    ("classes", "costs"),
    [((("no", 970), ("y" * 70, 30)), None), (RARE, Costs(1e9, 1e10))],
    ids=["a long name", "costs"],
)
def test_what_a_manifest_cannot_hold_is_said(classes, costs):
    with pytest.raises(WorkbenchError, match=r"a ModelDeployment cannot hold this: metrics\.0"):
        advise(Situation(classes, costs=costs, label_rate=1.0), {})


def test_names_are_dns_labels_and_differ():
    choices = {rule.use for rule in RULES if rule.use is not None}
    names = [choice.name for choice in choices]
    assert len(set(names)) == len(names)
    assert Choice("ROCAUC", Average.MACRO, MultiClass.ONE_VS_ONE).name == "macro-auc"


@pytest.mark.parametrize(
    ("number", "text"), [(0.05, "0.05"), (40.0, "40"), (1e-7, "0.0000001"), (12.5, "12.5")]
)
def test_decimals_have_no_exponent(number, text):
    assert decimal(number) == text


@pytest.mark.parametrize(("number", "expected"), [(0.0101, 0.011), (0.01, 0.01), (3.21, 3.3)])
def test_margins_are_rounded_up(number, expected):
    assert rounded_up(number) == pytest.approx(expected)
