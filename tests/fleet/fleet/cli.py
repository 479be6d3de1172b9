"""The command ``fleet``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from typing_extensions import override

from fleet import local, status
from fleet.contexts import ContextFleet
from fleet.errors import FleetError
from fleet.progress import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.local import Fleet

F = TypeVar("F", bound="Callable[..., Any]")


class _Group(click.Group):
    """Shows what is in the way as one message, not as a traceback."""

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FleetError as error:
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"[red]fleet:[/] {error}", markup=True, emoji=False
            )
            sys.exit(1)


def _name_option(function: F) -> F:
    return click.option("--name", default=local.DEFAULT_NAME, show_default=True)(function)


@click.group(cls=_Group)
def main() -> None:
    """Run real Kubernetes clusters on this machine, several at once, without Docker."""


@main.command()
@_name_option
@click.option(
    "--clusters",
    default=",".join(local.DEFAULT_CLUSTERS),
    show_default=True,
    help="First: the hub.",
)
@click.option("--contexts", help="Take these contexts of your kubeconfig instead.")
@click.option(
    "--addons",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="none: Kubernetes alone, without DNS, gateway, Prometheus, storage and our images.",
)
@click.option("--scrape-interval", default="1s", show_default=True, help="Of Prometheus.")
@click.option("--keep", is_flag=True, help="Leave a fleet that does not come up as it is.")
def up(
    name: str,
    clusters: str,
    contexts: str | None,
    addons: str,
    scrape_interval: str,
    keep: bool,  # noqa: FBT001
) -> None:
    """Make a fleet; returns when everything in it is ready."""
    console = Console(stderr=True)
    if contexts:
        console.print(status.table(ContextFleet.adopt(name, contexts.split(","))))
        return
    with Screen(console) as screen:
        fleet = local.Fleet.up(
            name,
            clusters.split(","),
            addons=addons == "all",
            scrape_interval=scrape_interval,
            keep=keep,
            reporter=screen,
        )
    console.print(status.table(fleet))
    console.print(f"export KUBECONFIG: fleet kubeconfig --name {name} > {name}.kubeconfig")


@main.command()
@_name_option
@click.option("--all", "everything", is_flag=True, help="Every fleet of this machine.")
def down(name: str, everything: bool) -> None:  # noqa: FBT001
    """Remove a fleet with all that belongs to it."""
    with Screen() as screen:
        for one in local.names() if everything else [name]:
            adopted = ContextFleet.find(one)
            if adopted is not None:
                adopted.down()
            elif not local.down(one, screen):
                screen.note(f"there is no fleet {one}")


@main.command("status")
@_name_option
def show_status(name: str) -> None:
    """Show every cluster of a fleet as it is now."""
    Console().print(status.table(local.Fleet.load(name)))


@main.command("list")
def list_fleets() -> None:
    """Print the names of all local fleets of this machine."""
    for name in local.names():
        click.echo(name)


@main.command()
@_name_option
@click.option("--cluster", help="Only this one.")
def kubeconfig(name: str, cluster: str | None) -> None:
    """Print a kubeconfig with one context per cluster, `<fleet>-<cluster>`."""
    click.echo(local.Fleet.load(name).kubeconfig(cluster))


@main.command()
@_name_option
def load(name: str) -> None:
    """Build our images from the sources as they are now and bring them into every cluster."""
    fleet = local.Fleet.load(name)
    with Screen() as screen, screen.step(f"load images into {name}"):
        fleet.load_images(screen)


@main.command()
@_name_option
def env(name: str) -> None:
    """Print shell variables with the paths of kubectl, helm and the clusters' kubeconfigs."""
    fleet: Fleet = local.Fleet.load(name)
    first = next(iter(fleet.clusters.values()))
    click.echo(f"export KUBECTL={first.kubectl_program}")
    click.echo(f"export HELM={first.helm_program}")
    for cluster in fleet.clusters.values():
        variable = "KUBECONFIG_" + cluster.name.upper().replace("-", "_")
        click.echo(f"export {variable}={cluster.kubeconfig}")
    click.echo(f"export KUBECONFIG={first.kubeconfig}")


if __name__ == "__main__":
    main()
