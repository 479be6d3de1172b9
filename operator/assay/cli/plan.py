"""`assay plan FILE`: labels and time to a decision, before the rollout starts."""

from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from assay.cli import plan_cost
from assay.cli.bill_text import clusters_of
from assay.cli.document import fail, load_either, output_option, show_document
from assay.cli.plan_input import Given, parse
from assay.judge.planner import LOSSES, MetricPlan, Need, Plan, PlanError, Remedies, plan, remedies
from assay.judge.verdict import PromoteOn
from assay.judge.wording import decimal, duration, percent

SHOWN_POWERS = (0.5, 0.8, 0.95)
SHOWN_LOSSES = (1.0, 2.0, 5.0)


@click.command("plan", short_help="Labels and time until a trial is decided.")
@click.argument("file", metavar="FILE")
@click.option(
    "--prevalence",
    multiple=True,
    metavar="VALUE|CLASS=VALUE",
    help="Share of the positive class among the labels; of every class for averages over classes.",
)
@click.option(
    "--baseline", multiple=True, metavar="NAME=VALUE", help="Stable's value of each metric."
)
@click.option(
    "--recall",
    multiple=True,
    metavar="NAME=VALUE",
    help="Stable's recall, for F1, FBeta and Precision; the metric's value when left out.",
)
@click.option(
    "--variance",
    multiple=True,
    metavar="NAME=VALUE",
    help="Measured variance of one row; needed for LogLoss.",
)
@click.option("--label-rate", help="Labelled rows per second, over both versions.")
@click.option("--label-age", help="Seconds from a request to its label; 0 when left out.")
@click.option(
    "--clusters",
    multiple=True,
    metavar="FILE",
    help="Manifests of the ModelClusters: say what placement and trial cost, too.",
)
@output_option
def plan_command(file: str, output: str, clusters: tuple[str, ...], **options: Any) -> None:
    """Say how many labels, and how much time, a trial takes until it is decided.

    FILE (JSON or YAML; - reads stdin) is a ModelDeployment, with the options below for what a
    manifest does not say, or a plan question:

    \b
    {"metric": {"type": "F1", "margin": "0.05"},   also name, average, beta, positiveLabel,
                                                   recall, variance, largest, s10, s01
     "prevalence": 0.1,                            averages: {"CLASS": share, ...}
     "baseline": 0.56,                             stable's value
     "share": 0.2,                                 or "steps": [{"weight": 20, "minSeconds": 60}]
                                                   or "paired": {"correlation": 0.9} (shadow)
     "labelRate": 50,                              labelled rows per second, both versions
     "labelAgeSeconds": 0, "maxSeconds": 86400, "confidence": "0.95", "rollbackOn": "Worse",
     "promoteOn": "NotWorse", "effect": 0}         effect: expected difference, > 0 is better

    With -o json the shape is stable; a NEED is {"labels", "seconds"}, null means never:

    \b
    {"underpowered", "conclusion", "labelRate", "labelAgeSeconds", "maxSeconds", "confidence",
     "rollbackOn", "promoteOn",
     "steps": [{"weight", "minSeconds", "labelsBefore"}],   empty with shadow traffic
     "promote": {"50": NEED, "80", "90", "95"},             all metrics, by % of the trials
     "metrics": [{"name", "type", "margin", "baseline", "effect", "unitVariance",
                  "burnIn": NEED, "promote": {"50": NEED, ...},
                  "rollback": {"1": NEED, "2", "3", "5", "10"},   medians, by margins of loss
                  "collapse": {"value", "labels", "seconds"}}],
     "remedies": {"margins": {NAME: number}, "share", "labelRate", "maxSeconds"},
     "cost": {"replicas": {MEMBER: number}, "unplaced",      null without --clusters
              "perHour": BILL, "perMonth": BILL, "perMonthAtMinReplicas": BILL or null,
              "trial": {"shortest": {"seconds", "verdict", ...BILL}, "typical", "longest"}}}

    A BILL is {"total", "members": {MEMBER: amount}, "unpriced": [MEMBER]}: amounts are decimal strings
    in the currency of the ModelClusters, members without a price are in no sum, and a total is null
    where none has one. A trial costs what its pods cost beside those of the stable version.

    `underpowered`: 80 % of the trials of the expected canary do not end within maxSeconds.
    `remedies` is null otherwise; each of them is enough alone, null where none is. The exit code is
    0 whatever the answer, and 2 when the input cannot be understood.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    asked = parse(load_either(file), Given(**options))
    try:
        answer = plan(asked.question)
    except PlanError as error:
        raise asked.refuse(error) from None
    costs = None
    if clusters:
        if asked.spec is None:
            fail("--clusters", "goes with a ModelDeployment; FILE is a plan question")
        found = clusters_of(clusters)
        costs = plan_cost.planned_cost(asked.spec, asked.namespace, answer, found)
    helps = remedies(answer)
    if output != "text":
        show_document(report(answer, helps, costs), output)
        return
    console = Console(highlight=False, width=88)
    for metric in answer.metrics:
        console.print(_table(metric))
    click.echo(conclusion(answer, helps))
    for line in plan_cost.lines(costs) if costs else ():
        click.echo(line)


def report(
    answer: Plan, helps: Remedies | None, costs: plan_cost.PlannedCost | None
) -> dict[str, Any]:
    """Shape a plan as the JSON that other programs rely on."""
    question = answer.question
    segments = () if question.paired else answer.segments
    return {
        "underpowered": answer.underpowered,
        "conclusion": conclusion(answer, helps),
        "labelRate": question.label_rate,
        "labelAgeSeconds": question.label_age,
        "maxSeconds": question.max_seconds,
        "confidence": question.confidence,
        "rollbackOn": question.rollback_on.value,
        "promoteOn": question.promote_on.value,
        "steps": [
            {
                "weight": round(100.0 * segment.canary, 6),
                "minSeconds": segment.min_seconds,
                "labelsBefore": round(segment.start),
            }
            for segment in segments
        ],
        "promote": _by_percent(answer.promote),
        "metrics": [_metric(metric) for metric in answer.metrics],
        "remedies": None
        if helps is None
        else {
            "margins": dict(helps.margins),
            "share": helps.share,
            "labelRate": helps.label_rate,
            "maxSeconds": helps.max_seconds,
        },
        "cost": None if costs is None else plan_cost.report(costs),
    }


def _metric(metric: MetricPlan) -> dict[str, Any]:
    spec, collapse = metric.target.spec, _need(metric.collapse)
    return {
        "name": spec.name,
        "type": spec.type,
        "margin": spec.margin,
        "baseline": metric.target.baseline.value,
        "effect": metric.effect,
        "unitVariance": metric.unit_variance,
        "burnIn": _need(metric.burn_in),
        "promote": _by_percent(metric.promote),
        "rollback": {f"{times:g}": _need(need) for times, need in metric.rollback.items()},
        "collapse": collapse and {"value": metric.collapsed, **collapse},
    }


def _by_percent(needs: Any) -> dict[str, Any]:
    return {f"{100.0 * power:g}": _need(need) for power, need in needs.items()}


def _need(need: Need | None) -> dict[str, Any] | None:
    return None if need is None else {"labels": need.labels, "seconds": round(need.seconds, 3)}


def _table(metric: MetricPlan) -> Table:
    spec, value = metric.target.spec, metric.target.baseline.value
    table = Table(
        title=f"{spec.name}: {spec.type} {decimal(value)}, margin {_short(spec.margin)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
    )
    table.add_column("the canary is")
    table.add_column("labels", justify="right")
    table.add_column("time", justify="right")
    for power in SHOWN_POWERS:
        _row(table, f"promoted in {percent(power)} of the trials", metric.promote[power])
    for times in SHOWN_LOSSES:
        loss = _short(times * spec.margin)
        _row(table, f"rolled back if worse by {loss} ({times:g} x margin)", metric.rollback[times])
    if metric.collapsed is not None:
        sign = "rises" if spec.type in LOSSES else "falls"
        _row(table, f"rolled back if it {sign} to {_short(metric.collapsed)}", metric.collapse)
    _row(table, "not judged at all before", metric.burn_in)
    return table


def _row(table: Table, what: str, need: Need | None) -> None:
    if need is None:
        table.add_row(what, "-", "never")
    else:
        table.add_row(what, _rows(need.labels), duration(need.seconds))


def conclusion(answer: Plan, helps: Remedies | None) -> str:
    """Say what the numbers mean, in plain words."""
    if helps is not None:
        return _underpowered(answer, helps)
    half, most = answer.promote[0.5], answer.promote[0.9]
    text = (
        f"With {answer.question.label_rate:g} labels/s {_canary(answer)} is promoted within about "
        f"{duration(half.seconds)} in half of all trials and within {duration(most.seconds)} in "
        f"90 %."
    )
    found = [metric.rollback[2.0] for metric in answer.metrics]
    if all(found):
        slowest = max(need.seconds for need in found if need is not None)
        text += (
            f" One that is worse by twice {'the' if len(found) == 1 else 'a'} margin is rolled "
            f"back within about {duration(slowest)} in half of all trials."
        )
    return text


def _underpowered(answer: Plan, helps: Remedies) -> str:
    question, needed = answer.question, answer.promote[0.8]
    limit = question.max_seconds or 0.0
    lines = [
        f"Underpowered: {_canary(answer)} takes about {_rows(needed.labels)} labels ({duration(needed.seconds)}) to be promoted in 80 % of all trials, and {duration(limit)} with {question.label_rate:g} labels/s give {_rows(question.label_rate * limit)}. Any one of these would do:"
    ]
    wide = [
        f"no margin of {name} is wide enough"
        if margin is None
        else f"a margin of {_short(margin)} for {name}"
        for name, margin in helps.margins.items()
    ]
    lines.append(" and ".join(wide))
    if question.paired:
        lines.append("the share does not matter: with shadow traffic both versions see every row")
    elif helps.share is None:
        lines.append("no share of the canary is enough, not even 50 %")
    else:
        lines.append(f"a canary share of {percent(helps.share)} from the start")
    if helps.label_rate is None:
        lines.append("no label rate is enough: the steps and the age of labels take too long")
    else:
        lines.append(f"{helps.label_rate:g} labels/s")
    lines.append(f"maxSeconds: {helps.max_seconds}")
    return "\n  - ".join(lines)


def _canary(answer: Plan) -> str:
    effects = {metric.effect for metric in answer.metrics}
    if answer.question.promote_on is PromoteOn.NOT_WORSE and effects == {0.0}:
        return "an equally good canary"
    if len(effects) > 1:
        return "a canary better by the margins"
    (effect,) = effects
    return f"a canary {'better' if effect > 0.0 else 'worse'} by {_short(abs(effect))}"


def _rows(rows: float) -> str:
    """Write rows with three digits, in groups of three: ``27 400``."""
    return f"{float(f'{rows:.3g}'):,.0f}".replace(",", " ")


def _short(number: float) -> str:
    """Write a margin with up to three digits and no leading zero: ``.05``."""
    return f"{number:.3g}".removeprefix("0") or "0"
