"""The command ``fleet``."""

from __future__ import annotations

import click

from fleet import local
from fleet.progress import Screen


@click.group()
def main() -> None:
    """Run real Kubernetes clusters on this machine, several at once, without Docker."""


@main.command()
@click.option("--name", default=local.DEFAULT_NAME, show_default=True)
@click.option("--clusters", default=",".join(local.DEFAULT_CLUSTERS), show_default=True)
@click.option("--addons", type=click.Choice(["all", "none"]), default="all", show_default=True)
@click.option("--scrape-interval", default="1s", show_default=True)
@click.option("--keep", is_flag=True, help="Leave a fleet that fails as it is.")
def up(name: str, clusters: str, addons: str, scrape_interval: str, keep: bool) -> None:  # noqa: FBT001
    """Make a fleet."""
    with Screen() as screen:
        local.Fleet.up(
            name,
            clusters.split(","),
            addons=addons == "all",
            scrape_interval=scrape_interval,
            keep=keep,
            reporter=screen,
        )


@main.command()
@click.option("--name", default=local.DEFAULT_NAME, show_default=True)
def down(name: str) -> None:
    """Remove a fleet."""
    with Screen() as screen:
        local.down(name, screen)


if __name__ == "__main__":
    main()
