"""What the API's settings become for the judge."""

from typing import Any

import numpy as np
import pytest

from assay.api.analysis import Analysis
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence import ArmCounts, Evidence, Stratum
from assay.judge import MetricSpec, PromoteOn, RollbackOn
from assay.judge.metrics import metric_of
from assay.judge.verdict import Average, MultiClass
from assay.rollout.settings import UNSEEN, by_labels, metric_specs, policy


def a_spec(positive: str | None = None) -> ModelDeploymentSpec:
    model = {"uri": "https://m/7", "version": "7", "digest": "sha256:" + "7" * 64}
    decision = {"decision": {"positiveLabel": positive}} if positive else {}
    return ModelDeploymentSpec.model_validate(
        {"model": model | decision, "traffic": {"parentRefs": [{"name": "models"}]}}
    )


def one(positive: str | None = None, evidence: Evidence | None = None, **fields: Any) -> MetricSpec:
    analysis = Analysis.model_validate({"metrics": [{"name": "m", "margin": "0.02", **fields}]})
    [found] = metric_specs(a_spec(positive), analysis, evidence)
    metric_of(found)  # the judge knows such a metric
    return found


def counts(*labels: str) -> Evidence:
    arm = ArmCounts.counted(labels, np.ones((len(labels), len(labels))))
    return Evidence((Stratum("east/0", arm, arm),))


def test_the_defaults_are_those_of_before() -> None:
    f1, auc = metric_specs(a_spec("1"), Analysis())
    assert (f1.type, f1.average, f1.margin, f1.positive_label) == ("F1", Average.BINARY, 0.02, "1")
    assert (auc.type, auc.multi_class) == ("ROCAUC", MultiClass.ONE_VS_REST)
    assert policy(Analysis()).promote_on is PromoteOn.NOT_WORSE


def test_options_reach_the_judge() -> None:
    assert one(type="FBeta", beta="0.5", average="Macro").beta == 0.5
    assert one(type="ROCAUC", average="Weighted", multiClass="OneVsOne").multi_class is (
        MultiClass.ONE_VS_ONE
    )
    assert one("1", type="F1", **{"class": "7"}).positive_label == "7"
    assert one(type="LogLoss", floor="1.5").floor == 1.5
    strict = Analysis.model_validate({"promoteOn": "Better", "rollbackOn": "WorseThanMargin"})
    asked = policy(strict)
    assert (asked.promote_on, asked.rollback_on) == (
        PromoteOn.BETTER,
        RollbackOn.WORSE_THAN_MARGIN,
    )


def test_a_dry_run_is_judged_without_a_say_and_planned_without() -> None:
    metrics = [
        {"name": "f1", "type": "F1", "margin": "0.02"},
        {"name": "auc", "type": "ROCAUC", "margin": "0.01", "mode": "DryRun"},
    ]
    spec = a_spec("1")
    guards = [{"name": "p99", "query": "up", "max": "1"}]
    analysis = Analysis.model_validate({"metrics": metrics, "guards": guards})
    rollout = spec.rollout.model_copy(update={"analysis": analysis})
    spec = spec.model_copy(update={"rollout": rollout})
    assert [each.decides for each in metric_specs(spec, analysis)] == [True, False]
    planned = by_labels(spec).rollout.analysis
    assert ([each.name for each in planned.metrics], planned.guards) == (["f1"], ())


def test_costs_by_matrix() -> None:
    matrix = [{"label": "0", "predicted": "1", "cost": "2.5"}]
    assert one(type="Cost", margin="2", costs={"matrix": matrix}).costs == (("0", "1", 2.5),)


PAIR = {"falsePositive": "1", "falseNegative": "5"}


@pytest.mark.parametrize(
    ("positive", "evidence", "named"),
    [
        pytest.param("1", counts("0", "1"), "1", id="as the spec says"),
        pytest.param(None, counts("0", "1"), "1", id="the second of two"),
        pytest.param("a", counts("a", "b", "c"), "a", id="one of several"),
    ],
)
def test_costs_of_two_mistakes(positive: str | None, evidence: Evidence, named: str) -> None:
    found = one(positive, evidence, type="Cost", margin="2", costs=PAIR).costs
    others = [*sorted(set(evidence.strata[0].stable.labels) - {named}), UNSEEN]
    assert set(found) == {(other, named, 1.0) for other in others} | {
        (named, other, 5.0) for other in others
    }


def test_costs_are_complete_before_the_first_label() -> None:
    assert one("1", type="Cost", margin="2", costs=PAIR).costs == (
        (UNSEEN, "1", 1.0),
        ("1", UNSEEN, 5.0),
    )
    assert one(None, Evidence(()), type="Cost", margin="2", costs=PAIR).costs
