"""The command ``assay`` (and ``kubectl assay``).

Commands are imported when they are called, so `assay judge` needs no cluster library.
"""

import importlib

import click
from typing_extensions import override

_COMMANDS = {
    "judge": ("assay.cli.judge", "judge_command"),
    "simulate": ("assay.cli.simulate", "simulate_command"),
    "plan": ("assay.cli.plan", "plan_command"),
    "labels": ("assay.cli.labels", "labels_command"),
    "status": ("assay.cli.status", "status_command"),
    "report": ("assay.cli.report", "report_command"),
    "diff": ("assay.cli.diff", "diff_command"),
    **{
        verb: ("assay.cli.hands", f"{verb}_command")
        for verb in ("pause", "resume", "approve", "promote", "abort", "retry", "undo")
    },
    "evaluate": ("assay_workbench.commands.evaluate", "evaluate_command"),
    "advise": ("assay_workbench.commands.advise", "advise_command"),
    "train": ("assay_workbench.commands.train", "train_command"),
    "package": ("assay_workbench.commands.package", "package_command"),
    "score": ("assay_workbench.commands.score", "score_command"),
    "compare-scores": ("assay_workbench.commands.compare_scores", "compare_scores_command"),
    "check-install": ("assay.cli.check_install", "check_install_command"),
    "member-kubeconfig": ("assay.cli.member_kubeconfig", "member_kubeconfig_command"),
}
"""Module and object of every command."""

_WORKBENCH = "assay_workbench."
"""Where commands of the extra `workbench` are; the only ones that may be missing."""


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ImportError as error:
            if not module.startswith(_WORKBENCH):
                raise
            return _missing(cmd_name, error.name or module)
        return command


def _missing(name: str, module: str) -> click.Command:
    """Return a command that says what it needs: the image of the operator has no workbench."""

    @click.command(name, short_help="Needs assay[workbench].", add_help_option=False)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        """Say what is missing."""
        del words
        library = module.partition(".")[0]
        raise click.ClickException(f'needs {library}: pip install "assay[workbench]"')

    command.ignore_unknown_options = True
    return command


@click.command(cls=_Commands)
@click.version_option(package_name="assay")
def main() -> None:
    """Promote or roll back machine-learning models on live F1 and AUC."""
