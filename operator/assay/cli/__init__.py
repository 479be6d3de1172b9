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
    "diff": ("assay.cli.diff", "diff_command"),
    **{
        verb: ("assay.cli.hands", f"{verb}_command")
        for verb in ("pause", "resume", "approve", "promote", "abort", "retry", "undo")
    },
    "member-kubeconfig": ("assay.cli.member_kubeconfig", "member_kubeconfig_command"),
}
"""Module and object of every command."""


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
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=_Commands)
@click.version_option(package_name="assay")
def main() -> None:
    """Promote or roll back machine-learning models on live F1 and AUC."""
