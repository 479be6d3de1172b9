"""``kubectl assay completion SHELL``, and the program that kubectl asks when somebody presses tab."""

import sys

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

_PROGRAM = "kubectl-assay"
_NO_FILES = 4
"""Of cobra, which kubectl completes with: what was printed is all that there is."""


@click.command("completion", short_help="Print what completes commands in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option(
    "--program",
    default="assay",
    show_default=True,
    type=click.Choice(["assay", _PROGRAM]),
    help="Name of the command to be completed.",
)
def completion_command(shell: str, program: str) -> None:
    """Print a script that completes commands, options and names of ModelDeployments.

    \b
    source <(assay completion bash)                      in ~/.bashrc
    source <(assay completion zsh)                       in ~/.zshrc
    assay completion fish > ~/.config/fish/completions/assay.fish

    For `kubectl assay` there is nothing to source: kubectl's own completion asks the program
    `kubectl_complete-assay`, which comes with this one.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    from . import main  # noqa: PLC0415  (which knows this command)

    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    try:
        script = found(main, {}, program, variable).source()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    click.echo(script)


def kubectl_complete() -> None:
    """Print what may come next, as kubectl asks its plugins: ``kubectl_complete-assay WORD... PART``."""
    from . import main  # noqa: PLC0415

    *words, part = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, _PROGRAM, "").get_completions(words, part)
    for item in found:
        click.echo(_line(item))
    click.echo(f":{_NO_FILES if all(item.type == 'plain' for item in found) else 0}")


def _line(item: CompletionItem) -> str:
    return f"{item.value}\t{item.help}" if item.help else str(item.value)
