"""`assay judge FILE`: one decision from counts, no cluster needed."""

import json
from typing import Any

import click

from assay.cli.counts_file import parse
from assay.cli.document import load
from assay.judge import Judgement, MetricJudgement, judge


@click.command("judge", short_help="Decide from counts in a file.")
@click.argument("file", metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "text"]),
    default="text",
    show_default=True,
    help="What to print.",
)
def judge_command(file: str, output: str) -> None:
    """Decide from the counts in FILE (JSON; - reads stdin): Promote, Rollback or Hold.

    FILE holds one metric, or several in a list `metrics`, and the counts of both versions per
    stratum; rows of a confusion matrix are true classes, columns predicted ones. Counts of earlier
    moments may be in `history`, with 20 of them rows need not be independent; until then four count
    as one. `growth` says how many times as many labels the trial will have in the end; then a trial
    that cannot end in time is `Underpowered`. The exit code is 0 whatever the verdict, and 2 when
    FILE cannot be understood.
    """
    question = parse(load(file))
    judgement = judge(question.metrics, question.policy, question.evidence)
    if output == "json":
        shape = report_several if question.several else report
        click.echo(json.dumps(shape(judgement), indent=2, allow_nan=False))
    else:
        click.echo(f"{judgement.verdict.value} ({judgement.reason})\n{judgement.message}")


def report(judgement: Judgement) -> dict[str, Any]:
    """Shape a judgement of one metric as the JSON that other programs rely on."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        **_numbers(judgement.metrics[0]),
    }


def report_several(judgement: Judgement) -> dict[str, Any]:
    """Shape a judgement of several metrics: the verdict, then what each metric says."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "message": judgement.message,
        "metrics": [
            {
                "name": metric.name,
                "verdict": metric.verdict.value,
                "reason": metric.reason,
                "message": metric.message,
                **_numbers(metric),
            }
            for metric in judgement.metrics
        ],
    }


def _numbers(metric: MetricJudgement) -> dict[str, Any]:
    return {
        "stable": metric.stable,
        "canary": metric.canary,
        "difference": metric.difference,
        "lower": metric.lower,
        "upper": metric.upper,
        "logEPromote": metric.log_e_promote,
        "logERollback": metric.log_e_rollback,
        "otherTests": [
            {
                "test": test.name,
                **({"of": test.of} if test.of else {}),
                "logE": test.log_e,
                "limit": test.limit,
            }
            for test in metric.others
        ],
        "halfWidth": metric.half_width,
        "labels": {"stable": metric.labels_stable, "canary": metric.labels_canary},
    }
