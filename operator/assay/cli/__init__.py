"""The command ``assay`` (and ``kubectl assay``).

Commands are imported when they are called, so `assay judge` needs no cluster library.
"""

import importlib

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

_COMMANDS = {
    "judge": ("assay.cli.judge", "judge_command"),
    "simulate": ("assay.cli.simulate", "simulate_command"),
    "plan": ("assay.cli.plan", "plan_command"),
    "labels": ("assay.cli.labels", "labels_command"),
    "status": ("assay.cli.status", "status_command"),
    "history": ("assay.cli.history", "history_command"),
    "explain": ("assay.cli.explain", "explain_command"),
    "events": ("assay.cli.events", "events_command"),
    "wait": ("assay.cli.wait", "wait_command"),
    "completion": ("assay.cli.completion", "completion_command"),
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
"""Where commands of the extra `workbench` are; the others may need the extra `operator`."""

_OURS = "assay"
"""What cannot be missing: if it cannot be imported, it is broken."""


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
            library = (error.name or module).partition(".")[0]
            if library == _OURS:
                raise
            extra = "workbench" if module.startswith(_WORKBENCH) else "operator"
            return _missing(cmd_name, library, extra)
        return command

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Names only: what each does is known when it is imported, and whoever presses tab does not wait.
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*map(CompletionItem, names), *options]


def _missing(name: str, library: str, extra: str) -> click.Command:
    """Return a command that says what it needs: no image has what all commands need."""

    @click.command(name, short_help=f"Needs assay[{extra}].", add_help_option=False)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        """Say what is missing."""
        del words
        raise click.ClickException(f'needs {library}: pip install "assay[{extra}]"')

    command.ignore_unknown_options = True
    return command


@click.command(cls=_Commands)
@click.version_option(package_name="assay")
def main() -> None:
    """Promote or roll back machine-learning models on live F1 and AUC."""
