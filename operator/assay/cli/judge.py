"""`assay judge FILE`: one decision from counts, no cluster needed."""

import click

from assay.cli.counts_file import parse
from assay.cli.document import load, output_option, show_document
from assay.cli.judgement import report, report_several
from assay.judge import judge


@click.command("judge", short_help="Decide from counts in a file.")
@click.argument("file", metavar="FILE")
@output_option
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
    if output != "text":
        shape = report_several if question.several else report
        show_document(shape(judgement), output)
    else:
        click.echo(f"{judgement.verdict.value} ({judgement.reason})\n{judgement.message}")
