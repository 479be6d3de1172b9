"""Near-perfect models, several classes, other metrics, `promoteOn: Better`, and a collapse."""

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.judge import MetricSpec, Policy, RollbackOn
from assay.judge.verdict import Average, PromoteOn
from tests.simulation import models, values
from tests.simulation.experiments.case import Case, Plan, plain, simulate
from tests.simulation.judging import MODES, Kind
from tests.simulation.oracle import labels_needed
from tests.simulation.scenarios import TRUTHS
from tests.simulation.values import Floats, Value

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = (0.4, 0.3, 0.15, 0.1, 0.05)
SHARE = 0.2
SMALL = Plan(looks=60, per_look=100, share=SHARE)
BETTER = {mode.value: Policy(rollback_on=mode, promote_on=PromoteOn.BETTER) for mode in RollbackOn}


def near_perfect() -> dict[str, Case]:
    """Stable is nearly without error; the margin is .02."""
    d = 0.02
    macro = MetricSpec("m", "F1", d, average=Average.MACRO)
    aims = {
        "F1 .999": (MetricSpec("m", "F1", d), 0.999, models.relevant_f1, {}),
        "AUC .995": (MetricSpec("m", "ROCAUC", d), 0.995, models.ranked, {"bins": models.BINS}),
        "AUC .9999": (MetricSpec("m", "ROCAUC", d), 0.9999, models.ranked, {"bins": models.BINS}),
        "accuracy .999": (MetricSpec("m", "Accuracy", d), 0.999, models.correct, {}),
        "macro F1 .999": (macro, 0.999, _macro, {"classes": len(CLASSES)}),
    }
    cases = {}
    for name, (spec, aim, cells, shape) in aims.items():
        for truth, effect in (("identical", 0.0), ("worse by d", 1.0)):
            arms = cells(aim), cells(aim - effect * d)
            cases[f"{name}, {truth}"] = Case(
                functools.partial(_run, f"corner {name} {truth}", spec, shape, SMALL, arms)
            )
    return cases


def multi_class() -> dict[str, Case]:
    """Five classes, margin .02, horizon scaled to 2.5 times the oracle's 90 % need."""
    d = 0.02
    cases = {}
    for average, value in (
        (Average.MACRO, values.macro_f1),
        (Average.WEIGHTED, values.weighted_f1),
    ):
        spec = MetricSpec("m", "F1", d, average=average)
        stable = models.classes(0.82, CLASSES)
        plan, needs = _scaled(value, stable, d)
        for truth, effect in TRUTHS.items():
            canary = models.classes_of(value, float(value(stable)) - effect * d, CLASSES)
            run = functools.partial(
                _run,
                f"{average.value} {truth}",
                spec,
                {"classes": len(CLASSES)},
                plan,
                (stable, canary),
                n80=needs,
            )
            cases[f"{average.value.lower()} F1, 5 classes, {truth}"] = Case(run)
    return cases


def other_metrics() -> dict[str, Case]:
    """Other metrics, each in one typical scenario, horizon scaled as the grid's."""
    rare = functools.partial(models.histogram, prevalence=0.1, grid=models.edges())
    sure = functools.partial(models.calibrated, prevalence=0.2)
    prices = (("0", "1", 1.0), ("1", "0", 5.0))
    bins = {"bins": models.BINS}
    metrics: dict[str, tuple[MetricSpec, Callable[[float], Floats], Value, dict[str, int]]] = {
        "average precision": (
            MetricSpec("m", "AveragePrecision", 0.05), rare, values.average_precision, bins,
        ),
        "log loss": (MetricSpec("m", "LogLoss", 0.02), sure, values.log_loss, bins),
        "Brier score": (MetricSpec("m", "Brier", 0.01), sure, values.brier, bins),
        "cost (1 and 5)": (
            MetricSpec("m", "Cost", 0.1, costs=prices),
            lambda separation: _by_cost(models.even(separation)),
            lambda cells: -(cells @ np.array([0.0, 1.0, 5.0])) / cells.sum(axis=-1),
            {},
        ),
    }  # fmt: skip
    cases = {}
    for name, (spec, cells, value, shape) in metrics.items():
        plan, needs = _scaled(value, cells(models.SEPARATION), spec.margin)
        for truth, effect in TRUTHS.items():
            canary = models.degraded(cells, value, effect * spec.margin, lowest=0.1)
            arms = cells(models.SEPARATION), canary
            run = functools.partial(_run, f"{name} {truth}", spec, shape, plan, arms, n80=needs)
            cases[f"{name}, {truth}"] = Case(run)
    return cases


def better() -> dict[str, Case]:
    """`promoteOn: Better`: an identical canary is at the border; one better by d is to be promoted."""
    d = 0.03
    plan, needs = _scaled(values.f1, models.even(models.SEPARATION), d)
    cases = {}
    for truth, effect in (("identical", 0.0), ("better by d", -1.0), ("worse by d", 1.0)):
        arms, spec = models.f1_arms(effect * d), MetricSpec("m", "F1", d)
        run = functools.partial(
            _run, f"better {truth}", spec, {}, plan, arms, policies=BETTER, n80=needs
        )
        cases[f"F1 50%/20%, {truth}"] = Case(run)
    return cases


def collapse() -> dict[str, Case]:
    """F1 .82 falls to .40 at a share of 5 %, looks every 50 labelled requests."""
    plan = Plan(looks=80, per_look=50, share=0.05)
    cases = {}
    for aim in (0.40, 0.02):
        arms = models.f1_arms(float(values.f1(models.even(models.SEPARATION))) - aim)
        spec = MetricSpec("m", "F1", 0.03)
        cases[f"F1 .82 to {aim:.2f}"] = Case(
            functools.partial(_run, f"collapse {aim}", spec, {}, plan, arms)
        )
    return cases


def floor() -> dict[str, Case]:
    """The canary is exactly at its floor, alone or together with stable."""
    d = 0.03
    plan, _ = _scaled(values.f1, models.even(models.SEPARATION), d)
    cases = {}
    for truth, effect in (("identical", 0.0), ("worse by d", 1.0)):
        arms = models.f1_arms(effect * d)
        spec = MetricSpec("m", "F1", d, floor=float(values.f1(arms[1])))
        run = functools.partial(_run, f"floor {truth}", spec, {}, plan, arms)
        cases[f"F1 50%/20%, {truth}"] = Case(run)
    return cases


def _run(
    name: str,
    spec: MetricSpec,
    shape: dict[str, int],
    plan: Plan,
    arms: tuple[Floats, Floats],
    runs: int,
    *,
    policies: dict[str, Policy] = MODES,
    n80: float | None = None,
) -> dict[str, Any]:
    kind = Kind.of(spec, **shape)
    make = plain(kind, plan, *arms)
    result = simulate(name, runs, plan.labels, len(arms[0]), make, policies=policies)
    return result if n80 is None else {**result, "n80": n80}


def _scaled(value: Value, stable: Floats, margin: float) -> tuple[Plan, float]:
    needs = functools.partial(labels_needed, value, stable, stable, SHARE, margin)
    per_look = math.ceil(2.5 * needs(0.9) / 100)
    return Plan(looks=100, per_look=per_look, share=SHARE), needs(0.8)


def _macro(aim: float) -> Floats:
    return models.classes_of(values.macro_f1, aim, CLASSES)


def _by_cost(matrix: Floats) -> Floats:
    """(free, costs 1, costs 5) of (tn, fp, fn, tp)."""
    return np.array([matrix[0] + matrix[3], matrix[1], matrix[2]])
