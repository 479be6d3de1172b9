"""What a planned placement and its trial cost: `assay plan FILE --clusters FILE`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay import placement
from assay.api.deployment_status import Verdict
from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge.planner import Plan
from assay.judge.wording import duration
from assay.placement import Candidate, floors
from assay.placement.bill import HOUR, MONTH, Bill, prices, rate
from assay.rollout.cost import Host, planned

from . import bill_text


@dataclass(frozen=True)
class PlannedTrial:
    """What a trial costs that has its verdict after so many seconds."""

    seconds: float
    verdict: Verdict
    bill: Bill


@dataclass(frozen=True)
class PlannedCost:
    """What a placement costs in which nothing runs yet, and its trial.

    Attributes
    ----------
    least
        What it costs per month while the load asks for ``minReplicas``; None without autoscaling.
    trials
        ``shortest``: promoted at the first moment that steps and burn-in allow. ``typical``: half of
        all trials of the expected canary are promoted by then. ``longest``: without a verdict.
    """

    plan: placement.Plan
    hour: Bill
    month: Bill
    least: Bill | None
    trials: Mapping[str, PlannedTrial]


def planned_cost(
    spec: ModelDeploymentSpec,
    namespace: str,
    answer: Plan,
    candidates: tuple[Candidate, ...],
) -> PlannedCost:
    """Place the replicas as if nothing ran anywhere, and return what that costs."""
    plan = placement.plan(candidates, spec, namespace)
    known, autoscaling = prices(candidates, spec.placement), spec.serving.autoscaling
    labels = {item.name: item.labels for item in candidates}
    hosts = {name: Host(share, labels[name]) for name, share in plan.shares.items()}
    limit, speed = float(spec.rollout.max_seconds), answer.question.label_rate
    weights = spec.rollout.canary.without_pauses().weights
    starts = [
        (weight, segment.start / speed)
        for weight, segment in zip(weights, answer.segments, strict=True)
    ]

    def trial(seconds: float) -> PlannedTrial:
        verdict = Verdict.PROMOTE if seconds <= limit else Verdict.ROLLBACK
        ends = min(seconds, limit)
        bill = planned(spec, hosts, candidates, starts, ends, verdict)
        return PlannedTrial(ends, verdict, bill)

    burnt_in = max(metric.burn_in.seconds for metric in answer.metrics)
    return PlannedCost(
        plan,
        rate(plan.shares, known, HOUR),
        rate(plan.shares, known, MONTH),
        rate(floors(autoscaling, plan.shares), known, MONTH) if autoscaling else None,
        {
            "shortest": trial(max(starts[-1][1], burnt_in)),
            "typical": trial(answer.promote[0.5].seconds),
            "longest": PlannedTrial(
                limit,
                Verdict.ROLLBACK,
                planned(spec, hosts, candidates, starts, limit, Verdict.ROLLBACK),
            ),
        },
    )


def report(found: PlannedCost) -> dict[str, Any]:
    """Shape it as the JSON that other programs rely on."""
    return {
        "replicas": dict(found.plan.shares),
        "unplaced": found.plan.fault.message if found.plan.fault else None,
        "perHour": bill_text.report(found.hour),
        "perMonth": bill_text.report(found.month),
        "perMonthAtMinReplicas": bill_text.report(found.least) if found.least else None,
        "trial": {
            name: {
                "seconds": round(item.seconds, 3),
                "verdict": item.verdict.value,
                **bill_text.report(item.bill),
            }
            for name, item in found.trials.items()
        },
    }


def lines(found: PlannedCost) -> Iterator[str]:
    """Say it in words, a line for each thing."""
    yield f"Placement: {found.plan.summary}."
    if found.plan.fault:
        yield f"Not as asked: {found.plan.fault.message}."
    most = " with maxReplicas" if found.least else ""
    yield f"Cost per month{most}: {bill_text.words(found.month, by_member=True)}."
    if found.least:
        yield f"Cost per month with minReplicas: {bill_text.words(found.least)}."
    told = (
        f"{bill_text.words(item.bill)} {how} ({_end(item)})"
        for how, item in zip(
            ("at the shortest", "typically", "at the longest"), found.trials.values(), strict=True
        )
    )
    yield f"Cost of the trial: {'; '.join(told)}."


def _end(item: PlannedTrial) -> str:
    what = "promoted" if item.verdict is Verdict.PROMOTE else "no verdict"
    return f"{what} after {duration(item.seconds)}"
